"""What an executor is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from pmcp_lab.tasks import Owner

TaskKey = tuple[Owner, str]
"""The owner and the id of a task: all that travels to whoever runs it."""

Runner = Callable[[TaskKey, asyncio.Event], Awaitable[None]]
"""Runs one task to its end. The event is set when it should stop. Writes to the store; returns nothing.

Running a task again that is over, or that somebody else runs, does nothing: deliver at least once.
"""


class Executor(Protocol):
    """Somewhere tasks can run.

    One that runs what is submitted in the submitting process, and nowhere else, says so with an attribute
    `in_process = True`: its tasks are leased to the process from birth. It may have an attribute `has_room`, whether
    what is submitted now starts at once: what did not start when its process ends can be run by another one.
    """

    def bind(self, run: Runner) -> None:
        """Say what running a task means. Called once, before anything is submitted."""
        ...

    async def submit(self, key: TaskKey) -> None:
        """Take the task on; returns as soon as that is certain, long before it has run."""
        ...

    async def cancel(self, key: TaskKey) -> None:
        """Ask the work to stop, then make it. Does not wait; an unknown task is no error."""
        ...

    async def close(self, timeout: float = 5.0) -> None:
        """Let running work finish for `timeout` seconds, then stop it. Nothing can be submitted any more."""
        ...
