"""When to ask for which task: one scheduler per connection.

Each task is polled at its server's own pace, a bounded number at a time, and never after it ended.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress

FLOOR = 0.1
"""Seconds that are left between two polls of a task, whatever its server says."""
DEFAULT = 1.0
"""Seconds between polls when the server has no wish."""
IN_FLIGHT = 16


class Watcher:
    """Calls `poll(key)` for every watched key when it is due.

    Args:
        poll: Asks once; returns the seconds until the next time, or None when there will be none.
    """

    def __init__(self, poll: Callable[[Hashable], Awaitable[float | None]]) -> None:
        self._poll = poll
        self._due: dict[Hashable, int] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._tickets = itertools.count()
        self._changed = asyncio.Event()
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._polls: set[asyncio.Task[None]] = set()
        self._busy: set[Hashable] = set()
        self._again: set[Hashable] = set()

    def watch(self, key: Hashable, after: float = 0.0) -> None:
        """Poll `key` in `after` seconds; replaces what was planned for it."""
        if key in self._busy:
            self._again.add(key)
            return
        ticket = next(self._tickets)
        self._due[key] = ticket
        heapq.heappush(self._heap, (asyncio.get_running_loop().time() + after, ticket, key))
        self._changed.set()

    def forget(self, key: Hashable) -> None:
        self._due.pop(key, None)
        self._again.discard(key)

    async def run(self) -> None:
        """Runs until cancelled; sleeps while nothing is due."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._changed.clear()
                while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][1]:
                    heapq.heappop(self._heap)
                if not self._heap:
                    await self._changed.wait()
                    continue
                wait = self._heap[0][0] - loop.time()
                if wait > 0:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), wait)
                    continue
                _, _, key = heapq.heappop(self._heap)
                del self._due[key]
                await self._slots.acquire()
                self._busy.add(key)
                poll = asyncio.create_task(self._once(key))
                self._polls.add(poll)
                poll.add_done_callback(self._polls.discard)
        finally:
            for poll in self._polls:
                poll.cancel()

    async def _once(self, key: Hashable) -> None:
        try:
            after = await self._poll(key)
        finally:
            self._slots.release()
            self._busy.discard(key)
        if key in self._again:
            self._again.discard(key)
            after = 0.0 if after is not None else None
        if after is not None:
            self.watch(key, max(FLOOR, after))


def interval(hint_ms: int | None) -> float:
    """Seconds until the next poll, from the server's hint in milliseconds."""
    return DEFAULT if hint_ms is None else max(FLOOR, hint_ms / 1000)
