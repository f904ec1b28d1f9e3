"""Changes in DynamoDB: told at once within this process, found by looking for those of others.

One looks often after a change and less and less often while nothing happens. (DynamoDB Streams would tell, at the
price of a second service that has to be set up.)
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

Look = Callable[[], Awaitable[Mapping[str, int]]]
"""The present versions, by task id."""

TASK_PAUSES: Final = (0.2, 3.0)
"""Shortest and longest pause (s) between looks at one task."""
OWNER_PAUSES: Final = (1.0, 15.0)
"""The same for all tasks of an owner, which costs a query."""


class PolledChanges:
    """Ids whose version has changed since the last look."""

    def __init__(self, look: Look, pauses: tuple[float, float], seen: Mapping[str, int]) -> None:
        self._look = look
        self._shortest, self._longest = pauses
        self._pause = self._shortest
        self._seen = dict(seen)
        self._changed: set[str] = set()
        self._ready = asyncio.Event()

    def tell(self, task_id: str, version: int | None) -> None:
        """A write of this process; None when the task was deleted."""
        if version is None:
            self._seen.pop(task_id, None)
        else:
            self._seen[task_id] = max(version, self._seen.get(task_id, 0))
        self._changed.add(task_id)
        self._ready.set()

    async def wait(self) -> frozenset[str]:
        while not self._changed:
            try:
                async with asyncio.timeout(self._pause):
                    await self._ready.wait()
            except TimeoutError:
                self._pause = min(self._pause * 1.5, self._longest)
                self._compare(await self._look())
        self._pause = self._shortest
        self._ready.clear()
        ids, self._changed = frozenset(self._changed), set()
        return ids

    def _compare(self, present: Mapping[str, int]) -> None:
        for task_id, version in present.items():
            if version > self._seen.get(task_id, 0):
                self.tell(task_id, version)
        # A look that was under way while this process wrote knows less than we do, but nothing that isn't so.
        for task_id in self._seen.keys() - present.keys():
            self.tell(task_id, None)


class LocalFeed:
    """Who watches what, in this process."""

    def __init__(self) -> None:
        self._watchers: defaultdict[str, set[PolledChanges]] = defaultdict(set)

    @asynccontextmanager
    async def listen(self, key: str, look: Look, pauses: tuple[float, float]) -> AsyncIterator[PolledChanges]:
        changes = PolledChanges(look, pauses, await look())
        self._watchers[key].add(changes)
        try:
            yield changes
        finally:
            self._watchers[key].discard(changes)
            if not self._watchers[key]:
                del self._watchers[key]

    def tell(self, keys: tuple[str, ...], task_id: str, version: int | None) -> None:
        for key in keys:
            for changes in tuple(self._watchers.get(key, ())):
                changes.tell(task_id, version)
