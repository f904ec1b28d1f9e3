"""A record as bytes: what a backend that can't hold Python objects stores.

Compact UTF-8 JSON with the fields of a PMCP record (`task`, `ownerId`, `variables`, `result`, `requestMethod`,
`expiresAt`), so that a table PMCP wrote can be opened, and beside them what PMCP has no place for.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, get_args

from msgspec import Meta, MsgspecError, Struct
from msgspec.json import Decoder

from pmcp_lab.errors import StoreError
from pmcp_lab.protocol import TaskStatus, to_timestamp
from pmcp_lab.tasks.json_value import read_json
from pmcp_lab.tasks.owner import LOCAL, Owner, resolve_owner
from pmcp_lab.tasks.record import NO_RESULT, Job, Lease, Phase, TaskRecord, truncated


def encode_record(record: TaskRecord) -> bytes:
    """The record as valid UTF-8 JSON.

    Raises:
        StoreError: Something in it is not JSON.
    """
    task: dict[str, Any] = {"taskId": record.task_id, "status": record.status.value}
    if record.message is not None:
        task["statusMessage"] = record.message
    task["createdAt"] = to_timestamp(record.created)
    task["lastUpdatedAt"] = to_timestamp(record.updated)
    task["ttl"] = record.ttl
    if record.poll_interval is not None:
        task["pollInterval"] = record.poll_interval
    stored: dict[str, Any] = {
        "task": task,
        "ownerId": "local" if record.owner == LOCAL else record.owner[-1],
        "variables": record.variables,
        "result": None if record.result is NO_RESULT else record.result,
        "requestMethod": record.method,
        "expiresAt": None if record.expires is None else to_timestamp(record.expires),
        "owner": record.owner,
        "seq": record.seq,
    }
    if record.result is not NO_RESULT:
        stored["hasResult"] = True
    if record.job is not None:
        stored["job"] = {
            "tool": record.job.tool,
            "arguments": record.job.arguments,
            "context": record.job.context,
        }
    if record.client_variables:
        stored["clientVariables"] = sorted(record.client_variables)
    if record.progress is not None:
        stored["progress"] = record.progress
    if record.error is not None:
        stored["error"] = record.error
    if record.questions:
        stored["inputRequests"] = record.questions
    if record.answers:
        stored["inputResponses"] = record.answers
    if record.lease is not None:
        held = record.lease
        stored["lease"] = {"run": held.run, "seconds": held.seconds, "version": held.version, "phase": held.phase}
    if record.last_run is not None:
        stored["lastRun"] = record.last_run
    try:
        try:
            return _PLAIN.encode(stored).encode()
        except UnicodeEncodeError:
            # Half a surrogate pair: legal in JSON as an escape, but in no UTF-8.
            return _ESCAPED.encode(stored).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"task {record.task_id} can't be written as JSON: {error}") from None


def decode_record(data: bytes, *, seq: int | None = None) -> TaskRecord:
    """The record in these bytes, also when PMCP wrote them: its `ownerId` reads as a subject without issuer.

    Args:
        seq: The version the backend keeps beside the bytes; None takes the one inside (1 when there is none).

    Raises:
        StoreError: The bytes are not a record.
    """
    try:
        record = _written_here(data, seq)
        return _record(read_json(data), seq) if record is None else record
    except (TypeError, ValueError, LookupError, ArithmeticError, RecursionError, AttributeError) as error:
        raise StoreError(f"a stored task can't be read: {str(error) or type(error).__name__}") from None


_PLAIN = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_ESCAPED = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False)


_Count = Annotated[int, Meta(ge=0)]


class _Task(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """`task` as it is written here."""

    task_id: str
    status: TaskStatus
    created_at: datetime
    last_updated_at: datetime
    ttl: _Count | None
    status_message: str | None = None
    poll_interval: _Count | None = None


class _Job(Struct, forbid_unknown_fields=True, gc=False):
    """`job` as it is written here."""

    tool: str
    arguments: dict[str, Any]
    context: dict[str, Any]


class _Stored(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """A record as it is written here."""

    task: _Task
    owner_id: str
    variables: dict[str, Any]
    result: Any
    request_method: str
    expires_at: datetime | None
    owner: Annotated[tuple[str, ...], Meta(min_length=1)]
    seq: _Count
    has_result: bool = False
    job: _Job | None = None
    client_variables: frozenset[str] = frozenset()
    progress: float | None = None
    error: dict[str, Any] | None = None
    input_requests: dict[str, dict[str, Any]] = {}
    input_responses: dict[str, Any] = {}
    lease: dict[str, Any] | None = None
    last_run: str | None = None


_DECODER = Decoder(_Stored)


def _written_here(data: bytes, seq: int | None) -> TaskRecord | None:
    """The record, in an eighth of the time; None unless it looks in every point as if it had been written here."""
    try:
        stored = _DECODER.decode(data)
    except (MsgspecError, RecursionError):
        # Somebody else's, damaged, or with something in it that this parser does not take: half a surrogate pair.
        return None
    task, job, result = stored.task, stored.job, stored.result
    created, updated, expires = task.created_at, task.last_updated_at, stored.expires_at
    if (
        created.tzinfo is not UTC
        or updated.tzinfo is not UTC
        or created.microsecond % 1000
        or updated.microsecond % 1000
        or (expires is not None and (expires.tzinfo is not UTC or expires.microsecond % 1000))
    ):
        return None
    return TaskRecord(
        task_id=task.task_id,
        owner=stored.owner,
        status=task.status,
        message=task.status_message,
        created=created,
        updated=updated,
        ttl=task.ttl,
        expires=expires,
        poll_interval=task.poll_interval,
        method=stored.request_method,
        job=None if job is None else Job(tool=job.tool, arguments=job.arguments, context=job.context),
        variables=stored.variables,
        client_variables=stored.client_variables,
        progress=stored.progress,
        result=NO_RESULT if result is None and not stored.has_result else result,
        error=stored.error,
        questions=stored.input_requests,
        answers=stored.input_responses,
        lease=None if stored.lease is None else _lease(stored.lease),
        last_run=stored.last_run,
        seq=seq if seq is not None else stored.seq or 1,
    )


def _record(stored: Any, seq: int | None) -> TaskRecord:
    stored = _object(stored, "the record")
    task = _object(stored["task"], "task")
    result = stored.get("result")
    if result is None and stored.get("hasResult") is not True:
        result = NO_RESULT
    progress = stored.get("progress")
    if progress is not None and (isinstance(progress, bool) or not isinstance(progress, int | float)):
        raise ValueError("progress is not a number")
    questions = _object(stored.get("inputRequests") or {}, "inputRequests")
    for asked in questions.values():
        _object(asked, "an input request")
    return TaskRecord(
        task_id=_string(task["taskId"], "taskId"),
        owner=_owner(stored),
        status=TaskStatus(task["status"]),
        message=_optional_string(task.get("statusMessage"), "statusMessage"),
        created=_moment(task["createdAt"], "createdAt"),
        updated=_moment(task["lastUpdatedAt"], "lastUpdatedAt"),
        ttl=_optional_count(task.get("ttl"), "ttl"),
        expires=None if stored.get("expiresAt") is None else _moment(stored["expiresAt"], "expiresAt"),
        poll_interval=_optional_count(task.get("pollInterval"), "pollInterval"),
        method=_string(stored["requestMethod"], "requestMethod"),
        job=None if stored.get("job") is None else _job(_object(stored["job"], "job")),
        variables=_object(stored["variables"], "variables"),
        client_variables=frozenset(_strings(stored.get("clientVariables") or [], "clientVariables")),
        progress=None if progress is None else float(progress),
        result=result,
        error=None if stored.get("error") is None else _object(stored["error"], "error"),
        questions=questions,
        answers=_object(stored.get("inputResponses") or {}, "inputResponses"),
        lease=None if stored.get("lease") is None else _lease(_object(stored["lease"], "lease")),
        last_run=_optional_string(stored.get("lastRun"), "lastRun"),
        seq=seq if seq is not None else _optional_count(stored.get("seq"), "seq") or 1,
    )


def _owner(stored: dict[str, Any]) -> Owner:
    if "owner" not in stored:
        name = _string(stored["ownerId"], "ownerId")
        return LOCAL if name == "local" else resolve_owner(name)
    parts = _strings(stored["owner"], "owner")
    if not parts:
        raise ValueError("owner is empty")
    return tuple(parts)


def _job(stored: dict[str, Any]) -> Job:
    return Job(
        tool=_string(stored["tool"], "job.tool"),
        arguments=_object(stored.get("arguments") or {}, "job.arguments"),
        context=_object(stored.get("context") or {}, "job.context"),
    )


def _lease(stored: dict[str, Any]) -> Lease:
    seconds, version, phase = stored["seconds"], stored["version"], stored["phase"]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ValueError("lease.seconds is not a number")
    if isinstance(version, bool) or not isinstance(version, int):
        raise ValueError("lease.version is not a whole number")
    if phase not in get_args(Phase):
        raise ValueError("lease.phase is none")
    return Lease(run=_string(stored["run"], "lease.run"), seconds=float(seconds), version=version, phase=phase)


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not an object")
    return value


def _string(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is not text")
    return value


def _optional_string(value: Any, name: str) -> str | None:
    return None if value is None else _string(value, name)


def _optional_count(value: Any, name: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"{name} is not a number of at least 0")
    return value


def _strings(value: Any, name: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ValueError(f"{name} is not a list of texts")
    return value


def _moment(value: Any, name: str) -> datetime:
    moment = datetime.fromisoformat(_string(value, name))
    # As written here, there is nothing to cut; others write any offset, and up to nanoseconds.
    if len(value) == 24 and value[23] == "Z" and value[19] == ".":
        return moment
    return truncated(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
