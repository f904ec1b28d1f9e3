"""The steps of a workflow as a table, and the word for how each stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pmcp_lab.protocol.workflow_wire import StepState, StepStatus

if TYPE_CHECKING:
    import pandas as pd


def status_of(step: StepState) -> str:
    """How a step stands, in a word or two."""
    if step.undone is not None:
        return "undone" if step.undone == "undone" else "undo failed"
    return "running" if step.running else step.status.value


def steps_frame(steps: Sequence[StepState]) -> pd.DataFrame:
    """The steps as a pandas DataFrame.

    Columns: step, tool, status, by, arguments, value, reason (why it was refused or skipped), started and ended (of the
    last attempt), attempts (each with `started`, `ended`, `outcome` and `by`).
    """
    import pandas as pd

    rows = [
        (
            step.name,
            step.tool,
            status_of(step),
            step.by,
            None if step.arguments is None else dict(step.arguments),
            None if step.result is None else step.result.value,
            step.reason,
            step.attempts[-1].started if step.attempts else None,
            step.attempts[-1].ended if step.attempts else None,
            [dataclasses.asdict(attempt) for attempt in step.attempts],
        )
        for step in steps
    ]
    columns = ["step", "tool", "status", "by", "arguments", "value", "reason", "started", "ended", "attempts"]
    frame = pd.DataFrame(rows, columns=columns)
    for column in ("started", "ended"):
        frame[column] = pd.to_datetime(frame[column], utc=True, errors="coerce")
    return frame


def why_closed(step: str, asked: StepState) -> str:
    """Why a step can't be called, given the one that a person has yet to agree to, or has refused."""
    if asked.status is StepStatus.REFUSED:
        return f"step {step!r} is not to be done: step {asked.name!r} was refused ({asked.reason})"
    if step == asked.name:
        return f"step {step!r} asks a person: answer it"
    return f"step {step!r} is not to be done yet: a person has to agree at step {asked.name!r} first"
