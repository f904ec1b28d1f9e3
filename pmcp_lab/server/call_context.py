"""The context of a tool that runs without a task: the caller waits for its result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import CreateMessageResult, ElicitResult, server_request_adapter
from pydantic import ValidationError

from pmcp_lab.errors import INVALID_PARAMS, LabError
from pmcp_lab.tasks import Limits, TaskContext, Variables
from pmcp_lab.tasks.context import InThread
from pmcp_lab.tasks.json_value import plain_json
from pmcp_lab.tasks.questions import answerable, askable
from pmcp_lab.tasks.variables import merge

_LIMITS = Limits()

_NO_TASK = "there is no task"

Begin = Callable[[Mapping[str, Any]], Awaitable[TaskContext]]
"""Puts a task behind a call that is at work, and returns its context; takes the call's variables."""


class CallContext(TaskContext):
    """Updates become progress notifications when the caller asked for those; variables live as long as the call.

    A question is sent on the request's stream (2025-11-25), or asked by a task that is put behind the call when its
    tool asks for the first time (2026-07-28). From then on that task has what the tool says; for the tool it is the
    same call.

    Args:
        request: The request being served; None when the tool was called from Python.
        begin: Puts a task behind the call; None where it can't be.

    Attributes:
        began: Told of the task behind the call.
    """

    task_id = None

    def __init__(self, request: ServerRequestContext[Any, Any] | None, begin: Begin | None = None) -> None:
        self.cancelled = asyncio.Event()
        self._request = request
        self._begin = begin
        self._beginning: asyncio.Future[TaskContext] | None = None
        self.began: Callable[[TaskContext], None] = lambda _: None
        self._variables: dict[str, Any] = {}
        self._checkpoint: Any = None
        self._progress = 0.0

    @property
    def in_thread(self) -> InThread:
        return InThread(self, asking=_thread_lent)

    @property
    def variables(self) -> Variables:
        task = self._task
        return Variables(self._variables) if task is None else task.variables

    async def refresh(self) -> Variables:
        if self._beginning is not None:
            return await (await asyncio.shield(self._beginning)).refresh()
        return self.variables

    async def update(
        self,
        *,
        message: str | None = None,
        progress: float | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        if self._beginning is not None:
            task = await asyncio.shield(self._beginning)
            await task.update(message=message, progress=progress, variables=variables)
            return
        if progress is not None and (isinstance(progress, bool) or not 0 <= progress <= 1):
            raise LabError(f"progress is a fraction from 0 to 1, not {progress!r}")
        if variables:
            self._variables = merge(self._variables, variables, _LIMITS)
        if self._request is None or (message is None and progress is None):
            return
        self._progress = self._progress if progress is None else float(progress)
        await self._request.session.report_progress(self._progress, 1.0, message)

    @property
    def checkpoint(self) -> Any:
        task = self._task
        return self._checkpoint if task is None else task.checkpoint

    async def save(
        self, checkpoint: Any, *, message: str | None = None, variables: Mapping[str, Any] | None = None
    ) -> None:
        if self._beginning is not None:
            task = await asyncio.shield(self._beginning)
            await task.save(checkpoint, message=message, variables=variables)
            return
        self._checkpoint = plain_json(checkpoint, "the checkpoint", _LIMITS.result_bytes)
        await self.update(message=message, variables=variables)

    async def ask(self, request: Mapping[str, Any], *, key: str | None = None) -> Any:
        if self._request is None:
            raise LabError("nobody can be asked: the tool was not called by a client")
        session = self._request.session
        request = askable(request, answerable(session.client_capabilities))
        try:
            message = server_request_adapter.validate_python(dict(request), by_name=False)
        except ValidationError as error:
            fields = ", ".join(sorted({".".join(map(str, problem["loc"])) for problem in error.errors()}))
            raise LabError(f"{request['method']} can't be asked like this ({fields})", code=INVALID_PARAMS) from None
        if self._begin is not None:
            return await (await self._behind(self._begin)).ask(request, key=key)
        kind = CreateMessageResult if request["method"] == "sampling/createMessage" else ElicitResult
        try:
            response = await session.send_request(
                message, kind, metadata=ServerMessageMetadata(related_request_id=self._request.request_id)
            )
        except NoBackChannelError:
            raise LabError(
                "this connection can't carry a question in the middle of a call; call the tool as a task"
            ) from None
        except ValidationError:
            raise LabError(f"the client's answer to {request['method']} is not one") from None
        return response.model_dump(by_alias=True, mode="json", exclude_none=True)

    async def require_input(self, message: str) -> None:  # noqa: ARG002
        raise LabError(f"{_NO_TASK} that could wait: ask with `await task.elicit(...)`")

    async def resume(self) -> None:
        raise LabError(f"{_NO_TASK} that could go on")

    async def complete(self, result: Any) -> None:  # noqa: ARG002
        raise LabError(f"{_NO_TASK} to complete: return the result instead")

    async def fail(self, message: str, *, code: int = LabError.code, data: Any = None) -> None:
        raise LabError(message, code=code, data=data)

    @property
    def _task(self) -> TaskContext | None:
        found = self._beginning
        return None if found is None or not found.done() else found.result()

    async def _behind(self, begin: Begin) -> TaskContext:
        """The task behind the call; made by the first question, and questions at once wait for the same one."""
        if self._beginning is None:
            # A future of its own: who asked may be cancelled, and what is stored has to be looked after all the same.
            self._beginning = asyncio.ensure_future(self._moved(begin))
            self._beginning.add_done_callback(self._begun)
        return await asyncio.shield(self._beginning)

    async def _moved(self, begin: Begin) -> TaskContext:
        task = await begin(self._variables)
        if self._checkpoint is not None:
            await task.save(self._checkpoint)
        return task

    def _begun(self, beginning: asyncio.Future[TaskContext]) -> None:
        if beginning.cancelled() or beginning.exception() is not None:
            # The next question may have more luck.
            self._beginning = None
        else:
            self.began(beginning.result())


@contextmanager
def _thread_lent() -> Iterator[None]:
    """A thread that waits for an answer is not one of those the server has for its work."""
    limiter = current_default_thread_limiter()
    limiter.total_tokens += 1
    try:
        yield
    finally:
        limiter.total_tokens -= 1
