"""What can be done to a task, written once over any backend.

Every change is load → check → compare-and-swap; when another writer was faster, the change is applied
again to what is there now, a bounded number of times. A foreign or expired task is a missing one.

What a run writes goes through `held_by(run)`, and only while that run has the task's lease: the same compare-and-swap
sees to it. What owners and clients write is not held to that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final

from msgspec.structs import replace

from pmcp_lab.errors import (
    INVALID_PARAMS,
    ConcurrentModification,
    LabError,
    LimitExceeded,
    QuotaExceeded,
    TaskNotFound,
    TaskNotReady,
    VariableError,
)
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.protocol.backoff import jittered
from pmcp_lab.protocol.durations import Duration, milliseconds, written
from pmcp_lab.tasks.backends import Backend, Conflict, QuotaReached
from pmcp_lab.tasks.cursor import decode_cursor, encode_cursor
from pmcp_lab.tasks.following import Followers, follow
from pmcp_lab.tasks.json_value import plain_json
from pmcp_lab.tasks.leases import Leases, check_held, in_phase
from pmcp_lab.tasks.limits import Limits
from pmcp_lab.tasks.owner import Owner, anonymous, check_owner
from pmcp_lab.tasks.record import NO_RESULT, Job, Lease, TaskRecord, expiry, new_task_id, succeed, truncated
from pmcp_lab.tasks.stored_records import Change
from pmcp_lab.tasks.transitions import check_transition, refusal
from pmcp_lab.tasks.variables import merge

PAGE: Final = 50
"""Tasks per page of a list."""

_ATTEMPTS: Final = 64

_PAUSES: Final = (0.0005, 0.05)
"""Seconds before a write that collided is tried again: at first, and at most."""

_RECALLED: Final = 128
"""Live tasks this process wrote last, so that writing them again takes no read."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `next_cursor` is None on the last."""

    records: list[TaskRecord]
    next_cursor: str | None


class TaskStore:
    """Tasks of many owners on one backend.

    Args:
        backend: Where records live.
        limits: What is allowed; see `Limits`.
        clock: The present, for tests.
    """

    def __init__(
        self,
        backend: Backend,
        limits: Limits | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.backend = backend
        self.limits = limits or Limits()
        self.leases = Leases(self)
        self._clock = clock
        self._skew = timedelta(seconds=backend.clock_skew)
        self._recent: dict[tuple[Owner, str], TaskRecord] = {}
        self._run: str | None = None

    def held_by(self, run: str) -> TaskStore:
        """This store as a run of a task sees it: every change is refused unless the run holds the task's lease.

        A refused change raises `LeaseLost`, or `InvalidTransition` when the task is over.
        """
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__, _run=run)
        return view

    async def create(
        self,
        owner: Owner,
        *,
        method: str = "tools/call",
        ttl: Duration | None = None,
        poll_interval: Duration | None = None,
        job: Job | None = None,
        variables: Mapping[str, Any] | None = None,
        message: str | None = None,
        lease: Lease | None = None,
    ) -> TaskRecord:
        """A new task, `working`, in one write.

        Args:
            lease: Who runs it from birth, so that it is missed if the process ends before it claims it.
            ttl: How long it is kept: seconds, text such as "1h", or a `timedelta`; None takes the default.
            poll_interval: Likewise; None takes the store's.

        Raises:
            LimitExceeded: The owner may not create tasks, has too many, or asks for too long a ttl; or the job's
                arguments are too big or not JSON.
            LabError: The ttl or poll interval is not a duration (-32602).
            VariableError: The variables are not allowed.
            TypeError: `owner` is not a tuple of texts.
        """
        check_owner(owner)
        if not self.limits.allow_anonymous and anonymous(owner):
            raise LimitExceeded("anonymous access to tasks is not allowed here: authenticate first")
        asked = self._ttl(ttl)
        granted = self.limits.default_ttl_ms if asked is None else asked
        pause = _milliseconds("poll_interval", poll_interval)
        now = self.now()
        record = TaskRecord(
            task_id=new_task_id(owner),
            owner=owner,
            message=message,
            created=now,
            updated=now,
            ttl=granted,
            expires=expiry(now, granted),
            poll_interval=pause or self.limits.poll_interval_ms,
            method=method,
            job=None if job is None else self._plain_job(job),
            lease=lease,
            variables=merge({}, variables, self.limits) if variables else {},
        )
        try:
            await self.backend.insert(record, quota=self.limits.tasks_per_owner, now=now - self._skew)
        except QuotaReached:
            raise QuotaExceeded(
                f"there are already {self.limits.tasks_per_owner} unfinished tasks: "
                "cancel some or wait until they finish or expire"
            ) from None
        self._recall(record)
        return record

    async def get(self, owner: Owner, task_id: str) -> TaskRecord:
        """The task.

        Raises:
            TaskNotFound: Unknown, expired or another owner's.
        """
        record = await self.backend.get(owner, task_id)
        if record is None or record.expired(self._expiring()):
            raise TaskNotFound(task_id)
        return record

    async def update(
        self,
        owner: Owner,
        task_id: str,
        *,
        status: TaskStatus | None = None,
        message: str | None = None,
        progress: float | None = None,
        variables: Mapping[str, Any] | None = None,
        ttl: Duration | None = None,
    ) -> TaskRecord:
        """Change any of status, message, progress, variables and ttl in one write; None leaves as it is.

        Args:
            progress: 0..1.
            ttl: Counted from creation, in seconds, as text such as "1h", or a `timedelta`; moves the expiry.

        Raises:
            TaskNotFound: See `get`.
            InvalidTransition: The status can't follow, or the task is over (only variables and ttl may still change).
            LimitExceeded: The ttl is above the maximum.
            LabError: Progress is no fraction, or the ttl no duration (-32602).
            VariableError: The variables are not allowed.
        """
        _check_fraction(progress)
        asked = self._ttl(ttl)

        def change(record: TaskRecord) -> TaskRecord:
            if status is not None:
                check_transition(record, status)
            elif (message is not None or progress is not None) and not record.live:
                raise refusal(record, record.status)
            granted = record.ttl if asked is None else asked
            lease = in_phase(record.lease, "asking") if status is TaskStatus.INPUT_REQUIRED else record.lease
            return replace(
                record,
                status=status or record.status,
                message=record.message if message is None else message,
                progress=record.progress if progress is None else float(progress),
                variables=merge(record.variables, variables, self.limits) if variables else record.variables,
                ttl=granted,
                expires=record.expires if asked is None else expiry(record.created, granted),
                lease=lease,
            )

        return await self.change(owner, task_id, change)

    async def set_variables(
        self, owner: Owner, task_id: str, variables: Mapping[str, Any], *, by_client: bool = False
    ) -> TaskRecord:
        """Merge variables; None deletes. Allowed in every status.

        Args:
            by_client: The client writes: names the server wrote are refused.

        Raises:
            TaskNotFound: See `get`.
            VariableError: A name or value is not allowed.
        """

        def change(record: TaskRecord) -> TaskRecord:
            names = record.client_variables
            if by_client:
                for name in variables:
                    if name in record.variables and name not in names:
                        raise VariableError(f"task variable {name!r} is the server's; choose another name")
                names = names | variables.keys()
            return replace(record, variables=merge(record.variables, variables, self.limits), client_variables=names)

        return await self.change(owner, task_id, change)

    async def complete(self, owner: Owner, task_id: str, result: Any, *, message: str | None = None) -> TaskRecord:
        """`completed` with its result, in one write. None is a result.

        Raises:
            TaskNotFound, InvalidTransition: See `update`.
            LimitExceeded: The result is too big or is not JSON.
        """
        plain = plain_json(result, "the result", self.limits.result_bytes)

        def change(record: TaskRecord) -> TaskRecord:
            check_transition(record, TaskStatus.COMPLETED)
            return replace(
                record,
                status=TaskStatus.COMPLETED,
                message=message or record.message,
                progress=record.progress if record.progress is None or _reports_error(plain) else 1.0,
                result=plain,
            )

        return await self.change(owner, task_id, change)

    async def fail(
        self, owner: Owner, task_id: str, error: Mapping[str, Any], *, message: str | None = None
    ) -> TaskRecord:
        """`failed` with its JSON-RPC error (`code`, `message`, `data`), in one write.

        Raises:
            TaskNotFound, InvalidTransition: See `update`.
            LimitExceeded: The error is too big or is not JSON.
        """
        plain = plain_json(dict(error), "the error", self.limits.result_bytes)

        def change(record: TaskRecord) -> TaskRecord:
            check_transition(record, TaskStatus.FAILED)
            text = message or str(plain.get("message") or "") or record.message
            return replace(record, status=TaskStatus.FAILED, message=text, error=plain)

        return await self.change(owner, task_id, change)

    async def cancel(self, owner: Owner, task_id: str, *, message: str | None = None) -> TaskRecord:
        """`cancelled`, at once and for good; whoever works on it is told by its executor or the change feed.

        Raises:
            TaskNotFound, InvalidTransition: See `update`; a finished task can't be cancelled.
        """

        def change(record: TaskRecord) -> TaskRecord:
            check_transition(record, TaskStatus.CANCELLED)
            return replace(record, status=TaskStatus.CANCELLED, message=message or record.message)

        return await self.change(owner, task_id, change)

    async def get_result(self, owner: Owner, task_id: str) -> Any:
        """What `complete` stored.

        Raises:
            TaskNotFound: See `get`.
            TaskNotReady: The task has no result (yet): it goes on, failed or was cancelled.
        """
        record = await self.get(owner, task_id)
        if record.result is NO_RESULT:
            raise TaskNotReady(task_id, record.status, ended=not record.live)
        return record.result

    async def ask(self, owner: Owner, task_id: str, key: str, request: Mapping[str, Any]) -> TaskRecord:
        """Put a question to the client: `input_required` until every open one is answered.

        Args:
            key: Unique over the task's life.
            request: `{"method": "elicitation/create" | "sampling/createMessage", "params": …}`.

        Raises:
            TaskNotFound: See `get`.
            InvalidTransition: The task is over.
            LimitExceeded: The task's questions are too big or not JSON.
            LabError: The key was used before (-32602).
        """
        plain = plain_json(dict(request), "the question", self.limits.result_bytes)

        def change(record: TaskRecord) -> TaskRecord:
            if key in record.questions:
                raise LabError(f"question {key!r} was already asked of task {task_id}", code=INVALID_PARAMS)
            if not record.live:
                raise refusal(record, TaskStatus.INPUT_REQUIRED)
            params = plain.get("params")
            text = params.get("message") if isinstance(params, dict) else None
            return replace(
                record,
                status=TaskStatus.INPUT_REQUIRED,
                message=text if isinstance(text, str) else record.message,
                questions={**record.questions, key: plain},
                lease=in_phase(record.lease, "asking"),
            )

        return await self.change(owner, task_id, change)

    async def answer(self, owner: Owner, task_id: str, responses: Mapping[str, Any]) -> TaskRecord:
        """Answer open questions. The last one makes the task `working` again.

        Unknown and answered keys are ignored, and so is everything once the task is over.

        Raises:
            TaskNotFound: See `get`.
            LimitExceeded: The task's answers are too big or not JSON (-32602).
        """

        given = plain_json(dict(responses), "the answers", self.limits.argument_bytes, code=INVALID_PARAMS)

        def change(record: TaskRecord) -> TaskRecord:
            news = {key: value for key, value in given.items() if key in record.open_questions}
            if not news or not record.live:
                return record
            kept = {**record.answers, **news}
            kept = plain_json(kept, "the answers", self.limits.result_bytes, code=INVALID_PARAMS)
            after = replace(record, answers=kept)
            # Whether its run is at work again is for that to say: it may be lost.
            return after if after.open_questions else replace(after, status=TaskStatus.WORKING, message=None)

        return await self.change(owner, task_id, change)

    async def list(self, owner: Owner, *, cursor: str | None = None, limit: int = PAGE) -> Page:
        """The owner's tasks, newest first. One that can't be read is left out, and logged.

        Raises:
            LabError: The cursor is none of this owner's (-32602).
        """
        after = None if cursor is None else decode_cursor(owner, cursor)
        records = await self.backend.page(owner, after=after, limit=limit + 1, now=self._expiring())
        shown = records[:limit]
        more = len(records) > limit and bool(shown)
        return Page(shown, encode_cursor(owner, (shown[-1].created, shown[-1].task_id)) if more else None)

    async def cleanup_expired(self) -> int:
        """Delete what has expired; how many that were. Nobody sees expired tasks before that either."""
        return await self.backend.purge(self._expiring())

    @asynccontextmanager
    async def watch(self, owner: Owner, task_id: str) -> AsyncIterator[AsyncIterator[TaskRecord]]:
        """The task as it is and then each time it changes, without polling where the backend can.

        Bursts are seen as their last state. Ends after the terminal state.

        Raises:
            TaskNotFound: While iterating, when the task is not there or has gone.
        """
        async with (
            self.backend.watch(owner, task_id) as changes,
            aclosing(follow(self, owner, task_id, changes)) as feed,
        ):
            yield feed

    @cached_property
    def followers(self) -> Followers:
        """For those who are called when a task changes: any number of them cost one watch of it."""
        return Followers(self)

    async def change(self, owner: Owner, task_id: str, change: Change, *, silent: bool = False) -> TaskRecord:
        """Replace a record by compare-and-swap, again and again until nobody was faster.

        Args:
            silent: Leave `updated` as it is.

        Raises:
            TaskNotFound: See `get`.
            LeaseLost, InvalidTransition: Through `held_by`, when another run has the task, or it is over.
            ConcurrentModification: Others were faster every time.
        """
        # Where a read is a round trip, a writer that wrote last needs none: the swap tells if it is out of date. Only
        # what is certain may be refused.
        recalled, now = self._recent.get((owner, task_id)), self.now()
        certain = recalled is None or recalled.expired(now - self._skew)
        record = await self.get(owner, task_id) if recalled is None or certain else recalled
        expected = record.seq
        for attempt in range(_ATTEMPTS):
            try:
                if self._run is not None:
                    check_held(record, self._run)
                changed = change(record)
                if self._run is not None and changed is not record and changed.status is TaskStatus.WORKING:
                    changed = replace(changed, lease=in_phase(changed.lease, "running"))
            except LabError:
                if certain:
                    raise
                changed = record
            if changed is record:
                if certain:
                    return record
                record, certain = await self.get(owner, task_id), True
                continue
            if attempt:
                now = self.now()
            changed = succeed(changed, record, record.updated if silent else max(now, record.updated))
            try:
                await self.backend.replace(changed, expected=record.seq)
            except Conflict as conflict:
                self._recent.pop((owner, task_id), None)
                if conflict.current is None or conflict.current.expired(now - self._skew):
                    raise TaskNotFound(task_id) from None
                expected, record, certain = record.seq, conflict.current, True
                await asyncio.sleep(jittered(attempt, *_PAUSES))
                continue
            self._recall(changed)
            return changed
        raise ConcurrentModification(task_id, expected, record.seq, _ATTEMPTS)

    async def close(self) -> None:
        await self.backend.close()

    def _recall(self, record: TaskRecord) -> None:
        key = (record.owner, record.task_id)
        self._recent.pop(key, None)
        if record.live:
            self._recent[key] = record
            if len(self._recent) > _RECALLED:
                del self._recent[next(iter(self._recent))]

    def now(self) -> datetime:
        """The present by the store's clock, in whole milliseconds."""
        return truncated(self._clock())

    def _expiring(self) -> datetime:
        """The moment before which a task must have expired to be gone on every machine that shares the store."""
        return self.now() - self._skew

    def seconds_left(self, expires: datetime) -> float:
        """Until what expires at this moment is gone."""
        return max(0.0, (expires - self._expiring()) / timedelta(seconds=1))

    def _ttl(self, ttl: Duration | None) -> int | None:
        asked, longest = _milliseconds("ttl", ttl), self.limits.max_ttl_ms
        if asked is not None and longest is not None and asked > longest:
            raise LimitExceeded(
                f"a ttl of {written(asked)} is above the maximum of {written(longest)}", code=INVALID_PARAMS
            )
        return asked

    def _plain_job(self, job: Job) -> Job:
        limit = self.limits.argument_bytes
        return Job(
            tool=job.tool,
            arguments=plain_json(job.arguments, "the arguments", limit, code=INVALID_PARAMS),
            context=plain_json(job.context, "the context of the call", limit, code=INVALID_PARAMS),
        )


def _check_fraction(value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1):
        raise LabError(f"progress is a fraction from 0 to 1, not {value!r}", code=INVALID_PARAMS)


def _milliseconds(what: str, given: Duration | None) -> int | None:
    try:
        return milliseconds(given, what)
    except ValueError as error:
        raise LabError(str(error), code=INVALID_PARAMS) from None


def _reports_error(result: Any) -> bool:
    return isinstance(result, dict) and result.get("isError") is True
