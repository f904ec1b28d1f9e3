"""Who works on a task, and what becomes of it when that process dies: how several share a store."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from pmcp_lab.errors import LeaseLost
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks.moves import refusal
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import Lease, TaskRecord, truncated

if TYPE_CHECKING:
    from pmcp_lab.tasks.store import TaskStore

_PAGE: Final = 100

WAITING: Final = "waiting"
"""The runner of a task that nobody has started: whoever comes first may claim it."""


class Leases:
    """Leases on the tasks of a store. They change neither `updated` nor what a client sees.

    The clocks of all processes that share a store must agree better than a lease is long.
    """

    def __init__(self, store: TaskStore) -> None:
        self._store = store

    async def claim(self, owner: Owner, task_id: str, runner: str, seconds: float) -> TaskRecord:
        """Take the task, or what is left of it: of several runners one gets it.

        Args:
            runner: Unique among everything that ever runs tasks of this store.
            seconds: How long it is believed without a heartbeat.

        Raises:
            LeaseLost: Another runner has it.
            InvalidTransition: The task has ended.
            TaskNotFound: It is not there.
        """

        def change(record: TaskRecord) -> TaskRecord:
            held = record.lease
            if held is not None and held.runner not in (runner, WAITING) and held.until >= self._store.now():
                raise LeaseLost(task_id, runner, held.runner)
            return self._leased(record, runner, seconds)

        return await self._store.change(owner, task_id, change, silent=True)

    async def heartbeat(self, owner: Owner, task_id: str, runner: str, seconds: float) -> TaskRecord:
        """Hold the task for another `seconds` from now. A lapsed lease is renewed if nobody took the task.

        Raises:
            LeaseLost: The runner does not hold it any more: stop working.
            InvalidTransition: The task has ended: stop working.
            TaskNotFound: It is gone: stop working.
        """

        def change(record: TaskRecord) -> TaskRecord:
            if record.live and (record.lease is None or record.lease.runner != runner):
                raise LeaseLost(task_id, runner, record.lease.runner if record.lease else None)
            return self._leased(record, runner, seconds)

        return await self._store.change(owner, task_id, change, silent=True)

    async def release(self, owner: Owner, task_id: str, runner: str) -> TaskRecord:
        """Give the task back unfinished; nothing happens when the runner does not hold it.

        Raises:
            TaskNotFound: It is gone.
        """

        def change(record: TaskRecord) -> TaskRecord:
            if record.lease is None or record.lease.runner != runner:
                return record
            return replace(record, lease=None)

        return await self._store.change(owner, task_id, change, silent=True)

    async def offer(self, owner: Owner, task_id: str, runner: str, seconds: float = 0) -> TaskRecord:
        """Let anybody claim the task, which the runner holds; nothing happens when it does not.

        Args:
            seconds: How long until it counts as lost if nobody does; 0 for at once.

        Raises:
            TaskNotFound: It is gone.
        """

        def change(record: TaskRecord) -> TaskRecord:
            if not record.live or record.lease is None or record.lease.runner != runner:
                return record
            return self._leased(record, WAITING, seconds)

        return await self._store.change(owner, task_id, change, silent=True)

    async def lost(self, now: datetime | None = None, *, limit: int = _PAGE) -> list[TaskRecord]:
        """Unfinished tasks of every owner that lost their runner, the longest lost first; at most `limit`.

        `claim` each before doing anything about it: others look for lost tasks too.

        Args:
            now: The moment to judge by; None is the present.
        """
        moment = self._store.now() if now is None else now
        found = await self._store.backend.lapsed(moment, limit=limit)
        return [record for record in found if record.live and not record.expired(moment)]

    def _leased(self, record: TaskRecord, runner: str, seconds: float) -> TaskRecord:
        if not record.live:
            raise refusal(record, TaskStatus.WORKING)
        return replace(
            record, lease=Lease(runner=runner, until=truncated(self._store.now() + timedelta(seconds=seconds)))
        )
