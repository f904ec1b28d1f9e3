"""A server over HTTP for many tasks at once. Prints its URL."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer

from pmcp_lab.execution import AsyncioExecutor
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import Limits

tasks = Tasks(
    "memory://",
    executor=AsyncioExecutor(concurrency=100_000),
    limits=Limits(tasks_per_owner=None, creations_per_minute=None),
)
server: MCPServer[Any] = MCPServer("crowd", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
tasks.attach(server)
released = asyncio.Event()
parked = 0


@tasks.tool()
async def park(number: int, task: TaskContext) -> int:
    """Wait for everybody."""
    global parked
    parked += 1
    try:
        await released.wait()
    finally:
        parked -= 1
    return number


@server.tool()
async def release() -> None:
    released.set()


@server.tool()
def usage() -> dict[str, float]:
    """What this process has used so far: resident bytes, CPU seconds, voluntary context switches."""
    now = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "bytes": pages * os.sysconf("SC_PAGE_SIZE"),
        "seconds": now.ru_utime + now.ru_stime,
        "switches": now.ru_nvcsw,
        "parked": parked,
    }


def serve() -> None:
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1024)
        print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
        # A client waits longer for its turn than the usual five seconds, and would find its connection closed.
        config = uvicorn.Config(server.streamable_http_app(), log_level="error", timeout_keep_alive=120)
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    serve()
