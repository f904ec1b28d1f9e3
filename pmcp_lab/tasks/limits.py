"""How much a store holds for whom, and for how long. One validated object; defaults as the PMCP reference."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

_Count = Annotated[int, Field(ge=1, strict=True)]
_Milliseconds = Annotated[int, Field(ge=0, strict=True)]

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)\s*")


def milliseconds(duration: str | int | None) -> int | None:
    """`"90s"`, `"1.5h"`, `"250ms"` or a number of milliseconds, as milliseconds; None stays None.

    Raises:
        ValueError: The text is not a number with one of ms, s, m (min), h, d, or the number is negative.
    """
    if duration is None:
        return None
    if isinstance(duration, bool) or not isinstance(duration, int | str):
        raise ValueError(f"a duration is milliseconds or text such as '1h', not {duration!r}")
    if isinstance(duration, int):
        if duration < 0:
            raise ValueError(f"a duration can't be negative: {duration}")
        return duration
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"{duration!r} is not a duration; write a number and a unit: 250ms, 90s, 5m, 1h, 2d")
    return int(float(match[1]) * _UNITS[match[2]])


class Limits(BaseModel):
    """What a store allows.

    Args:
        tasks_per_owner: Live (not terminal, not expired) tasks one owner may have; None is without limit.
        default_ttl: Milliseconds a task is kept when nobody asks otherwise; None keeps it for good.
        max_ttl: The longest time to live that may be asked for (ms); None is without limit.
        poll_interval: Milliseconds clients are asked to leave between two polls.
        variable_bytes: All variables of one task together, as compact UTF-8 JSON.
        variable_depth: Nested lists and objects around a value.
        variable_string: UTF-8 bytes of one text value.
        variable_keys: Variables per task.
        variable_name: UTF-8 bytes of a variable's name.
        argument_bytes: A call's arguments, or the answers to questions that come together, as compact UTF-8 JSON.
        result_bytes: A result, as compact UTF-8 JSON.
        allow_anonymous: Whether callers without credentials may create tasks.

    Raises:
        pydantic.ValidationError: A value is out of range, or the default ttl is above the maximum.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks_per_owner: _Count | None = 100
    default_ttl: _Milliseconds | None = 3_600_000
    max_ttl: _Milliseconds | None = 86_400_000
    poll_interval: _Count = 1_000
    variable_bytes: _Count = 1_048_576
    variable_depth: _Count = 10
    variable_string: _Count = 65_536
    variable_keys: _Count = 1_000
    variable_name: _Count = 256
    argument_bytes: _Count = 4_194_304
    result_bytes: _Count = 16_777_216
    allow_anonymous: bool = True

    @model_validator(mode="after")
    def _default_within_maximum(self) -> Limits:
        if self.max_ttl is not None and (self.default_ttl is None or self.default_ttl > self.max_ttl):
            raise ValueError("default_ttl must not be above max_ttl")
        return self
