"""Keeps its tasks in a SQLite file and goes on with them when it is started again: `durable.py FILE [PORT]`."""

import asyncio
import os
import sys
from collections import Counter

import uvicorn
from mcp.server.mcpserver import MCPServer

from pmcp_lab.execution import AsyncioExecutor
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import Limits

released = asyncio.Event()
FILE, PORT = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None

tasks = Tasks(
    f"sqlite:///{FILE}",
    executor=AsyncioExecutor(concurrency=5000),
    limits=Limits(tasks_per_owner=None, creations_per_minute=None),
    lease=1.0,
    attempts=100,
)


@tasks.tool(support="optional", ttl="1h", poll_interval="500ms", on_lost="retry")
async def hold(number: int, task: TaskContext) -> int:
    """Work until `release` is called, then return the number."""
    await task.update(message="working", variables={"worker": os.getpid()})
    await released.wait()
    return number


counts = Counter()


async def count(ctx, call_next):
    counts[ctx.method] += 1
    return await call_next(ctx)


server = MCPServer("durable", extensions=[tasks], middleware=[tasks, count], log_level="ERROR")


@server.tool()
def pid() -> int:
    """Which process this is."""
    return os.getpid()


@server.tool()
async def release() -> None:
    """Let all tasks end."""
    released.set()


@server.tool()
async def asked() -> dict[str, int]:
    """How often each method was asked for."""
    return dict(counts)


async def main() -> None:
    tasks.start()
    if PORT is None:
        await server.run_stdio_async()
    else:
        app = server.streamable_http_app(host="127.0.0.1")
        config = uvicorn.Config(app, host="127.0.0.1", port=PORT, log_level="error", timeout_graceful_shutdown=1)
        await uvicorn.Server(config).serve()


asyncio.run(main())
