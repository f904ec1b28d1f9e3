"""Calls that ask without being tasks to their client (MCP 2026-07-28, multi round-trip requests).

A tool runs in its call until it asks for the first time. Then a task is put behind it, which asks, is stored and holds
on as every other one, while the call is answered with the question and a state that names the task. The client calls
again with its answers and that state, which waits for the same task: until it asks again, or is over.

No client knows of such a task: it is in no list, and no id reaches it. Who has the state, the tool's name and the
arguments of the call may go on with it, if the task is theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import anyio
from mcp.server.context import CallNext, HandlerResult
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
)
from msgspec.structs import replace as changed

from pmcp_lab.errors import LabError, TaskCancelled, TaskNotFound
from pmcp_lab.execution import AsyncioExecutor, TaskKey
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.server.call_context import CallContext
from pmcp_lab.server.call_record import answers_in, check_same, come_back, outcome, returns_of
from pmcp_lab.server.callers import Callers
from pmcp_lab.server.creation import Creation
from pmcp_lab.server.loop_state import Tool
from pmcp_lab.server.methods import as_mcp_error
from pmcp_lab.server.request import Request, questions_of
from pmcp_lab.server.request_state import RequestStates, carry_on, invalid_state, issued, server_over_http
from pmcp_lab.server.runner import TaskRunner
from pmcp_lab.server.task_session import TaskSession
from pmcp_lab.server.tool import CURRENT_CALL, Call, Prepared, failed
from pmcp_lab.tasks import TaskContext, TaskRecord, TaskStore
from pmcp_lab.tasks.owner import of_calls
from pmcp_lab.tasks.questions import kind_of

logger = logging.getLogger(__name__)

_TOGETHER: Final = 0.02
"""Seconds that what is asked at once has to be told at once: each further round is one of the few a client makes."""

_COMES_BACK: Final = 5.0
"""Seconds for a client whose stream broke to make its request again, before it counts as having cancelled it."""

_AT_ONCE: Final = 1_000_000
"""More calls than a process can hold: what is at work already waits for nobody's turn."""


class RoundTrips:
    """The calls of one server that may ask, and the tasks behind those that do."""

    def __init__(self, store: TaskStore, callers: Callers, creation: Creation, runner: TaskRunner) -> None:
        self._store = store
        self._callers = callers
        self._creation = creation
        self._runner = runner
        self._states = RequestStates(store)
        self._executor = AsyncioExecutor(concurrency=_AT_ONCE, grace=runner.grace)
        self._executor.bind(self._run)
        self._begun: dict[TaskKey, _Begun] = {}
        self._waited: dict[TaskKey, _Waited] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._served = False
        self._closed = False

    def serve(self, server: MCPServer[Any] | Server[Any]) -> None:
        """Have the states of this server's calls understood by every process on the store. May be called again."""
        self._served = True
        carry_on(server)

    def serve_sender(self, ctx: Request) -> None:
        """As `serve`, with the server that a request came to over HTTP."""
        if not self._served and (server := server_over_http(ctx)) is not None:
            self.serve(server)

    async def close(self, timeout: float) -> None:
        """Let what is at work finish for `timeout` seconds, then stop it."""
        self._closed = True
        for work in tuple(self._background):
            work.cancel()
        await self._executor.close(timeout)
        for key, begun in tuple(self._begun.items()):
            begun.ended(key[1])

    # --- the first call ---

    async def call(self, tool: Tool, params: CallToolRequestParams, ctx: Request, call_next: CallNext) -> HandlerResult:
        """The result of a call, or its first question.

        Raises:
            MCPError: The tool or what is before it raised one.
        """
        begun = _Begun()
        context = CallContext(ctx, lambda variables: self._begin(begun, tool, params, ctx, variables))
        begun.context = context
        # Nothing can be moved out of the request's scope later on.
        work = begun.work = asyncio.create_task(_work(tool, context, ctx, call_next), name=f"call of {tool.name}")
        work.add_done_callback(begun.over)
        try:
            key = await begun.asks
        except asyncio.CancelledError:
            context.cancelled.set()
            work.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([work])
            raise
        if key is None:
            return work.result()
        return await self._wait(ctx, key, returns=None)

    async def _begin(
        self, begun: _Begun, tool: Tool, params: CallToolRequestParams, ctx: Request, variables: Mapping[str, Any]
    ) -> TaskContext:
        """Put a task behind a call that is at work.

        Raises:
            MCPError, LabError: See `Creation.behind_call`.
            TaskCancelled: It was over before it began.
        """
        prepared = Prepared(lambda task: begun.carried(tool, task), begun=True)
        here = partial(self._submit, begun)
        record = await self._creation.behind_call(tool, params, ctx, prepared, variables=variables, here=here)
        begun.tell(record)
        return await begun.ready

    async def _submit(self, begun: _Begun, key: TaskKey) -> None:
        self._begun[key] = begun
        try:
            await self._executor.submit(key)
        except BaseException:
            del self._begun[key]
            raise

    async def _run(self, key: TaskKey, cancelled: asyncio.Event) -> None:
        begun = self._begun.pop(key)
        telling = asyncio.create_task(_pass_on(cancelled, begun.context.cancelled))
        try:
            await self._runner.run(key, cancelled)
        finally:
            telling.cancel()
            begun.ended(key[1])

    # --- those that follow ---

    async def go_on(self, state: str, params: CallToolRequestParams, ctx: Request) -> HandlerResult:
        """The result of a call that is made again with answers, or its next question.

        Answers to what is not asked are ignored; what has no answer is asked again.

        Raises:
            MCPError: The state is not one of this caller and call, or its task has expired (-32602); an answer is not
                one to its question (-32602); or the call ended with an error.
        """
        try:
            task_id = await self._states.open(state)
            key: TaskKey = (of_calls(self._callers.owner_of(ctx, task_id)), task_id)
            record = await self._store.get(*key)
            check_same(record, params)
            if not record.live:
                return outcome(record)
            answers = answers_in(record, ctx)
            record = await self._store.change(*key, come_back)
            if answers:
                await self._store.answer(*key, answers)
        except TaskNotFound:
            raise invalid_state() from None
        except LabError as error:
            raise as_mcp_error(error) from error
        return await self._wait(ctx, key, returns=returns_of(record))

    # --- waiting ---

    async def _wait(self, ctx: Request, key: TaskKey, *, returns: int | None) -> HandlerResult:
        """The outcome of a task, or what it asks; its progress is the request's meanwhile.

        Args:
            returns: Which time it is that the client has called again; None for the first call, which has no state.
        """
        try:
            async with self._waited_for(ctx, key, returns):
                return await self._until_asked(ctx, key)
        except TaskNotFound:
            raise invalid_state() from None
        except LabError as error:
            raise as_mcp_error(error) from error

    async def _until_asked(self, ctx: Request, key: TaskKey) -> HandlerResult:
        told = -1.0
        record = None
        async with self._store.watch(*key) as feed:
            async for record in feed:
                if not record.live:
                    break
                if record.open_questions:
                    await asyncio.sleep(_TOGETHER)
                    record = await self._store.get(*key)
                    if record.live and record.open_questions:
                        return await self._question(ctx, record)
                elif record.progress is not None and record.progress > told:
                    told = record.progress
                    await ctx.session.report_progress(told, 1.0, record.message)
        assert record is not None
        return outcome(record)

    async def _question(self, ctx: Request, record: TaskRecord) -> HandlerResult:
        # Each request declares for itself, and this one need not answer what the first one would have.
        for kind in {kind_of(request) for request in record.open_questions.values()}.difference(questions_of(ctx)):
            capability, _, mode = kind.partition(".")
            raise MCPError(
                MISSING_REQUIRED_CLIENT_CAPABILITY,
                f"this call asks what its client did not declare: {kind}",
                {"requiredCapabilities": {capability: {mode: {}} if mode else {}}},
            )
        state = await self._states.seal(record.task_id)
        if not self._served:
            self._served = True
            logger.warning(
                "what calls ask can be answered for ten minutes and at this process only, as the server seals what "
                "names a call: give it lifespan=tasks.lifespan, or call tasks.attach(server)"
            )
        return {"resultType": "input_required", "inputRequests": record.open_questions, **issued(state)}

    @asynccontextmanager
    async def _waited_for(self, ctx: Request, key: TaskKey, returns: int | None) -> AsyncIterator[None]:
        waited = self._waited.setdefault(key, _Waited())
        waited.requests += 1
        waited.returns = max(waited.returns, returns or 0)
        left = False
        try:
            yield
        except asyncio.CancelledError:
            left = True
            raise
        finally:
            waited.requests -= 1
            if not waited.requests:
                del self._waited[key]
                if left and not self._closed:
                    # Only over HTTP a stream can break by itself; and nobody can come back without a state.
                    pause = 0.0 if ctx.request is None or returns is None else _COMES_BACK
                    self._spawn(self._abandon(key, waited.returns, pause))

    async def _abandon(self, key: TaskKey, returns: int, pause: float) -> None:
        """End a task whose client has cancelled its request, unless it calls again."""
        await asyncio.sleep(pause)

        def cancel(record: TaskRecord) -> TaskRecord:
            if not record.live or key in self._waited or returns_of(record) != returns:
                return record
            return changed(record, status=TaskStatus.CANCELLED, message="its caller has cancelled the call")

        try:
            if (await self._store.change(*key, cancel)).status is TaskStatus.CANCELLED:
                await self._executor.cancel(key)
                await self._runner.executor.cancel(key)
        except LabError as error:
            logger.debug("task %s behind a call was not cancelled: %s", key[1], error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._background.add(task)
        task.add_done_callback(self._background.discard)


@dataclass(slots=True)
class _Waited:
    """The requests that wait for one task in this process.

    Args:
        requests: How many there are.
        returns: Which time the latest of them is that the client has called again.
    """

    requests: int = 0
    returns: int = 0


class _Begun:
    """A call whose tool is at work.

    Attributes:
        asks: The task behind it, once its tool has asked; None once the tool is over.
        ready: The context of that task, once it runs.
    """

    context: CallContext
    work: asyncio.Task[HandlerResult]

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.asks: asyncio.Future[TaskKey | None] = loop.create_future()
        self.ready: asyncio.Future[TaskContext] = loop.create_future()

    def over(self, work: asyncio.Task[HandlerResult]) -> None:
        if not work.cancelled():
            # Who is left to hear of it is told by the result; nobody is where the call was cancelled.
            work.exception()
        if not self.asks.done():
            self.asks.set_result(None)

    def tell(self, record: TaskRecord) -> None:
        if not self.asks.done():
            self.asks.set_result((record.owner, record.task_id))

    async def carried(self, tool: Tool, task: TaskContext) -> CallToolResult:
        """The rest of the call, as the work of its task."""
        if not self.ready.done():
            self.ready.set_result(task)
        try:
            result = await self.work
        except asyncio.CancelledError:
            this = asyncio.current_task()
            if this is not None and this.cancelling():
                raise
            raise TaskCancelled("the caller has cancelled its call", task.task_id or "") from None
        if isinstance(result, CallToolResult):
            return result
        if isinstance(result, InputRequiredResult):
            return failed(tool.name, "a tool that has asked can't return questions; use `await task.elicit(...)`")
        return CallToolResult.model_validate(result, by_name=False)

    def ended(self, task_id: str) -> None:
        if not self.ready.done():
            self.ready.set_exception(TaskCancelled(f"task {task_id} was over before it could ask", task_id))
            self.ready.exception()


async def _work(tool: Tool, context: CallContext, ctx: Request, call_next: CallNext) -> HandlerResult:
    CURRENT_CALL.set(Call(tool.name, context))
    session = TaskSession(ctx.session, context)
    context.began = session.become
    return await call_next(replace(ctx, session=session))  # type: ignore[arg-type]


async def _pass_on(cancelled: asyncio.Event, to: asyncio.Event) -> None:
    await cancelled.wait()
    to.set()
