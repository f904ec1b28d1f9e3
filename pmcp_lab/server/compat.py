"""What PMCP peers say and expect beyond the specification: results given to `tasks/cancel`, and wrapped tasks.

Nothing here is needed by any other client. Its workflows are in `pmcp_lab.workflow`, its variables in `protocol.meta`.
"""

from __future__ import annotations

from typing import Any

from mcp_types import CallToolResult, CancelTaskRequestParams
from pydantic import ValidationError

from pmcp_lab.errors import INVALID_PARAMS, LabError, TaskError
from pmcp_lab.protocol.meta import RELATED_TASK
from pmcp_lab.tasks import TaskRecord
from pmcp_lab.tasks.json_value import compact_json

CLIENT_RESULT = "clientResult"
"""Key of `Job.context`: the tool lets its client finish the task."""


class CancelParams(CancelTaskRequestParams):
    """`tasks/cancel`; with a `result` it finishes the task instead. Null is no result."""

    result: Any = None


def finished_by_client(record: TaskRecord, value: Any) -> dict[str, Any]:
    """The `CallToolResult` that a client finishes its task with; what is not one becomes its structured content.

    Raises:
        TaskError: Somebody else works on this task, so that the result would be forged.
        LabError: The value looks like a `CallToolResult` and is none, or is not JSON.
    """
    job = record.job
    if job is not None and job.context.get(CLIENT_RESULT) is not True:
        raise TaskError(
            f"task {record.task_id} is run by tool {job.tool!r}: its client can cancel it but not give its result",
            record.task_id,
        )
    if not isinstance(value, dict) or "content" not in value:
        try:
            text = compact_json(value).decode(errors="replace")
        except (ValueError, RecursionError) as error:
            raise LabError(f"the result can't be written as JSON: {error}", code=INVALID_PARAMS) from None
        structured = value if isinstance(value, dict) else {"result": value}
        value = {"content": [{"type": "text", "text": text}], "structuredContent": structured}
    try:
        checked = CallToolResult.model_validate(value, by_name=False)
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, problem["loc"])) for problem in error.errors()}))
        raise LabError(f"the result is not a CallToolResult ({fields})", code=INVALID_PARAMS) from None
    return checked.model_dump(by_alias=True, mode="json", exclude_none=True)


def nested(task: dict[str, Any]) -> dict[str, Any]:
    """The task as PMCP's own client reads it, under `task`, and beside it as everybody else does."""
    return {**task, "task": task}


def related(task_id: str) -> dict[str, Any]:
    """The `_meta` of PMCP's `CreateTaskResult`."""
    return {RELATED_TASK: {"taskId": task_id}}
