"""Records in this process, gone with it."""

from __future__ import annotations

import asyncio
import heapq
import threading
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Hashable
from datetime import datetime
from typing import Final, cast

from pmcp_lab.errors import StoreError
from pmcp_lab.protocol.address import shown
from pmcp_lab.tasks.backends import Conflict, Position, QuotaReached
from pmcp_lab.tasks.backends.watching import Watch, Watchers
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import TaskRecord

_PAGE: Final = 500
"""Leases that are read without letting go of the lock."""

_AT_ONCE: Final = 256
"""Expired records that are dropped in one go: the event loop waits."""


def open_url(url: str) -> MemoryBackend:
    """For `memory://`: each call opens an empty one."""
    if url.partition("://")[2]:
        raise StoreError(f"a memory store has no name: write memory://, not {shown(url)}")
    return MemoryBackend()


class _Shelf:
    """One owner's tasks: by id, in list order, and the ids of those that count."""

    def __init__(self) -> None:
        self.records: dict[str, TaskRecord] = {}
        self.order: list[Position] = []
        self.live: set[str] = set()


class MemoryBackend:
    """Dictionaries under one lock; what a reader gets is never changed afterwards, so nothing is copied."""

    durable = False
    clock_skew = 0.0

    def __init__(self) -> None:
        self._shelves: dict[Owner, _Shelf] = {}
        self._ends: list[tuple[datetime, Owner, str]] = []
        self._leased: dict[Hashable, int] = {}
        self._watchers = Watchers()
        self._lock = threading.Lock()

    async def get(self, owner: Owner, task_id: str) -> TaskRecord | None:
        shelf = self._shelves.get(owner)
        return None if shelf is None else shelf.records.get(task_id)

    async def insert(self, record: TaskRecord, *, quota: int | None, now: datetime) -> None:
        with self._lock:
            self._drop_expired(now)
            shelf = self._shelves.setdefault(record.owner, _Shelf())
            if (current := shelf.records.get(record.task_id)) is not None:
                raise Conflict(current)
            if quota is not None and len(shelf.live) >= quota and self._count(shelf, now) >= quota:
                raise QuotaReached
            position = (record.created, record.task_id)
            # Nearly always the newest; looking there first spares a walk through memory that is not in any cache.
            if shelf.order and position < shelf.order[-1]:
                insort(shelf.order, position, lo=_near_end(shelf.order, position))
            else:
                shelf.order.append(position)
            self._place(shelf, record)
        self._watchers.tell(record.owner, record.task_id)

    async def replace(self, record: TaskRecord, *, expected: int) -> None:
        with self._lock:
            shelf = self._shelves.get(record.owner)
            current = None if shelf is None else shelf.records.get(record.task_id)
            if shelf is None or current is None or current.seq != expected:
                raise Conflict(current)
            self._place(shelf, record, moved=record.expires != current.expires)
        self._watchers.tell(record.owner, record.task_id)

    async def delete(self, owner: Owner, task_id: str) -> bool:
        with self._lock:
            record = self._remove(owner, task_id)
        if record is not None:
            self._watchers.tell(record.owner, record.task_id)
        return record is not None

    async def page(self, owner: Owner, *, after: Position | None, limit: int, now: datetime) -> list[TaskRecord]:
        with self._lock:
            shelf = self._shelves.get(owner)
            if shelf is None:
                return []
            index = len(shelf.order) if after is None else bisect_left(shelf.order, after)
            found: list[TaskRecord] = []
            while index > 0 and len(found) < limit:
                index -= 1
                record = shelf.records[shelf.order[index][1]]
                if not record.expired(now):
                    found.append(record)
            return found

    async def purge(self, now: datetime) -> int:
        purged = 0
        while True:
            with self._lock:
                purged += self._drop_expired(now)
                if not self._overdue(now):
                    return purged
            await asyncio.sleep(0)

    async def next_expiry(self) -> datetime | None:
        with self._lock:
            # The heap's first entry may be out of date, but never too late.
            return self._ends[0][0] if self._ends else None

    async def leases(self) -> AsyncIterator[list[tuple[Hashable, int]]]:
        with self._lock:
            keys = tuple(self._leased)
        for start in range(0, len(keys), _PAGE):
            with self._lock:
                page = [(key, self._leased[key]) for key in keys[start : start + _PAGE] if key in self._leased]
            yield page

    async def leased(self, key: Hashable) -> TaskRecord | None:
        with self._lock:
            if key not in self._leased:
                return None
            owner, task_id = cast(tuple[Owner, str], key)
            return self._shelves[owner].records[task_id]

    def watch(self, owner: Owner, task_id: str | None = None) -> Watch:
        return self._watchers.watch(owner, task_id)

    async def close(self) -> None:
        """Nothing to let go of; the records stay for whoever still holds the store."""

    def _place(self, shelf: _Shelf, record: TaskRecord, *, moved: bool = True) -> None:
        shelf.records[record.task_id] = record
        if record.live:
            shelf.live.add(record.task_id)
        else:
            shelf.live.discard(record.task_id)
        if record.lease is not None:
            self._leased[record.owner, record.task_id] = record.lease.version
        else:
            self._leased.pop((record.owner, record.task_id), None)
        if moved and record.expires is not None:
            heapq.heappush(self._ends, (record.expires, record.owner, record.task_id))

    def _remove(self, owner: Owner, task_id: str) -> TaskRecord | None:
        shelf = self._shelves.get(owner)
        record = None if shelf is None else shelf.records.pop(task_id, None)
        if shelf is None or record is None:
            return None
        shelf.live.discard(task_id)
        self._leased.pop((owner, task_id), None)
        del shelf.order[bisect_left(shelf.order, (record.created, task_id))]
        if not shelf.records:
            del self._shelves[owner]
        return record

    def _overdue(self, now: datetime) -> bool:
        return bool(self._ends) and self._ends[0][0] < now

    def _count(self, shelf: _Shelf, now: datetime) -> int:
        """How many count towards the quota, also while expired ones are still to be dropped."""
        if not self._overdue(now):
            return len(shelf.live)
        return sum(not shelf.records[task_id].expired(now) for task_id in shelf.live)

    def _drop_expired(self, now: datetime) -> int:
        """Drop some of them; how many."""
        dropped = 0
        for _ in range(_AT_ONCE):
            if not self._overdue(now):
                break
            _, owner, task_id = heapq.heappop(self._ends)
            shelf = self._shelves.get(owner)
            record = None if shelf is None else shelf.records.get(task_id)
            # An entry of the heap is only a hint: the task may have been given more time since.
            if record is not None and record.expired(now):
                self._remove(owner, task_id)
                dropped += 1
        return dropped


def _near_end(order: list[Position], position: Position) -> int:
    """Where to start to look for the place of what is among the newest."""
    near = max(0, len(order) - 64)
    return near if near and order[near] < position else 0
