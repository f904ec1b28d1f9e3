"""A task server with short leases, to be killed: `python -m tests.servers.mortal STORE [--stdio]`."""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import uvicorn
from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

from pmcp_lab.server import TaskContext, Tasks

LEASE = 1.5
"""Seconds."""


class Sure(BaseModel):
    sure: bool


tasks = Tasks(sys.argv[1], lease=LEASE, drain=0.2)


@tasks.tool(on_lost="retry")
async def again(task: TaskContext) -> str:
    await task.update(variables={"pid": os.getpid()})
    if task.attempt == 1 and not task.variables.flag("handed_back"):
        await asyncio.Event().wait()
    return f"attempt {task.attempt}"


@tasks.tool()
async def once(task: TaskContext) -> None:
    await task.update(variables={"pid": os.getpid()})
    await asyncio.Event().wait()


@tasks.tool()
async def confirm(task: TaskContext) -> bool:
    answer = await task.elicit("Really?", Sure)
    return bool(answer.content and answer.content.sure)


server = MCPServer("mortal", extensions=[tasks], middleware=[tasks], lifespan=tasks.lifespan, log_level="CRITICAL")


@server.tool()
def cancelled() -> int:
    return tasks.stats().total.cancelled


if __name__ == "__main__":
    if "--stdio" in sys.argv:
        server.run("stdio")
    else:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
            config = uvicorn.Config(server.streamable_http_app(), log_level="error", timeout_graceful_shutdown=1)
            uvicorn.Server(config).run(sockets=[listening])
