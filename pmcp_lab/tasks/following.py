"""A task's changes as they come, made of a backend's word that there are some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pmcp_lab.tasks.backends import Changes
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import TaskRecord

if TYPE_CHECKING:
    from pmcp_lab.tasks.store import TaskStore


async def follow(store: TaskStore, owner: Owner, task_id: str, changes: Changes) -> AsyncGenerator[TaskRecord]:
    """The record now and after each change that anybody but its runner cares about; ends with the task.

    Raises:
        TaskNotFound: It is not there, or has gone.
    """
    seen = 0
    shown: TaskRecord | None = None
    while True:
        record = await store.get(owner, task_id)
        if record.seq > seen:
            seen = record.seq
            if shown is None or not record.live or _visible(record) != _visible(shown):
                shown = record
                yield record
        if not record.live:
            return
        try:
            left = None if record.expires is None else store.seconds_left(record.expires) + 0.001
            async with asyncio.timeout(left):
                await changes.wait()
        except TimeoutError:
            continue


def _visible(record: TaskRecord) -> TaskRecord:
    # A runner's heartbeats are nobody else's business.
    return replace(record, lease=None, seq=0)
