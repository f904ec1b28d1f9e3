"""`pmcp-lab preview`, `record` and `app landing`, as a shell runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pmcp_lab.apps import Recording
from pmcp_lab.cli import main
from pmcp_lab.preview import PreviewServer
from tests.unit.preview_page import FakePage

ROOT = Path(__file__).parents[3]

SERVER = """
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

def build():
    server = MCPServer("tiny", title="Tiny", log_level="CRITICAL")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True), meta={"ui": {"resourceUri": "ui://tiny/hi"}})
    def hello(name: str = "you") -> str:
        return f"hello {name}"

    @server.tool()
    def write(text: str) -> str:
        return text

    @server.resource("ui://tiny/hi", mime_type="text/html;profile=mcp-app")
    def hi() -> str:
        return "<p>hi"

    return server
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    name = f"tiny_{os.getpid()}_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(SERVER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("sys.path", [*sys.path])
    return tmp_path / f"{name}.py"


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that ends with 1 says, which is one line."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_calls_of_tools_that_only_read_become_a_demo_page(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["record", f"{project.stem}:build", "--out", "tiny.json"])
    assert capsys.readouterr().out == "tiny.json: 1 calls of 1 tools; not called: write\n"
    assert "exists already; --force" in failed(capsys, "record", f"{project.stem}:build", "--out", "tiny.json")
    main(["app", "landing", "tiny.json", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told == {"file": "dist/landing.html", "widgets": ["ui://tiny/hi"], "calls": 1}
    page = Path("dist/landing.html").read_text()
    assert "<title>Tiny</title>" in page
    assert "exists already; --force" in failed(capsys, "app", "landing", "tiny.json")
    main(["app", "landing", "tiny.json", "--force", "--title", "<Mine>"])
    assert "<title>&lt;Mine&gt;</title>" in Path("dist/landing.html").read_text()


def test_calls_are_made_from_a_list(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("calls.json").write_text('{"hello": [{"name": "a"}, {"name": "b"}], "write": {"text": "x"}}')
    main(["record", f"{project.stem}:build", "--calls", "calls.json", "-o", "tiny.json", "--json"])
    assert json.loads(capsys.readouterr().out) == {
        "file": "tiny.json", "called": ["hello", "hello", "write"], "not_called": [],
    }  # fmt: skip
    calls = Recording.load("tiny.json").calls
    assert [call.arguments for call in calls] == [{"name": "a"}, {"name": "b"}, {"text": "x"}]


@pytest.mark.parametrize(
    ("calls", "why"),
    [('{"helo": {}}', "Did you mean 'hello'"), ('{"write": {}}', "can't take these arguments"), ("[", "is no JSON")],
)
def test_calls_that_cannot_be_made(project: Path, capsys: pytest.CaptureFixture[str], calls: str, why: str) -> None:
    Path("calls.json").write_text(calls)
    arguments = ["record", f"{project.stem}:build", "--calls", "calls.json", "-o", "tiny.json"]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    assert why in capsys.readouterr().err
    assert not Path("tiny.json").exists()


def test_mock_data_that_do_not_fit_the_schema(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["record", f"{project.stem}:build", "-o", "tiny.json"])
    capsys.readouterr()
    known = json.loads(Path("tiny.json").read_text())
    known["calls"][0]["arguments"] = {"name": 7}
    Path("tiny.json").write_text(json.dumps(known))
    assert "calls[0] of 'hello': arguments['name']: 7 is not of type 'string'" in failed(
        capsys, "app", "landing", "tiny.json"
    )
    assert not Path("dist").exists()
    known["resources"] = []
    known["calls"] = []
    Path("tiny.json").write_text(json.dumps(known))
    assert "has no widget to show" in failed(capsys, "app", "landing", "tiny.json")


def test_a_preview_of_nothing(capsys: pytest.CaptureFixture[str], plain_http: str, tmp_path: Path) -> None:
    assert "Can't connect" in failed(capsys, "preview", plain_http, "--port", "0")
    (tmp_path / "there.json").write_text("{}")
    arguments = ["preview", "demo", "--port", "0", "--record", str(tmp_path / "there.json")]
    assert "exists already; --force" in failed(capsys, *arguments)


@contextmanager
def previewing(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], PreviewServer]]:
    """The command, and where a page finds it."""
    command = [sys.executable, "-m", "pmcp_lab", "preview", *arguments, "--port", "0", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        there = type("There", (), {"port": told["port"], "token": told["url"].rpartition("=")[2]})()
        try:
            yield process, there
        finally:
            process.terminate()


def test_a_preview_is_recorded_until_it_is_ended(project: Path) -> None:
    with previewing(f"{project.stem}:build", "--record", "seen.json", "--tool", "write") as (process, there):
        page = FakePage(there)
        assert page.wait("status")["selected"] == "write"
        page.send(kind="run", call=1, tool="hello", content={"name": "eve"})
        page.wait("ran")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert page.wait("ended")
        page.close()
    (call,) = Recording.load("seen.json").calls
    assert call.arguments == {"name": "eve"}


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_a_preview_in_a_generation_that_is_named(project: Path, mode: str, version: str) -> None:
    with previewing(f"{project.stem}:build", "--mode", mode, "--profile", "chatgpt") as (_, there):
        page = FakePage(there)
        status = page.wait("status", lambda status: status.get("server"))
        assert (status["server"]["version"], status["profile"]) == (version, "chatgpt")
        page.close()
