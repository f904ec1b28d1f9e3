"""How long: what people write for it, and the whole milliseconds that go over the wire.

A bare number is seconds, as everywhere in Python. MCP's `ttl`, `ttlMs` and `pollInterval` are milliseconds; they are
made and read here and nowhere else.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from functools import lru_cache
from numbers import Real
from typing import Any, Final, overload

Duration = str | float | timedelta
"""Seconds as a number; text with units, "250ms", "90s", "1h30m", "2 days", or ISO 8601, "PT1H30M"; or a `timedelta`."""

_UNITS: Final[dict[str, int]] = {
    name: size
    for size, names in (
        (1, "ms millisecond milliseconds"),
        (1_000, "s sec secs second seconds"),
        (60_000, "m min mins minute minutes"),
        (3_600_000, "h hr hrs hour hours"),
        (86_400_000, "d day days"),
        (604_800_000, "w week weeks"),
    )
    for name in names.split()
}

_PART: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([a-z]+)\s*")
_ISO: Final = re.compile(
    r"P(?:(?P<w>[0-9.]+)W)?(?:(?P<d>[0-9.]+)D)?(?:T(?:(?P<h>[0-9.]+)H)?(?:(?P<m>[0-9.]+)M)?(?:(?P<s>[0-9.]+)S)?)?"
)
_LONGEST_TEXT: Final = 100
_MILLISECOND: Final = timedelta(milliseconds=1)
_NUMBERS: Final[tuple[type, ...]] = (int, float, Real)


@overload
def milliseconds(duration: Duration, what: str = ...) -> int: ...
@overload
def milliseconds(duration: Duration | None, what: str = ...) -> int | None: ...


def milliseconds(duration: Duration | None, what: str = "") -> int | None:
    """A duration in whole milliseconds, rounded; what is not nothing is at least 1. None stays None.

    Args:
        duration: See `Duration`.
        what: Its name, for the text of the error.

    Raises:
        ValueError: It is none, negative or not finite.
    """
    if duration is None:
        return None
    exact: Any
    if isinstance(duration, timedelta):
        # Whole numbers where they are: a floating-point number has 53 bits.
        rest = duration.microseconds % 1_000
        exact = duration // _MILLISECOND + (rest / 1_000 if rest else 0)
    elif isinstance(duration, str):
        exact = _read(duration, what)
    elif isinstance(duration, bool) or not isinstance(duration, _NUMBERS):
        raise _none(duration, what)
    else:
        exact = duration * 1_000
    if not 0 <= exact < math.inf:
        raise ValueError(f"{_of(what)}{duration!r} is not a duration: one is finite and not negative")
    return int(round(exact) or math.ceil(exact))


@overload
def seconds(duration: Duration, what: str = ...) -> float: ...
@overload
def seconds(duration: Duration | None, what: str = ...) -> float | None: ...


def seconds(duration: Duration | None, what: str = "") -> float | None:
    """A duration in seconds, to the millisecond; see `milliseconds`."""
    whole = milliseconds(duration, what)
    return None if whole is None else whole / 1_000


def typed(text: str) -> float:
    """Seconds, from a command line, where a bare number is text too.

    Raises:
        ValueError: It is no duration.
    """
    try:
        given: Duration = float(text)
    except ValueError:
        given = text
    return seconds(given)


def as_duration(given: Any) -> Any:
    """The same, when it is a duration or None: for fields of models.

    Raises:
        ValueError: It is none.
    """
    milliseconds(given)
    return given


def from_milliseconds(whole: int) -> timedelta:
    """What a peer sent, as a duration. What no calendar holds is the longest there is."""
    try:
        return timedelta(milliseconds=whole)
    except OverflowError:
        return timedelta.max


def written(whole: int) -> str:
    """Milliseconds as text that `milliseconds` reads: "1d", "1h30m", "250ms"."""
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, whole = divmod(whole, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


@lru_cache(maxsize=256)
def _read(text: str, what: str) -> float:
    if len(text) > _LONGEST_TEXT:
        raise _none(f"{text[:_LONGEST_TEXT]}…", what)
    total, place, smallest, folded = 0.0, 0, math.inf, text.casefold()
    while place < len(folded) and (part := _PART.match(folded, place)):
        size = _UNITS.get(part[2])
        if size is None or size >= smallest:
            raise _none(text, what)
        total, place, smallest = total + float(part[1]) * size, part.end(), size
    if place and place == len(folded):
        return total
    iso = _ISO.fullmatch(text.strip())
    given = {unit: value for unit, value in iso.groupdict().items() if value} if iso else {}
    if not given:
        raise _none(text, what)
    try:
        return sum(float(value) * _UNITS[unit] for unit, value in given.items())
    except ValueError:
        raise _none(text, what) from None


def _none(given: object, what: str) -> ValueError:
    hint = "give seconds as a number, or text with a unit: 250ms, 90s, 15m, 1h30m, 2d"
    if isinstance(given, str) and given.strip().replace(".", "", 1).isdecimal():
        hint = f"text needs a unit: {given.strip()}s, or the number {given.strip()} for seconds"
    return ValueError(f"{_of(what)}{given!r} is not a duration; {hint}")


def _of(what: str) -> str:
    return f"{what}: " if what else ""
