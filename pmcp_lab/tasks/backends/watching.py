"""Who in this process waits for which tasks. A backend tells what it wrote; any thread may."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pmcp_lab.tasks.owner import Owner

Watched = tuple[Owner, str | None]
"""One task, or with None all tasks of an owner."""


class LocalChanges:
    """Ids written since the last look; may be told from any thread, is waited for on the loop that made it.

    An empty set means that something may have changed, here is not said what: look at everything.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ids: set[str] = set()
        self._ready = asyncio.Event()

    def tell(self, task_id: str | None) -> None:
        # A closed loop has nobody left to tell.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._add, task_id)

    def _add(self, task_id: str | None) -> None:
        if task_id is not None:
            self._ids.add(task_id)
        self._ready.set()

    async def wait(self) -> frozenset[str]:
        await self._ready.wait()
        self._ready.clear()
        ids, self._ids = frozenset(self._ids), set()
        return ids


class Watchers:
    """Everybody who waits; false when nobody does."""

    def __init__(self) -> None:
        self._waiting: defaultdict[Watched, set[LocalChanges]] = defaultdict(set)
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @contextmanager
    def watch(self, owner: Owner, task_id: str | None) -> Iterator[LocalChanges]:
        changes = LocalChanges()
        key = (owner, task_id)
        with self._lock:
            self._waiting[key].add(changes)
        try:
            yield changes
        finally:
            with self._lock:
                self._waiting[key].discard(changes)
                if not self._waiting[key]:
                    del self._waiting[key]

    def tell(self, owner: Owner, task_id: str | None) -> None:
        """A task has changed; with None, any of the owner's may have."""
        if not self._waiting:
            return
        with self._lock:
            told = {*self._waiting.get((owner, task_id), ()), *self._waiting.get((owner, None), ())}
        for changes in told:
            changes.tell(task_id)

    def watched(self) -> list[Watched]:
        with self._lock:
            return list(self._waiting)
