"""`Tasks`: one object that is both an SDK extension and a middleware.

As an extension it adds the `tasks/*` methods and decides on every `tools/call`; as a middleware it makes the
four changes a handshake connection (2025-11-25) needs and the SDK offers no other place for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

import anyio
from mcp.server.context import CallNext, HandlerResult
from mcp.server.extension import Extension, MethodBinding, ToolBinding
from mcp.server.mcpserver import MCPServer, require_client_extension
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, CallToolRequestParams, CallToolResult

from pmcp_lab.errors import InvalidTransition, LabError, TaskCancelled, TaskNotFound
from pmcp_lab.execution import AsyncioExecutor, Executor, TaskKey
from pmcp_lab.protocol import legacy, modern
from pmcp_lab.protocol.meta import IMMEDIATE_RESPONSE, TASKS_EXTENSION, VARIABLES_EXTENSION
from pmcp_lab.server import compat
from pmcp_lab.server.delivery import report
from pmcp_lab.server.inline import InlineContext
from pmcp_lab.server.listening import listen
from pmcp_lab.server.methods import TaskMethods, as_mcp_error
from pmcp_lab.server.request import Anonymous, Request, can_be_asked, is_legacy, is_modern, owners, takes_tasks
from pmcp_lab.server.tool import CURRENT_CALL, Call, Captured, Support, TaskTool, text_of
from pmcp_lab.tasks import Job, Limits, TaskRecord, TaskStore, open_store
from pmcp_lab.tasks.context import StoredContext
from pmcp_lab.tasks.limits import milliseconds

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

_NO_MIDDLEWARE = (
    "this server can't answer task requests of 2025-11-25 clients: "
    "pass the same object as middleware too, MCPServer(..., extensions=[tasks], middleware=[tasks])"
)


class _Exchange:
    """Carries the body of a legacy `CreateTaskResult` past the SDK's result check, which has no room for it."""

    created: dict[str, Any] | None = None


_EXCHANGE: ContextVar[_Exchange | None] = ContextVar("pmcp_lab_exchange", default=None)


class Tasks(Extension):
    """Durable tasks on an `MCPServer`, for 2025-11-25 and 2026-07-28 clients at once.

    ```python
    tasks = Tasks("memory://")

    @tasks.tool(support="optional")
    async def train(epochs: int, task: TaskContext) -> dict[str, int]: ...

    server = MCPServer("lab", extensions=[tasks], middleware=[tasks])
    ```

    Args:
        store: A URL (see `pmcp_lab.tasks.open_store`) or a store.
        executor: Who runs the work; in this process by default.
        limits: For a store given by URL.
        anonymous: Whose tasks a caller without credentials has over HTTP: "session", "local" or "refuse"; see
            `pmcp_lab.server.request.Anonymous`.
        pmcp_compat: Also answer in the shapes of PMCP's own client, which finds a task under `task` everywhere.

    Raises:
        StoreError: The URL can't be opened.
    """

    identifier = TASKS_EXTENSION

    def __init__(
        self,
        store: str | TaskStore = "memory://",
        *,
        executor: Executor | None = None,
        limits: Limits | None = None,
        anonymous: Anonymous = "session",
        pmcp_compat: bool = False,
    ) -> None:
        if isinstance(store, TaskStore) and limits is not None:
            raise ValueError("a store brings its own limits; give them to the store")
        self.store = open_store(store, limits) if isinstance(store, str) else store
        self.executor = executor or AsyncioExecutor()
        self.executor.bind(self.run)
        self._owner_of = owners(anonymous)
        self._pmcp_compat = pmcp_compat
        self._methods = TaskMethods(self.store, self.executor, self._owner_of, pmcp_compat=pmcp_compat)
        self._tools: dict[str, TaskTool] = {}
        self._consumed = False
        self._server: MCPServer[Any] | None = None
        self._captured: dict[str, dict[str, Any]] = {}
        self._reports: set[asyncio.Task[None]] = set()

    def tool(
        self,
        name: str | None = None,
        *,
        support: Support = "optional",
        ttl: str | int | None = None,
        poll_interval: str | int | None = None,
        client_result: bool = False,
        immediate_response: str | None = None,
        **options: Any,
    ) -> Callable[[F], F]:
        """Register a tool that can run as a task.

        A parameter annotated `TaskContext` receives the task and is not part of the tool's input schema. The
        same function runs without a task when none is asked for and `support` is not "required".

        Args:
            support: "forbidden", "optional" or "required".
            ttl: How long its tasks are kept unless the client asks otherwise: milliseconds or "1h".
            poll_interval: Milliseconds or "500ms" clients are asked to leave between polls.
            client_result: Whether its client may finish the task, by `tasks/cancel` with a result (PMCP).
            immediate_response: What a 2025-11-25 client may tell its model while the task runs.
            options: As for `MCPServer.tool`: title, description, annotations, icons, meta, structured_output.

        Raises:
            LabError: The server was already built from this extension; call `attach(server)` first.
            TypeError, ValueError: The function's annotations or an argument can't be used.
        """
        if callable(name):
            raise TypeError("use @tasks.tool() with parentheses")
        kept, polled = milliseconds(ttl), milliseconds(poll_interval)

        def register(fn: F) -> F:
            given = options if name is None else {"name": name, **options}
            tool = TaskTool(fn, support=support, ttl=kept, poll_interval=polled, options=given)
            tool.client_result, tool.immediate_response = client_result, immediate_response
            if tool.name in self._tools:
                raise ValueError(f"there already is a task tool named {tool.name!r}")
            if self._consumed:
                if self._server is None:
                    raise LabError(
                        f"tool {tool.name!r} comes too late: declare it above MCPServer(..., extensions=[tasks]), "
                        "or call tasks.attach(server) before"
                    )
                self._server.add_tool(tool.entry, **tool.options)
            self._tools[tool.name] = tool
            return fn

        return register

    def attach(self, server: MCPServer[Any]) -> MCPServer[Any]:
        """Add this object to the server's middleware if it is not there, and let tools be declared from now on.

        Args:
            server: One that was built with `extensions=[tasks]`.
        """
        if not any(present is self for present in server.middleware):
            server.middleware.append(self)
        self._server = server
        return server

    def tools(self) -> Sequence[ToolBinding]:
        self._consumed = True
        return [
            ToolBinding(tool.entry, tool.options.get("meta"), {k: v for k, v in tool.options.items() if k != "meta"})
            for tool in self._tools.values()
        ]

    def methods(self) -> Sequence[MethodBinding]:
        return self._methods.bindings()

    async def close(self, timeout: float = 5.0) -> None:
        """Let running tasks finish for `timeout` seconds, then stop them and close the store."""
        await self.executor.close(timeout)
        for reporting in tuple(self._reports):
            reporting.cancel()
        await self.store.close()

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: Request, call_next: CallNext
    ) -> HandlerResult:
        """Decide whether this call becomes a task: by the client's wish (2025-11-25) or the tool's (2026-07-28)."""
        tool = self._tools.get(params.name)
        support = tool.support if tool is not None else "forbidden"
        # `task` also reaches handlers of modern connections, where it must be ignored.
        if is_legacy(ctx) and params.task is not None:
            exchange = _EXCHANGE.get()
            if exchange is None:
                logger.error(_NO_MIDDLEWARE)
                raise MCPError(INTERNAL_ERROR, _NO_MIDDLEWARE)
            if tool is None or support == "forbidden":
                raise MCPError(METHOD_NOT_FOUND, f"tool {params.name!r} can't be called as a task")
            return await self._create_legacy(tool, params, ctx, call_next, exchange)
        if tool is None:
            return await call_next(ctx)
        if is_modern(ctx) and support != "forbidden" and takes_tasks(ctx):
            return await self._create_modern(tool, params, ctx, call_next)
        if support == "required":
            if is_modern(ctx):
                require_client_extension(ctx, TASKS_EXTENSION)
            raise MCPError(METHOD_NOT_FOUND, f"tool {params.name!r} must be called as a task")
        with_context = CURRENT_CALL.set(Call(tool.name, InlineContext(ctx)))
        try:
            return await call_next(ctx)
        finally:
            CURRENT_CALL.reset(with_context)

    async def __call__(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        """The middleware half."""
        match ctx.method:
            case "initialize":
                return self._advertise_legacy(await call_next(ctx))
            case "server/discover":
                return _advertise_variables(await call_next(ctx))
            case "tools/list" if is_legacy(ctx):
                return self._mark_tools(await call_next(ctx))
            case "tools/call" if is_legacy(ctx):
                exchange = _Exchange()
                token = _EXCHANGE.set(exchange)
                try:
                    result = await call_next(ctx)
                finally:
                    _EXCHANGE.reset(token)
                return result if exchange.created is None else exchange.created
            case "subscriptions/listen":
                return await listen(ctx, call_next, self.store, self._owner_of)
            case _:
                return await call_next(ctx)

    async def run(self, key: TaskKey, cancelled: asyncio.Event) -> None:
        """Run one task to its end: what an executor calls, in the process that took the request or another."""
        owner, task_id = key
        arguments = self._captured.pop(task_id, None)
        try:
            record = await self.store.get(owner, task_id)
            if record.live:
                await self._work(record, arguments, cancelled)
        except (InvalidTransition, TaskNotFound):
            # Cancelled, expired or completed by the tool itself: the record has the last word.
            logger.debug("task %s was over before its work was", task_id)

    async def _work(self, record: TaskRecord, arguments: dict[str, Any] | None, cancelled: asyncio.Event) -> None:
        owner, task_id, job = record.owner, record.task_id, record.job
        tool = None if job is None else self._tools.get(job.tool)
        if tool is None or job is None:
            name = "" if job is None else job.tool
            await self.store.fail(owner, task_id, {"code": INTERNAL_ERROR, "message": f"no tool {name!r} here"})
            return
        CURRENT_CALL.set(None)
        context = StoredContext(self.store, record, cancelled, can_ask=bool(job.context.get("canAsk", True)))
        try:
            result = await tool.run(tool.validated(job.arguments) if arguments is None else arguments, context)
            # A client that only reads the status should still learn what went wrong.
            message = text_of(result) if result.is_error else None
            await self.store.complete(owner, task_id, _plain(result), message=message)
        except TaskCancelled:
            await self.store.cancel(owner, task_id)
        except MCPError as error:
            raw = {"code": error.code, "message": error.message}
            await self.store.fail(owner, task_id, raw | ({} if error.data is None else {"data": error.data}))
        except (InvalidTransition, TaskNotFound):
            raise
        except LabError as error:
            await self.store.fail(owner, task_id, {"code": error.code, "message": error.message})

    async def _create(self, tool: TaskTool, params: CallToolRequestParams, ctx: Request, call: CallNext) -> Any:
        """The record of a new task, or the result of a call that ended before its tool could start."""
        wanted = params.task.ttl if params.task is not None and is_legacy(ctx) else None
        if wanted is not None and wanted < 0:
            raise MCPError(INVALID_PARAMS, f"task.ttl can't be negative: {wanted}")
        capture = CURRENT_CALL.set(Call(tool.name))
        try:
            return await call(ctx)
        except Captured as captured:
            arguments = captured.arguments
        finally:
            CURRENT_CALL.reset(capture)
        context: dict[str, Any] = {"protocol": ctx.protocol_version, "canAsk": can_be_asked(ctx)}
        if tool.client_result:
            context[compat.CLIENT_RESULT] = True
        try:
            # The request is cancelled when its caller leaves; what is stored has to be run all the same.
            with anyio.CancelScope(shield=True):
                record = await self.store.create(
                    self._owner_of(ctx),
                    ttl=self._granted(tool.ttl if wanted is None else wanted),
                    poll_interval=tool.poll_interval,
                    job=Job(tool=tool.name, arguments=params.arguments or {}, context=context),
                )
                self._captured[record.task_id] = arguments
                await self.executor.submit((record.owner, record.task_id))
        except LabError as error:
            raise as_mcp_error(error) from error
        return record

    async def _create_legacy(
        self, tool: TaskTool, params: CallToolRequestParams, ctx: Request, call: CallNext, exchange: _Exchange
    ) -> HandlerResult:
        made = await self._create(tool, params, ctx, call)
        if not isinstance(made, TaskRecord):
            if isinstance(made, CallToolResult) and made.is_error:
                # The client reads a CreateTaskResult or an error, nothing else.
                raise MCPError(INVALID_PARAMS, text_of(made))
            return made  # type: ignore[no-any-return]
        token = (ctx.meta or {}).get("progress_token")
        self._spawn(report(ctx.session, self._methods.questions, made, token, pmcp_compat=self._pmcp_compat))
        meta = compat.related(made.task_id) if self._pmcp_compat else {}
        if tool.immediate_response is not None:
            meta[IMMEDIATE_RESPONSE] = tool.immediate_response
        exchange.created = legacy.encode_created(made.state(), meta)
        return CallToolResult(content=[])

    async def _create_modern(
        self, tool: TaskTool, params: CallToolRequestParams, ctx: Request, call: CallNext
    ) -> HandlerResult:
        made = await self._create(tool, params, ctx, call)
        return modern.encode_created(made.state()) if isinstance(made, TaskRecord) else made

    def _granted(self, ttl: int | None) -> int | None:
        """A wish above the maximum gets the maximum: both specifications let the server decide."""
        longest = self.store.limits.max_ttl
        return ttl if ttl is None or longest is None else min(ttl, longest)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    def _advertise_legacy(self, result: HandlerResult) -> HandlerResult:
        if not isinstance(result, dict) or result.get("protocolVersion") != legacy.VERSION:
            return result
        capabilities = dict(result.get("capabilities") or {})
        capabilities["tasks"] = legacy.CAPABILITY
        # A handshake result has no room for extensions.
        experimental = {VARIABLES_EXTENSION: {}, legacy.PMCP_CAPABILITY: legacy.CAPABILITY}
        capabilities["experimental"] = {**(capabilities.get("experimental") or {}), **experimental}
        return {**result, "capabilities": capabilities}

    def _mark_tools(self, result: HandlerResult) -> HandlerResult:
        if not isinstance(result, dict):
            return result
        marked = []
        for raw in result.get("tools") or []:
            tool = self._tools.get(raw.get("name"))
            if tool is not None and tool.support != "forbidden":
                raw = {**raw, "execution": {**(raw.get("execution") or {}), "taskSupport": tool.support}}
            marked.append(raw)
        return {**result, "tools": marked}


def _advertise_variables(result: HandlerResult) -> HandlerResult:
    if not isinstance(result, dict) or "capabilities" not in result:
        return result
    capabilities = dict(result["capabilities"] or {})
    capabilities["extensions"] = {**(capabilities.get("extensions") or {}), VARIABLES_EXTENSION: {}}
    return {**result, "capabilities": capabilities}


def _plain(result: CallToolResult) -> dict[str, Any]:
    return result.model_dump(by_alias=True, mode="json", exclude_none=True)
