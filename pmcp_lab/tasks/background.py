"""Work that can wait: done in small pieces, between which the event loop serves whoever else is there."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Final

logger = logging.getLogger(__name__)

_SLICE: Final = 0.001
"""Seconds of work in one turn of the event loop, if it can be had in pieces that short."""

_MOST: Final = 64
"""Pieces in one turn: what they set off runs in the next ones, and is not measured."""

_QUIET: Final = 0.00003
"""Seconds that a turn of the event loop takes at most when nobody has anything to do."""

_TURNS: Final = 4
"""Quiet turns one after another: a request in the middle of its way has a quick one now and then."""

_LONGEST_WAIT: Final = 0.005
"""Seconds after which it goes on however busy the event loop is."""


class Background:
    """Pieces of work, in the order they were added. Belongs to the event loop it is used on."""

    def __init__(self) -> None:
        self._pieces: deque[Callable[[], None]] = deque()
        self._worker: asyncio.Task[None] | None = None

    def add(self, piece: Callable[[], None]) -> None:
        """Have it called soon; it may start asyncio tasks, whose first steps count as its work."""
        self._pieces.append(piece)
        if self._worker is None:
            # In an empty context: the work of many must not run as the one who came first.
            work = asyncio.get_running_loop().create_task(self._work(), name="background of tasks", context=Context())
            self._worker = work

    async def _work(self) -> None:
        some = 1
        try:
            while self._pieces:
                took = await self._do(some)
                if took > _SLICE:
                    some = max(1, some // 2)
                elif took < _SLICE / 2:
                    some = min(2 * some, _MOST)
                await _give_way()
        finally:
            self._worker = None

    async def _do(self, some: int) -> float:
        """Do some pieces; the seconds it took, with the first steps of what they started."""
        loop = asyncio.get_running_loop()
        turned: list[float] = []
        # What is called soon is called in order: this, the first steps, and then the rest of this function.
        loop.call_soon(lambda: turned.append(loop.time()))
        began = loop.time()
        for _ in range(min(some, len(self._pieces))):
            try:
                self._pieces.popleft()()
            except Exception:
                logger.exception("a piece of background work failed")
        done = loop.time()
        await asyncio.sleep(0)
        return done - began + loop.time() - turned[0]


async def _give_way() -> None:
    """Wait until the event loop has nothing else to do, but not for long."""
    loop = asyncio.get_running_loop()
    began = before = loop.time()
    quiet = 0
    while quiet < _TURNS and before - began < _LONGEST_WAIT:
        await asyncio.sleep(0)
        now = loop.time()
        quiet = quiet + 1 if now - before < _QUIET else 0
        before = now
