"""A tool that can run as a task.

The SDK calls the tool's *entry*: a coroutine function with the tool's own signature minus its `TaskContext`.
When a task is wanted, the entry doesn't run the tool but raises `Captured`: by then the SDK has validated the
arguments and every inner interceptor and dependency has had its say, exactly as for a plain call.
"""

from __future__ import annotations

import inspect
import logging
import typing
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import anyio.to_thread
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import (
    ResourceError,
    ToolError,
    UnexpectedResourceError,
    UnexpectedToolError,
)
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, CallToolResult, InputRequiredResult, TextContent
from pydantic import ValidationError

from pmcp_lab.errors import LabError, TaskCancelled
from pmcp_lab.server.inline import InlineContext
from pmcp_lab.tasks import TaskContext

logger = logging.getLogger(__name__)

Support = Literal["forbidden", "optional", "required"]
"""Whether a tool can, or must, run as a task (`execution.taskSupport`, MCP 2025-11-25)."""


class Captured(MCPError):
    """Not an error: the call is valid and its task can be made. An `MCPError` because the SDK lets those through."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__(INTERNAL_ERROR, "a task-augmented call must go through the Tasks extension")
        self.arguments = arguments


@dataclass(frozen=True, slots=True)
class Call:
    """How the current `tools/call` of one tool is to be run: with this context, or captured when it has none."""

    tool: str
    context: TaskContext | None = None


CURRENT_CALL: ContextVar[Call | None] = ContextVar("pmcp_lab_current_call", default=None)


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


def text_of(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


class TaskTool:
    """One registered tool.

    Args:
        fn: Async, or plain (then it runs in a worker thread).
        ttl: Milliseconds its tasks are kept unless the client asks otherwise; None is the store's default.
        poll_interval: Milliseconds; None is the store's.
        options: What `MCPServer.add_tool` takes besides the function.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        support: Support,
        ttl: int | None = None,
        poll_interval: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if support not in typing.get_args(Support):
            raise ValueError(f"support is one of {', '.join(typing.get_args(Support))}, not {support!r}")
        self.support = support
        self.ttl = ttl
        self.poll_interval = poll_interval
        self.client_result = False
        self.immediate_response: str | None = None
        self.options = dict(options or {})
        self._fn = fn
        self._signature, self._context_parameter = _resolved(fn)
        self.entry = self._make_entry()
        self._tool = Tool.from_function(self.entry, **self.options)
        self.name = self._tool.name

    async def run(self, arguments: Mapping[str, Any], context: TaskContext) -> CallToolResult:
        """Run the tool on validated arguments and convert what it returns, as a plain `tools/call` would.

        Raises:
            MCPError: The tool raised one: a protocol error.
            TaskCancelled: The tool stopped because its task is over.
        """
        try:
            result = self._tool.fn_metadata.convert_result(await self._call(arguments, context))
            if isinstance(result, InputRequiredResult):
                raise ToolError("a tool can't return questions once its task runs; use `await task.elicit(...)`")
            return result
        except (MCPError, TaskCancelled):
            raise
        except (UnexpectedToolError, UnexpectedResourceError):
            logger.exception("Tool %r raised an unexpected exception", self.name)
            return self._failed(None)
        except (ToolError, ResourceError, LabError) as error:
            logger.info("Tool %r failed: %r", self.name, str(error))
            return self._failed(str(error))
        except Exception:
            # As in the SDK, a crash keeps its own words on the server.
            logger.exception("Tool %r raised an unexpected exception", self.name)
            return self._failed(None)

    def validated(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments as they came from the wire, ready for `run` in another process than the request's.

        Raises:
            ToolError: They don't fit, or the tool needs something only a request has.
        """
        if self._tool.resolved_params:
            raise ToolError(f"tool {self.name!r} has dependencies that need the request it was called with")
        try:
            ready = self._tool.fn_metadata.validate_arguments(dict(arguments))
        except ValidationError as error:
            raise ToolError(str(error)) from error
        return ready | ({self._tool.context_kwarg: Context()} if self._tool.context_kwarg else {})

    def _failed(self, text: str | None) -> CallToolResult:
        line = f"Error executing tool {self.name}" + (f": {text}" if text else "")
        return CallToolResult(content=[TextContent(type="text", text=line)], is_error=True)

    async def _call(self, arguments: Mapping[str, Any], context: TaskContext) -> Any:
        ready = dict(arguments)
        if self._context_parameter is not None:
            ready[self._context_parameter] = context
        if inspect.iscoroutinefunction(self._fn):
            return await self._fn(**ready)
        result = await anyio.to_thread.run_sync(partial(self._fn, **ready))
        return await result if inspect.isawaitable(result) else result

    def _make_entry(self) -> Callable[..., Any]:
        async def entry(**arguments: Any) -> Any:
            call = CURRENT_CALL.get()
            if call is None or call.tool != self.name:
                return await self._call(arguments, InlineContext(None))
            if call.context is None:
                raise Captured(arguments)
            try:
                return await self._call(arguments, call.context)
            except LabError as error:
                raise ToolError(str(error)) from error

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
