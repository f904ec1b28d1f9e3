"""A connected server, as a cell uses it: synchronous, and awaitable where waiting can be long."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, Mapping
from typing import Any, Literal

from pmcp_lab.client import views
from pmcp_lab.client.catalogue import Tool, ToolResult
from pmcp_lab.client.client import Client
from pmcp_lab.client.primitives import Primitives
from pmcp_lab.client.questions import SAMPLING_HOW, InputCallback, SamplingCallback
from pmcp_lab.client.runtime import awaiting, runtime
from pmcp_lab.client.targets import Command, Url
from pmcp_lab.client.tasks import (
    Task,
    TaskList,
    TaskSet,
    TaskSets,
    call_of,
    check_rows,
    check_words,
    read_rows,
    wait_for,
)
from pmcp_lab.client.workflows import Driver, WorkflowRun, Workflows
from pmcp_lab.errors import InvalidArguments, LabError, PeerError
from pmcp_lab.protocol.durations import Duration, milliseconds
from pmcp_lab.protocol.ui import AppGrants

CREATION_TIMEOUT = 2.0
"""Seconds `Server.task` waits for the server to name the task. Where a server runs the tool inline, the
handle is given out then, and the call goes on behind it."""


class Server(Primitives):
    """A connection to an MCP server. Made by `connect`.

    Usable from any cell and any thread. `await server` waits for the handshake.
    """

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        client.listings.user = self
        self._workflows = Workflows(client)

    # --- what it is ---

    @property
    def version(self) -> str:
        """The negotiated protocol version, e.g. "2025-11-25"."""
        return str(self._peer.version)

    @property
    def status(self) -> str:
        """ "connecting", "open", "reconnecting" or "closed"."""
        return self._client.connection.status

    @property
    def closed(self) -> bool:
        """Whether it was closed, or lost for good."""
        return self._client.closed

    @property
    def stderr(self) -> str:
        """What a stdio server wrote to stderr so far (the last 64 KB)."""
        stderr = self._client.connection.stderr
        return stderr.text() if stderr is not None else ""

    @property
    def tasks(self) -> TaskList:
        """Every task started here, or attached to, oldest first.

        In a notebook the first look also finds what an earlier kernel started on the same target, unless
        `pmcp_lab.session.remember` is False.
        """
        self._client.tasks.recall()
        return self._client.tasks

    @property
    def sets(self) -> TaskSets:
        """Its sweeps by name, oldest first: `server.sets["sweep-1"].df`. In a notebook they outlive the kernel, with
        arguments and answers, unless `pmcp_lab.session.remember` is False."""
        self._client.connection.wait()
        return self._client.sets

    @property
    def workflows(self) -> Workflows:
        """What its workflows do: `server.workflows.runs` are those that wait for something."""
        return self._workflows

    # --- what it does ---

    def tool(self, name: str) -> Tool:
        """One tool; the list is refreshed once if the name is new.

        Raises:
            UnknownTool: Offers the nearest names.
        """
        return self._client.tool(name)

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
        return wait_for(task, timeout)

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
        call = call_of(task)
        if call.local:
            return task
        try:
            runtime().wait(call.created, CREATION_TIMEOUT)
        except TimeoutError:
            return task
        if call.id is None and isinstance(failure := call.failure, PeerError):
            self._client.tasks.remove(task)
            raise failure
        return task

    def map(
        self,
        tool: str,
        rows: Any,
        arguments: Mapping[str, Any] | None = None,
        /,
        *,
        concurrency: int = 16,
        ttl: Duration | None = None,
        timeout: float | None = None,
        check: bool = True,
        name: str | None = None,
        resume: bool = False,
        **named: Any,
    ) -> TaskSet:
        """Start a tool once per row, a bounded number at a time, and return at once.

        Args:
            rows: Arguments by name, one mapping per task; or a DataFrame, whose columns are the arguments and
                whose empty cells are left out; or plain values, for a tool with one argument.
            arguments: Those that are the same for all, where a name can't be written in a call or is one of the words
                below; keyword arguments are added to them, and a row's own come first.
            concurrency: How many run at the same time.
            ttl: As for `task`.
            timeout: Seconds each may run; then it is cancelled and counts as failed.
            check: Compare every row with the input schema before anything is sent.
            name: What the set is called in `server.sets`, where it is found again after a restart of the kernel; by
                default the tool's name and a number.
            resume: Go on with the set of that name, where there is one: rows whose arguments it has keep their tasks
                and answers, what is missing is started, and rows that are new join it.
            named: As `arguments`.

        Raises:
            UnknownTool, InvalidArguments: Nothing was sent; names the rows that don't fit, or a word above that the
                tool has an argument of.
            LabError: The name is taken, or another kernel works on that set.
        """
        if concurrency < 1:
            raise InvalidArguments(f"concurrency must be at least 1, not {concurrency}")
        found = self.tool(tool)
        sets = self._client.sets
        index, given = read_rows(found, rows, {**(arguments or {}), **named})
        if arguments is None:
            ours = {"concurrency": concurrency != 16, "ttl": ttl, "timeout": timeout, "check": not check, "name": name}
            check_words(found, [word for word, said in {**ours, "resume": resume}.items() if said], given)
        # The answers of a known set stay, also where the tool would not take their rows any more.
        if check and not (resume and name is not None and sets.readable(name)):
            check_rows(found, index, given)
        return sets.make(
            found,
            index,
            given,
            name=name,
            resume=resume,
            concurrency=concurrency,
            ttl=_wanted(ttl),
            timeout=timeout,
            check=check,
        )

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
        prompt = self._prompt(name)
        if task_id is None or given:
            prompt.check(given)
        driver = Driver(self._client, name, given)
        driver.start(task_id)
        run = WorkflowRun(driver)
        self.workflows.note(run)
        return run

    def attach(self, task_id: str) -> Task:
        """A handle of a task that somebody else started, or this notebook before its kernel was restarted.

        Raises:
            TaskNotFound: The server knows no such task, or won't tell.
        """
        self._peer  # noqa: B018 - waits for the handshake
        return self._client.tasks.attach(task_id)

    def _start(
        self, name: str, arguments: dict[str, Any], *, check: bool, ttl: int | None, as_task: bool | None
    ) -> Task:
        tool = self._checked(name, arguments) if check else self.tool(name)
        call = self._client.plan(tool, arguments, as_task=as_task)
        task = Task(call)
        if as_task:
            self._client.tasks.add(task)
        runtime().start(self._client.start(call, ttl=ttl))
        return task

    def _checked(self, name: str, arguments: Mapping[str, Any]) -> Tool:
        """A tool that takes these arguments, by its present schema."""
        tool = self.tool(name)
        try:
            tool.check(arguments)
        except InvalidArguments:
            # It is asked anew only where the server itself says that its tools may be others by now.
            if not self._client.listings.stale("tools"):
                raise
            tool = self.tools[name]
            tool.check(arguments)
        return tool

    def on_input(self, callback: InputCallback | None) -> InputCallback | None:
        """Let a function answer what the server asks from now on, in tasks and plain calls. Usable as a decorator.

        Args:
            callback: `callback(question)` returns the answers by field, "accept" (a URL), "decline", "cancel", or
                None to leave the question to the person. Plain or `async`; it may block. None removes it.
        """
        self._client.elicitations.callback = callback
        return callback

    def on_sampling(self, callback: SamplingCallback) -> SamplingCallback:
        """Replace the function that makes completions for the server.

        Raises:
            LabError: The connection was made without one: a client declares sampling in its handshake or never.
        """
        if not self._client.sampling.declared:
            raise LabError(f"{self.name!r} was told that there is no sampling here. Close it and {SAMPLING_HOW}")
        self._client.sampling.callback = callback
        return callback

    def app(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        /,
        *,
        bridge: Literal["kernel", "direct"] = "kernel",
        host: Literal["standard", "chatgpt"] = "standard",
        **named: Any,
    ) -> views.AppWidget:
        """Call a tool and show its MCP App. Returns the widget.

        Args:
            arguments: The tool's arguments; keyword arguments are added to them.
            bridge: Who asks the server what the app wants to know: the kernel, or "direct" the page itself, which
                a server over HTTP must allow (CORS) and which knows no secrets. See the widget's `bridge`.
            host: The host that is played: "chatgpt" shows what a tool has for ChatGPT (`openai/outputTemplate`), with
                what ChatGPT offers alone.

        An argument of the tool that is called as one of these goes into `arguments`.

        Raises:
            AppError: The tool has no app for this host, or the page can't speak to this server.
            InvalidArguments: There is no such host.
        """
        return views.required().app(self, tool, {**(arguments or {}), **named}, bridge=bridge, host=host)

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
            self._client.app_grants = AppGrants(
                domains=domains if isinstance(domains, bool) else frozenset(domains),
                permissions=frozenset(permissions),
                unsafe_eval=unsafe_eval,
                sandbox_origin=sandbox_origin,
            )
        except ValueError as error:
            raise InvalidArguments(str(error)) from None

    def open_app(self, tool: str, *, host: Literal["standard", "chatgpt"] = "standard") -> views.AppWidget:
        """Show a tool's MCP App without calling the tool yet: see the widget's `partial` and `run`, and `app`."""
        return views.required().app(self, tool, None, host=host)

    def close(self) -> None:
        """End the connection and, for a command, its process. Closing twice is fine."""
        owner = runtime().start(self._client.close())
        try:
            runtime().wait(owner)
        except (asyncio.CancelledError, ConnectionError):
            return

    def __await__(self) -> Generator[Any, None, Server]:
        yield from awaiting(self._client.connection.ready)
        return self

    def __repr__(self) -> str:
        kind = {Command: "stdio", Url: "http"}.get(type(self._client.target), "in process")
        if self.status in ("connecting", "reconnecting"):
            return f"<Server {self.name}: {self.status}, {kind}>"
        if self.closed:
            return f"<Server {self.name}: closed>"
        known = self._client.listings.known_tools
        count = f"{len(known)} tools, " if known is not None else ""
        return f"<Server {self.name}: {count}{self.version}, {kind}>"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._client.listings.known_tools or self.tools)


def _wanted(ttl: Duration | None) -> int | None:
    """Milliseconds, as the wire wants them."""
    try:
        return milliseconds(ttl, "ttl")
    except ValueError as error:
        raise InvalidArguments(str(error)) from None
