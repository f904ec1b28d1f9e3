"""Until when an answer is what the server would say now (MCP 2026-07-28, "Caching"), and lists of many pages."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from mcp_types.methods import CACHEABLE_METHODS

LONGEST = 86_400.0
"""Seconds: no answer is taken for fresh longer than a day, whatever its server says."""


class Listed(list[dict[str, Any]]):
    """A list as the server gave it, all pages.

    Attributes:
        fresh_until: When it is to be asked for again (`time.monotonic()`); None: when the server says that it changed.
    """

    fresh_until: float | None = None


def fresh_until(ttl_ms: object, received: float) -> float:
    """When an answer with such a `ttlMs` is stale; at once without one, or with a negative one.

    Args:
        received: When it came (`time.monotonic()`).
    """
    return received + min(_milliseconds(ttl_ms) / 1000, LONGEST)


def _milliseconds(ttl_ms: object) -> int:
    if isinstance(ttl_ms, bool) or not isinstance(ttl_ms, int | float) or not math.isfinite(ttl_ms):
        return 0
    return max(0, int(ttl_ms))


def with_hints(method: str, result: dict[str, Any]) -> dict[str, Any]:
    """An answer of 2026-07-28 with the hints that its server has left out, or that are none: it is stale, and private.

    The SDK would not read it, and take the server for one of 2025-11-25 where it is that of `server/discover`.
    """
    if method not in CACHEABLE_METHODS or result.get("resultType") == "input_required":
        return result
    scope = "public" if result.get("cacheScope") == "public" else "private"
    return {**result, "ttlMs": _milliseconds(result.get("ttlMs")), "cacheScope": scope}


async def all_pages(ask: Callable[[str | None], Awaitable[Any]], field: str, *, hinted: bool, told: bool) -> Listed:
    """A whole list, from its first page.

    Args:
        ask: Asks for the page at a cursor.
        field: Of the answer, where the items are.
        hinted: Whether the server says how long its answers are fresh: it speaks 2026-07-28.
        told: Whether it tells when the list changes: then one that it calls stale at once, as it does where its
            author said nothing, is kept until it does.
    """
    items, seen, cursor = Listed(), set[str](), None
    moments: list[float] = []
    kept = told
    while True:
        page = await ask(cursor)
        items += [item.model_dump(by_alias=True, mode="json", exclude_none=True) for item in getattr(page, field)]
        kept = kept and _milliseconds(page.ttl_ms) == 0
        moments.append(fresh_until(page.ttl_ms, time.monotonic()))
        cursor = page.next_cursor
        if cursor is None or cursor in seen:
            # Pages that are fetched one by one may not fit together: the first that is stale has all asked for again.
            items.fresh_until = min(moments) if hinted and not kept else None
            return items
        seen.add(cursor)
