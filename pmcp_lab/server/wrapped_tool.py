"""Tools that are not declared with `@tasks.tool()`: those of the server itself, of other extensions, of a lowlevel
server. And the two kinds of servers they can be on.

As a task the server's own handler runs such a tool, behind the request's answer, so that nothing of what a plain
call goes through is left out. What refuses a call there fails the task; what can be checked before it is made, is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from mcp.server.context import CallNext, HandlerResult
from mcp.server.extension import RequestHandler
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import (
    METHOD_NOT_FOUND,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
)

from pmcp_lab.protocol.json_schema import Draft202012Validator, ValidationError
from pmcp_lab.server.policy import Policy
from pmcp_lab.server.request import Request, is_legacy
from pmcp_lab.server.task_session import TaskSession, later_request
from pmcp_lab.server.tool import Prepared, failed
from pmcp_lab.tasks import Job, TaskContext


class ServerTools(Protocol):
    """The tools of the server that a wrapped one is on, itself among them."""

    async def input_schema(self, tool: str, ctx: Request) -> Mapping[str, Any] | None:
        """The JSON Schema of the tool's arguments; None when there is no such tool."""
        ...

    async def call(self, tool: str, arguments: Mapping[str, Any], ctx: Request) -> HandlerResult:
        """Call the tool as a request of its own would."""
        ...


class MCPServerTools:
    """Those of a server made with decorators."""

    def __init__(self, server: MCPServer[Any]) -> None:
        self._server = server

    async def input_schema(self, tool: str, ctx: Request) -> Mapping[str, Any] | None:  # noqa: ARG002
        for listed in await self._server.list_tools():
            if listed.name == tool:
                return listed.input_schema
        return None

    async def call(self, tool: str, arguments: Mapping[str, Any], ctx: Request) -> HandlerResult:
        context = Context[Any, Any](request_context=ctx, mcp_server=self._server)
        try:
            return await self._server.call_tool(tool, dict(arguments), context)
        except ToolError as error:
            return CallToolResult(content=[TextContent(type="text", text=str(error))], is_error=True)


class LowlevelServerTools:
    """Those of a server made of handlers.

    Args:
        call_tool: Its own handler of `tools/call`, without tasks.
    """

    def __init__(self, server: Server[Any], call_tool: RequestHandler) -> None:
        self._server = server
        self._call_tool = call_tool

    async def input_schema(self, tool: str, ctx: Request) -> Mapping[str, Any] | None:
        handler = self._server.get_request_handler("tools/list")
        cursor: str | None = None
        while handler is not None:
            page = await handler.handler(ctx, PaginatedRequestParams(cursor=cursor))
            listed = page if isinstance(page, ListToolsResult) else ListToolsResult.model_validate(page)
            for one in listed.tools:
                if one.name == tool:
                    return one.input_schema
            cursor = listed.next_cursor
            if cursor is None:
                break
        return None

    async def call(self, tool: str, arguments: Mapping[str, Any], ctx: Request) -> HandlerResult:
        return await self._call_tool(ctx, CallToolRequestParams(name=tool, arguments=dict(arguments)))


class WrappedTool:
    """A tool of the server's that can run as a task."""

    not_stoppable = 0

    def __init__(self, name: str, policy: Policy, server_tools: ServerTools) -> None:
        self.name = name
        self.policy = policy
        self._server_tools = server_tools

    async def capture(self, params: CallToolRequestParams, ctx: Request, call: CallNext) -> Prepared | HandlerResult:
        """The call, ready to be run later; or its result, when it can't be."""
        schema = await self._server_tools.input_schema(self.name, ctx)
        if schema is None:
            if is_legacy(ctx):
                raise MCPError(METHOD_NOT_FOUND, f"tool {self.name!r} can't be called as a task: there is no such tool")
            return await call(ctx)
        problem = _problem(schema, params.arguments or {})
        if problem is not None:
            return failed(self.name, problem)
        session = TaskSession(ctx.session)
        later = replace(ctx, session=session)  # type: ignore[arg-type]
        return Prepared(partial(self._run, partial(call, later), session))

    def prepare(self, job: Job) -> Prepared:
        """The call again, in another process than the request's or after it."""
        session = TaskSession(None)
        call = partial(self._server_tools.call, self.name, job.arguments, later_request(job, session))
        return Prepared(partial(self._run, call, session))

    def convert(self, value: Any) -> CallToolResult:
        """What the handler returns, or a value of the tool's own, as a `CallToolResult`."""
        if isinstance(value, InputRequiredResult):
            raise ToolError("a tool can't return questions once its task runs; use `await current_task().elicit(...)`")
        if isinstance(value, CallToolResult):
            return value
        if isinstance(value, Mapping) and "content" in value:
            return CallToolResult.model_validate(value, by_name=False)
        text = value if isinstance(value, str) else json.dumps(value)
        return CallToolResult(
            content=[TextContent(type="text", text=text)],
            structured_content=dict(value) if isinstance(value, Mapping) else None,
        )

    async def _run(self, call: Any, session: TaskSession, context: TaskContext) -> CallToolResult:
        session.task = context
        return self.convert(await call())


def _problem(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> str | None:
    """What is wrong with the arguments, by name and not by value; None when nothing is."""
    validator = Draft202012Validator(schema)
    errors = list(validator.iter_errors(arguments))
    # `MCPServer` takes "3" for 3, and so must whoever looks before it does.
    if not errors or validator.is_valid({name: _read(value) for name, value in arguments.items()}):
        return None
    return "; ".join(sorted(map(_words, errors)))


def _words(error: ValidationError) -> str:
    if error.validator == "required":
        # The one message without a value in it.
        return error.message
    at, expected = ".".join(map(str, error.absolute_path)) or "the arguments", error.validator_value
    return f"{at}: {error.validator} is {json.dumps(expected)}" if expected is not None else f"{at}: not allowed"


def _read(value: Any) -> Any:
    """Text as the JSON it may hold."""
    if isinstance(value, str):
        with suppress(ValueError):
            return json.loads(value)
    return value
