"""Reading many records where one may be damaged: it is left out and logged, and hides no other."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks.record import TaskRecord

Row = TypeVar("Row")

_log = logging.getLogger(__name__)


def legible(rows: Iterable[Row], decode: Callable[[Row], TaskRecord]) -> list[TaskRecord]:
    """The records of those rows that can be read; `decode` raises `StoreError` for the others."""
    found: list[TaskRecord] = []
    for row in rows:
        try:
            found.append(decode(row))
        except StoreError as error:
            _log.warning("left out: %s", error)
    return found


async def first_legible(
    fetch: Callable[[int], Awaitable[list[Row]]], decode: Callable[[Row], TaskRecord], limit: int
) -> list[TaskRecord]:
    """The first `limit` records that can be read; `fetch(n)` gives the first `n` rows."""
    wanted = limit
    while True:
        rows = await fetch(wanted)
        found = legible(rows, decode)
        if len(found) >= limit or len(rows) < wanted:
            return found[:limit]
        wanted = limit + len(rows) - len(found)
