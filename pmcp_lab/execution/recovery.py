"""Finds tasks whose run is lost, and has something done about them. What that means for a tool is not known here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Final

from pmcp_lab.errors import LabError, StoreError
from pmcp_lab.tasks import TaskRecord, TaskStore

logger = logging.getLogger(__name__)

Recover = Callable[[TaskRecord], Awaitable[bool]]
"""Does what is right with a lost task, if anything; false when that is not this process's business."""

LOOKS: Final = 4
"""Looks at all leases while one lasts: a lost one is found within a lease and a quarter, and the time of a look."""

_LATER: Final = 20
"""Leases until somebody else's lost task is looked at again: a tool may be declared late."""

_TOGETHER: Final = 16
"""Records that are read at the same time."""


class _Seen:
    """A lease as it was first seen: its version, and when (seconds that were observed)."""

    __slots__ = ("due", "since", "version")

    def __init__(self, version: int, since: float, due: float) -> None:
        self.version = version
        self.since = since
        self.due = due


class Recovery:
    """Looks for lost leases on behalf of one process, on the event loop it is used on.

    A lease is lost when its version has stayed the same for as long as the lease is believed, by this process's own
    monotonic clock; what a clock says elsewhere counts for nothing. Time in which this process could not look (the
    storage was away, it was paused itself) does not count: the holder may have had the same trouble.

    Args:
        recover: What is done about a lost one.
        lease: Seconds that most leases last; what lasts longer is left that much longer.
    """

    def __init__(self, store: TaskStore, recover: Recover, *, lease: float) -> None:
        self._store = store
        self._recover = recover
        self._lease = lease
        self._seen: dict[Hashable, _Seen] = {}
        self._unobserved = 0.0
        self._looked: float | None = None

    async def run(self) -> None:
        """Look now and again, until cancelled. Trouble with the storage is logged and tried again."""
        loop, pause = asyncio.get_running_loop(), self._lease / LOOKS
        while True:
            try:
                await self.look()
            except StoreError as error:
                logger.warning("lost tasks were not looked for: %s", error)
            slept = loop.time()
            await asyncio.sleep(pause)
            late = loop.time() - slept - pause
            if late > self._lease / 2:
                self._unobserved += late

    async def look(self) -> int:
        """Look once; how many tasks this process took care of.

        Raises:
            StoreError: The store can't be read.
        """
        began = self._observed() if self._looked is None else self._looked
        due: dict[Hashable, None] = {}
        seen: dict[Hashable, _Seen] = {}
        try:
            asked = self._observed()
            async for page in self._store.backend.leases():
                got = self._observed()
                for key, version in page:
                    before = self._seen.get(key)
                    if before is None or before.version != version:
                        # A negative one may be taken at once.
                        before = _Seen(version, got, got + self._lease if version > 0 else asked)
                    seen[key] = before
                    if asked >= before.due:
                        due[key] = None
                # Before anything else runs: the page was read no earlier than this.
                await asyncio.sleep(0)
                asked = self._observed()
        except StoreError:
            self._unobserved += self._observed() - began
            raise
        self._seen = seen
        self._looked = self._observed()
        taken = 0
        keys = tuple(due)
        for start in range(0, len(keys), _TOGETHER):
            taken += sum(await asyncio.gather(*(self._consider(key) for key in keys[start : start + _TOGETHER])))
            await asyncio.sleep(0)
        return taken

    async def _consider(self, key: Hashable) -> bool:
        """Whether this process took care of the task behind a lease that has stayed the same for long."""
        seen = self._seen[key]
        try:
            record = await self._store.backend.leased(key)
            if record is None or record.lease is None or record.lease.version != seen.version:
                self._seen.pop(key, None)
                return False
            if not record.live:
                return False
            left = seen.since + record.lease.seconds - self._observed()
            if left > 0:
                # Its runner asks for more patience than this one.
                seen.due = self._observed() + left
                return False
            if await self._recover(record):
                return True
        except LabError as error:
            # The storage is in trouble, or what is stored: not every look shall say so.
            seen.due = self._observed() + self._lease
            logger.warning("a lost task was not recovered: %s", error)
            return False
        seen.due = self._observed() + _LATER * self._lease
        return False

    def _observed(self) -> float:
        """Seconds that this process has been able to look."""
        return asyncio.get_running_loop().time() - self._unobserved
