"""How fast a sweep is, of late, and how long it took or will take."""

from __future__ import annotations

import time
from collections import deque

RECENT = 64
"""Ends by which the speed is measured."""


class Pace:
    """Of one run, which begins when this is made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._over: float | None = None
        self._ends: deque[float] = deque(maxlen=RECENT)

    def one_ended(self) -> None:
        self._ends.append(time.monotonic())

    def over(self) -> None:
        """Nothing is left."""
        self._over = time.monotonic()

    def told(self, left: int) -> list[str]:
        """For people: the seconds it took, or the speed and the time until the end.

        Args:
            left: How many have not ended.
        """
        if self._over is not None:
            return [f"{self._over - self._began:.1f} s"]
        if not self._ends:
            return []
        since = self._began if len(self._ends) < RECENT else self._ends[0]
        speed = len(self._ends) / max(0.001, time.monotonic() - since)
        seconds = left / speed
        return [f"{speed:.1f}/s", f"{seconds:.0f} s left" if seconds < 120 else f"{seconds / 60:.0f} min left"]
