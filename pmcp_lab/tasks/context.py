"""What a tool sees of the task it works for.

A tool asks for it by annotating a parameter with `TaskContext`. The same tool also runs without a task
(nobody asked for one): then updates become progress notifications, if anything, and nothing is stored.
What questions look like in MCP is in `tasks.questions`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace
from pydantic import BaseModel

from pmcp_lab.errors import InvalidTransition, LabError, LeaseLost, TaskCancelled, TaskNotFound
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks.in_thread import InThread
from pmcp_lab.tasks.leases import check_held
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.questions import Answer, answered, check_askable, form, key_of, link, sampled, sampling
from pmcp_lab.tasks.record import TaskRecord
from pmcp_lab.tasks.retries import retry_storage
from pmcp_lab.tasks.store import TaskStore
from pmcp_lab.tasks.variables import Variables

if TYPE_CHECKING:
    from mcp_types import CreateMessageResult, SamplingMessage

M = TypeVar("M", bound=BaseModel)


class TaskContext(ABC):
    """The task a tool works for.

    Attributes:
        task_id: None when the tool runs without a task.
        cancelled: Set when the work should stop: the task was cancelled, or another process has it now.
        attempt: 1, and one more for each time a process ended while it ran the task. What ended while the task
            waited, for its turn or for an answer, is not counted: its next run is the same attempt.
    """

    task_id: str | None
    cancelled: asyncio.Event
    attempt: int = 1

    @property
    def is_cancelled(self) -> bool:
        """Whether the work should stop. May be asked from any thread."""
        return self.cancelled.is_set()

    @property
    def in_thread(self) -> InThread:
        """The same methods for a tool that is a plain function: `task.in_thread.update(progress=0.5)`."""
        return InThread(self)

    @property
    @abstractmethod
    def variables(self) -> Variables:
        """The variables as this context last saw them: after its own last update or `refresh`."""

    @abstractmethod
    async def refresh(self) -> Variables:
        """Read the variables anew: the client may have written some.

        Raises:
            TaskCancelled: The task is gone: stop.
        """

    @abstractmethod
    async def update(
        self,
        *,
        message: str | None = None,
        progress: float | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        """Say how far the work is, in one write; None leaves as it is, a variable that is None is deleted.

        Args:
            message: For people.
            progress: 0..1.

        Raises:
            TaskCancelled: The task is cancelled or gone: stop.
            VariableError: A variable is not allowed.
        """

    async def elicit(self, message: str, schema: type[M], *, key: str | None = None) -> Answer[M]:
        """Ask the person at the client; the task is `input_required` meanwhile (MCP "Elicitation", form mode).

        Args:
            schema: Flat: text, numbers, booleans and enumerations (MCP "Elicitation", requested schema).
            key: See `ask`.

        Raises:
            TaskCancelled: The task was cancelled while waiting.
            LabError: The client can't be asked, or its answer does not fit.
            TypeError: A field is not one of the kinds above.
        """
        return answered(message, await self.ask(form(message, schema), key=key), schema)

    async def elicit_url(self, message: str, url: str, *, key: str | None = None) -> Answer[BaseModel]:
        """Ask the person to open a page, for what must not pass through the client (MCP "Elicitation", URL mode).

        An accepted answer means that they went there, not that they have finished; it has no content.

        Raises:
            As `elicit`.
        """
        return answered(message, await self.ask(link(message, url), key=key), None)

    async def sample(
        self,
        messages: str | Sequence[SamplingMessage | Mapping[str, Any]],
        *,
        max_tokens: int,
        system_prompt: str | None = None,
        temperature: float | None = None,
        stop_sequences: Sequence[str] | None = None,
        model_preferences: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> CreateMessageResult:
        """Let the client's model go on with these messages (MCP "Sampling"); the task is `input_required` meanwhile.

        Args:
            messages: Text is one message of the user.
            model_preferences: As in MCP: `hints`, `costPriority`, `speedPriority`, `intelligencePriority`.
            key: See `ask`.

        Raises:
            TaskCancelled: The task was cancelled while waiting.
            LabError: The client has no sampling, or its answer is none.
        """
        request = sampling(
            messages,
            maxTokens=max_tokens,
            systemPrompt=system_prompt,
            temperature=temperature,
            stopSequences=None if stop_sequences is None else list(stop_sequences),
            modelPreferences=model_preferences,
            metadata=metadata,
        )
        return sampled(await self.ask(request, key=key))

    @abstractmethod
    async def ask(self, request: Mapping[str, Any], *, key: str | None = None) -> Any:
        """Put a question to the client and wait for its response, as it came.

        The task is `input_required` until every open question is answered, at this process or at another one.

        Args:
            request: `{"method": "elicitation/create" | "sampling/createMessage", "params": …}`.
            key: Names the question over the task's whole life: what was answered is not asked again, also
                not when the task is run again because its process ended. By default it is made of the
                question and of how many were asked before.

        Raises:
            TaskCancelled: The task was cancelled while waiting.
            LabError: The client can't be asked.
        """

    @abstractmethod
    async def require_input(self, message: str) -> None:
        """Be `input_required` without a question: what is wanted comes another way, as variables for example.

        Raises:
            TaskCancelled: The task is cancelled or gone: stop.
            LabError: There is no task.
        """

    @abstractmethod
    async def resume(self) -> None:
        """Be `working` again after `require_input`, without its message.

        Raises:
            InvalidTransition: The task is not `input_required`.
            LabError: There is no task.
        """

    @abstractmethod
    async def complete(self, result: Any) -> None:
        """End the task now with this result; what the tool returns later counts for nothing.

        Args:
            result: As the tool would return it, or a whole `CallToolResult`.

        Raises:
            InvalidTransition: The task is over.
            LabError: There is no task.
        """

    @abstractmethod
    async def fail(self, message: str, *, code: int = LabError.code, data: Any = None) -> None:
        """End the task now as failed, with this JSON-RPC error.

        Raises:
            InvalidTransition: The task is over.
        """


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
        check_askable(request, self._asks)
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


def attempt_of(record: TaskRecord) -> int:
    """Which attempt at the task this is: 1 for the first."""
    return 1 if record.job is None else int(record.job.context.get("attempt", 1))
