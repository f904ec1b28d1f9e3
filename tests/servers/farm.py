"""A server whose tasks run in other processes. `FARM_URL` names the Redis that all of them share.

`python -m tests.servers.farm` serves HTTP and prints its URL; `pmcp-lab worker tests.servers.farm:build` works.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

from pmcp_lab.execution.docket import DocketExecutor
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import Limits


class Sure(BaseModel):
    sure: bool


async def where(task: TaskContext, seconds: float = 0.0) -> int:
    """Say which process ran it."""
    await task.update(message="running", progress=0.5, variables={"pid": os.getpid()})
    await asyncio.sleep(seconds)
    return os.getpid()


async def confirm(task: TaskContext) -> list[int]:
    """Ask, in whichever process this is."""
    answer = await task.elicit("Really?", Sure)
    return [os.getpid(), int(answer.content is not None and answer.content.sure)]


async def polite(task: TaskContext) -> None:
    """Stop when asked to, and say so."""
    await task.update(message="running")
    await task.cancelled.wait()
    await task.update(variables={"stopped": "polite"})


async def stubborn(task: TaskContext) -> None:
    """Stop when made to."""
    await task.update(message="running")
    try:
        await asyncio.sleep(60)
    finally:
        await task.update(variables={"stopped": "stubborn"})


async def blocked(task: TaskContext, seconds: float) -> None:
    """Sit in a thread that nothing can stop."""
    await task.update(message="running")
    await asyncio.to_thread(time.sleep, seconds)


def build(url: str | None = None) -> Tasks:
    url = url or os.environ["FARM_URL"]
    tasks = Tasks(url, executor=DocketExecutor(url, grace=0.2), limits=Limits(tasks_per_owner=None))
    for tool in (where, confirm, polite, stubborn, blocked):
        tasks.tool()(tool)
    return tasks


def serving(tasks: Tasks) -> MCPServer[Any]:
    return MCPServer("farm", extensions=[tasks], middleware=[tasks], log_level="WARNING")


def serve() -> None:
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
        config = uvicorn.Config(
            serving(build()).streamable_http_app(), log_level="warning", timeout_graceful_shutdown=1
        )
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    serve()
