"""Records in this process, gone with it."""

from __future__ import annotations

import asyncio
import heapq
import threading
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from pmcp_lab.tasks.backends import Conflict, Position, QuotaReached
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import TaskRecord


class _Changes:
    """Ids written since the last look; may be told from any thread, is waited for on one loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ids: set[str] = set()
        self._ready = asyncio.Event()

    def tell(self, task_id: str) -> None:
        # A closed loop has nobody left to tell.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._add, task_id)

    def _add(self, task_id: str) -> None:
        self._ids.add(task_id)
        self._ready.set()

    async def wait(self) -> frozenset[str]:
        await self._ready.wait()
        self._ready.clear()
        ids, self._ids = frozenset(self._ids), set()
        return ids


class _Shelf:
    """One owner's tasks: by id, in list order, and the ids of those that count."""

    def __init__(self) -> None:
        self.records: dict[str, TaskRecord] = {}
        self.order: list[Position] = []
        self.live: set[str] = set()


class MemoryBackend:
    """Dictionaries under one lock; what a reader gets is never changed afterwards, so nothing is copied."""

    def __init__(self) -> None:
        self._shelves: dict[Owner, _Shelf] = {}
        self._ends: list[tuple[datetime, Owner, str]] = []
        self._watchers: defaultdict[tuple[Owner, str | None], set[_Changes]] = defaultdict(set)
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
            if quota is not None and len(shelf.live) >= quota:
                raise QuotaReached
            insort(shelf.order, (record.created, record.task_id))
            self._place(shelf, record)
        self._tell(record)

    async def replace(self, record: TaskRecord, *, expected: int) -> None:
        with self._lock:
            shelf = self._shelves.get(record.owner)
            current = None if shelf is None else shelf.records.get(record.task_id)
            if shelf is None or current is None or current.seq != expected:
                raise Conflict(current)
            self._place(shelf, record, moved=record.expires != current.expires)
        self._tell(record)

    async def delete(self, owner: Owner, task_id: str) -> bool:
        with self._lock:
            record = self._remove(owner, task_id)
        if record is not None:
            self._tell(record)
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
        with self._lock:
            return self._drop_expired(now)

    @asynccontextmanager
    async def watch(self, owner: Owner, task_id: str | None = None) -> AsyncIterator[_Changes]:
        changes = _Changes()
        key = (owner, task_id)
        with self._lock:
            self._watchers[key].add(changes)
        try:
            yield changes
        finally:
            with self._lock:
                self._watchers[key].discard(changes)
                if not self._watchers[key]:
                    del self._watchers[key]

    async def close(self) -> None:
        """Nothing to let go of; the records stay for whoever still holds the store."""

    def _place(self, shelf: _Shelf, record: TaskRecord, *, moved: bool = True) -> None:
        shelf.records[record.task_id] = record
        if record.live:
            shelf.live.add(record.task_id)
        else:
            shelf.live.discard(record.task_id)
        if moved and record.expires is not None:
            heapq.heappush(self._ends, (record.expires, record.owner, record.task_id))

    def _remove(self, owner: Owner, task_id: str) -> TaskRecord | None:
        shelf = self._shelves.get(owner)
        record = None if shelf is None else shelf.records.pop(task_id, None)
        if shelf is None or record is None:
            return None
        shelf.live.discard(task_id)
        del shelf.order[bisect_left(shelf.order, (record.created, task_id))]
        if not shelf.records:
            del self._shelves[owner]
        return record

    def _drop_expired(self, now: datetime) -> int:
        dropped = 0
        while self._ends and self._ends[0][0] < now:
            _, owner, task_id = heapq.heappop(self._ends)
            shelf = self._shelves.get(owner)
            record = None if shelf is None else shelf.records.get(task_id)
            # An entry of the heap is only a hint: the task may have been given more time since.
            if record is not None and record.expired(now):
                self._remove(owner, task_id)
                dropped += 1
        return dropped

    def _tell(self, record: TaskRecord) -> None:
        for key in ((record.owner, record.task_id), (record.owner, None)):
            for changes in tuple(self._watchers.get(key, ())):
                changes.tell(record.task_id)
