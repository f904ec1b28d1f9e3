"""A tool that can run as a task, declared with `@tasks.tool()`.

The SDK calls the tool's *entry*: a coroutine function with the tool's own signature minus its `TaskContext`.
When a task is wanted, the entry doesn't run the tool but raises `Captured`: by then the SDK has validated the
arguments and every inner interceptor and dependency has had its say, exactly as for a plain call.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import typing
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread
from mcp.server.context import CallNext, HandlerResult
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import (
    ResourceError,
    ToolError,
    UnexpectedResourceError,
    UnexpectedToolError,
)
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, CallToolRequestParams, CallToolResult, InputRequiredResult, TextContent
from pydantic import ValidationError

from pmcp_lab.errors import LabError, StoreError, TaskCancelled
from pmcp_lab.server.call_context import CallContext
from pmcp_lab.server.policy import Policy
from pmcp_lab.server.request import Request
from pmcp_lab.server.task_session import TaskSession, later_request
from pmcp_lab.tasks import Job, TaskContext

logger = logging.getLogger(__name__)


class Captured(MCPError):
    """Not an error: the call is valid and its task can be made. An `MCPError` because the SDK lets those through."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__(INTERNAL_ERROR, "a task-augmented call must go through the Tasks extension")
        self.arguments = arguments


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that has passed every check and only has to be run.

    Args:
        begun: Its tool is at work already, so that it waits for nobody's turn.
    """

    run: Callable[[TaskContext], Awaitable[CallToolResult]]
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """How the current `tools/call` of one tool is to be run: with this context, or captured when it has none."""

    tool: str
    context: TaskContext | None = None


CURRENT_CALL: ContextVar[Call | None] = ContextVar("pmcp_lab_current_call", default=None)
CURRENT_TASK: ContextVar[TaskContext | None] = ContextVar("pmcp_lab_current_task", default=None)


def current_task() -> TaskContext:
    """The task that is being worked for, where no parameter can be annotated with `TaskContext`.

    In a call that is no task, and outside of calls, it is the context of none.
    """
    task, call = CURRENT_TASK.get(), CURRENT_CALL.get()
    if task is None and call is not None:
        task = call.context
    return task or CallContext(None)


def _resolved(fn: Callable[..., Any]) -> tuple[inspect.Signature, str | None]:
    """The signature with real types instead of text, and the name of the `TaskContext` parameter."""
    signature = inspect.signature(fn)
    try:
        hints = typing.get_type_hints(fn, include_extras=True)
    except NameError as error:
        raise TypeError(f"the annotations of tool {fn.__name__!r} can't be evaluated: {error}") from error
    parameters = [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in signature.parameters.items()
    ]
    found = [p.name for p in parameters if _is_context(p.annotation)]
    if len(found) > 1:
        raise TypeError(f"tool {fn.__name__!r} takes more than one TaskContext: {', '.join(found)}")
    returns = hints.get("return", signature.return_annotation)
    return signature.replace(parameters=parameters, return_annotation=returns), found[0] if found else None


def _is_context(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, TaskContext)


TOLD: Final = 2000
"""Characters of an exception that its caller is told."""


def text_of(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def result_of(value: Any, convert: Callable[[Any], CallToolResult]) -> CallToolResult:
    """What a tool completes its task with: a result as it is, or what it could have returned."""
    if isinstance(value, Mapping) and isinstance(value.get("content"), list):
        return CallToolResult.model_validate(value, by_name=False)
    return convert(value)


def plain_result(result: CallToolResult) -> dict[str, Any]:
    """The result as it is stored."""
    return result.model_dump(by_alias=True, mode="json", exclude_none=True)


def failed(tool: str, text: str | None = None) -> CallToolResult:
    """The result of a tool that reports an error, in the SDK's words."""
    line = f"Error executing tool {tool}" + (f": {text}" if text else "")
    return CallToolResult(content=[TextContent(type="text", text=line)], is_error=True)


def tool_error(tool: str, error: LabError) -> ToolError:
    """The error as one that the SDK tells the caller; what only the server's people may know is logged."""
    if isinstance(error, StoreError):
        # It names files and hosts, which are no business of a client's.
        logger.error("Tool %r can't use the task store: %s", tool, error)
        return ToolError("the server can't use its task store")
    return ToolError(str(error))


def failed_by(tool: str, error: Exception, *, masked: bool = True) -> CallToolResult:
    """The result of a tool that raised this, which is logged without a word of arguments and results.

    Args:
        masked: Whether what nobody raised for the caller keeps its words on the server.
    """
    if isinstance(error, StoreError):
        return failed(tool, str(tool_error(tool, error)))
    if isinstance(error, ToolError | ResourceError | LabError) and not isinstance(
        error, UnexpectedToolError | UnexpectedResourceError
    ):
        # The text is a result.
        logger.info("Tool %r failed: %s", tool, type(error).__name__)
        return failed(tool, str(error))
    if isinstance(error, ValidationError):
        # Pydantic quotes what it could not validate.
        where = sorted({f"{'.'.join(map(str, problem['loc']))}: {problem['type']}" for problem in error.errors()})
        logger.error("Tool %r raised an unexpected ValidationError of %s (%s)", tool, error.title, "; ".join(where))
    else:
        logger.error("Tool %r raised an unexpected exception", tool, exc_info=error)
    return failed(tool, None if masked else told(error))


def told(error: Exception) -> str:
    """What an exception says, in a line or a few, for the person whose call it ended: nothing of where it was raised,
    nor of the values that pydantic could not validate."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    kind = type(error).__name__
    if isinstance(error, ValidationError):
        where = (f"{'.'.join(map(str, each['loc'])) or error.title}: {each['type']}" for each in error.errors())
        return f"{kind}: {', '.join(dict.fromkeys(where))}"[:TOLD]
    text = str(error).strip()
    if len(text) > TOLD:
        text = text[: TOLD - 1] + "…"
    return f"{kind}: {text}" if text else kind


class TaskTool:
    """One registered tool.

    Args:
        fn: Async, or plain (then it runs in a worker thread).
        options: What `MCPServer.add_tool` takes besides the function.
        mask_errors: Whether an exception that is no `ToolError` keeps its words on the server.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        policy: Policy,
        options: Mapping[str, Any] | None = None,
        *,
        mask_errors: bool = False,
    ) -> None:
        self.policy = policy
        self._mask_errors = mask_errors
        self.options = dict(options or {})
        self.server: MCPServer[Any] | None = None
        self._fn = fn
        self._is_coroutine = inspect.iscoroutinefunction(fn)
        self._signature, self._context_parameter = _resolved(fn)
        self.entry = self._make_entry()
        self._tool = Tool.from_function(self.entry, **self.options)
        self.name = self._tool.name
        self._capturing = Call(self.name)
        self._left = 0
        self._lock = threading.Lock()

    @property
    def not_stoppable(self) -> int:
        """How many threads still run for tasks that are over."""
        return self._left

    async def capture(self, params: CallToolRequestParams, ctx: Request, call: CallNext) -> Prepared | HandlerResult:  # noqa: ARG002
        """The call, ready to be run later; or its result, when it ended before the tool could start."""
        session: TaskSession | None = None
        if self._tool.context_kwarg is not None:
            session = TaskSession(ctx.session)
            ctx = replace(ctx, session=session)  # type: ignore[arg-type]
        token = CURRENT_CALL.set(self._capturing)
        try:
            return await call(ctx)
        except Captured as captured:
            return Prepared(partial(self._run, captured.arguments, session))
        finally:
            CURRENT_CALL.reset(token)

    def prepare(self, job: Job) -> Prepared:
        """The call again, in another process than the request's or after it.

        Raises:
            ToolError: The arguments don't fit, or the tool needs something only a request has.
        """
        if self._tool.resolved_params:
            raise ToolError(f"tool {self.name!r} has dependencies that need the request it was called with")
        try:
            arguments = self._tool.fn_metadata.validate_arguments(dict(job.arguments))
        except ValidationError as error:
            fields = ", ".join(sorted({".".join(map(str, problem["loc"])) for problem in error.errors()}))
            raise ToolError(f"the arguments don't fit the tool any more ({fields})") from error
        session: TaskSession | None = None
        if self._tool.context_kwarg is not None:
            session = TaskSession(None)
            arguments |= {
                self._tool.context_kwarg: Context(request_context=later_request(job, session), mcp_server=self.server)
            }
        return Prepared(partial(self._run, arguments, session))

    def convert(self, value: Any) -> CallToolResult:
        """What the tool returns as the result a plain `tools/call` would have."""
        result = self._tool.fn_metadata.convert_result(value)
        if isinstance(result, InputRequiredResult):
            raise ToolError("a tool can't return questions once its task runs; use `await task.elicit(...)`")
        return result

    async def _run(
        self, arguments: Mapping[str, Any], session: TaskSession | None, context: TaskContext
    ) -> CallToolResult:
        """Run the tool on validated arguments and convert what it returns, as a plain `tools/call` would.

        Raises:
            MCPError: The tool raised one: a protocol error.
            TaskCancelled: The tool stopped because its task is over.
        """
        if session is not None:
            session.task = context
        try:
            return self.convert(await self._call(arguments, context))
        except (MCPError, TaskCancelled):
            raise
        except Exception as error:
            return failed_by(self.name, error, masked=self._mask_errors)

    async def _call(self, arguments: Mapping[str, Any], context: TaskContext) -> Any:
        ready = dict(arguments)
        if self._context_parameter is not None:
            ready[self._context_parameter] = context
        if self._is_coroutine:
            return await self._fn(**ready)
        result = await self._in_thread(partial(self._fn, **ready), context)
        return await result if inspect.isawaitable(result) else result

    async def _in_thread(self, work: Callable[[], Any], context: TaskContext) -> Any:
        ended, left = threading.Event(), False

        def run() -> Any:
            try:
                return work()
            finally:
                with self._lock:
                    ended.set()
                    if left:
                        self._left -= 1

        try:
            # Tasks are bounded by their executor: they must not take the threads that the server itself needs.
            limiter = None if context.task_id is None else anyio.CapacityLimiter(1)
            return await anyio.to_thread.run_sync(run, abandon_on_cancel=context.task_id is not None, limiter=limiter)
        except asyncio.CancelledError:
            with self._lock:
                if not ended.is_set():
                    left = True
                    self._left += 1
            if left:
                logger.warning(
                    "task %s is over, but its tool %r runs in a thread, which can't be stopped: it goes on until it "
                    "returns or looks at task.is_cancelled",
                    context.task_id,
                    self.name,
                    extra={"task_id": context.task_id, "tool": self.name},
                )
            raise

    def _make_entry(self) -> Callable[..., Any]:
        async def entry(**arguments: Any) -> Any:
            call = CURRENT_CALL.get()
            if call is None or call.tool != self.name:
                return await self._call(arguments, CallContext(None))
            if call.context is None:
                raise Captured(arguments)
            try:
                return await self._call(arguments, call.context)
            except LabError as error:
                raise tool_error(self.name, error) from error
            except (MCPError, ToolError, ResourceError):
                raise
            except Exception as error:
                if self._mask_errors:
                    raise
                logger.error("Tool %r raised an unexpected exception", self.name, exc_info=error)
                raise ToolError(told(error)) from error

        kept = [p for name, p in self._signature.parameters.items() if name != self._context_parameter]
        entry.__name__ = self._fn.__name__
        entry.__qualname__ = self._fn.__qualname__
        entry.__module__ = self._fn.__module__
        entry.__doc__ = self._fn.__doc__
        entry.__signature__ = self._signature.replace(parameters=kept)  # type: ignore[attr-defined]
        entry.__annotations__ = {p.name: p.annotation for p in kept if p.annotation is not inspect.Parameter.empty}
        if self._signature.return_annotation is not inspect.Signature.empty:
            entry.__annotations__["return"] = self._signature.return_annotation
        return entry
