"""The states of calls, in the order in which they are told, and in words."""

from __future__ import annotations

from collections.abc import Mapping

QUEUED = "queued"
"""Of a call that is still to be made: no word of the protocol, whose servers know nothing of it."""
ENDED = ("completed", "failed", "cancelled", "unknown")
STATUSES = ("working", QUEUED, "input_required", *ENDED)


def in_words(counts: Mapping[str, int], *but: str) -> list[str]:
    """How many there are in each state: "3 completed", "1 needs input".

    Args:
        but: States that are left out.
    """
    return [_words(status, counts[status]) for status in STATUSES if counts.get(status) and status not in but]


def _words(status: str, count: int) -> str:
    if status == "input_required":
        return f"{count:,} need{'s' if count == 1 else ''} input"
    return f"{count:,} {status}"
