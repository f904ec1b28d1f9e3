"""Other people's clients against our server, over both transports: create, poll, answer, fail, cancel, list."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hatch_build import node
from tests import peers
from tests.conftest import installed, python_of
from tests.servers import ROOT, environment, started

STDIO = json.dumps([sys.executable, "-m", "tests.servers.conformance", "--stdio"])

# What each client finds, whatever it speaks.
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
    "version": "2025-11-25",
    "listed": True,
    "toolError": {"status": "failed", "text": FAILED},
    "protocolError": BROKE,
}
MODERN = {
    "version": "2026-07-28",
    "toolError": {"status": "completed", "text": FAILED},
    "protocolError": BROKE,
}
SDK1 = {"related": True, "cancelTwice": -32602, "required": -32601}

CLIENTS: dict[str, tuple[Any, str, list[str], dict[str, Any]]] = {
    "mcp 1.30": (peers.MCP1, "mcp1.py", [], LEGACY | SDK1),
    "typescript sdk 1.32": (
        None,
        "sdk1.mjs",
        [],
        # Its errors say their code in the message too.
        LEGACY | SDK1 | {"protocolError": BROKE | {"message": f"MCP error -32603: {BROKE['message']}"}},
    ),
    # Its tasks package keeps of a failed legacy task only the status message.
    "typescript client 2.4, legacy": (
        None,
        "client2.mjs",
        ["legacy"],
        LEGACY | {"protocolError": BROKE | {"code": None}},
    ),
    "typescript client 2.4, auto": (None, "client2.mjs", ["auto"], MODERN),
    "fastmcp-tasks": (peers.FASTMCP, "fastmcp_tasks_client.py", [], MODERN | {"raised": FAILED}),
}


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with started("tests.servers.conformance") as url:
        yield url


async def report(command: list[str], target: str, options: list[str]) -> dict[str, Any]:
    client = await asyncio.create_subprocess_exec(
        *command,
        target,
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


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_over_both_transports(name: str, server_url: str) -> None:
    peer, script, options, expected = CLIENTS[name]
    if peer is None:
        installed(peers.CONFORMANCE)
    command = [node() if peer is None else python_of(peer), str(peers.CLIENTS / script)]
    reports = await asyncio.gather(*(report(command, target, options) for target in (server_url, STDIO)))
    for transport, found in zip(("http", "stdio"), reports, strict=True):
        states = found.pop("states")
        assert states[0] == "working", transport
        assert states[-1] == "completed", transport
        known = {key: found[key] for key in COMMON | expected}
        assert known == COMMON | expected, transport


ASKED: dict[str, tuple[Any, str, list[str], str]] = {
    "typescript client 2.4, legacy": (None, "client2_asked.mjs", ["legacy"], "2025-11-25"),
    "typescript client 2.4, auto": (None, "client2_asked.mjs", ["auto"], "2026-07-28"),
    "fastmcp": (peers.FASTMCP, "fastmcp_asked.py", [], "2026-07-28"),
}


@pytest.mark.parametrize("name", ASKED)
async def test_a_client_without_tasks_is_asked_in_its_calls(name: str, server_url: str) -> None:
    peer, script, options, version = ASKED[name]
    if peer is None:
        installed(peers.CONFORMANCE)
    command = [node() if peer is None else python_of(peer), str(peers.CLIENTS / script)]
    reports = await asyncio.gather(*(report(command, target, options) for target in (server_url, STDIO)))
    for transport, found in zip(("http", "stdio"), reports, strict=True):
        asked = found.pop("asked")
        assert asked[0] == "Delete b.txt?", transport
        assert sorted(asked[1:]) == ["How many?", "Your name?"], transport
        assert found == {
            "version": version,
            "plain": "Hello, Ada!",
            "input": "deleted b.txt",
            "both": "got ['accept', 'accept']",
        }, transport
