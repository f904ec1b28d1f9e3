"""Connections and servers that end at the wrong moment: the task is there for who comes back."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from mcp.server.mcpserver import MCPServer

from pmcp_lab.server import Tasks
from tests.servers import started
from tests.unit.jsonrpc import Json, Peer, legacy, serve
from tests.unit.modern_http import ENVELOPE, Modern

STATUSES = ("working", "input_required", "completed", "failed", "cancelled")


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tasks.db'}"


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=10) as client:
        yield client


async def listed(peer: Peer, count: int) -> list[Json]:
    """The tasks, once there are so many."""
    async with asyncio.timeout(10):
        while True:
            tasks = (await peer.call("tasks/list"))["tasks"]
            if len(tasks) == count:
                return list(tasks)
            await asyncio.sleep(0.02)


async def test_a_client_that_drops_its_call_has_its_task(store: str) -> None:
    with started("tests.servers.restartable", store, "0") as url:
        address = urlsplit(url)
        params = {"name": "slow", "arguments": {"seconds": 0.2}, "_meta": ENVELOPE}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        head = (
            f"POST /mcp HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-type: application/json\r\n"
            "accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n"
            f"mcp-method: tools/call\r\nmcp-name: slow\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write((head + body).encode())
        await writer.drain()
        # Gone before any answer.
        writer.transport.abort()
        async with legacy(url) as peer:
            [task] = await listed(peer, 1)
            result = await peer.call("tasks/result", {"taskId": task["taskId"]})
            assert result["structuredContent"] == {"result": "made it"}


async def test_a_client_that_drops_its_wait_can_wait_again(store: str) -> None:
    with started("tests.servers.restartable", store, "0") as url:
        async with legacy(url) as peer:
            task_id = await peer.task("slow", {"seconds": 0.5})
            waiting = asyncio.create_task(peer.call("tasks/result", {"taskId": task_id}))
            await peer.until(task_id, "working")
            waiting.cancel()
        async with legacy(url) as peer:
            result = await peer.call("tasks/result", {"taskId": task_id})
            assert result["structuredContent"] == {"result": "made it"}


async def test_a_server_that_is_started_again_knows_its_tasks(store: str, http: httpx2.AsyncClient) -> None:
    with started("tests.servers.restartable", store, "0") as url:
        peer = Modern(http, url)
        done = await peer.task("quick", text="kept")
        before = await peer.until(done, "completed")
        running = await peer.task("slow", seconds=60)
        async with legacy(url) as old:
            made_before = await old.task("quick", {"text": "old"})
            await old.until(made_before, "completed")
    with started("tests.servers.restartable", store, str(urlsplit(url).port)) as again:
        assert again == url
        # The same client object on the same address: in this generation nothing has to be set up again.
        after = (await peer.get(done))["result"]
        assert after == before
        assert (await peer.get(running))["result"]["status"] in STATUSES
        async with legacy(url) as old:
            assert {task["taskId"] for task in await listed(old, 3)} == {done, running, made_before}
            result = await old.call("tasks/result", {"taskId": made_before})
            assert result["structuredContent"] == {"result": "old"}
        assert (await peer.about("tasks/cancel", running)).status_code == 200


async def test_a_task_that_was_stored_is_run_though_its_caller_left_meanwhile(
    store: str, tmp_path: Path, http: httpx2.AsyncClient
) -> None:
    tasks = Tasks(store, anonymous="local")

    @tasks.tool()
    async def quick() -> str:
        return "run"

    server: MCPServer[Any] = MCPServer("left", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
    async with serve(server) as url, legacy(url) as peer:
        await peer.task("quick")
        # Somebody else writes, so that ours has to wait.
        with closing(sqlite3.connect(tmp_path / "tasks.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            call = asyncio.create_task(Modern(http, url).call("quick"))
            await asyncio.sleep(0.2)
            call.cancel()
            await asyncio.sleep(0.2)
            other.rollback()
        for task in await listed(peer, 2):
            await peer.until(task["taskId"], "completed")
    await tasks.close()
