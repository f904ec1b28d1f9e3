"""A server over HTTP that is listened to. Prints its URL; with "plain" as its argument it is one without tasks."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer

from pmcp_lab.execution import AsyncioExecutor
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import LOCAL, Limits
from tests.unit.jsonrpc import legacy, modern
from tests.unit.modern_http import ENVELOPE

tasks = Tasks("memory://", executor=AsyncioExecutor(concurrency=1_000_000), limits=Limits(tasks_per_owner=None))
never, enough = asyncio.Event(), asyncio.Event()
clients: list[asyncio.Task[None]] = []
pauses: list[float] = []
port = 0
_began = 0.0


@tasks.tool()
async def park(number: int, task: TaskContext) -> int:
    """Live until the server ends."""
    await never.wait()
    return number


extensions: list[Any] = [] if "plain" in sys.argv else [tasks]
server: MCPServer[Any] = MCPServer("listened", extensions=extensions, middleware=extensions, log_level="CRITICAL")


def _collecting(phase: str, info: dict[str, int]) -> None:
    global _began
    if phase == "start":
        _began = time.process_time()
    elif info["generation"] == 2:
        pauses.append(time.process_time() - _began)


@server.tool()
async def fill(count: int, generation: str) -> None:
    """Have a client in this process make so many tasks; it stays connected."""
    made = asyncio.Event()

    async def client() -> None:
        async with legacy(server) if generation == "legacy" else modern(server) as peer:
            for number in range(count):
                await peer.task("park", {"number": number})
            made.set()
            await never.wait()

    clients.append(asyncio.create_task(client()))
    await made.wait()


@server.tool()
async def say(task_id: str, message: str) -> None:
    await tasks.store.update(LOCAL, task_id, message=message)


@server.tool()
async def create() -> str:
    return (await tasks.store.create(LOCAL)).task_id


@server.tool()
async def probe(task_id: str, seconds: float) -> list[tuple[float, float, float]]:
    """Ask for a task over HTTP until stopped: when each request began and ended, and what of the CPU went by meanwhile.

    On a machine that is busy with other things, that is what a request would have waited without them.
    """
    asked = request(port, task_id)
    found = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    enough.clear()
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end and not enough.is_set():
        before = time.process_time()
        writer.write(asked)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
        found.append((began, time.monotonic(), time.process_time() - before))
        assert task_id.encode() in body
        await asyncio.sleep(0.001)
    writer.close()
    return found


@server.tool()
async def stop() -> None:
    """Ask no more."""
    enough.set()


def request(port: int, task_id: str) -> bytes:
    params = {"taskId": task_id, "_meta": ENVELOPE}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": params})
    head = (
        f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        "accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n"
        f"mcp-method: tasks/get\r\nmcp-name: {task_id}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


@server.tool()
async def trace() -> None:
    tracemalloc.start()


@server.tool()
async def usage() -> dict[str, float]:
    """Bytes this process has in memory and by tracemalloc, what the collector looks through, its pauses in seconds."""
    gc.collect()
    return {
        "bytes": _resident(),
        "traced": tracemalloc.get_traced_memory()[0],
        "objects": len(gc.get_objects()),
        "tasks": len(asyncio.all_tasks()),
        "pause": max(pauses),
    }


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def serve() -> None:
    global port
    gc.callbacks.append(_collecting)
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(2048)
        port = listening.getsockname()[1]
        print(f"http://127.0.0.1:{port}/mcp", flush=True)
        # A client waits longer for its turn than the usual five seconds, and would find its connection closed.
        config = uvicorn.Config(server.streamable_http_app(), log_level="critical", timeout_keep_alive=600)
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    serve()
