"""The context of a task that has a record: what its tool does is written there, as long as its run has the task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from typing import Any

from msgspec.structs import replace

from pmcp_lab.errors import InvalidTransition, LabError, LeaseLost, TaskCancelled, TaskNotFound
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks.context import TaskContext
from pmcp_lab.tasks.json_value import plain_json
from pmcp_lab.tasks.leases import check_held
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.questions import askable, key_of
from pmcp_lab.tasks.record import TaskRecord, attempt_of, checkpoint_of, with_checkpoint
from pmcp_lab.tasks.retries import retry_storage
from pmcp_lab.tasks.store import TaskStore
from pmcp_lab.tasks.transitions import refusal
from pmcp_lab.tasks.variables import Variables, merge


class StoredContext(TaskContext):
    """The context of a task that has a record.

    Args:
        asks: Kinds of questions the client answers, see `tasks.questions`.
        convert: From what a tool returns to the result that is stored.
        idle: Entered while the task waits for its client: it needs nobody's time then.
        lost: Told that another run has the task by now.

    All it writes is written by the run that holds the record's lease, and refused once another one does.
    """

    def __init__(
        self,
        store: TaskStore,
        record: TaskRecord,
        cancelled: asyncio.Event,
        *,
        asks: Collection[str],
        convert: Callable[[Any], Any],
        idle: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        lost: Callable[[LeaseLost], None] = lambda _: None,
    ) -> None:
        self.task_id = record.task_id
        self.owner: Owner = record.owner
        self.cancelled = cancelled
        self.attempt = attempt_of(record)
        self._id = record.task_id
        self._run = record.lease.run if record.lease is not None else ""
        self._store = store.held_by(self._run)
        self._lost = lost
        self._record = record
        self._asks = asks
        self._convert = convert
        self._idle = idle
        self._asked: set[str] = set()
        self.ended = False
        """Whether the tool ended its task itself, by `complete` or `fail`."""

    @property
    def variables(self) -> Variables:
        return Variables(self._record.variables)

    async def refresh(self) -> Variables:
        async def read() -> TaskRecord:
            record = await self._store.get(self.owner, self._id)
            check_held(record, self._run)
            return record

        await self._write(read)
        return self.variables

    async def update(
        self,
        *,
        message: str | None = None,
        progress: float | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        await self._write(
            lambda: self._store.update(self.owner, self._id, message=message, progress=progress, variables=variables)
        )

    @property
    def checkpoint(self) -> Any:
        return checkpoint_of(self._record)

    async def save(
        self, checkpoint: Any, *, message: str | None = None, variables: Mapping[str, Any] | None = None
    ) -> None:
        limits = self._store.limits
        plain = plain_json(checkpoint, "the checkpoint", limits.result_bytes)

        def change(record: TaskRecord) -> TaskRecord:
            if not record.live:
                raise refusal(record, record.status)
            return replace(
                record,
                message=record.message if message is None else message,
                variables=merge(record.variables, variables, limits) if variables else record.variables,
                job=with_checkpoint(record, plain),
            )

        await self._write(lambda: self._store.change(self.owner, self._id, change))

    async def require_input(self, message: str) -> None:
        await self._write(
            lambda: self._store.update(self.owner, self._id, status=TaskStatus.INPUT_REQUIRED, message=message)
        )

    async def resume(self) -> None:
        def change(record: TaskRecord) -> TaskRecord:
            if record.status is not TaskStatus.INPUT_REQUIRED:
                raise InvalidTransition(self._id, record.status, TaskStatus.WORKING)
            return replace(record, status=TaskStatus.WORKING, message=None)

        with self._held():
            self._record = await self._store.change(self.owner, self._id, change)

    async def complete(self, result: Any) -> None:
        self.ended = True
        with self._held():
            self._record = await self._store.complete(self.owner, self._id, self._convert(result))

    async def fail(self, message: str, *, code: int = LabError.code, data: Any = None) -> None:
        error = {"code": code, "message": message} | ({} if data is None else {"data": data})
        self.ended = True
        with self._held():
            self._record = await self._store.fail(self.owner, self._id, error)

    async def ask(self, request: Mapping[str, Any], *, key: str | None = None) -> Any:
        request = askable(request, self._asks)
        key = key or key_of(request, len(self._asked) + 1)
        self._asked.add(key)
        if key in self._record.answers:
            return self._record.answers[key]
        async with self._idle():
            try:
                with self._held():
                    await retry_storage(lambda: self._wait_for(key, request), self._id)
            except (InvalidTransition, TaskNotFound) as error:
                raise self._over(error) from error
        if key in self._record.answers:
            return self._record.answers[key]
        status = self._record.status
        if status is TaskStatus.CANCELLED:
            raise TaskCancelled(f"task {self._id} was cancelled while it waited for an answer", self._id)
        raise LabError(f"task {self._id} became {status} while it waited for an answer")

    async def _wait_for(self, key: str, request: Mapping[str, Any]) -> None:
        """Ask, unless that was done, until there is an answer or the task is over."""
        async with self._store.watch(self.owner, self._id) as feed:
            async for self._record in feed:
                check_held(self._record, self._run)
                lease = self._record.lease
                if key in self._record.open_questions and lease is not None and lease.phase != "asking":
                    # An earlier run asked. That this one only waits, too, is what its loss will be judged by.
                    await self._store.leases.heartbeat(self.owner, self._id, self._run, phase="asking")
                if key in self._record.answers:
                    return
                if key not in self._record.questions and self._record.live:
                    await self._withdraw_stale()
                    await self._store.ask(self.owner, self._id, key, request)

    async def _write(self, write: Callable[[], Awaitable[TaskRecord]]) -> None:
        try:
            with self._held():
                self._record = await retry_storage(write, self._id)
        except (InvalidTransition, TaskNotFound) as error:
            raise self._over(error) from error

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Another run may have the task by now: then this one is over, and says so."""
        try:
            yield
        except LeaseLost as error:
            self.ended = False
            self.cancelled.set()
            self._lost(error)
            raise TaskCancelled(f"another run has task {self._id} by now: stop working on it", self._id) from error

    async def _withdraw_stale(self) -> None:
        """Take back what an earlier attempt asked and this one does not: nobody waits for it any more."""
        stale = self._record.open_questions.keys() - self._asked
        if not stale:
            return

        def change(record: TaskRecord) -> TaskRecord:
            kept = {key: asked for key, asked in record.questions.items() if key not in stale or key in record.answers}
            after = replace(record, questions=kept)
            return after if after.open_questions or not record.live else replace(after, status=TaskStatus.WORKING)

        self._record = await self._store.change(self.owner, self._id, change)

    def _over(self, error: LabError) -> TaskCancelled:
        return TaskCancelled(f"task {self._id} is over: {error}", self._id)
