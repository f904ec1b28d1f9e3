"""A farm with a tool that may be started again, and notes each start in Redis. `FARM_URL` names that."""

from __future__ import annotations

import asyncio
import os

from redis.asyncio import Redis

from pmcp_lab.execution.docket import DocketExecutor
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import Limits

LEASE = 2.0
"""Seconds."""


def build(url: str | None = None) -> Tasks:
    url = url or os.environ["FARM_URL"]
    plain = url.partition("?")[0]
    tasks = Tasks(
        url, executor=DocketExecutor(url, grace=0.2), limits=Limits(tasks_per_owner=None), lease=LEASE, attempts=100
    )

    @tasks.tool(on_lost="retry")
    async def again(task: TaskContext, first: float, later: float) -> int:
        """Start again when the worker dies; takes `first` seconds, and `later` when it is not the first time."""
        async with Redis.from_url(plain) as redis:
            start = await redis.rpush(f"starts:{task.task_id}", os.getpid())
        await task.update(message="running", variables={"pid": os.getpid()})
        await asyncio.sleep(first if start == 1 else later)
        return os.getpid()

    @tasks.tool()
    async def once(task: TaskContext, seconds: float) -> int:
        """Fail when the worker dies."""
        await task.update(message="running", variables={"pid": os.getpid()})
        await asyncio.sleep(seconds)
        return os.getpid()

    return tasks
