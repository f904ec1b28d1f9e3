"""Takes messages of a queue, and looks for lost tasks itself: `python -m tests.servers.consumer STORE LEASE`.

Is told each `message`, and what it publishes itself it says; see `tests.servers.control`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from pmcp_lab.errors import LabError
from pmcp_lab.execution import QueueExecutor
from pmcp_lab.execution.queued import Message
from pmcp_lab.server import Limits, TaskContext, Tasks
from tests.servers.control import orders, say

ME = f"by {os.getpid()}"


async def publish(message: Message) -> None:
    say("publishes", message=message)


tasks = Tasks(
    sys.argv[1],
    executor=QueueExecutor(publish),
    lease=float(sys.argv[2]),
    attempts=1_000,
    limits=Limits(tasks_per_owner=None),
)


async def work(seconds: float, task: TaskContext) -> str:
    say("starts", task=task.task_id, attempt=task.attempt)
    await task.update(message=ME, variables={"mine": ME})
    await asyncio.sleep(seconds)
    return ME


@tasks.tool(on_lost="retry")
async def again(seconds: float, task: TaskContext) -> str:
    return await work(seconds, task)


@tasks.tool()
async def once(seconds: float, task: TaskContext) -> str:
    return await work(seconds, task)


async def consume(message: dict[str, Any]) -> None:
    try:
        record = await tasks.run_task(message)
    except LabError as error:
        # The queue is to deliver it again.
        say("failed", message=message, error=type(error).__name__)
    else:
        say("ran", message=message, status=record.status)


async def main() -> None:
    tasks.start()
    say("consumes")
    async with asyncio.TaskGroup() as group:
        async for order in orders():
            group.create_task(consume(order["message"]))


if __name__ == "__main__":
    asyncio.run(main())
