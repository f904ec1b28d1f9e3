"""Everything there is to know about one task, in one immutable record.

A record is only ever replaced whole, by compare-and-swap on `seq`: a status and the result that belongs to
it can't be separated, and a reader never sees half a change.
"""

from __future__ import annotations

import enum
import random
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from msgspec import Struct, field
from msgspec.structs import force_setattr, replace

from pmcp_lab.protocol import TaskState, TaskStatus
from pmcp_lab.tasks.owner import LOCAL, Owner, task_suffix


class _NoResult(enum.Enum):
    NO_RESULT = "no result"


NO_RESULT: Final = _NoResult.NO_RESULT
"""What `TaskRecord.result` is before there is one. A stored None is a result."""


class Job(Struct, frozen=True, kw_only=True, gc=False):
    """What to run, so that any process with the same tools can.

    Args:
        tool: The tool's registered name.
        arguments: As the caller sent them.
        context: What the work must know of its request: protocol version, progress token, whether the
            client answers questions.
    """

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)


WAITING: Final = "waiting"
"""The run of a lease that nobody holds: whoever comes first may claim the task."""

Phase = Literal["queued", "running", "asking"]
"""What a run is about: its tool has not been called, is at work, or waits for an answer."""


class Lease(Struct, frozen=True, kw_only=True, gc=False):
    """Which run holds the task. A run is one call of its tool by one process: another attempt is another run.

    No clock is in it. Whoever wants to know whether the run is lost sees its version stay the same for `seconds` on a
    clock of his own.

    Args:
        run: The process, `#` and which of its runs; no task has two of the same. `WAITING` if nobody holds it.
        seconds: How long it is believed without a renewal.
        version: Another one each time it is given or renewed, also than that of any other task; negative when it may be
            taken at once.
        phase: What becomes of the task when the run is lost depends on it.
    """

    run: str
    seconds: float
    version: int
    phase: Phase = "running"

    @property
    def runner(self) -> str:
        """The process."""
        return self.run.partition("#")[0]

    @property
    def free(self) -> bool:
        return self.run == WAITING


class TaskRecord(Struct, frozen=True, kw_only=True, gc=False):
    """One task.

    Args:
        created: Truncated to milliseconds, as every moment here.
        ttl: Milliseconds granted, as on the wire, counted from `created`; None keeps it for good.
        expires: The moment after which the task is gone; moves when the ttl does.
        poll_interval: Milliseconds, as on the wire.
        method: The request that made the task (`tools/call`) or a workflow's name.
        client_variables: Names of variables the client wrote, which it may write again.
        progress: 0..1.
        error: The JSON-RPC error (`code`, `message`, `data`) of a failed task.
        questions: Every input request ever asked, by key: `{"method": …, "params": …}`.
        answers: The response to each question that has one.
        last_run: Which run held the task when it ended; it may still leave variables.
        seq: 1 at birth and one more with each write; what compare-and-swap compares.
    """

    task_id: str
    owner: Owner
    status: TaskStatus = TaskStatus.WORKING
    message: str | None = None
    created: datetime
    updated: datetime
    ttl: int | None = None
    expires: datetime | None = None
    poll_interval: int | None = None
    method: str = "tools/call"
    job: Job | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    client_variables: frozenset[str] = frozenset()
    progress: float | None = None
    result: Any = NO_RESULT
    error: Mapping[str, Any] | None = None
    questions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    lease: Lease | None = None
    last_run: str | None = None
    seq: int = 1

    @property
    def live(self) -> bool:
        """Whether the task counts towards its owner's quota (expiry aside)."""
        return not self.status.terminal

    @property
    def open_questions(self) -> dict[str, dict[str, Any]]:
        return {key: dict(asked) for key, asked in self.questions.items() if key not in self.answers}

    def expired(self, moment: datetime) -> bool:
        return self.expires is not None and moment > self.expires

    def state(self) -> TaskState:
        """The task as the layers above see it."""
        result = None if self.result is NO_RESULT else self.result
        return TaskState(
            task_id=self.task_id,
            status=self.status,
            created_at=self.created,
            updated_at=self.updated,
            message=self.message,
            ttl=self.ttl,
            poll_interval=self.poll_interval,
            progress=self.progress,
            variables=self.variables,
            result=result if isinstance(result, dict) else None,
            error=dict(self.error) if self.error is not None else None,
            input_requests=self.open_questions,
        )


def succeed(record: TaskRecord, before: TaskRecord, updated: datetime) -> TaskRecord:
    """The record as the one that follows `before`. It must be new: it is changed in place.

    What has ended has no lease, and keeps the name of the run that had it.

    Copying it once more takes longer than anything else a change does in memory.
    """
    force_setattr(record, "updated", updated)
    force_setattr(record, "seq", before.seq + 1)
    if before.live and not record.live:
        force_setattr(record, "last_run", None if before.lease is None else before.lease.run)
        force_setattr(record, "lease", None)
    return record


def new_version() -> int:
    """A lease's: by chance, because a storage may give the place of a task that is gone to another one, and whoever
    looks at leases knows them by their places. 52 bits are a whole number everywhere, also in Redis.
    """
    return random.getrandbits(52) + 1


def new_task_id(owner: Owner = LOCAL) -> str:
    """A UUIDv4: 122 random bits, because an id is a bearer token where callers have no identity.

    There it also says whose the task is; see `owner_named`.
    """
    return f"{uuid.uuid4()}{task_suffix(owner)}"


def truncated(moment: datetime) -> datetime:
    """The moment in UTC without what the wire can't carry (below a millisecond)."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def expiry(created: datetime, ttl: int | None) -> datetime | None:
    """When a task of this ttl (ms) is gone; None for never, also when the calendar ends before the ttl does."""
    if ttl is None:
        return None
    try:
        return created + timedelta(milliseconds=ttl)
    except OverflowError:
        return None


_CHECKPOINT: Final = "checkpoint"
"""Key of `Job.context`: what the tool wants to go on from."""


def checkpoint_of(record: TaskRecord) -> Any:
    """What the tool wants to go on from; None when it has said nothing."""
    return None if record.job is None else record.job.context.get(_CHECKPOINT)


def with_checkpoint(record: TaskRecord, checkpoint: Any) -> Job:
    """The record's job with something to go on from, and with attempts that count from there."""
    job = record.job or Job(tool=record.method)
    kept = {name: value for name, value in job.context.items() if name != "attempt"}
    return replace(job, context={**kept, _CHECKPOINT: checkpoint})


def attempt_of(record: TaskRecord) -> int:
    """Which attempt at the task this is: 1 for the first."""
    return 1 if record.job is None else int(record.job.context.get("attempt", 1))
