"""Who in this process waits for which tasks. A backend tells what it wrote; any thread may."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Self

from pmcp_lab.tasks.owner import Owner

Watched = tuple[Owner, str | None]
"""One task, or with None all tasks of an owner."""


class LocalChanges:
    """Ids written since the last look; may be told from any thread, is waited for on the loop that made it, by one.

    An empty set means that something may have changed, here is not said what: look at everything.
    """

    __slots__ = ("_changed", "_ids", "_loop", "_waiting")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ids: set[str] | None = None
        self._changed = False
        # There may be one of these per live task: an event takes ten times the memory of a future.
        self._waiting: asyncio.Future[None] | None = None

    def tell(self, task_id: str | None) -> None:
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._add(task_id)
            return
        # A closed loop has nobody left to tell.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._add, task_id)

    def _add(self, task_id: str | None) -> None:
        if task_id is not None:
            if self._ids is None:
                self._ids = set()
            self._ids.add(task_id)
        self._changed = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def wait(self) -> frozenset[str]:
        if not self._changed:
            self._waiting = self._loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        self._changed = False
        ids, self._ids = self._ids, None
        return frozenset(ids or ())


class Watch(LocalChanges):
    """The changes of what is watched, from entering to leaving."""

    __slots__ = ("_key", "_watchers")

    def __init__(self, watchers: Watchers, key: Watched) -> None:
        super().__init__()
        self._watchers = watchers
        self._key = key

    def __enter__(self) -> Self:
        self._watchers.enter(self._key, self)
        return self

    def __exit__(self, *_: object) -> None:
        self._watchers.leave(self._key, self)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()


class Watchers:
    """Everybody who waits, in the order they came; false when nobody does."""

    def __init__(self) -> None:
        self._waiting: dict[Watched, tuple[LocalChanges, ...]] = {}
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def watch(self, owner: Owner, task_id: str | None) -> Watch:
        """To be entered, with `with` or `async with`."""
        return Watch(self, (owner, task_id))

    def enter(self, key: Watched, changes: LocalChanges) -> None:
        with self._lock:
            self._waiting[key] = (*self._waiting.get(key, ()), changes)

    def leave(self, key: Watched, changes: LocalChanges) -> None:
        with self._lock:
            left = tuple(other for other in self._waiting.pop(key) if other is not changes)
            if left:
                self._waiting[key] = left

    def tell(self, owner: Owner, task_id: str | None) -> None:
        """A task has changed; with None, any of the owner's may have."""
        if not self._waiting:
            return
        with self._lock:
            waiting = self._waiting.get((owner, task_id), ())
            if task_id is not None:
                waiting += self._waiting.get((owner, None), ())
        for changes in waiting:
            changes.tell(task_id)

    def watched(self) -> dict[Watched, None]:
        """What is waited for; a dictionary for the sake of looking things up in it, in the same order every time."""
        with self._lock:
            return dict.fromkeys(self._waiting)
