"""A farm whose workers die with the first message they take, before they claim its task."""

from __future__ import annotations

import asyncio
import os
import signal

from pmcp_lab.execution import TaskKey
from pmcp_lab.server import Tasks
from tests.servers import lossy_farm


async def die(key: TaskKey, cancelled: asyncio.Event) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def build() -> Tasks:
    tasks = lossy_farm.build()
    tasks.executor.bind(die)
    return tasks
