"""Cursors of a list: opaque to clients, bound to an owner and to a position that outlives the task there."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from pmcp_lab.errors import INVALID_PARAMS, LabError
from pmcp_lab.tasks.backends import Position
from pmcp_lab.tasks.owner import Owner

_LONGEST: Final = 1_024
"""Characters. Anybody can work out a signature, and keys of some backends are short."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def encode_cursor(owner: Owner, position: Position) -> str:
    created, task_id = position
    moment = (created - _EPOCH) // _MILLISECOND
    return base64.urlsafe_b64encode(json.dumps([moment, task_id, _signature(owner, moment, task_id)]).encode()).decode()


def decode_cursor(owner: Owner, cursor: str) -> Position:
    """The position in a cursor that `encode_cursor` made for this owner.

    Raises:
        LabError: It is anything else (-32602, MCP "Pagination").
    """
    try:
        moment, task_id, signature = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        if signature != _signature(owner, moment, task_id):
            raise ValueError
        if type(moment) is not int or not isinstance(task_id, str) or len(cursor) > _LONGEST:
            raise ValueError
        return _EPOCH + moment * _MILLISECOND, task_id
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise LabError(f"unknown cursor {cursor!r}", code=INVALID_PARAMS) from None


def _signature(owner: Owner, moment: object, task_id: object) -> str:
    """Tells a cursor from other text. Not a secret: a position reveals nothing and reaches only its own owner."""
    said = f"{moment} {task_id}".encode(errors="surrogatepass")
    return hashlib.blake2b(said, digest_size=9, key=_key(owner), person=b"pmcp-lab-cursor").hexdigest()


@lru_cache(maxsize=1_024)
def _key(owner: Owner) -> bytes:
    return hashlib.blake2b(json.dumps(owner).encode()).digest()
