"""What a running task does when its storage is away for a moment: wait. Requests don't: their client can ask again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from pmcp_lab.errors import StoreError

logger = logging.getLogger(__name__)

T = TypeVar("T")

PAUSES: Final = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between attempts; half a minute in all."""


async def retry_storage(action: Callable[[], Awaitable[T]], task_id: str) -> T:
    """Do it, again and again while the storage has trouble.

    Args:
        action: Harmless when it is done a second time, because the first may have worked and not said so.

    Raises:
        StoreError: The storage was away too long.
    """
    for pause in PAUSES:
        try:
            return await action()
        except StoreError as error:
            logger.warning(
                "the storage of task %s has trouble, next attempt in %s s: %s",
                task_id,
                pause,
                error,
                extra={"task_id": task_id},
            )
            await asyncio.sleep(pause)
    return await action()
