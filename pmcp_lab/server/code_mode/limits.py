"""How much a program may take. One validated object."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pmcp_lab.protocol.durations import Duration, as_duration, seconds

_Count = Annotated[int, Field(ge=1, strict=True)]
_Span = Annotated[Duration, BeforeValidator(as_duration)]


class CodeLimits(BaseModel):
    """What one program may take. Durations are seconds, text such as "1m", or a `timedelta`.

    None of them begins anew when the server is killed and another one goes on with the program.

    Args:
        source: UTF-8 bytes of the program.
        calls: Calls of tools, and sleeps, one program may make.
        parallel: Calls of one `asyncio.gather` that run at a time; the others wait in order.
        compute: How long the program itself may compute. What it waits for is not counted.
        call: How long one tool may take; then the program gets a `TimeoutError`.
        duration: How long it may take all in all. Waiting for a person is not counted.
        memory: Bytes of its values.
        depth: Function calls within each other.
        output: UTF-8 bytes that are kept of what it prints; the rest is left out.
        kept: Bytes the stopped program may take in its task, packed, with its open calls.

    Raises:
        pydantic.ValidationError: A value is out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: _Count = 16_384
    calls: _Count = 200
    parallel: _Count = 8
    compute: _Span = 10
    call: _Span = "5m"
    duration: _Span = "30m"
    memory: _Count = 64 * 1_048_576
    depth: _Count = 200
    output: _Count = 65_536
    kept: _Count = 4 * 1_048_576

    @property
    def compute_seconds(self) -> float:
        return seconds(self.compute, "compute")

    @property
    def call_seconds(self) -> float:
        return seconds(self.call, "call")

    @property
    def duration_seconds(self) -> float:
        return seconds(self.duration, "duration")
