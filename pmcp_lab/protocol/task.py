"""One task, whichever generation it was spoken in: what every layer above `protocol` sees."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from msgspec import Struct, field

from pmcp_lab.protocol.status import TaskStatus


class TaskState(Struct, frozen=True, kw_only=True, gc=False):
    """A task at one moment.

    Args:
        ttl: Milliseconds from creation for which the server keeps the task; None is without limit.
        poll_interval: Milliseconds the server asks to leave between two polls; None when it has no wish.
        progress: 0..1, or None when unknown.
        variables: The task's shared variables (`_meta` keys on the wire).
        result: The `CallToolResult` as JSON, once there is one.
        error: The JSON-RPC error (`code`, `message`, `data`) of a failed task.
        input_requests: Open questions by key: `{"method": …, "params": …}`.
    """

    task_id: str
    status: TaskStatus
    created_at: datetime
    updated_at: datetime
    message: str | None = None
    ttl: int | None = None
    poll_interval: int | None = None
    progress: float | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    input_requests: Mapping[str, dict[str, Any]] = field(default_factory=dict)


@lru_cache(maxsize=1_024)
def to_timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, truncated to milliseconds, with `Z`."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def from_timestamp(text: object) -> datetime | None:
    """A moment from any RFC 3339 text (nanoseconds tolerated), or None when it is not one."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
