"""Names under `_meta`, and task variables, which live there.

A variable is one top-level `_meta` key of the Task. Names that would collide with reserved ones are
refused on the way out and ignored on the way in (MCP "General fields": `_meta` key prefixes).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pmcp_lab.errors import VariableError

TASKS_EXTENSION = "io.modelcontextprotocol/tasks"
VARIABLES_EXTENSION = "run.pmcp/task-variables"
SET_VARIABLES = "run.pmcp/tasks/set_variables"

RELATED_TASK = "io.modelcontextprotocol/related-task"
IMMEDIATE_RESPONSE = "io.modelcontextprotocol/model-immediate-response"
"""In a `CreateTaskResult` of 2025-11-25: what to tell the model while the task runs."""
PROGRESS = "run.pmcp/progress"
"""Progress of a task: `{"progress": number, "total": number}`, so that a client that only polls sees it."""

_RESERVED = re.compile(
    r"(?:[\w-]+\.)*(?:modelcontextprotocol|mcp)(?:[./]|$)|modelcontextprotocol|mcp|run\.pmcp/", re.IGNORECASE
)
_PLAIN = frozenset({"progressToken"})


def reserved(name: str) -> bool:
    """Whether a `_meta` key belongs to the protocol (or to this package) and can't name a variable."""
    return name in _PLAIN or _RESERVED.match(name) is not None


def check_variable_name(name: str) -> None:
    """Raise `VariableError` unless `name` can be a task variable."""
    if not name:
        raise VariableError("a task variable needs a name")
    if reserved(name):
        raise VariableError(f"task variable {name!r} would collide with a reserved _meta name; choose another name")


def task_meta(variables: Mapping[str, Any], progress: float | None) -> dict[str, Any]:
    """The `_meta` of a Task on the wire. Keys are sorted so that equal tasks have equal bytes."""
    meta: dict[str, Any] = {name: variables[name] for name in sorted(variables)}
    if progress is not None:
        meta[PROGRESS] = {"progress": progress, "total": 1}
    return meta


def variables_of(meta: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (meta or {}).items() if not reserved(key)}


def fraction(progress: object, total: object) -> float | None:
    """Progress as 0..1, or None when the total is not known."""
    if isinstance(progress, bool) or not isinstance(progress, int | float):
        return None
    if total is None or isinstance(total, bool) or not isinstance(total, int | float) or total <= 0:
        return None
    return min(1.0, max(0.0, progress / total))


def progress_of(meta: Mapping[str, Any] | None) -> float | None:
    value = (meta or {}).get(PROGRESS)
    if not isinstance(value, Mapping):
        return None
    return fraction(value.get("progress"), value.get("total"))
