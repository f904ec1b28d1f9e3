"""Cursors of a list: opaque to clients, bound to an owner and to a position that outlives the task there."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pmcp_lab.errors import INVALID_PARAMS, LabError
from pmcp_lab.tasks.backends import Position
from pmcp_lab.tasks.owner import Owner

_LONGEST: Final = 1_024
"""Characters. Anybody can work out a signature, and keys of some backends are short."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def encode_cursor(owner: Owner, position: Position) -> str:
    created, task_id = position
    raw = [(created - _EPOCH) // timedelta(milliseconds=1), task_id]
    return base64.urlsafe_b64encode(json.dumps([*raw, _signature(owner, raw)]).encode()).decode()


def decode_cursor(owner: Owner, cursor: str) -> Position:
    """The position in a cursor that `encode_cursor` made for this owner.

    Raises:
        LabError: It is anything else (-32602, MCP "Pagination").
    """
    try:
        moment, task_id, signature = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        if signature != _signature(owner, [moment, task_id]):
            raise ValueError
        if type(moment) is not int or not isinstance(task_id, str) or len(cursor) > _LONGEST:
            raise ValueError
        return _EPOCH + timedelta(milliseconds=moment), task_id
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise LabError(f"unknown cursor {cursor!r}", code=INVALID_PARAMS) from None


def _signature(owner: Owner, raw: list[Any]) -> str:
    """Tells a cursor from other text. Not a secret: a position reveals nothing and reaches only its own owner."""
    return hashlib.blake2b(json.dumps([owner, raw]).encode(), digest_size=9, person=b"pmcp-lab-cursor").hexdigest()
