"""What a tool sees of the task it works for.

A tool asks for it by annotating a parameter with `TaskContext`. The same tool also runs without a task
(nobody asked for one): then updates become progress notifications, if anything, and nothing is stored.
"""

from __future__ import annotations

import asyncio
import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast

import anyio.from_thread
from pydantic import BaseModel, ValidationError

from pmcp_lab.errors import InvalidTransition, LabError, TaskCancelled, TaskNotFound
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import TaskRecord
from pmcp_lab.tasks.store import TaskStore
from pmcp_lab.tasks.variables import Variables

M = TypeVar("M", bound=BaseModel)

Action = Literal["accept", "decline", "cancel"]


@dataclass(frozen=True, slots=True)
class Answer(Generic[M]):
    """What came of a question. `content` is there when `action` is "accept" (MCP "Elicitation")."""

    action: Action
    content: M | None = None

    @property
    def accepted(self) -> bool:
        return self.content is not None


class TaskContext(ABC):
    """The task a tool works for.

    Attributes:
        task_id: None when the tool runs without a task.
        cancelled: Set when the task has been cancelled; a tool that looks at it can stop tidily.
    """

    task_id: str | None
    cancelled: asyncio.Event

    @property
    @abstractmethod
    def variables(self) -> Variables:
        """The variables as this context last saw them: after its own last update or `refresh`."""

    @abstractmethod
    async def refresh(self) -> Variables:
        """Read the variables anew: the client may have written some."""

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

    @abstractmethod
    async def elicit(self, message: str, schema: type[M]) -> Answer[M]:
        """Ask the person at the client; the task is `input_required` meanwhile.

        Args:
            schema: Flat: text, numbers, booleans and enumerations (MCP "Elicitation", requested schema).

        Raises:
            TaskCancelled: The task was cancelled while waiting.
            LabError: The client can't be asked.
            TypeError: A field is not one of the kinds above.
        """

    @abstractmethod
    async def complete(self, result: Any) -> None:
        """End the task now with this result; what the tool returns later counts for nothing."""

    @abstractmethod
    async def fail(self, message: str) -> None:
        """End the task now as failed."""

    def update_from_thread(self, **changes: Any) -> None:
        """`update` for a tool that is a plain function (it runs in a worker thread)."""
        anyio.from_thread.run(functools.partial(self.update, **changes))


class StoredContext(TaskContext):
    """The context of a task that has a record.

    Args:
        can_ask: Whether the client that asked for the task answers questions.
    """

    def __init__(self, store: TaskStore, record: TaskRecord, cancelled: asyncio.Event, *, can_ask: bool = True) -> None:
        self.task_id = record.task_id
        self.owner: Owner = record.owner
        self.cancelled = cancelled
        self._id = record.task_id
        self._store = store
        self._record = record
        self._can_ask = can_ask
        self._asked = len(record.questions)

    @property
    def variables(self) -> Variables:
        return Variables(self._record.variables)

    async def refresh(self) -> Variables:
        self._record = await self._store.get(self.owner, self._id)
        return self.variables

    async def update(
        self,
        *,
        message: str | None = None,
        progress: float | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            self._record = await self._store.update(
                self.owner, self._id, message=message, progress=progress, variables=variables
            )
        except (InvalidTransition, TaskNotFound) as error:
            raise TaskCancelled(f"task {self._id} is over: {error}", self._id) from error

    async def elicit(self, message: str, schema: type[M]) -> Answer[M]:
        # The one piece of the SDK used in this layer, and only when a question is asked.
        from mcp.server.elicitation import render_elicitation_schema

        if not self._can_ask:
            raise LabError("the client that started this task can't be asked: it did not declare elicitation")
        params = {"mode": "form", "message": message, "requestedSchema": render_elicitation_schema(schema)}
        response = await self._ask({"method": "elicitation/create", "params": params})
        action = response.get("action") if isinstance(response, Mapping) else None
        if action not in ("accept", "decline", "cancel"):
            raise LabError(f"the client's answer to {message!r} has no valid action: {action!r}")
        if action != "accept":
            return Answer(cast(Action, action))
        try:
            return Answer("accept", schema.model_validate(response.get("content") or {}))
        except ValidationError as error:
            fields = ", ".join(sorted({".".join(map(str, problem["loc"])) for problem in error.errors()}))
            raise LabError(f"the client's answer to {message!r} does not fit its form ({fields})") from None

    async def complete(self, result: Any) -> None:
        self._record = await self._store.complete(self.owner, self._id, result)

    async def fail(self, message: str) -> None:
        self._record = await self._store.fail(self.owner, self._id, {"code": LabError.code, "message": message})

    async def _ask(self, request: Mapping[str, Any]) -> Any:
        self._asked += 1
        key = f"q{self._asked}-{self._record.seq}"
        async with self._store.watch(self.owner, self._id) as feed:
            try:
                self._record = await self._store.ask(self.owner, self._id, key, request)
                async for record in feed:
                    self._record = record
                    if key in record.answers:
                        return record.answers[key]
            except (InvalidTransition, TaskNotFound) as error:
                raise TaskCancelled(f"task {self._id} is over: {error}", self._id) from error
        status = self._record.status
        if status is TaskStatus.CANCELLED:
            raise TaskCancelled(f"task {self._id} was cancelled while it waited for an answer", self._id)
        raise LabError(f"task {self._id} became {status} while it waited for an answer")
