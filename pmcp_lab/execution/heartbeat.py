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
from pmcp_lab.tasks.transitions import refusal

logger = logging.getLogger(__name__)

_AT_ONCE = 32


class Heartbeat:
    """Renews leases three times while they last, on the event loop it is used on.

    Args:
        seconds: How long they are believed without being renewed.
        alone: Nobody else can take the tasks over: then their leases are left as they are, and once per period it is
            looked whether they are over.
        lost: Called with a task that a run need not work on any more, that run, and why: the task is over, gone or
            another run's.
    """

    def __init__(
        self,
        store: TaskStore,
        seconds: float,
        lost: Callable[[TaskKey, str, LabError], None],
        *,
        alone: bool = False,
    ) -> None:
        self._store = store
        self._seconds = seconds
        self._alone = alone
        self._lost = lost
        self._held: dict[TaskKey, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None

    def holds(self, key: TaskKey) -> bool:
        return key in self._held

    def hold(self, key: TaskKey, run: str) -> None:
        """From now on; the task has just been claimed by this run, or was made with a lease of its."""
        self._held[key] = run
        if self._timer is None and self._beating is None:
            self._wait()

    def drop(self, key: TaskKey, run: str) -> None:
        """No longer, unless another run of this process has the task by now."""
        if self._held.get(key) == run:
            del self._held[key]

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
            held = tuple(self._held.items())
            for start in range(0, len(held), _AT_ONCE):
                some = held[start : start + _AT_ONCE]
                if self._alone:
                    for key, run in some:
                        await self._look(key, run)
                    await asyncio.sleep(0)
                else:
                    await asyncio.gather(*(self._renew(key, run) for key, run in some))
        finally:
            # Not before: on a loop that is too slow for so many, beats would pile up and leave time for nothing else.
            self._beating = None
            self._wait(loop.time() - began)

    async def _look(self, key: TaskKey, run: str) -> None:
        try:
            record = await self._store.get(*key)
            if not record.live:
                raise refusal(record, TaskStatus.WORKING)
        except (InvalidTransition, TaskNotFound) as error:
            self._stop(key, run, error)

    async def _renew(self, key: TaskKey, run: str) -> None:
        if self._held.get(key) != run:
            return
        try:
            await self._store.leases.heartbeat(*key, run)
        except (InvalidTransition, TaskNotFound, LeaseLost) as error:
            self._stop(key, run, error)
        except StoreError as error:
            logger.warning("the lease of task %s was not renewed: %s", key[1], error, extra={"task_id": key[1]})

    def _stop(self, key: TaskKey, run: str, error: LabError) -> None:
        if self._held.get(key) == run:
            self.drop(key, run)
            self._lost(key, run, error)
