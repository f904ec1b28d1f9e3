"""The 2026-07-28 wire with `io.modelcontextprotocol/tasks`: the server decides, `tasks/get` carries everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pmcp_lab.protocol.meta import RELATED_TASK, task_meta
from pmcp_lab.protocol.status import TaskStatus
from pmcp_lab.protocol.task import TaskState, to_timestamp

VERSION = "2026-07-28"

GET = "tasks/get"
UPDATE = "tasks/update"
CANCEL = "tasks/cancel"
CHANGED = "notifications/tasks"

RESULT_TYPE = "task"


def encode_task(task: TaskState) -> dict[str, Any]:
    """The `Task` object, without what only `tasks/get` shows."""
    raw: dict[str, Any] = {"taskId": task.task_id, "status": task.status.value}
    if task.message is not None:
        raw["statusMessage"] = task.message
    raw |= {
        "createdAt": to_timestamp(task.created_at),
        "lastUpdatedAt": to_timestamp(task.updated_at),
        "ttlMs": task.ttl,
    }
    if task.poll_interval is not None:
        raw["pollIntervalMs"] = task.poll_interval
    if meta := task_meta(task.variables, task.progress):
        raw["_meta"] = meta
    return raw


def encode_created(task: TaskState) -> dict[str, Any]:
    """`CreateTaskResult`: a flat task with `resultType: "task"`."""
    return {"resultType": RESULT_TYPE, **encode_task(task)}


def encode_detailed(task: TaskState) -> dict[str, Any]:
    """`DetailedTask`: with the result, the error or the open questions, as the status has them."""
    raw = encode_task(task)
    match task.status:
        case TaskStatus.COMPLETED:
            raw["result"] = _plain_result(task.result or {"content": []})
        case TaskStatus.FAILED:
            raw["error"] = task.error or {"code": -32603, "message": task.message or "the task failed"}
        case TaskStatus.INPUT_REQUIRED:
            raw["inputRequests"] = dict(task.input_requests)
        case _:
            pass
    return raw


def _plain_result(result: dict[str, Any]) -> dict[str, Any]:
    """An inlined result must not carry the legacy related-task key."""
    meta = {key: value for key, value in (result.get("_meta") or {}).items() if key != RELATED_TASK}
    body = {key: value for key, value in result.items() if key != "_meta"}
    return body | ({"_meta": meta} if meta else {})


def encode_got(task: TaskState) -> dict[str, Any]:
    """The answer to `tasks/get`."""
    return {"resultType": "complete", **encode_detailed(task)}


def for_one(result: Mapping[str, Any], *, ttl_ms: int | None = None) -> dict[str, Any]:
    """A result made for whoever asked, where it says for how long and for whom it may be kept ("Caching").

    Args:
        ttl_ms: For how long; None leaves it.
    """
    if "cacheScope" not in result:
        return dict(result)
    return {**result, "cacheScope": "private"} | ({} if ttl_ms is None else {"ttlMs": ttl_ms})
