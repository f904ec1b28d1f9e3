"""What the record of a task behind a call says: which call it stands behind, what may be answered, what came of it."""

from __future__ import annotations

from typing import Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, CallToolRequestParams
from msgspec.structs import replace

from pmcp_lab.errors import LabError
from pmcp_lab.server.request import Request
from pmcp_lab.server.request_state import invalid_state
from pmcp_lab.tasks import TaskRecord

_RETURNS: Final = "returns"
"""Key of `Job.context`: how often the client has called again."""


def check_same(record: TaskRecord, params: CallToolRequestParams) -> None:
    """Raise `MCPError` unless this is the call that the task stands behind."""
    job = record.job
    if job is None or job.tool != params.name or dict(job.arguments) != (params.arguments or {}):
        raise invalid_state()


def answers_in(record: TaskRecord, ctx: Request) -> dict[str, Any]:
    """The answers in a request to what the task asks."""
    given = (ctx.params or {}).get("inputResponses") or {}
    answers = {key: given[key] for key in record.open_questions if key in given}
    for key, answer in answers.items():
        method = record.questions[key]["method"]
        if ("action" if method == "elicitation/create" else "role") not in answer:
            raise MCPError(INVALID_PARAMS, f"inputResponses: what is given for {key!r} is no answer to {method}")
    return answers


def returns_of(record: TaskRecord) -> int:
    return 0 if record.job is None else int(record.job.context.get(_RETURNS, 0))


def come_back(record: TaskRecord) -> TaskRecord:
    """With one more call of its client, which whoever thinks that it has gone will see."""
    if record.job is None or not record.live:
        return record
    context = {**record.job.context, _RETURNS: returns_of(record) + 1}
    return replace(record, job=replace(record.job, context=context))


def outcome(record: TaskRecord) -> dict[str, Any]:
    """What a call is answered with whose task is over.

    Raises:
        MCPError: The call ended with a protocol error, or was cancelled.
    """
    tool = "" if record.job is None else record.job.tool
    if record.error is not None:
        code, message = int(record.error.get("code", LabError.code)), str(record.error.get("message", ""))
        said = f"tool {tool!r} did not end: {message}" if code == INTERNAL_ERROR else message
        raise MCPError(code, said, record.error.get("data"))
    if not isinstance(record.result, dict):
        raise MCPError(INVALID_PARAMS, f"this call of tool {tool!r} was cancelled; call the tool again")
    return dict(record.result)
