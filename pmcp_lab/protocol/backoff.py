"""How long to wait before what failed is tried again. Who waits, and what is tried, is elsewhere: no I/O here."""

from __future__ import annotations

import math
import random
from typing import Final

_MOST: Final = 1023
"""Doublings of a float, before it is too big for one."""


def doubled(failed: int, shortest: float, longest: float = math.inf) -> float:
    """Seconds: `shortest` at first, twice as long after each further failure, never more than `longest`.

    Args:
        failed: New attempts that have failed already; 0 before the first of them.
    """
    return min(longest, shortest * 2.0 ** min(failed, _MOST))


def jittered(failed: int, shortest: float, longest: float) -> float:
    """Seconds: anything from 0 to what `doubled` says, so that those who failed together do not meet again."""
    return random.random() * doubled(failed, shortest, longest)  # noqa: S311 - spreads load, hides nothing
