"""What a tool sees of the task it works for.

A tool asks for it by annotating a parameter with `TaskContext`. The same tool also runs without a task
(nobody asked for one): then updates become progress notifications, if anything, and nothing is stored, unless it
asks something that its connection can't carry.
What questions look like in MCP is in `tasks.questions`; the context of a task that has a record in `stored_context`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio.from_thread
from pydantic import BaseModel

from pmcp_lab.errors import LabError
from pmcp_lab.tasks.questions import Answer, answered, form, link, sampled, sampling
from pmcp_lab.tasks.variables import Variables

if TYPE_CHECKING:
    from mcp_types import CreateMessageResult, SamplingMessage

M = TypeVar("M", bound=BaseModel)
P = ParamSpec("P")
T = TypeVar("T")


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

    @property
    @abstractmethod
    def checkpoint(self) -> Any:
        """What was given to `save` last, by this run of the task or an earlier one; None when nothing was."""

    @abstractmethod
    async def save(
        self, checkpoint: Any, *, message: str | None = None, variables: Mapping[str, Any] | None = None
    ) -> None:
        """Keep what the work can go on from when its process ends, for a tool with `on_lost="retry"`.

        It replaces what was kept before, and nobody but the tool sees it. The attempts at the task are counted anew
        from here. Where there is no task it is kept as long as the call.

        Args:
            checkpoint: JSON, at most `Limits.result_bytes`.
            message, variables: As of `update`, in the same write.

        Raises:
            TaskCancelled: The task is cancelled or gone: stop.
            LimitExceeded: It is not JSON, or too big.
            VariableError: A variable is not allowed.
        """

    async def elicit(
        self, message: str, schema: type[M], *, key: str | None = None, app: str | None = None
    ) -> Answer[M]:
        """Ask the person at the client; the task is `input_required` meanwhile (MCP "Elicitation", form mode).

        In a call that is no task the call is answered with the question instead, and made again with the answer, where
        its connection has no other way (MCP 2026-07-28 "Multi Round-Trip Requests"). Clients give up after a number of
        rounds, most of them after ten: what is asked at once is one round.

        Args:
            schema: Flat: text, numbers, booleans and enumerations (MCP "Elicitation", requested schema).
            key: See `ask`.
            app: An experiment (SEP-3118, a draft of MCP Apps): the `ui://` resource of an app that asks this in place
                of the client's form, on a server with `Tasks(app_elicitation=True)`, where the client lets it.

        Raises:
            TaskCancelled: The task was cancelled while waiting.
            LabError: The client can't be asked, or its answer does not fit.
            TypeError: A field is not one of the kinds above.
            ValueError: `app` is no address of an app.
        """
        return answered(message, await self.ask(form(message, schema, app), key=key), schema)

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


class InThread:
    """A task's methods for code that runs in a worker thread, where nothing can be awaited.

    Each does what that of the task does, and returns when it is done.

    Args:
        asking: Entered on the event loop while the thread waits for an answer.

    Raises:
        RuntimeError: Called on the event loop's own thread.
    """

    def __init__(self, task: TaskContext, *, asking: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self.refresh = _waiting(task.refresh)
        self.update = _waiting(task.update)
        self.save = _waiting(task.save)
        self.elicit = _waiting(task.elicit, asking)
        self.elicit_url = _waiting(task.elicit_url, asking)
        self.sample = _waiting(task.sample, asking)
        self.ask = _waiting(task.ask, asking)
        self.require_input = _waiting(task.require_input)
        self.resume = _waiting(task.resume)
        self.complete = _waiting(task.complete)
        self.fail = _waiting(task.fail)


def _waiting(
    method: Callable[P, Coroutine[Any, Any, T]], during: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Callable[P, T]:
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with during():
            return await method(*args, **kwargs)

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return anyio.from_thread.run(partial(run, *args, **kwargs))

    return call
