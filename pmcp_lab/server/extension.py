"""`Tasks`: one object that is both an SDK extension and a middleware.

As an extension it adds the `tasks/*` methods and decides on every `tools/call`; as a middleware it makes the
four changes a handshake connection (2025-11-25) needs and the SDK offers no other place for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from mcp.server.context import CallNext, HandlerResult
from mcp.server.extension import MethodBinding
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer, require_client_extension
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, CallToolRequestParams, CallToolResult

from pmcp_lab.errors import InvalidTransition, LabError, LeaseLost
from pmcp_lab.execution import AsyncioExecutor, Executor, Recover, TaskKey, key_of, open_executor
from pmcp_lab.protocol import legacy, modern
from pmcp_lab.protocol.durations import Duration, seconds
from pmcp_lab.protocol.meta import IMMEDIATE_RESPONSE, TASKS_EXTENSION
from pmcp_lab.server import compat
from pmcp_lab.server.advertising import advertise_app_elicitation, advertise_legacy, advertise_variables, mark_tools
from pmcp_lab.server.call_context import CallContext
from pmcp_lab.server.callers import Anonymous, Callers
from pmcp_lab.server.creation import Creation
from pmcp_lab.server.declaring import Declarations, S
from pmcp_lab.server.durability import warn_of_losses
from pmcp_lab.server.loop_state import Tool
from pmcp_lab.server.lost_tasks import LostTasks
from pmcp_lab.server.methods import TaskMethods
from pmcp_lab.server.policy import Support
from pmcp_lab.server.request import Request, is_legacy, is_modern, questions_of, takes_tasks
from pmcp_lab.server.request_state import state_of
from pmcp_lab.server.round_trips import RoundTrips
from pmcp_lab.server.runner import TaskRunner
from pmcp_lab.server.stats import Stats
from pmcp_lab.server.subscriptions import listen
from pmcp_lab.server.tool import CURRENT_CALL, Call, text_of
from pmcp_lab.server.upkeep import Upkeep
from pmcp_lab.tasks import LOCAL, Job, Limits, Owner, TaskRecord, TaskStore, open_store
from pmcp_lab.tasks.owner import owner_named

logger = logging.getLogger(__name__)

_SHORTEST_LEASE = 0.1
"""Seconds."""

_NO_MIDDLEWARE = (
    "this server can't answer task requests of 2025-11-25 clients: "
    "pass the same object as middleware too, MCPServer(..., extensions=[tasks], middleware=[tasks])"
)


class _Exchange:
    """Carries the body of a legacy `CreateTaskResult` past the SDK's result check, which has no room for it."""

    created: dict[str, Any] | None = None


_EXCHANGE: ContextVar[_Exchange | None] = ContextVar("pmcp_lab_exchange", default=None)


class Tasks(Declarations):
    """Durable tasks on an MCP server, for 2025-11-25 and 2026-07-28 clients at once.

    ```python
    tasks = Tasks("sqlite:///tasks.db")

    @tasks.tool(support="optional")
    async def train(epochs: int, task: TaskContext) -> dict[str, int]: ...

    server = MCPServer("lab", extensions=[tasks], middleware=[tasks], lifespan=tasks.lifespan)
    ```

    Each run of a task holds a lease on it, and whatever it writes is refused once another run has that. When its
    process ends, another one that shares the store, or the next one, fails the task or runs it again (`on_lost`). Of a
    process that is there to see it, this is found at most one and a third `lease` after the last sign of life; no
    clock is compared with another machine's. Then it is

    * with the asyncio executor, failed or started at once;
    * with a queue, failed or submitted at once. A message that is lost, or whose consumer ends before it has claimed
      the task, is made up for three and a third `lease` after it was submitted at the latest, or sooner by the queue;
    * with Docket likewise, and what a worker took and did not claim before it ended is taken by another one within the
      15 seconds of `DocketExecutor(redelivery=…)`.

    Args:
        store: A URL (see `pmcp_lab.tasks.open_store`) or a store.
        executor: Who runs the work: "asyncio" (in this process, the default), "docket" (on workers that share the
            store's Redis), or an executor.
        limits: For a store given by URL.
        lease: How long a process that runs a task is believed to live without a word from it: seconds, text such as
            "1m", or a `timedelta`.
        attempts: How often a process may end while it runs a task of a tool with `on_lost="retry"`, the last of them
            failing it. What ends while the task waits for its turn or for an answer is not counted.
        drain: How long running tasks are left to finish when the server is asked to end, likewise.
        anonymous: What a caller without credentials may do with tasks over HTTP: "session", "local" or "refuse"; see
            `pmcp_lab.server.callers.Anonymous`.
        pmcp_compat: Also answer in the shapes of PMCP's own client, which finds a task under `task` everywhere.
        app_elicitation: Tell clients that apps of this server may ask what its tasks ask (SEP-3118, a draft of MCP
            Apps): `task.elicit(…, app="ui://…")`.

    Raises:
        StoreError: The URL can't be opened.
        TypeError, ValueError: An argument can't be used.
    """

    identifier = TASKS_EXTENSION

    def __init__(
        self,
        store: str | TaskStore = "memory://",
        *,
        executor: str | Executor | None = None,
        limits: Limits | None = None,
        lease: Duration = 15,
        attempts: int = 3,
        drain: Duration = 5,
        anonymous: Anonymous = "session",
        pmcp_compat: bool = False,
        app_elicitation: bool = False,
    ) -> None:
        leased, drained = seconds(lease, "lease"), seconds(drain, "drain")
        if leased < _SHORTEST_LEASE:
            raise ValueError(f"lease: it is at least {_SHORTEST_LEASE} seconds, not {lease!r}")
        if type(attempts) is not int or attempts < 1:
            raise ValueError(f"attempts is a number of at least 1, not {attempts!r}")
        if not isinstance(store, str | TaskStore):
            raise TypeError(f"store is a URL such as 'sqlite:///tasks.db' or a TaskStore, not a {type(store).__name__}")
        if isinstance(store, TaskStore) and limits is not None:
            raise ValueError("a store brings its own limits; give them to the store")
        if isinstance(executor, str):
            executor = open_executor(executor, store if isinstance(store, str) else "")
        missing = [name for name in ("bind", "submit", "cancel", "close") if executor and not hasattr(executor, name)]
        if missing:
            raise TypeError(f"executor {executor!r} is none: it has no {', '.join(missing)}")
        super().__init__()
        self.store = open_store(store, limits) if isinstance(store, str) else store
        self.executor = executor or AsyncioExecutor()
        self._runner = runner = TaskRunner(self.store, self.executor, self._tools, lease=leased)
        self._lost_tasks = LostTasks(
            self.store.leases,
            loop_state=lambda: runner.loop_state,
            submit=runner.submit,
            count=runner.count,
            lease=runner.lease,
            attempts=attempts,
            in_process=runner.in_process,
        )
        self._drain = drained
        self.executor.bind(self._runner.run)
        self._callers = Callers(self.store, anonymous)
        self._creation = Creation(self.store, self._callers, runner)
        self._round_trips = RoundTrips(self.store, self._callers, self._creation, runner)
        self._upkeep = Upkeep(runner, self._lost_tasks, self._tools, self._round_trips.close, drain=drained)
        self._pmcp_compat = pmcp_compat
        self._app_elicitation = app_elicitation
        self._methods = TaskMethods(
            self.store, self.executor, self._callers, self._client_writes, pmcp_compat=pmcp_compat
        )
        self._serving = 0
        self._started = False

    def methods(self) -> Sequence[MethodBinding]:
        return self._methods.bindings()

    def attach(self, server: S) -> S:
        super().attach(server)
        self._round_trips.serve(server)
        return server

    # --- running ---

    def start(self) -> None:
        """Begin to look for lost and expired tasks, on the running event loop.

        The first request does that too; a process that only runs tasks calls it. Stops at `close`.
        """
        self._upkeep.start()
        if not self._started:
            self._started = True
            warn_of_losses(self.store, self._tools, lease=self.lease_period)

    async def close(self, timeout: float = 5.0) -> None:
        """Hand back what can be run again elsewhere, let the rest finish for `timeout` seconds, then stop it.

        What is stopped has failed, with a message that says so. The store is closed.
        """
        await self._upkeep.close(timeout)
        self._methods.reports.close()
        await self.store.close()

    @asynccontextmanager
    async def lifespan(self, server: object = None) -> AsyncIterator[dict[str, Any]]:
        """`start` and `close` with a server that is a process of its own: `MCPServer(..., lifespan=tasks.lifespan)`.

        Without it an HTTP server that ends leaves its tasks to be found when their leases have run out; and what a call
        asks can, unless `attach` was called, be answered for ten minutes and at the process that asked only.
        """
        if isinstance(server, MCPServer | Server):
            self._round_trips.serve(server)
        self._serving += 1
        self.start()
        try:
            yield {}
        finally:
            self._serving -= 1
            if self._serving == 0:
                await self.close(self._drain)

    async def run(self, key: TaskKey, cancelled: asyncio.Event) -> None:
        """Run one task to its end: what an executor calls, in the process that took the request or another."""
        await self._runner.run(key, cancelled)

    async def run_task(self, task: str | Mapping[str, Any], *, owner: Owner | None = None) -> TaskRecord:
        """Run one task to its end in this process: for the consumer of a queue, or a serverless function.

        Needs no server. A task that is over is left alone, so a message may be delivered twice. When another run has
        the task, this waits to see whether it lives: as long as a lease lasts, at most.

        Args:
            task: What `QueueExecutor` published, or a task's id.
            owner: Of a task that is given by its id; None is whom the id names, see `owner_named`.

        Returns:
            The record as it is afterwards.

        Raises:
            TaskNotFound: There is no such task.
            LeaseLost: Another run has it: let the queue deliver it again later.
            LabError: `task` is no task's message, or its tool is not declared here.
        """
        key = key_of(task, owner or (owner_named(task) if isinstance(task, str) else LOCAL))
        await self.run(key, asyncio.Event())
        record = await self.store.get(*key)
        if not record.live:
            return record
        tool = None if record.job is None else self._tools.get(record.job.tool)
        if tool is None:
            raise LabError(f"task {record.task_id} is for a tool that is not declared here")
        if record.lease is None or record.lease.free:
            return record
        # Where no server looks after lost tasks, whoever gets the message again does.
        lost = await self.store.leases.watch_until_lost(record)
        if lost is None:
            record = await self.store.get(*key)
            if record.live:
                raise LeaseLost(record.task_id, "this process", record.lease.runner if record.lease else None)
            return record
        # What looks for lost tasks here or elsewhere may have failed it already.
        with suppress(InvalidTransition):
            if await self._lost_tasks.recover(lost, tool, run_here=True):
                await self.run(key, asyncio.Event())
        return await self.store.get(*key)

    def stats(self) -> Stats:
        """How many tasks this process runs and has run, by tool."""
        return self._runner.stats()

    # --- for what stands on tasks ---

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """While this process asks its own server something: a lifespan that ends meanwhile closes nothing."""
        self._serving += 1
        try:
            yield
        finally:
            self._serving -= 1

    @property
    def lease(self) -> float:
        """Seconds a lease is given for: long where nobody else can read the store."""
        return self._runner.lease

    @property
    def lease_period(self) -> float:
        """Seconds within which a lease is renewed."""
        return self._runner.period

    def owner_of(self, ctx: Request, task_id: str) -> Owner:
        """Whose the task is that a request names, for its caller. Raises as `Callers.owner_of`."""
        return self._callers.owner_of(ctx, task_id)

    async def create(self, ctx: Request, *, job: Job, **fields: Any) -> TaskRecord:
        """A new task of a request's caller. Raises as `Callers.create`."""
        return await self._callers.create(ctx, job=job, **fields)

    def support_of(self, tool: str) -> Support:
        """Whether a tool can be a task; "forbidden" for one that is not declared here."""
        found = self._tools.get(tool)
        return "forbidden" if found is None else found.policy.support

    def recover_also(self, recover: Recover) -> None:
        """Have lost tasks that are for no tool offered to this as well."""
        self._upkeep.others.append(recover)

    # --- serving ---

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: Request, call_next: CallNext
    ) -> HandlerResult:
        """Decide whether this call becomes a task: by the client's wish (2025-11-25) or the tool's (2026-07-28).

        One that does not, and asks, is answered with its question (2026-07-28, multi round-trip requests).
        """
        tool = self._tools.get(params.name)
        if is_modern(ctx) and (state := state_of(params)) is not None:
            return await self._round_trips.go_on(state, params, ctx)
        support = tool.policy.support if tool is not None else "forbidden"
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
        self.start()
        if is_modern(ctx) and support != "forbidden" and takes_tasks(ctx):
            return await self._create_modern(tool, params, ctx, call_next)
        if support == "required":
            if is_modern(ctx):
                require_client_extension(ctx, TASKS_EXTENSION)
            raise MCPError(METHOD_NOT_FOUND, f"tool {params.name!r} must be called as a task")
        if is_modern(ctx) and questions_of(ctx):
            return await self._round_trips.call(tool, params, ctx, call_next)
        with_context = CURRENT_CALL.set(Call(tool.name, CallContext(ctx)))
        try:
            return await call_next(ctx)
        finally:
            CURRENT_CALL.reset(with_context)

    async def __call__(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        """The middleware half."""
        self.start()
        self._round_trips.serve_sender(ctx)
        match ctx.method:
            case "initialize":
                said = advertise_legacy(await call_next(ctx), lists=self._callers.lists(ctx))
                return advertise_app_elicitation(said) if self._app_elicitation else said
            case "server/discover":
                said = advertise_variables(await call_next(ctx))
                return advertise_app_elicitation(said) if self._app_elicitation else said
            case "tools/list" if is_legacy(ctx):
                return mark_tools(await call_next(ctx), self._tools)
            case "tools/call" if is_legacy(ctx):
                exchange = _Exchange()
                token = _EXCHANGE.set(exchange)
                try:
                    result = await call_next(ctx)
                finally:
                    _EXCHANGE.reset(token)
                return result if exchange.created is None else exchange.created
            case "subscriptions/listen":
                return await listen(ctx, call_next, self.store, self._callers.owner_of)
            case _:
                return await call_next(ctx)

    async def _create_legacy(
        self, tool: Tool, params: CallToolRequestParams, ctx: Request, call: CallNext, exchange: _Exchange
    ) -> HandlerResult:
        made = await self._creation.of_request(tool, params, ctx, call)
        if not isinstance(made, TaskRecord):
            if isinstance(made, CallToolResult) and made.is_error:
                # The client reads a CreateTaskResult or an error, nothing else.
                raise MCPError(INVALID_PARAMS, text_of(made))
            return made
        token = (ctx.meta or {}).get("progress_token")
        self._methods.reports.begin(ctx.session, made, token)
        meta = compat.related(made.task_id) if self._pmcp_compat else {}
        if tool.policy.immediate_response is not None:
            meta[IMMEDIATE_RESPONSE] = tool.policy.immediate_response
        exchange.created = legacy.encode_created(made.state(), meta)
        return CallToolResult(content=[])

    async def _create_modern(
        self, tool: Tool, params: CallToolRequestParams, ctx: Request, call: CallNext
    ) -> HandlerResult:
        made = await self._creation.of_request(tool, params, ctx, call)
        return modern.encode_created(made.state()) if isinstance(made, TaskRecord) else made

    def _client_writes(self, record: TaskRecord, variables: Mapping[str, Any]) -> bool:
        tool = None if record.job is None else self._tools.get(record.job.tool)
        return False if tool is None else tool.policy.check_client_writes(variables)
