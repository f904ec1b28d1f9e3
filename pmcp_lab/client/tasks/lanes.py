"""Places worked off a bounded number at a time; others may join while it goes on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable


class Lanes:
    """Lives on the connection's loop, as all its methods do.

    Args:
        count: How many are worked on at the same time.
        waiting: The places, in the order of their turns.
        one: Works on a place, in a lane that it is given the number of.
    """

    def __init__(self, count: int, waiting: Iterable[int], one: Callable[[int, int], Awaitable[None]]) -> None:
        self.waiting = deque(waiting)
        self._one = one
        self._idle = list(range(count))
        self._busy: set[int] = set()

    async def work_off(self) -> None:
        """Return when nothing is left."""
        async with asyncio.TaskGroup() as self._group:
            self._man()

    def join(self, places: Iterable[int]) -> bool:
        """Have more places worked off; False where all is over already."""
        if not self._busy:
            return False
        self.waiting.extend(places)
        self._man()
        return True

    def _man(self) -> None:
        for lane in sorted(self._idle)[: len(self.waiting)]:
            self._idle.remove(lane)
            self._busy.add(lane)
            self._group.create_task(self._work(lane))

    async def _work(self, lane: int) -> None:
        try:
            while self.waiting:
                await self._one(self.waiting.popleft(), lane)
        finally:
            self._busy.remove(lane)
            self._idle.append(lane)
