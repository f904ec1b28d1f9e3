"""A list of tasks that are scattered among others, and maybe among several owners."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from pmcp_lab.tasks.backends import Position
from pmcp_lab.tasks.cursor import decode_cursor, encode_cursor
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import TaskRecord
from pmcp_lab.tasks.store import PAGE, Page, TaskStore

LOOKS: Final = 5
"""Times a page looks on before it is given out as it is: with fewer tasks, or none, and a cursor."""


async def list_some(
    store: TaskStore,
    owners: Collection[Owner],
    wanted: Callable[[TaskRecord], bool],
    *,
    whose: Owner,
    cursor: str | None = None,
    limit: int = PAGE,
    stride: int = 100,
) -> Page:
    """Those of the owners' tasks that are wanted, newest first.

    Args:
        whose: To whom the cursors are bound.
        stride: Records of each owner that are looked at in one go.

    Raises:
        LabError: The cursor is none of theirs (-32602).
    """
    after = None if cursor is None else decode_cursor(whose, cursor)
    found: list[TaskRecord] = []
    for _ in range(LOOKS):
        records, more = await _next(store, owners, after, stride)
        for record in filter(wanted, records):
            if len(found) == limit:
                return Page(found, encode_cursor(whose, _position(found[-1])))
            found.append(record)
        if not more:
            return Page(found, None)
        after = _position(records[-1])
    return Page(found, None if after is None else encode_cursor(whose, after))


async def _next(
    store: TaskStore, owners: Collection[Owner], after: Position | None, stride: int
) -> tuple[list[TaskRecord], bool]:
    """What comes next of all owners together, and whether there may be more behind it."""
    now, records, end = store.now(), list[TaskRecord](), None
    for owner in owners:
        page = await store.backend.page(owner, after=after, limit=stride, now=now)
        records += page
        if len(page) == stride:
            last = _position(page[-1])
            # What others have behind the end of this page may belong behind what is on this owner's next one.
            end = last if end is None else max(end, last)
    records.sort(key=_position, reverse=True)
    return [record for record in records if end is None or _position(record) >= end], end is not None


def _position(record: TaskRecord) -> Position:
    return record.created, record.task_id
