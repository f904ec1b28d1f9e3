"""Which tools can be tasks: declaring them, wrapping those that are there, connecting with a server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mcp.server.context import CallNext, HandlerResult
from mcp.server.extension import Extension, ToolBinding
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer

from pmcp_lab.errors import LabError
from pmcp_lab.protocol.durations import Duration
from pmcp_lab.server.loop_state import Tool
from pmcp_lab.server.lowlevel import extend
from pmcp_lab.server.policy import ClientVariables, OnLost, Policy, Support
from pmcp_lab.server.request import Request
from pmcp_lab.server.tool import TaskTool
from pmcp_lab.server.wrapped_tool import MCPServerTools, ServerTools, WrappedTool

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound="MCPServer[Any] | Server[Any]")


class Declarations(Extension, ABC):
    """The part of `Tasks` that an author talks to."""

    @abstractmethod
    async def __call__(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        """A middleware, too."""

    def __init__(self) -> None:
        self._tools: dict[str, Tool] = {}
        self._consumed = False
        self._server: MCPServer[Any] | None = None
        self._server_tools: ServerTools | None = None

    def tool(
        self,
        name: str | None = None,
        *,
        support: Support = "optional",
        ttl: Duration | None = None,
        poll_interval: Duration | None = None,
        on_lost: OnLost = "fail",
        concurrency: int | None = None,
        client_variables: ClientVariables | None = None,
        client_result: bool = False,
        immediate_response: str | None = None,
        mask_errors: bool = False,
        **options: Any,
    ) -> Callable[[F], F]:
        """Register a tool that can run as a task.

        A parameter annotated `TaskContext` receives the task and is not part of the tool's input schema. The
        same function runs without a task when none is asked for and `support` is not "required". It can ask there
        too: on the request's stream (2025-11-25), or in the call's result, which the client answers by calling again
        (2026-07-28, multi round-trip requests).

        Args:
            support: "forbidden", "optional" or "required".
            ttl: How long its tasks are kept unless the client asks otherwise: seconds, text such as "1h", or a
                `timedelta`.
            poll_interval: What clients are asked to leave between polls, likewise.
            on_lost: What becomes of a task whose process ended: "fail", or "retry" for a tool that may run twice.
            concurrency: How many of its tasks run at a time in this process; the others wait in order.
            client_variables: Which variables clients may write: "all", "none", names, or a function of a name.
                By default any but those the server wrote.
            client_result: Whether the client may finish a task, by `tasks/cancel` with a result (PMCP).
            immediate_response: What a 2025-11-25 client may tell its model while a task runs.
            mask_errors: Whether an exception that is no `ToolError` keeps its words on the server, as with
                `MCPServer.tool`. By default its type and text are the result, so that whoever waits for a long task
                learns why it failed; its traceback is logged either way.
            options: As for `MCPServer.tool`: title, description, annotations, icons, meta, structured_output.

        Raises:
            LabError: The server was already built from this extension; call `attach(server)` first.
            TypeError, ValueError: The function's annotations or an argument can't be used.
        """
        if callable(name):
            raise TypeError("use @tasks.tool() with parentheses")
        policy = Policy(
            support=support,
            ttl=ttl,
            poll_interval=poll_interval,
            on_lost=on_lost,
            concurrency=concurrency,
            client_variables=client_variables,
            client_result=client_result,
            immediate_response=immediate_response,
        )

        def register(fn: F) -> F:
            named = options if name is None else {"name": name, **options}
            tool = TaskTool(fn, policy, named, mask_errors=mask_errors)
            self._check_new(tool.name)
            if self._consumed:
                if self._server is None:
                    raise LabError(
                        f"tool {tool.name!r} comes too late: declare it above MCPServer(..., extensions=[tasks]), "
                        "or call tasks.attach(server) before"
                    )
                self._server.add_tool(tool.entry, **tool.options)
                tool.server = self._server
            self._tools[tool.name] = tool
            return fn

        return register

    def wrap(self, name: str, **policy: Any) -> None:
        """Let a tool of the attached server run as a task: one of `@server.tool()`, of another extension, of a
        lowlevel server.

        The server's own handler runs it, so its checks, its middleware and its `Context` are those of a plain call;
        progress and questions of that `Context` become the task's. `current_task()` is the task itself.

        Args:
            policy: As for `tool`: support, ttl, poll_interval, on_lost, concurrency, client_variables,
                client_result, immediate_response.

        Raises:
            LabError: No server is attached.
            TypeError, ValueError: An argument can't be used.
        """
        if self._server_tools is None:
            raise LabError(f"tool {name!r} can't be wrapped yet: call tasks.attach(server) before")
        self._check_new(name)
        self._tools[name] = WrappedTool(name, Policy(**policy), self._server_tools)

    def attach(self, server: S) -> S:
        """Connect with a server: from then on tools can be declared and wrapped.

        An `MCPServer` has been built with `extensions=[tasks]`; this object joins its middleware if it is not there.
        A lowlevel `Server` gets everything by this call, with which each of its tools can be wrapped.

        Raises:
            LabError: A lowlevel server can't take tasks, or tools were declared that it can't take.
        """
        if isinstance(server, Server):
            if self._tools:
                raise LabError(
                    "a lowlevel server has its own tools/list and tools/call: declare "
                    f"{', '.join(map(repr, self._tools))} there, and call tasks.wrap(name) after tasks.attach(server)"
                )
            self._server_tools = extend(server, self)
        else:
            self._server, self._server_tools = server, MCPServerTools(server)
            for tool in self._tools.values():
                if isinstance(tool, TaskTool):
                    tool.server = server
        if not any(present is self for present in server.middleware):
            server.middleware.append(self)
        return server

    def tools(self) -> Sequence[ToolBinding]:
        self._consumed = True
        return [
            ToolBinding(tool.entry, tool.options.get("meta"), {k: v for k, v in tool.options.items() if k != "meta"})
            for tool in self._tools.values()
            if isinstance(tool, TaskTool)
        ]

    def _check_new(self, name: str) -> None:
        if name in self._tools:
            raise ValueError(f"there already is a task tool named {name!r}")
