"""A task as the front end sees it (`Row` and `Moment` of `js/MESSAGES.md`)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pmcp_lab.client import Moment, Snapshot, Task, call_of, in_words, reason_of
from pmcp_lab.errors import ToolError

_FIELDS = (
    "server",
    "tool",
    "set",
    "taskId",
    "status",
    "message",
    "progress",
    "started",
    "ended",
    "ttl",
    "trouble",
    "error",
    "result",
    "questions",
)
LIVE = frozenset({"working", "queued", "input_required"})
MESSAGE_LIMIT = 2_000
RESULT_LIMIT = 400
"""Characters of a message, and of a result, that a card shows."""
VARIABLE_LIMIT = 2_000
"""Characters of one variable that are sent to a view; more is cut."""
TALLY_LIMIT = 10_000
"""Beyond this many tasks their states are not counted each time a table is displayed: it would be felt."""
RAW_LIMIT = 100_000
"""Characters of JSON that a view shows of one task."""


def read_fields(seen: Snapshot, *, message: int, result: int) -> tuple[Any, ...]:
    """What a view knows of a task besides its variables, in the order of `_FIELDS`.

    Args:
        message, result: Characters at most.
    """
    error = shown = None
    if seen.status not in LIVE:
        error = reason_of(seen, message) if seen.failure is not None else None
        if error is None and seen.outcome is not None:
            shown = seen.outcome.preview(result)
    said, progress = seen.message, seen.progress
    return (
        seen.server,
        seen.tool,
        seen.set_name,
        seen.id,
        seen.status,
        said if said is None or len(said) <= message else said[: message - 1] + "…",
        None if progress is None else round(progress, 4),
        seen.started,
        seen.ended,
        seen.ttl_ms,
        seen.trouble,
        error,
        shown,
        tuple((question.key, question.message) for question in seen.questions) or None,
    )


def row(seen: Snapshot) -> dict[str, Any]:
    """A task as a card shows it (`Row`)."""
    known = dict(zip(_FIELDS, read_fields(seen, message=MESSAGE_LIMIT, result=RESULT_LIMIT), strict=True))
    return {
        "key": seen.key,
        "updated": seen.updated,
        "variables": variables(seen),
        **known,
        "taskId": known["taskId"] or "",
        "questions": [{"key": key, "message": message} for key, message in known["questions"] or ()],
    }


def variables(seen: Snapshot) -> dict[str, Any]:
    """A task's variables, each cut at `VARIABLE_LIMIT`."""
    return {name: _short(value) for name, value in seen.variables.items()}


def _short(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= VARIABLE_LIMIT:
        return value
    return text[:VARIABLE_LIMIT] + "…"


def moments(history: Iterable[Moment]) -> list[dict[str, Any]]:
    return [{"time": moment.time, "status": moment.status, "message": moment.message} for moment in history]


def tally(tasks: Sequence[Task]) -> str:
    """How many tasks are in which state: "3 completed, 1 failed"."""
    if len(tasks) > TALLY_LIMIT:
        return f"{len(tasks):,} tasks"
    return ", ".join(in_words(Counter(task.status for task in tasks)))


def raw_text(task: Task) -> str:
    """What is known of a task as indented JSON, cut at `RAW_LIMIT`."""
    seen, reported = call_of(task).snapshot(), call_of(task).reported
    known: dict[str, Any] = {
        "server": seen.server,
        "tool": seen.tool,
        "arguments": task.arguments,
        "task": {
            "taskId": seen.id,
            "status": reported.value if reported else None,
            "statusMessage": seen.message,
            "progress": seen.progress,
            "ttl": seen.ttl_ms,
            "variables": dict(seen.variables),
        },
    }
    if seen.questions:
        known["inputRequests"] = {
            question.key: {"message": question.message, "requestedSchema": dict(question.schema)}
            for question in seen.questions
        }
    if isinstance(seen.failure, ToolError):
        known["result"] = seen.failure.result
    elif seen.failure is not None:
        known["error"] = {name: getattr(seen.failure, name, None) for name in ("message", "code", "data")}
    if seen.outcome is not None:
        known["result"] = seen.outcome.raw
    text = json.dumps(known, ensure_ascii=False, indent=2, default=str)
    return text if len(text) <= RAW_LIMIT else text[:RAW_LIMIT] + f"\n… {len(text) - RAW_LIMIT:,} more characters"
