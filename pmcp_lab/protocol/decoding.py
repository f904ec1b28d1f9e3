"""Reading a Task off either wire, forgiving what real peers do (wrapped tasks, missing fields).

The shapes that are sent are in `legacy` and `modern`, strictly by the schemas.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pmcp_lab.errors import LabError
from pmcp_lab.protocol.meta import progress_of, variables_of
from pmcp_lab.protocol.status import TaskStatus
from pmcp_lab.protocol.task import TaskState, from_timestamp


def _whole(raw: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = raw.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return int(value)
    return None


def _mapping(value: object) -> dict[str, Any] | None:
    return dict(value) if isinstance(value, Mapping) else None


def decode_task(raw: Mapping[str, Any]) -> TaskState:
    """A Task from a legacy or modern result or notification.

    Accepts the bare object and one wrapped in `{"task": …}`, `ttl`/`ttlMs` and `pollInterval`/`pollIntervalMs`.

    Raises:
        LabError: `taskId` is missing or `status` is none of the five.
    """
    outer_meta = _mapping(raw.get("_meta")) or {}
    task = raw["task"] if isinstance(raw.get("task"), Mapping) else raw
    task_id = task.get("taskId")
    if not isinstance(task_id, str) or not task_id:
        raise LabError(f"the server sent a task without a taskId (keys: {', '.join(sorted(map(str, task)))})")
    try:
        status = TaskStatus(str(task.get("status")))
    except ValueError:
        raise LabError(f"the server sent task {task_id} with an unknown status {task.get('status')!r}") from None
    now = datetime.now(UTC)
    created = from_timestamp(task.get("createdAt")) or now
    meta = outer_meta | (_mapping(task.get("_meta")) or {})
    message = task.get("statusMessage")
    requests = _mapping(task.get("inputRequests")) or {}
    return TaskState(
        task_id=task_id,
        status=status,
        message=message if isinstance(message, str) else None,
        created_at=created,
        updated_at=from_timestamp(task.get("lastUpdatedAt")) or created,
        ttl=_whole(task, "ttlMs", "ttl"),
        poll_interval=_whole(task, "pollIntervalMs", "pollInterval"),
        progress=progress_of(meta),
        variables=variables_of(meta),
        result=_mapping(task.get("result")),
        error=_mapping(task.get("error")),
        input_requests={key: dict(value) for key, value in requests.items() if isinstance(value, Mapping)},
    )


def decode_result(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The original result from a legacy `tasks/result`, unwrapped from `{"result": …}` where a peer nests it."""
    inner = raw.get("result")
    if "content" not in raw and isinstance(inner, Mapping):
        meta = {**(_mapping(raw.get("_meta")) or {}), **(_mapping(inner.get("_meta")) or {})}
        body = dict(inner) if "content" in inner else {"content": [], "structuredContent": dict(inner)}
        return body | ({"_meta": meta} if meta else {})
    return {key: value for key, value in raw.items() if key != "resultType"}
