"""Finds tasks whose process ended, and has them run again or failed. What that means for a tool is not known here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks import TaskRecord, TaskStore

logger = logging.getLogger(__name__)

_PAGE = 100

Recover = Callable[[TaskRecord], Awaitable[bool]]
"""Does what is right with a lost task; false when that is not this process's business."""


async def recover_lost(store: TaskStore, recover: Recover) -> int:
    """Look once; how many tasks this process took care of.

    Raises:
        StoreError: The store can't be read.
    """
    taken, limit = 0, _PAGE
    seen: set[str] = set()
    while True:
        lost = await store.leases.lost(limit=limit)
        fresh = [record for record in lost if record.task_id not in seen]
        for record in fresh:
            seen.add(record.task_id)
            taken += await recover(record)
        if len(lost) < limit or not fresh:
            return taken
        # Those that are left to others stay in front.
        limit += _PAGE


async def keep_recovering(store: TaskStore, recover: Recover, *, every: float) -> None:
    """Look now and then each `every` seconds, until cancelled. Trouble with the storage is logged and tried again."""
    while True:
        try:
            await recover_lost(store, recover)
        except StoreError as error:
            logger.warning("lost tasks were not looked for: %s", error)
        await asyncio.sleep(every)
