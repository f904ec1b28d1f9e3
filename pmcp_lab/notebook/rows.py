"""A task as the front end sees it (`Row` and `Moment` of `js/MESSAGES.md`), and as static HTML."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

from pmcp_lab.client import Moment, Task
from pmcp_lab.errors import LabError

VARIABLE_LIMIT = 2_000
"""Characters of one variable that are sent to a view; more is cut."""


def row(task: Task) -> dict[str, Any]:
    failure, outcome = task.failure, task.outcome
    error = None
    if failure is not None:
        text = failure.message if isinstance(failure, LabError) else str(failure)
        # The row names server and tool already.
        error = text.removeprefix(f"{task.server.name}.{task.tool} failed: ").partition("\n")[0]
    return {
        "key": task.key,
        "server": task.server.name,
        "tool": task.tool,
        "taskId": task.id or "",
        "status": task.status,
        "message": task.message,
        "progress": task.progress,
        "variables": {name: _short(value) for name, value in task.variables.items()},
        "started": task.started,
        "updated": task.updated,
        "ended": task.ended,
        "ttl": task.ttl,
        "trouble": task.trouble,
        "error": error,
        "result": outcome.preview(400) if outcome is not None else None,
        "questions": [{"key": q.key, "message": q.message} for q in task.questions],
    }


def _short(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= VARIABLE_LIMIT:
        return value
    return text[:VARIABLE_LIMIT] + "…"


def moments(history: Iterable[Moment]) -> list[dict[str, Any]]:
    return [{"time": moment.time, "status": moment.status, "message": moment.message} for moment in history]


def static_table(tasks: Iterable[Task]) -> str:
    """The tasks as a plain table, for where no widget runs. Everything from a server is escaped."""
    head = "".join(
        f"<th style='text-align:left'>{name}</th>" for name in ("server", "tool", "status", "progress", "message")
    )
    body = []
    for task in tasks:
        progress = "" if task.progress is None else f"{task.progress:.0%}"
        note = task.trouble or (str(task.failure).partition("\n")[0] if task.failure else task.message) or ""
        cells = (task.server.name, task.tool, task.status, progress, note)
        body.append(
            "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
        )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
