"""A task as the front end sees it (`Row` and `Moment` of `js/MESSAGES.md`), and as static HTML."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pmcp_lab.client import Moment, Task, call_of
from pmcp_lab.errors import LabError, ToolError

FIELDS = (
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
LIVE = frozenset({"working", "input_required"})
MESSAGE_LIMIT = 2_000
RESULT_LIMIT = 400
"""Characters of a message, and of a result, that a card shows."""
VARIABLE_LIMIT = 2_000
"""Characters of one variable that are sent to a view; more is cut."""
STATIC_LIMIT = 200
"""Rows of a static table: a saved notebook should stay readable, and small."""
NOTE_LIMIT = 300
"""Characters of a message in a static table."""
TALLY_LIMIT = 10_000
"""Beyond this many tasks their states are not counted each time a table is displayed: it would be felt."""
RAW_LIMIT = 100_000
"""Characters of JSON that a view shows of one task."""


def error_line(task: Task) -> str | None:
    """Why a task failed, in one line; None when it did not."""
    failure = task.failure
    if failure is None:
        return None
    text = failure.message if isinstance(failure, LabError) else str(failure)
    # The row names server and tool already.
    return text.removeprefix(f"{task.server}.{task.tool} failed: ").partition("\n")[0]


def read_fields(task: Task, *, message: int = NOTE_LIMIT, result: int) -> tuple[Any, ...]:
    """What a view knows of a task besides its variables, in the order of `FIELDS`: of the card and of a row alike.

    Args:
        message, result: Characters at most.
    """
    call, status = call_of(task), task.status
    error = shown = None
    if status not in LIVE:
        error = error_line(task)
        if error is None and (outcome := call.outcome) is not None:
            shown = outcome.preview(result)
    said, progress = task.message, call.progress
    return (
        call.server,
        call.tool,
        call.set_name,
        call.id,
        status,
        said if said is None or len(said) <= message else said[: message - 1] + "…",
        None if progress is None else round(progress, 4),
        call.started,
        call.ended,
        call.ttl_ms,
        call.trouble,
        error,
        shown,
        tuple((question.key, question.message) for question in call.questions.values()) or None,
    )


def row(task: Task) -> dict[str, Any]:
    """A task as a card shows it (`Row`)."""
    known = dict(zip(FIELDS, read_fields(task, message=MESSAGE_LIMIT, result=RESULT_LIMIT), strict=True))
    return {
        "key": call_of(task).key,
        "updated": task.updated,
        "variables": variables(task),
        **known,
        "taskId": known["taskId"] or "",
        "questions": [{"key": key, "message": message} for key, message in known["questions"] or ()],
    }


def variables(task: Task) -> dict[str, Any]:
    """A task's variables, each cut at `VARIABLE_LIMIT`."""
    return {name: _short(value) for name, value in call_of(task).variables.items()}


def _short(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= VARIABLE_LIMIT:
        return value
    return text[:VARIABLE_LIMIT] + "…"


def moments(history: Iterable[Moment]) -> list[dict[str, Any]]:
    return [{"time": moment.time, "status": moment.status, "message": moment.message} for moment in history]


def static_table(tasks: Sequence[Task]) -> str:
    """The tasks as a plain table, for where no widget runs. Everything from a server is escaped."""
    head = "".join(f"<th align='left'>{name}</th>" for name in ("server", "tool", "status", "progress", "message"))
    body = []
    for task in tasks[:STATIC_LIMIT]:
        progress = "" if task.progress is None else f"{task.progress:.0%}"
        cells = (task.server, task.tool, task.status.replace("_", " "), progress, _note(task))
        body.append("<tr>" + "".join(f"<td align='left'>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    summary = html.escape(tally(tasks) or "no tasks yet")
    more = f" (the first {STATIC_LIMIT} are shown)" if len(tasks) > STATIC_LIMIT else ""
    return f"<p>Tasks: {summary}{more}</p>{table if tasks else ''}"


def _note(task: Task) -> str:
    note = task.trouble or error_line(task) or task.message or ""
    if not note and task.outcome is not None:
        note = task.outcome.preview(NOTE_LIMIT)
    return note if len(note) <= NOTE_LIMIT else note[: NOTE_LIMIT - 1] + "…"


def tally(tasks: Sequence[Task]) -> str:
    """How many tasks are in which state: "3 completed, 1 failed"."""
    if len(tasks) > TALLY_LIMIT:
        return f"{len(tasks):,} tasks"
    counts = Counter(task.status for task in tasks)
    return ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in sorted(counts.items()))


def raw_text(task: Task) -> str:
    """What is known of a task as indented JSON, cut at `RAW_LIMIT`."""
    failure, outcome, reported = task.failure, task.outcome, call_of(task).reported
    known: dict[str, Any] = {
        "server": task.server,
        "tool": task.tool,
        "arguments": task.arguments,
        "task": {
            "taskId": task.id,
            "status": reported.value if reported else None,
            "statusMessage": task.message,
            "progress": task.progress,
            "ttl": call_of(task).ttl_ms,
            "variables": dict(task.variables),
        },
    }
    if task.questions:
        known["inputRequests"] = {
            question.key: {"message": question.message, "requestedSchema": dict(question.schema)}
            for question in task.questions
        }
    if isinstance(failure, ToolError):
        known["result"] = failure.result
    elif failure is not None:
        known["error"] = {name: getattr(failure, name, None) for name in ("message", "code", "data")}
    if outcome is not None:
        known["result"] = outcome.raw
    text = json.dumps(known, ensure_ascii=False, indent=2, default=str)
    return text if len(text) <= RAW_LIMIT else text[:RAW_LIMIT] + f"\n… {len(text) - RAW_LIMIT:,} more characters"
