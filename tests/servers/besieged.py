"""A server with short leases, to be killed again and again: `python -m tests.servers.besieged STORE [OPTION…]`."""

from __future__ import annotations

import asyncio
import os
from argparse import ArgumentParser

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

from pmcp_lab.server import Limits, TaskContext, Tasks
from tests.servers.control import say, serve

parser = ArgumentParser()
parser.add_argument("store")
parser.add_argument("--lease", type=float, default=1.0, help="seconds")
parser.add_argument("--attempts", type=int, default=1_000)
parser.add_argument("--quota", type=int, help="live tasks of all clients")
parser.add_argument("--stdio", action="store_true")
options = parser.parse_args()

tasks = Tasks(
    options.store,
    lease=options.lease,
    attempts=options.attempts,
    drain=0.2,
    anonymous="local",
    limits=Limits(tasks_per_owner=options.quota),
)
ME = f"by {os.getpid()}"


class Sure(BaseModel):
    sure: bool


async def work(seconds: float, task: TaskContext) -> str:
    say("starts", task=task.task_id, attempt=task.attempt)
    await task.update(message=ME, variables={"mine": ME})
    await asyncio.sleep(seconds)
    return ME


@tasks.tool(on_lost="retry", poll_interval=100)
async def again(seconds: float, task: TaskContext) -> str:
    return await work(seconds, task)


@tasks.tool(poll_interval=100)
async def once(seconds: float, task: TaskContext) -> str:
    return await work(seconds, task)


@tasks.tool(on_lost="retry", poll_interval=100)
async def confirm(seconds: float, task: TaskContext) -> str:
    """Ask, after a while."""
    await asyncio.sleep(seconds)
    say("asks", task=task.task_id, attempt=task.attempt)
    answer = await task.elicit("Really?", Sure)
    return f"{answer.action} at attempt {task.attempt}"


server = MCPServer("besieged", extensions=[tasks], middleware=[tasks], lifespan=tasks.lifespan, log_level="CRITICAL")

if __name__ == "__main__":
    serve(server, stdio=options.stdio)
