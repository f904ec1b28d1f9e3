"""A secret that all processes on one store share and nobody else has, kept in the store itself."""

from __future__ import annotations

import secrets
from typing import Final

from pmcp_lab.errors import StoreError
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks.backends import Conflict
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import TaskRecord
from pmcp_lab.tasks.store import TaskStore

_OWNER: Final[Owner] = ("store",)
"""No caller is this owner, so no list has the record and no request reaches it."""

_ID: Final = "secret"
_BYTES: Final = 32


async def store_secret(store: TaskStore) -> bytes:
    """The store's secret; made by whoever needs it first.

    Raises:
        StoreError: The store can't be used, or what it keeps there is none.
    """
    record = await store.backend.get(_OWNER, _ID)
    if record is None:
        now, made = store.now(), secrets.token_hex(_BYTES)
        record = TaskRecord(
            task_id=_ID,
            owner=_OWNER,
            status=TaskStatus.COMPLETED,
            created=now,
            updated=now,
            method=_ID,
            result={_ID: made},
        )
        try:
            await store.backend.insert(record, quota=None, now=now)
        except Conflict as conflict:
            record = conflict.current
    try:
        return bytes.fromhex(record.result[_ID])  # type: ignore[union-attr]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise StoreError("what the store keeps as its secret is none; delete that record") from None
