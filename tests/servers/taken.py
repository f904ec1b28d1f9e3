"""A farm whose worker can be made to stop right after it took a message, before it claims the task.

`FARM_URL` names the Redis, `FARM_LEASE` and `FARM_REDELIVERY` are seconds; `FARM_STUCK` makes the store of this
process answer no read.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from pmcp_lab.execution.docket import DocketExecutor
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import Limits, Owner


def build(url: str | None = None) -> Tasks:
    url = url or os.environ["FARM_URL"]
    tasks = Tasks(
        url,
        executor=DocketExecutor(url, grace=0.2, redelivery=float(os.environ["FARM_REDELIVERY"])),
        limits=Limits(tasks_per_owner=None),
        lease=float(os.environ["FARM_LEASE"]),
    )

    @tasks.tool()
    async def where(task: TaskContext, seconds: float = 0.0) -> int:
        """Say which process ran it."""
        await task.update(message="running", variables={"pid": os.getpid()})
        await asyncio.sleep(seconds)
        return os.getpid()

    if "FARM_STUCK" in os.environ:

        async def get(owner: Owner, task_id: str) -> Any:
            await asyncio.sleep(3600)

        tasks.store.backend.get = get  # type: ignore[method-assign]
    return tasks
