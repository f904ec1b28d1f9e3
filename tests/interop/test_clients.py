"""Other people's clients against our server, over both transports: with its tasks, and as those without see it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hatch_build import node
from tests import peers
from tests.conftest import built, installed, python_of
from tests.interop.table import peer
from tests.servers import ROOT, environment, started

LEGACY_VERSION, MODERN_VERSION = "2025-11-25", "2026-07-28"
STDIO = json.dumps([sys.executable, "-m", "tests.servers.conformance", "--stdio"])

# What each client with tasks finds, whatever it speaks.
COMMON = {
    "plain": "Hello, Ada!",
    "result": "computed x",
    "input": "deleted b.txt",
    "asked": "Delete b.txt?",
    "cancelled": "cancelled",
    "unknown": -32602,
}
FAILED = "Error executing tool failing_job: the job failed, as it should"
BROKE = {"status": "failed", "code": -32603, "message": "the job broke, as it should"}
LEGACY = {
    "version": LEGACY_VERSION,
    "listed": True,
    "toolError": {"status": "failed", "text": FAILED},
    "protocolError": BROKE,
}
MODERN = {
    "version": MODERN_VERSION,
    "toolError": {"status": "completed", "text": FAILED},
    "protocolError": BROKE,
}
SDK1 = {"related": True, "cancelTwice": -32602, "required": -32601}

# What each client finds that has no tasks. Only the question differs: one asks by a request, one in its result.
PLAIN = {
    "plain": "Hello, Ada!",
    "background": "computed x",
    "progress": "done",
    "told": [0, 50, 100],
    "toolError": "Error executing tool test_error_handling: This tool intentionally returns an error for testing",
    "read": "This is the content of the static text resource.",
    "tools": 35,
    "resources": 8,
    "prompts": 5,
}
ADA = '{"username":"ada","email":"ada@a.example"}'
PLAINLY = {
    LEGACY_VERSION: PLAIN
    | {"asked": ["Who are you?"], "input": f"User response: action=accept, content={ADA}", "required": -32601},
    MODERN_VERSION: PLAIN | {"asked": ["What is your name?"], "input": "Hello, Ada!", "required": -32021},
}


def script(name: str, *options: str) -> Callable[[], list[str]]:
    def command() -> list[str]:
        installed(peers.CONFORMANCE)
        return [node(), str(peers.CLIENTS / name), *options]

    return command


def python(peer: peers.PythonPeer, name: str) -> Callable[[], list[str]]:
    return lambda: [python_of(peer), str(peers.CLIENTS / name)]


# Name in the table, generation, command, what is put behind the server's place, what it finds.
WITH_TASKS: list[tuple[str, str, Callable[[], list[str]], list[str], dict[str, Any]]] = [
    ("Python SDK 1", LEGACY_VERSION, python(peers.MCP1, "mcp1.py"), [], LEGACY | SDK1),
    (
        "TypeScript SDK 1",
        LEGACY_VERSION,
        script("sdk1.mjs"),
        [],
        # Its errors say their code in the message too.
        LEGACY | SDK1 | {"protocolError": BROKE | {"message": f"MCP error -32603: {BROKE['message']}"}},
    ),
    # Its tasks package keeps of a failed legacy task only the status message.
    (
        "TypeScript SDK 2, client",
        LEGACY_VERSION,
        script("client2.mjs"),
        ["legacy"],
        LEGACY | {"protocolError": BROKE | {"code": None}},
    ),
    ("TypeScript SDK 2, client", MODERN_VERSION, script("client2.mjs"), ["auto"], MODERN),
    (
        "fastmcp-tasks",
        MODERN_VERSION,
        python(peers.FASTMCP, "fastmcp_tasks_client.py"),
        [],
        MODERN | {"raised": FAILED},
    ),
]

WITHOUT: dict[str, Callable[[], list[str]]] = {
    "Go SDK": lambda: [built(peers.GO, "client")],
    "Python SDK 2": lambda: [sys.executable, str(peers.CLIENTS / "mcp2.py")],
    "fastmcp": python(peers.FASTMCP, "fastmcp_client.py"),
    "rmcp": lambda: [built(peers.RUST, "client")],
}
TRANSPORTS = ("stdio", "HTTP")


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with started("tests.servers.conformance") as url:
        yield url


async def report(command: list[str], *options: str) -> dict[str, Any]:
    client = await asyncio.create_subprocess_exec(
        *command,
        *options,
        cwd=ROOT,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(90):
        out, err = await client.communicate()
    lines = out.decode().splitlines()
    assert client.returncode == 0, f"{command} ended with {client.returncode}\n{err.decode(errors='replace')[-4000:]}"
    return dict(json.loads(lines[-1]))


@pytest.mark.parametrize(
    ("command", "options", "expected", "transport"),
    [
        pytest.param(
            command,
            options,
            expected,
            transport,
            id=f"{name}, {when}, {transport}",
            marks=peer(name, "client", when, transport),
        )
        for name, when, command, options, expected in WITH_TASKS
        for transport in TRANSPORTS
    ],
)
async def test_a_client_with_tasks(
    command: Callable[[], list[str]], options: list[str], expected: dict[str, Any], transport: str, server_url: str
) -> None:
    found = await report(command(), STDIO if transport == "stdio" else server_url, *options)
    states = found.pop("states")
    assert states[0] == "working"
    assert states[-1] == "completed"
    assert {key: found[key] for key in COMMON | expected} == COMMON | expected


@pytest.mark.parametrize(
    ("name", "generation", "transport"),
    [
        pytest.param(name, when, how, id=f"{name}, {when}, {how}", marks=peer(name, "client", when, how))
        for name in WITHOUT
        for when in PLAINLY
        for how in TRANSPORTS
    ],
)
async def test_a_client_as_it_is(name: str, generation: str, transport: str, server_url: str) -> None:
    found = await report(WITHOUT[name](), STDIO if transport == "stdio" else server_url, generation)
    assert found["version"] == generation
    expected = PLAINLY[generation]
    if name == "rmcp" and generation == MODERN_VERSION:
        tasks(found)
        # It declares the tasks extension, so it has no call without a task.
        expected = {key: value for key, value in expected.items() if key not in ("background", "required", "asked")}
    assert {key: found[key] for key in expected} == expected


def tasks(found: dict[str, Any]) -> None:
    """What rmcp, which has the tasks extension, finds of ours."""
    said = {key: (found[key]["states"], found[key]["text"]) for key in ("result", "confirmed", "failed", "cancelled")}
    assert said == {
        "result": (["working", "completed"], "computed x"),
        "confirmed": (["working", "input_required", "completed"], "deleted b.txt"),
        "failed": (["working", "completed"], FAILED),
        "cancelled": (["working", "cancelled"], ""),
    }
    assert found["failed"]["isError"] is True
    assert found["broken"]["status"] == "failed"
    assert found["broken"]["error"] == {"code": BROKE["code"], "message": BROKE["message"]}
    assert found["asked"] == ["What is your name?", "Delete b.txt?"]
    assert found["unknown"]["code"] == -32602


ASKED = [
    ("TypeScript SDK 2, client", LEGACY_VERSION, script("client2_asked.mjs"), ["legacy"]),
    ("TypeScript SDK 2, client", MODERN_VERSION, script("client2_asked.mjs"), ["auto"]),
    ("fastmcp", MODERN_VERSION, python(peers.FASTMCP, "fastmcp_asked.py"), []),
]


@pytest.mark.parametrize(
    ("command", "options", "version", "transport"),
    [
        pytest.param(command, options, when, how, id=f"{name}, {when}, {how}", marks=peer(name, "client", when, how))
        for name, when, command, options in ASKED
        for how in TRANSPORTS
    ],
)
async def test_a_client_without_tasks_is_asked_in_its_calls(
    command: Callable[[], list[str]], options: list[str], version: str, transport: str, server_url: str
) -> None:
    found = await report(command(), STDIO if transport == "stdio" else server_url, *options)
    asked = found.pop("asked")
    assert asked[0] == "Delete b.txt?"
    assert sorted(asked[1:]) == ["How many?", "Your name?"]
    assert found == {
        "version": version,
        "plain": "Hello, Ada!",
        "input": "deleted b.txt",
        "both": "got ['accept', 'accept']",
    }
