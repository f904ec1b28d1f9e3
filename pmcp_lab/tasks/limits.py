"""How much a store holds for whom, and for how long. One validated object; defaults as the PMCP reference."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pmcp_lab.protocol.durations import Duration, as_duration, milliseconds

_Count = Annotated[int, Field(ge=1, strict=True)]
_Kept = Annotated[Duration, BeforeValidator(as_duration)]


class Limits(BaseModel):
    """What a store allows. Durations are seconds, text such as "1h", or a `timedelta`.

    Args:
        tasks_per_owner: Live (not terminal, not expired) tasks one owner may have; None is without limit. Callers
            without credentials are one owner per network they come from. Calls that wait for an answer, without being
            tasks to their client, count for themselves.
        default_ttl: How long a task is kept when nobody asks otherwise; None keeps it for good.
        max_ttl: The longest time to live that may be asked for; None is without limit.
        poll_interval: What clients are asked to leave between two polls.
        variable_bytes: All variables of one task together, as compact UTF-8 JSON.
        variable_depth: Nested lists and objects around a value.
        variable_string: UTF-8 bytes of one text value.
        variable_keys: Variables per task.
        variable_name: UTF-8 bytes of a variable's name.
        argument_bytes: A call's arguments, or the answers to questions that come together, as compact UTF-8 JSON.
        result_bytes: A result, as compact UTF-8 JSON.
        allow_anonymous: Whether callers without credentials may create tasks.
        creations_per_minute: How many tasks callers without credentials may make over HTTP in a minute, per network
            they come from and per process of the server; None is without limit.

    Raises:
        pydantic.ValidationError: A value is out of range, or the default ttl is above the maximum.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks_per_owner: _Count | None = 100
    default_ttl: _Kept | None = "1h"
    max_ttl: _Kept | None = "1d"
    poll_interval: _Kept = "1s"
    variable_bytes: _Count = 1_048_576
    variable_depth: _Count = 10
    variable_string: _Count = 65_536
    variable_keys: _Count = 1_000
    variable_name: _Count = 256
    argument_bytes: _Count = 4_194_304
    result_bytes: _Count = 16_777_216
    allow_anonymous: bool = True
    creations_per_minute: _Count | None = 6_000

    @property
    def default_ttl_ms(self) -> int | None:
        """Milliseconds, as on the wire."""
        return milliseconds(self.default_ttl)

    @property
    def max_ttl_ms(self) -> int | None:
        """Milliseconds, as on the wire."""
        return milliseconds(self.max_ttl)

    @property
    def poll_interval_ms(self) -> int:
        """Milliseconds, as on the wire."""
        return milliseconds(self.poll_interval)

    @model_validator(mode="after")
    def _within(self) -> Limits:
        longest, default = self.max_ttl_ms, self.default_ttl_ms
        if longest is not None and (default is None or default > longest):
            raise ValueError("default_ttl must not be above max_ttl")
        if self.poll_interval_ms == 0:
            raise ValueError("poll_interval must be more than nothing")
        return self
