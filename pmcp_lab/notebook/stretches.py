"""Numbers of rows as stretches: first and last of each, alternating. So they travel in selections and requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def ranges(places: Iterable[int]) -> list[int]:
    """Numbers as stretches: first and last of each, alternating."""
    found: list[int] = []
    for place in sorted(set(places)):
        if found and found[-1] == place - 1:
            found[-1] = place
        else:
            found += [place, place]
    return found


def spread(stretches: Sequence[int], limit: int) -> list[int]:
    """The numbers below `limit` in stretches made by `ranges`."""
    pairs = zip(stretches[::2], stretches[1::2], strict=False)
    return [place for first, last in pairs for place in range(max(0, first), min(last + 1, limit))]
