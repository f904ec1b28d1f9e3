"""The 2025-11-25 wire: the client asks for a task, `tasks/result` blocks (spec: "Tasks", experimental)."""

from __future__ import annotations

from typing import Any

from pmcp_lab.protocol.meta import RELATED_TASK, task_meta
from pmcp_lab.protocol.status import TaskStatus
from pmcp_lab.protocol.task import TaskState, to_timestamp

VERSION = "2025-11-25"

GET = "tasks/get"
RESULT = "tasks/result"
LIST = "tasks/list"
CANCEL = "tasks/cancel"
STATUS = "notifications/tasks/status"

CAPABILITY: dict[str, Any] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
"""`capabilities.tasks` of a server that offers everything."""

PMCP_CAPABILITY = "tasks"
"""Where PMCP looks for the same: under `capabilities.experimental`."""


def status_of(task: TaskState) -> TaskStatus:
    """This generation calls a task `failed` when its tool reported an error; the other calls it `completed`."""
    reported = task.result is not None and task.result.get("isError") is True
    return TaskStatus.FAILED if reported and task.status is TaskStatus.COMPLETED else task.status


def encode_task(task: TaskState) -> dict[str, Any]:
    """The `Task` object: `ttl` is null when unlimited, other unset fields are left out."""
    raw: dict[str, Any] = {"taskId": task.task_id, "status": status_of(task).value}
    if task.message is not None:
        raw["statusMessage"] = task.message
    raw |= {
        "createdAt": to_timestamp(task.created_at),
        "lastUpdatedAt": to_timestamp(task.updated_at),
        "ttl": task.ttl,
    }
    if task.poll_interval is not None:
        raw["pollInterval"] = task.poll_interval
    if meta := task_meta(task.variables, task.progress):
        raw["_meta"] = meta
    return raw


def encode_created(task: TaskState, meta: dict[str, Any] | None = None) -> dict[str, Any]:
    """`CreateTaskResult`."""
    return {"task": encode_task(task)} | ({"_meta": meta} if meta else {})


def encode_result(task_id: str, result: dict[str, Any]) -> dict[str, Any]:
    """The answer to `tasks/result`: the original result with the related task in its `_meta`."""
    body = {key: value for key, value in result.items() if key != "resultType"}
    return body | {"_meta": {**(result.get("_meta") or {}), RELATED_TASK: {"taskId": task_id}}}
