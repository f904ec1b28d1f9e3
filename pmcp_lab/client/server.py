"""A connected server, as a cell uses it: synchronous, and awaitable where waiting can be long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import suppress
from typing import Any, Literal

from pmcp_lab.client import elicitation, sampling, views
from pmcp_lab.client.catalogue import Tool
from pmcp_lab.client.connection import Connection
from pmcp_lab.client.primitives import Primitives
from pmcp_lab.client.result import ToolResult
from pmcp_lab.client.rows import read_rows
from pmcp_lab.client.runtime import awaiting, runtime
from pmcp_lab.client.taps import taps, tell
from pmcp_lab.client.target import Command, Url
from pmcp_lab.client.task import Task
from pmcp_lab.client.task_list import TaskList
from pmcp_lab.client.task_set import TaskSet
from pmcp_lab.client.workflow import WorkflowRun
from pmcp_lab.client.workflow_runs import Workflows
from pmcp_lab.errors import InvalidArguments, LabError, PeerError, ToolError
from pmcp_lab.protocol import TaskState
from pmcp_lab.protocol.durations import Duration, milliseconds
from pmcp_lab.protocol.ui import AppGrants

CREATION_PATIENCE = 2.0
"""Seconds `Server.task` waits for the server to name the task. Where a server runs the tool inline, the
handle is given out then, and the call goes on behind it."""


class Server(Primitives):
    """A connection to an MCP server. Made by `connect`.

    Usable from any cell and any thread. `await server` waits for the handshake.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        super().__init__()
        self.app_grants = AppGrants()
        self._tasks = TaskList(self)
        self._workflows = Workflows(self)

    # --- what it is ---

    @property
    def version(self) -> str:
        """The negotiated protocol version, e.g. "2025-11-25"."""
        return str(self._peer.version)

    @property
    def status(self) -> str:
        """ "connecting", "open", "reconnecting" or "closed"."""
        return self.connection.status

    @property
    def closed(self) -> bool:
        return self.status == "closed"

    @property
    def stderr(self) -> str:
        """What a stdio server wrote to stderr so far (the last 64 KB)."""
        return self.connection.stderr.text() if self.connection.stderr is not None else ""

    @property
    def tasks(self) -> TaskList:
        """Every task started here, or attached to, oldest first.

        In a notebook the first look also finds what an earlier kernel started on the same target, unless
        `pmcp_lab.session.remember` is False.
        """
        self._tasks.recall()
        return self._tasks

    @property
    def workflows(self) -> Workflows:
        """What its workflows do: `server.workflows.runs` are those that wait for something."""
        return self._workflows

    # --- what it does ---

    def call(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        /,
        *,
        timeout: float | None = None,
        check: bool = True,
        **named: Any,
    ) -> ToolResult:
        """Call a tool and wait for its result. A tool that only runs as a task is run as one.

        Args:
            arguments: The tool's arguments; keyword arguments are added to them.
            timeout: Seconds to wait; then the call is cancelled.
            check: Compare the arguments with the input schema first.

        Raises:
            UnknownTool, InvalidArguments: Before anything is sent.
            ToolError: The tool reported failure.
            PeerError: The server answered with a JSON-RPC error.
            TimeoutError: No result in time.
        """
        task = self._start(tool, {**(arguments or {}), **named}, check=check, ttl=None, as_task=None)
        return self.wait_for(task, timeout)

    def wait_for(self, task: Task, timeout: float | None = None) -> ToolResult:
        """The result of a call, which ends if it isn't waited for; it shows its progress below the cell, and its
        questions."""
        try:
            with views.waiting(task):
                return self._wait(task, timeout)
        except BaseException:
            if not task.done():
                runtime().start(task.stop())
            raise

    def _wait(self, task: Task, timeout: float | None) -> ToolResult:
        shown = views.installed()
        if shown is None or not task.attended:
            return task.result(timeout)
        began = time.monotonic()
        with suppress(TimeoutError):
            runtime().wait(task.asked, timeout)
            if not task.done():
                shown.ask(task)
        return task.result(None if timeout is None else max(0.0, timeout - (time.monotonic() - began)))

    def task(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        /,
        *,
        ttl: Duration | None = None,
        check: bool = True,
        **named: Any,
    ) -> Task:
        """Start a tool as a task and return its handle.

        A server that makes no task of it is called in the background all the same; `task.local` is then true.

        Args:
            arguments: The tool's arguments; keyword arguments are added to them.
            ttl: How long the server is asked to keep the task: seconds, text such as "90s", "1h", or a
                `timedelta`. A 2026-07-28 server decides that alone.
            check: Compare the arguments with the input schema first.

        Raises:
            UnknownTool, InvalidArguments: Before anything is sent.
            PeerError: The server refused.
        """
        task = self._start(tool, {**(arguments or {}), **named}, check=check, ttl=_wanted(ttl), as_task=True)
        if task.local:
            return task
        try:
            runtime().wait(task.created, CREATION_PATIENCE)
        except TimeoutError:
            return task
        if task.id is None and isinstance(task.failure, PeerError):
            self._tasks.remove(task)
            raise task.failure
        return task

    def map(
        self,
        tool: str,
        rows: Any,
        /,
        *,
        concurrency: int = 16,
        ttl: Duration | None = None,
        timeout: float | None = None,
        check: bool = True,
        **named: Any,
    ) -> TaskSet:
        """Start a tool once per row, a bounded number at a time, and return at once.

        Args:
            rows: Arguments by name, one mapping per task; or a DataFrame, whose columns are the arguments and
                whose empty cells are left out; or plain values, for a tool with one argument.
            concurrency: How many run at the same time.
            ttl: As for `task`.
            timeout: Seconds each may run; then it is cancelled and counts as failed.
            check: Compare every row with the input schema before anything is sent.
            named: Arguments that are the same for all; a row's own come first.

        Raises:
            UnknownTool, InvalidArguments: Nothing was sent; names the rows that don't fit.
        """
        if concurrency < 1:
            raise InvalidArguments(f"concurrency must be at least 1, not {concurrency}")
        found = self.tool(tool)
        index, arguments = read_rows(found, rows, named, check=check)
        many = TaskSet(self, found, index, arguments, concurrency=concurrency, ttl=_wanted(ttl), timeout=timeout)
        many.start()
        return many

    def workflow(
        self, name: str, arguments: Mapping[str, Any] | None = None, /, *, task_id: str | None = None, **named: Any
    ) -> WorkflowRun:
        """Start a workflow, a prompt that makes a task, or take one up again; returns its handle.

        Waits until the server has gone as far as it can, two seconds at most; `wait()` waits for longer.

        Args:
            arguments: The prompt's arguments; keyword arguments are added to them. What is no text is sent as JSON.
            task_id: Of a workflow that was begun, by whomever: it goes on from the last step that was done.

        Raises:
            UnknownPrompt, InvalidArguments: Before anything is sent.
            NotAWorkflow: The prompt makes no task.
            PeerError: The server refused.
        """
        given = {**(arguments or {}), **named}
        prompt = self.prompts[name]
        if task_id is None or given:
            prompt.check(given)
        run = WorkflowRun(self, name, given)
        run.start(task_id)
        self.workflows.note(run)
        return run

    def attach(self, task_id: str) -> Task:
        """A handle of a task that somebody else started, or this notebook before its kernel was restarted.

        Raises:
            TaskNotFound: The server knows no such task, or won't tell.
        """
        self._peer  # noqa: B018 - waits for the handshake
        return self._tasks.attach(task_id)

    def _start(
        self, name: str, arguments: dict[str, Any], *, check: bool, ttl: int | None, as_task: bool | None
    ) -> Task:
        tool = self.tool(name)
        if check:
            tool.check(arguments)
        task = self.plan(tool, arguments, as_task=as_task)
        if as_task:
            self._tasks.add(task)
        runtime().start(self.follow(task, ttl=ttl))
        return task

    def on_input(self, callback: elicitation.Callback | None) -> elicitation.Callback | None:
        """Let a function answer what the server asks from now on, in tasks and plain calls. Usable as a decorator.

        Args:
            callback: `callback(question)` returns the answers by field, "accept" (a URL), "decline", "cancel", or
                None to leave the question to the person. Plain or `async`; it may block. None removes it.
        """
        self.connection.follower.elicitations.callback = callback
        return callback

    def on_sampling(self, callback: sampling.Callback) -> sampling.Callback:
        """Replace the function that makes completions for the server.

        Raises:
            LabError: The connection was made without one: a client declares sampling in its handshake or never.
        """
        if not self.connection.samples:
            raise LabError(f"{self.name!r} was told that there is no sampling here. Close it and {sampling.HOW}")
        self.connection.follower.on_sampling = callback
        return callback

    def plan(self, tool: Tool, arguments: dict[str, Any], *, as_task: bool | None, queued: bool = False) -> Task:
        """The handle of a call that is yet to be made.

        Args:
            as_task: None for a plain call, whose questions somebody must be there to answer.
        """
        task = Task(self, tool.name, arguments, queued=queued)
        shown = views.installed()
        task.attended = as_task is not None or (shown is not None and shown.attended)
        peer = self._peer
        # A legacy server is asked for a task where a tool can be one, and for a plain call where it must.
        fitting = ("optional", "required") if as_task else ("required",)
        task.local = not peer.modern and not (peer.offers_tasks and tool.task_support in fitting)
        return task

    async def follow(self, task: Task, *, ttl: int | None) -> None:
        """Make the call of a planned task; returns when it is answered, by a task or a result. On the loop."""
        if task.done():
            return  # cancelled before it was its turn on the loop
        task.call = asyncio.current_task()
        if taps:
            began = time.perf_counter()
            task.add_done_callback(lambda task: tell(self, task.tool, task.arguments, _ending(task), began))
        try:
            await self.connection.follower.start(task, ttl=ttl, as_task=not task.local)
        except Exception as error:  # the SDK's, about a result that is none, or does not fit the tool's own schema
            task.fail(PeerError(f"{self.name}.{task.tool} sent a result that can't be used: {error}"))

    def app(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        /,
        *,
        bridge: Literal["kernel", "direct"] = "kernel",
        **named: Any,
    ) -> Any:
        """Call a tool and show its MCP App. Returns the widget.

        Args:
            arguments: The tool's arguments; keyword arguments are added to them.
            bridge: Who asks the server what the app wants to know: the kernel, or "direct" the page itself, which
                a server over HTTP must allow (CORS) and which knows no secrets. See the widget's `bridge`.

        Raises:
            AppError: The tool has no app, or the page can't speak to this server.
        """
        return views.required().app(self, tool, {**(arguments or {}), **named}, bridge=bridge)

    def allow_apps(
        self,
        *,
        domains: bool | Iterable[str] = (),
        permissions: Iterable[str] = (),
        unsafe_eval: bool = False,
        sandbox_origin: str | None = None,
    ) -> None:
        """Say what apps that are opened from now on have without asking; see `AppGrants`. The last call counts.

        Raises:
            InvalidArguments: A domain, a permission or an address is none.
        """
        try:
            self.app_grants = AppGrants(
                domains=domains if isinstance(domains, bool) else frozenset(domains),
                permissions=frozenset(permissions),
                unsafe_eval=unsafe_eval,
                sandbox_origin=sandbox_origin,
            )
        except ValueError as error:
            raise InvalidArguments(str(error)) from None

    def open_app(self, tool: str) -> Any:
        """Show a tool's MCP App without calling the tool yet: see the widget's `partial` and `run`."""
        return views.required().app(self, tool, None, bridge="kernel")

    async def call_raw(
        self,
        tool: str,
        arguments: dict[str, Any],
        *,
        on_progress: Callable[[float, float | None, str | None], None] | None = None,
        attend: Callable[[Task], object] | None = None,
    ) -> dict[str, Any]:
        """Call a tool on behalf of an app, on the connection's loop, and return the `CallToolResult` as it came.

        What becomes a task shows in the table of tasks.

        Args:
            attend: Given the handle of the call before it is made, to put its questions to a person.

        Raises:
            InputRequired: The tool asks its user something, and there is nobody to answer.
            PeerError, ConnectionClosed: As for every request.
        """
        began = time.perf_counter()
        try:
            raw = await self._call_raw(tool, arguments, on_progress, attend)
        except LabError as error:
            tell(self, tool, arguments, error, began)
            raise
        tell(self, tool, arguments, raw, began)
        return raw

    async def _call_raw(
        self,
        tool: str,
        arguments: dict[str, Any],
        on_progress: Callable[[float, float | None, str | None], None] | None,
        attend: Callable[[Task], object] | None,
    ) -> dict[str, Any]:
        task = Task(self, tool, arguments)
        task.attended = attend is not None
        if attend is not None:
            attend(task)
        follower = self.connection.follower
        as_task = self.tool_is_task(tool)

        def call() -> Awaitable[dict[str, Any] | TaskState]:
            return self.connection.peer.call_as_it_comes(tool, arguments, as_task=as_task, on_progress=on_progress)

        with follower.asking(task):
            answer = await (follower.settled(task, call) if attend is not None else call())
        if not isinstance(answer, TaskState):
            return answer
        self._tasks.add(task)
        follower.adopt(task, answer)
        try:
            return (await task).raw
        except ToolError as error:
            return error.result
        except asyncio.CancelledError:
            runtime().start(follower.cancel(task))
            raise

    def tool_is_task(self, name: str) -> bool:
        """Whether a 2025-11-25 server takes the tool only as a task."""
        known = self.listed_tools
        tool = known[name] if known is not None and name in known else None
        return tool is not None and not self.connection.peer.modern and tool.task_support == "required"

    def close(self) -> None:
        """End the connection and, for a command, its process. Closing twice is fine."""
        owner = runtime().start(self.connection.close())
        try:
            runtime().wait(owner)
        except (asyncio.CancelledError, ConnectionError):
            return

    def __await__(self) -> Generator[Any, None, Server]:
        yield from awaiting(self.connection.ready)
        return self

    def __repr__(self) -> str:
        kind = {Command: "stdio", Url: "http"}.get(type(self.connection.target), "in process")
        if self.status in ("connecting", "reconnecting"):
            return f"<Server {self.name}: {self.status}, {kind}>"
        if self.closed:
            return f"<Server {self.name}: closed>"
        known = self.listed_tools
        count = f"{len(known)} tools, " if known is not None else ""
        return f"<Server {self.name}: {count}{self.version}, {kind}>"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.tools)


def _ending(task: Task) -> dict[str, Any] | BaseException:
    """What a task that is done ended with."""
    outcome = task.outcome
    return outcome.raw if outcome is not None else task.failure or RuntimeError("it has not ended")


def _wanted(ttl: Duration | None) -> int | None:
    """Milliseconds, as the wire wants them."""
    try:
        return milliseconds(ttl, "ttl")
    except ValueError as error:
        raise InvalidArguments(str(error)) from None
