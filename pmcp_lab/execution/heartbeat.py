"""Keeps the leases of what this process runs: one timer for all of them, none when there are none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context

from pmcp_lab.errors import InvalidTransition, LabError, LeaseLost, StoreError, TaskNotFound
from pmcp_lab.execution.executor import TaskKey
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import TaskStore
from pmcp_lab.tasks.moves import refusal

logger = logging.getLogger(__name__)

_AT_ONCE = 32


class Heartbeat:
    """Renews leases three times per period, on the event loop it is used on.

    Args:
        runner: The name they are held under.
        seconds: How long a lease is believed without being renewed.
        alone: Nobody else can take the tasks over: then their leases are left as they are, and once per period it is
            looked whether they are over.
        lost: Called with a task that need not be worked on any more, and with why: it is over, gone or another
            runner's.
    """

    def __init__(
        self,
        store: TaskStore,
        runner: str,
        seconds: float,
        lost: Callable[[TaskKey, LabError], None],
        *,
        alone: bool = False,
    ) -> None:
        self.runner = runner
        self._store = store
        self._seconds = seconds
        self._alone = alone
        self._lost = lost
        self._held: set[TaskKey] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None

    def holds(self, key: TaskKey) -> bool:
        return key in self._held

    def hold(self, key: TaskKey) -> None:
        """From now on; the task has just been claimed, or was made with a lease."""
        self._held.add(key)
        if self._timer is None and self._beating is None:
            self._wait()

    def drop(self, key: TaskKey) -> None:
        self._held.discard(key)

    def _wait(self, took: float = 0.0) -> None:
        pause = self._seconds if self._alone else self._seconds / 3
        # In a context of its own: a request's would live as long as there is something to do.
        self._timer = asyncio.get_running_loop().call_later(max(0.0, pause - took), self._start, context=Context())

    def _start(self) -> None:
        self._timer = None
        if self._held:
            self._beating = asyncio.create_task(self._beat(), name="heartbeat of tasks")

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            keys = tuple(self._held)
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                if self._alone:
                    for key in some:
                        await self._look(key)
                    await asyncio.sleep(0)
                else:
                    await asyncio.gather(*(self._renew(key) for key in some))
        finally:
            # Not before: on a loop that is too slow for so many, beats would pile up and leave time for nothing else.
            self._beating = None
            self._wait(loop.time() - began)

    async def _look(self, key: TaskKey) -> None:
        try:
            record = await self._store.get(*key)
            if not record.live:
                raise refusal(record, TaskStatus.WORKING)
        except (InvalidTransition, TaskNotFound) as error:
            self._stop(key, error)

    async def _renew(self, key: TaskKey) -> None:
        if key not in self._held:
            return
        try:
            await self._store.leases.heartbeat(*key, self.runner, self._seconds)
        except (InvalidTransition, TaskNotFound, LeaseLost) as error:
            self._stop(key, error)
        except StoreError as error:
            logger.warning("the lease of task %s was not renewed: %s", key[1], error, extra={"task_id": key[1]})

    def _stop(self, key: TaskKey, error: LabError) -> None:
        if key in self._held:
            self.drop(key)
            self._lost(key, error)
