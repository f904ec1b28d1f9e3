"""Which run works on a task, and how it passes from one to the next: how several processes share a store."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec.structs import replace

from pmcp_lab.errors import LeaseLost
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import WAITING, Lease, Phase, TaskRecord, new_version
from pmcp_lab.tasks.stored_records import Change, StoredRecords
from pmcp_lab.tasks.transitions import refusal

_LOOKS: Final = 4
"""Looks at a lease while it lasts, for somebody who waits for its end."""

AT_ONCE: Final = 0.0
"""Seconds of an offer that anybody may take at once."""


class Leases:
    """Leases on the tasks of a store. They change neither `updated` nor what a client sees.

    None is taken because of what a clock on another machine says: `take` wants the lease as somebody saw it stay for
    as long as it is believed, and the same still there.
    """

    def __init__(self, store: StoredRecords) -> None:
        self._store = store

    async def claim(
        self, owner: Owner, task_id: str, run: str, seconds: float, *, phase: Phase = "running"
    ) -> TaskRecord:
        """Take a task that nobody holds: of several runs one gets it.

        Args:
            run: Unique among everything that ever runs this task; see `Lease`.
            seconds: How long it is believed without a heartbeat.

        Raises:
            LeaseLost: A run has it.
            InvalidTransition: The task has ended.
            TaskNotFound: It is not there.
        """

        def change(record: TaskRecord) -> TaskRecord:
            held = record.lease
            if record.live and held is not None and not held.free:
                raise LeaseLost(task_id, run, held.runner)
            return leased(record, run, seconds, phase)

        return await self._store.change(owner, task_id, change, silent=True)

    async def heartbeat(self, owner: Owner, task_id: str, run: str, *, phase: Phase | None = None) -> TaskRecord:
        """Hold the task for another while, also when the lease should have been lost, and nobody took it.

        Args:
            phase: What the run is about from now on; None leaves that as it is.

        Raises:
            LeaseLost: The run does not hold it any more: stop working.
            InvalidTransition: The task has ended: stop working.
            TaskNotFound: It is gone: stop working.
        """

        def change(record: TaskRecord) -> TaskRecord:
            check_held(record, run)
            held = record.lease
            if held is None:
                raise refusal(record, TaskStatus.WORKING)
            return leased(record, run, held.seconds, phase or held.phase)

        return await self._store.change(owner, task_id, change, silent=True)

    async def release(self, owner: Owner, task_id: str, run: str) -> TaskRecord:
        """Give the task back unfinished; nothing happens when the run does not hold it.

        Raises:
            TaskNotFound: It is gone.
        """

        def change(record: TaskRecord) -> TaskRecord:
            return replace(record, lease=None) if holds(record, run) else record

        return await self._store.change(owner, task_id, change, silent=True)

    async def offer(self, owner: Owner, task_id: str, run: str, seconds: float = AT_ONCE) -> TaskRecord:
        """Let anybody claim the task, which the run holds; nothing happens when it does not.

        Args:
            seconds: How long until it counts as lost if nobody does.

        Raises:
            TaskNotFound: It is gone.
        """

        def change(record: TaskRecord) -> TaskRecord:
            return leased(record, WAITING, seconds, "queued") if record.live and holds(record, run) else record

        return await self._store.change(owner, task_id, change, silent=True)

    async def take(self, lost: TaskRecord, run: str, seconds: float) -> TaskRecord:
        """Take a lost task over, see `change_lost`.

        Args:
            run, seconds: As for `claim`.
        """
        return await self.change_lost(lost, lambda record: leased(record, run, seconds), silent=True)

    async def change_lost(self, lost: TaskRecord, change: Change, *, silent: bool = False) -> TaskRecord:
        """Do something about a lost task: of all who saw that, one does.

        Args:
            lost: As it was while its lease stayed the same for as long as it was to be believed.
            change: From the record as it is now to the one that replaces it.
            silent: Leave `updated` as it is.

        Raises:
            LeaseLost: The run lives, or somebody else was faster.
            InvalidTransition: The task has ended.
            TaskNotFound: It is gone.
        """
        seen = lost.lease

        def taken(record: TaskRecord) -> TaskRecord:
            if not record.live:
                raise refusal(record, TaskStatus.WORKING)
            held = record.lease
            if held is None or seen is None or (held.run, held.version) != (seen.run, seen.version):
                raise LeaseLost(record.task_id, "this process", held.runner if held else None)
            return change(record)

        return await self._store.change(lost.owner, lost.task_id, taken, silent=silent)

    async def watch_until_lost(self, record: TaskRecord) -> TaskRecord | None:
        """See whether the lease of a record is renewed, for as long as it is to be believed.

        Returns:
            The record as it is when the lease is lost; None as soon as it was renewed, has gone to another run or
            to nobody, or the task is over.

        Raises:
            TaskNotFound: It is gone.
        """
        loop, held = asyncio.get_running_loop(), record.lease
        if held is None:
            return None
        end = loop.time() + held.seconds
        async with self._store.backend.watch(record.owner, record.task_id) as changes:
            while True:
                left = end - loop.time()
                try:
                    # A feed may be silent: look now and then.
                    async with asyncio.timeout(min(max(left, 0), held.seconds / _LOOKS)):
                        await changes.wait()
                except TimeoutError:
                    pass
                now = await self._store.get(record.owner, record.task_id)
                if not now.live or now.lease is None:
                    return None
                if (now.lease.run, now.lease.version) != (held.run, held.version):
                    return None
                if left <= 0:
                    return now


def leased(record: TaskRecord, run: str, seconds: float, phase: Phase = "running") -> TaskRecord:
    """The record with a new or renewed lease.

    Raises:
        InvalidTransition: The task has ended.
    """
    if not record.live:
        raise refusal(record, TaskStatus.WORKING)
    version = new_version()
    if run == WAITING and seconds == AT_ONCE:
        version = -version
    return replace(record, lease=Lease(run=run, seconds=seconds, version=version, phase=phase))


def holds(record: TaskRecord, run: str) -> bool:
    return record.lease is not None and record.lease.run == run


def check_held(record: TaskRecord, run: str) -> None:
    """Raise unless the run holds the task, or held it when it ended.

    Raises:
        InvalidTransition: The task has ended without it.
        LeaseLost: Another run has it, or nobody.
    """
    if record.live:
        if record.lease is None or record.lease.run != run:
            raise LeaseLost(record.task_id, run.partition("#")[0], record.lease.runner if record.lease else None)
    elif record.last_run != run:
        raise refusal(record, record.status)


def in_phase(lease: Lease | None, phase: Phase) -> Lease | None:
    """The same lease, of a run that is now about something else; a lease that no run holds stays as it is."""
    if lease is None or lease.free or lease.phase in (phase, "queued"):
        return lease
    return replace(lease, phase=phase)
