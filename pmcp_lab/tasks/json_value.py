"""A caller's value as the JSON it is stored as: on every backend the same, and no longer the caller's own object."""

from __future__ import annotations

import json
from typing import Any, Final

from pmcp_lab.errors import INTERNAL_ERROR, LimitExceeded

_COMPACT: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def compact_json(value: Any) -> bytes:
    """The bytes that count against a limit: UTF-8, no spaces.

    Raises:
        TypeError, ValueError, RecursionError: `value` is not JSON (NaN and infinities included).
    """
    return _COMPACT.encode(value).encode("utf-8", errors="surrogatepass")


def plain_json(value: Any, what: str, most: int, *, code: int = INTERNAL_ERROR) -> Any:
    """The value after a trip through JSON.

    Args:
        what: For the message: "the result".
        most: Bytes that are allowed.
        code: JSON-RPC code of a refusal.

    Raises:
        LimitExceeded: It is not JSON, or too big.
    """
    try:
        data = compact_json(value)
        if len(data) <= most:
            return json.loads(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise LimitExceeded(f"{what} can't be written as JSON: {error}", code=code) from None
    raise LimitExceeded(f"{what} takes {len(data)} bytes; at most {most} are allowed", code=code)
