"""The `pmcp-lab` command."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable
from pathlib import Path

import pytest

from pmcp_lab import __version__
from pmcp_lab.cli import main
from tests.unit.jsonrpc import modern

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pmcp_lab", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=30, check=False)


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, says in (
        ([], "demo"),
        (["--help"], "demo"),
        (["demo", "--help"], "--port"),
        (["worker", "--help"], "MODULE:OBJECT"),
        (["app", "check", "--help"], "--strict"),
        (["app", "build", "--help"], "--package"),
        (["--version"], __version__),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        assert says in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["demo", "--port", "8000"],
        ["demo", "--host", "::1"],
        ["call", "demo"],
        ["install", "demo"],
        ["demo", "--port", "70000"],
        ["demo", "--port", "x"],
        ["worker"],
        ["worker", "lab:server", "--concurrency", "0"],
        ["worker", "lab:server", "--grace", "-1"],
    ],
)
def test_wrong_command_lines(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: pmcp-lab" in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from pmcp_lab.cli import main\n"
        "heavy = ('mcp', 'jsonschema', 'uvicorn', 'anyio', 'asyncio')\n"
        "try: main(['demo', '--help'])\n"
        "except SystemExit: print(*(m for m in heavy if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert done.stdout.splitlines()[-1] == ""


async def duration(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def test_http_prints_its_url_and_serves() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pmcp_lab",
        "demo",
        "--http",
        "--port",
        "0",
        stdout=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    try:
        assert process.stdout is not None
        url = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()
        async with modern(url) as peer:
            assert (await peer.tool("add", {"a": 20, "b": 22}))["structuredContent"] == {"result": 42}
            # No answer sits in a socket until a delayed acknowledgement (40 ms on Linux) lets it go.
            assert min([await duration(peer.tool("add", {"a": 1, "b": 1})) for _ in range(10)]) < 0.03
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("arguments", [["demo"], ["demo", "--http", "--port", "0"]])
def test_ctrl_c_ends_it_at_once(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "pmcp_lab", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if "--http" not in arguments:
            process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
            process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) in (130, -signal.SIGINT)
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


SLOW_LOOP = """
import selectors, time
from pmcp_lab.cli import main

class Slow(selectors.DefaultSelector):
    def __init__(self):
        time.sleep(1)
        super().__init__()

selectors.DefaultSelector = Slow
main(["demo", "--http", "--port", "0"])
"""


def test_ctrl_c_is_heard_from_when_the_address_is_printed_on() -> None:
    # On a busy machine making the loop takes this long, and what an interrupt leaves of it complains.
    command = [sys.executable, "-c", SLOW_LOOP]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) in (130, -signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_a_taken_port_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = lab("demo", "--http", "--port", str(port))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"pmcp-lab: can't listen on 127.0.0.1:{port}: Address already in use. Choose another with --host and --port."
    ]


# --- worker -----------------------------------------------------------------------------------------

LAB = """
from mcp.server.mcpserver import MCPServer
from pmcp_lab.execution.docket import DocketExecutor
from pmcp_lab.server import Tasks

bare = MCPServer("bare")
here = Tasks("memory://")
away = Tasks("memory://", executor=DocketExecutor("redis://127.0.0.1:9/0"))
server = MCPServer("lab", extensions=[away], middleware=[away])

def build():
    return server

def fail():
    raise RuntimeError("no wifi")
"""


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("lab_worker", "'lab_worker' does not say where the server is; write module:object, for example lab:server"),
        ("no_lab.deep:server", "there is no module 'no_lab', neither installed nor in {folder}"),
        ("lab_worker:servr", "module 'lab_worker' has no 'servr'"),
        ("lab_worker:LAB.x", "module 'lab_worker' has no 'LAB.x'"),
        ("os:sep", "os:sep is a str, not an MCPServer or a Tasks"),
        ("lab_worker:bare", "the server lab_worker:bare has no tasks: MCPServer(..., extensions=[tasks], middlew"),
        ("lab_worker:here", "lab_worker:here runs its tasks in the server's own process, so there is nothing for a"),
        ("lab_worker:away", "the queue at redis://127.0.0.1:9/0 can't be used: "),
        ("lab_worker:build", "the queue at redis://127.0.0.1:9/0 can't be used: "),
    ],
)
def test_why_a_worker_does_not_start(
    target: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "lab_worker.py").write_text(LAB)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "lab_worker", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["worker", target])
    assert ended.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"pmcp-lab: {says}".format(folder=tmp_path))
