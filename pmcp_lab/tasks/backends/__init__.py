"""Where records live. A backend is a small class over the protocol below; what a task may do is in `tasks.store`.

Every operation is atomic by itself. A backend looks at a record only for its key (`owner`, `task_id`), its
place in the list (`created`, `task_id`), its end (`expires`), whether it counts (`live`), its lease's version
(`lease.version`) and its own (`seq`): those are the columns of a table; the rest may be stored as one opaque
value, which `tasks.codec` makes. Moments have whole milliseconds. Trouble with the storage is a `StoreError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import TaskRecord

Position = tuple[datetime, str]
"""A task's place in its owner's list: when it was created, then its id."""


class Conflict(Exception):
    """A compare-and-swap lost. `current` is what is there instead, or None when nothing is."""

    def __init__(self, current: TaskRecord | None) -> None:
        super().__init__("the record has changed")
        self.current = current


class QuotaReached(Exception):
    """The owner has as many live tasks as are allowed; nothing was stored."""


class Changes(Protocol):
    """What has changed since one started to watch."""

    async def wait(self) -> frozenset[str]:
        """The ids of tasks written since the last call; waits until there is one. Bursts come as one set.

        An empty set means that some may have been missed (a connection was lost): look at everything.
        """
        ...


class Backend(Protocol):
    """A key-value store of records with compare-and-swap.

    Attributes:
        durable: Whether somebody can read it when this process has ended.
        clock_skew: Seconds that the clocks of all who use it may be apart: 0 where all have the same.
    """

    durable: bool
    clock_skew: float

    async def get(self, owner: Owner, task_id: str) -> TaskRecord | None:
        """The record under this key, expired or not. One that can't be read is a `StoreError`."""
        ...

    async def insert(self, record: TaskRecord, *, quota: int | None, now: datetime) -> None:
        """Store a new record, unless the owner already has `quota` live tasks that are not expired at `now`.

        Counting and storing are one step: parallel inserts can't overshoot.

        Raises:
            QuotaReached: The owner has too many.
            Conflict: The key exists.
        """
        ...

    async def replace(self, record: TaskRecord, *, expected: int) -> None:
        """Store `record` if the one in place has `seq == expected`.

        Raises:
            Conflict: It has another, or there is none.
        """
        ...

    async def delete(self, owner: Owner, task_id: str) -> bool:
        """Whether there was something to delete."""
        ...

    async def page(self, owner: Owner, *, after: Position | None, limit: int, now: datetime) -> list[TaskRecord]:
        """Up to `limit` records of the owner that are not expired at `now`, newest first, those after `after`.

        A record that can't be read is left out, and others take its place: `reading` has what that takes.
        """
        ...

    async def purge(self, now: datetime) -> int:
        """Delete what is expired at `now`, of every owner; how many that were."""
        ...

    async def next_expiry(self) -> datetime | None:
        """When there is next something to purge: no record expires before it. None when there is nothing.

        Decides how long the reaper sleeps. A backend that deletes expired records by itself returns None; it
        is then purged only rarely.
        """
        ...

    def leases(self) -> AsyncIterator[list[tuple[Hashable, int]]]:
        """The lease of every record that has one, of every owner: a key for `leased`, and the lease's version.

        Comes in pages that take no longer than a few milliseconds each, in any order. One that is written meanwhile
        may come twice. Costs nothing for records without a lease, which finished ones never have. The index may be a
        moment late.
        """
        ...

    async def leased(self, key: Hashable) -> TaskRecord | None:
        """The record behind a key of `leases`, as it is now; None when it is gone or has no lease any more."""
        ...

    def watch(self, owner: Owner, task_id: str | None = None) -> AbstractAsyncContextManager[Changes]:
        """Changes of one task, or of all tasks of an owner. Nothing written after entering is missed."""
        ...

    async def close(self) -> None:
        """Let go of connections and files."""
        ...
