"""A backend that counts who watches, and breaks when told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks import Owner, TaskRecord
from pmcp_lab.tasks.backends import Changes
from pmcp_lab.tasks.backends.memory import MemoryBackend


class WatchedBackend(MemoryBackend):
    """In memory. `watches` is how many watches there are; nothing can be read while it is `broken`."""

    def __init__(self) -> None:
        super().__init__()
        self.watches = 0
        self.broken = False

    @asynccontextmanager
    async def watch(self, owner: Owner, task_id: str | None = None) -> AsyncIterator[Changes]:  # type: ignore[override]
        self.watches += 1
        try:
            async with super().watch(owner, task_id) as changes:
                yield changes
        finally:
            self.watches -= 1

    async def get(self, owner: Owner, task_id: str) -> TaskRecord | None:
        if self.broken:
            raise StoreError("/var/lib/tasks.db can't be read: disk I/O error")
        return await super().get(owner, task_id)
