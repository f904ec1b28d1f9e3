"""Deletes expired tasks in the background. Nobody sees them anyway; this frees their space."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks.store import TaskStore

LONGEST: Final = 300.0
"""Seconds between two looks at a store where nothing is about to expire."""

SHORTEST: Final = 1.0
"""Seconds between two looks at most: tasks that expire one after another are deleted together."""

_log = logging.getLogger(__name__)


async def reap(store: TaskStore, *, longest: float = LONGEST, shortest: float = SHORTEST) -> None:
    """Delete what expires, until cancelled. Sleeps until the next expiry known when it went to sleep.

    Several may run on one store. Trouble with the storage is logged, and tried again after `longest`.

    Args:
        longest: Seconds to sleep at most; a task made meanwhile may stay that much longer.
        shortest: Seconds to sleep at least.
    """
    while True:
        pause = longest
        try:
            await store.cleanup_expired()
            following = await store.backend.next_expiry()
        except StoreError as error:
            _log.warning("expired tasks were not deleted: %s", error)
        else:
            if following is not None:
                pause = max(shortest, min(longest, store.seconds_left(following) + 0.001))
        await asyncio.sleep(pause)
