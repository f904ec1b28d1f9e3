"""A caller's value as the JSON it is stored as: on every backend the same, and no longer the caller's own object."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from pydantic_core import from_json

from pmcp_lab.errors import INTERNAL_ERROR, LimitExceeded


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_READER: Final = json.JSONDecoder(parse_constant=_refuse)
_COMPACT: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def compact_json(value: Any) -> bytes:
    """The bytes that count against a limit: UTF-8, no spaces.

    Raises:
        TypeError, ValueError, RecursionError: `value` is not JSON (NaN and infinities included).
    """
    return _COMPACT.encode(value).encode("utf-8", errors="surrogatepass")


def read_json(text: str | bytes) -> Any:
    """The value that this text is; what no JSON has room for (NaN, infinities) is refused.

    Raises:
        ValueError, RecursionError: It is not JSON.
    """
    try:
        return from_json(text, allow_inf_nan=False)
    except (TypeError, ValueError):
        # It does not take half a surrogate pair, nor hundreds of levels.
        return _READER.decode(text if isinstance(text, str) else text.decode())


def plain_json(value: Any, what: str, most: int, *, code: int = INTERNAL_ERROR) -> Any:
    """The value after a trip through JSON.

    Args:
        what: For the message: "the result".
        most: Bytes that are allowed.
        code: JSON-RPC code of a refusal.

    Raises:
        LimitExceeded: It is not JSON, or too big.
    """
    if type(value) is dict and not value:
        return {}
    try:
        text = _COMPACT.encode(value)
        size = len(text) if text.isascii() else len(text.encode("utf-8", errors="surrogatepass"))
        if size <= most:
            return read_json(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise LimitExceeded(f"{what} can't be written as JSON: {error}", code=code) from None
    raise LimitExceeded(f"{what} would be {size} bytes; at most {most} are allowed", code=code)


def copied(value: Any) -> Any:
    """The value after a trip through JSON, which plain scalars need not make.

    Raises:
        TypeError, ValueError, RecursionError: It is not JSON.
    """
    kind = type(value)
    if kind is str or kind is bool or (kind is int and abs(value) < 2**63) or (kind is float and math.isfinite(value)):
        return value
    return read_json(_COMPACT.encode(value))
