"""What leases and followers need of a store. `TaskStore` is one; it stands on them, and they on this."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from pmcp_lab.tasks.backends import Backend
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import TaskRecord

Change = Callable[[TaskRecord], TaskRecord]
"""From a record to the one that replaces it, a new one; the same object for "nothing to do". May be called several
times."""


class StoredRecords(Protocol):
    """See the methods of `TaskStore`."""

    backend: Backend

    async def get(self, owner: Owner, task_id: str) -> TaskRecord: ...

    async def change(self, owner: Owner, task_id: str, change: Change, *, silent: bool = False) -> TaskRecord: ...

    def seconds_left(self, expires: datetime) -> float: ...
