"""A connected server, as a cell uses it: synchronous, and awaitable where waiting can be long."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, TypeVar

from pmcp_lab.client import views
from pmcp_lab.client.activity import announce
from pmcp_lab.client.catalogue import Tool, Tools
from pmcp_lab.client.connection import Connection
from pmcp_lab.client.peer import Peer
from pmcp_lab.client.result import ToolResult
from pmcp_lab.client.runtime import awaiting, runtime
from pmcp_lab.client.target import Command, Url
from pmcp_lab.client.task import Task
from pmcp_lab.errors import InvalidArguments, PeerError, ToolError
from pmcp_lab.protocol import TaskState

T = TypeVar("T")

CREATION_PATIENCE = 2.0
"""Seconds `Server.task` waits for the server to name the task. Where a server runs the tool inline, the
handle is given out then, and the call goes on behind it."""


class Server:
    """A connection to an MCP server. Made by `connect`.

    Usable from any cell and any thread. `await server` waits for the handshake.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.tasks: list[Task] = []
        """Every task started here, oldest first."""
        self._tools: Tools | None = None

    # --- what it is ---

    @property
    def name(self) -> str:
        return self.connection.name

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
    def tools(self) -> Tools:
        """The server's tools by name, listed once; `refresh()` lists them again."""
        if self._tools is None:
            self.refresh()
        assert self._tools is not None
        return self._tools

    def refresh(self) -> None:
        """List the tools again."""
        raw = self._ask(Peer.list_tools)
        self._tools = Tools(self.name, [Tool(self.name, item) for item in raw])

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
        try:
            return task.result(timeout)
        except BaseException:
            if not task.done():
                runtime().start(self.connection.follower.cancel(task))
            raise

    def task(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        /,
        *,
        ttl: str | float | None = None,
        check: bool = True,
        **named: Any,
    ) -> Task:
        """Start a tool as a task and return its handle.

        A server that makes no task of it is called in the background all the same; `task.local` is then true.

        Args:
            arguments: The tool's arguments; keyword arguments are added to them.
            ttl: How long the server is asked to keep the task: seconds, or text such as "90s", "1h". A
                2026-07-28 server decides that alone.
            check: Compare the arguments with the input schema first.

        Raises:
            UnknownTool, InvalidArguments: Before anything is sent.
            PeerError: The server refused.
        """
        task = self._start(tool, {**(arguments or {}), **named}, check=check, ttl=milliseconds(ttl), as_task=True)
        if task.local:
            return task
        try:
            runtime().wait(task.created, CREATION_PATIENCE)
        except TimeoutError:
            return task
        if task.id is None and isinstance(task.failure, PeerError):
            self.tasks.remove(task)
            raise task.failure
        return task

    def _start(
        self, name: str, arguments: dict[str, Any], *, check: bool, ttl: int | None, as_task: bool | None
    ) -> Task:
        tool = self.tool(name)
        if check:
            tool.check(arguments)
        peer = self._peer
        supported = peer.offers_tasks and tool.task_support in ("optional", "required")
        task = Task(self, name, arguments)
        task.attended = as_task is not None
        if as_task is None:
            as_task = supported and tool.task_support == "required"
        task.local = not peer.modern and not (as_task and supported)
        if as_task:
            self.tasks.append(task)
            announce(task)
        runtime().start(self.connection.follower.start(task, ttl=ttl, as_task=as_task and supported))
        return task

    def tool(self, name: str) -> Tool:
        """One tool; the list is refreshed once if the name is new.

        Raises:
            UnknownTool: Offers the nearest names.
        """
        if name not in self.tools:
            self.refresh()
        return self.tools[name]

    def read(self, uri: str) -> list[dict[str, Any]]:
        """The contents of a resource."""
        return list(self._ask(lambda peer: peer.read_resource(uri)).get("contents") or ())

    def resources(self) -> list[dict[str, Any]]:
        """The resources the server lists, as they came."""
        return list(self._ask(Peer.list_resources))

    def app(self, tool: str, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
        """Call a tool and show its MCP App. Returns the widget."""
        return views.required().app(self, tool, {**(arguments or {}), **named})

    async def call_raw(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool on behalf of an app, on the connection's loop, and return the `CallToolResult` as it came.

        Raises:
            InputRequired: The tool asks its user something.
            PeerError, ConnectionClosed: As for every request.
        """
        answer = await self.connection.peer.call_as_it_comes(tool, arguments)
        if not isinstance(answer, TaskState):
            return answer
        task = Task(self, tool, arguments)
        task.attended = False
        self.connection.follower.adopt(task, answer)
        try:
            return (await task).raw
        except ToolError as error:
            return error.result
        except asyncio.CancelledError:
            runtime().start(self.connection.follower.cancel(task))
            raise

    async def known_tools(self, name: str) -> list[dict[str, Any]]:
        """The listed tools, as they came; listed again if `name` is new. On the connection's loop."""
        if self._tools is None or name not in self._tools:
            raw = await self.connection.peer.list_tools()
            self._tools = Tools(self.name, [Tool(self.name, item) for item in raw])
        return [dict(tool.raw) for tool in self._tools.values()]

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

    @property
    def _peer(self) -> Peer:
        return self.connection.wait()

    def _ask(self, request: Callable[[Peer], Awaitable[T]]) -> T:
        """Ask what may be asked twice."""
        self.connection.wait()
        return runtime().run(self.connection.ask(request, again=True))

    def __repr__(self) -> str:
        kind = {Command: "stdio", Url: "http"}.get(type(self.connection.target), "in process")
        if self.status in ("connecting", "reconnecting"):
            return f"<Server {self.name}: {self.status}, {kind}>"
        if self.closed:
            return f"<Server {self.name}: closed>"
        count = f"{len(self._tools)} tools, " if self._tools is not None else ""
        return f"<Server {self.name}: {count}{self.version}, {kind}>"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.tools)


_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def milliseconds(duration: str | float | None) -> int | None:
    """A duration in milliseconds: a number is seconds, text has a unit (ms, s, m, h, d).

    Raises:
        InvalidArguments: Neither, or negative.
    """
    if duration is None:
        return None
    if isinstance(duration, int | float) and not isinstance(duration, bool) and duration >= 0:
        return int(duration * 1000)
    if isinstance(duration, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?\s*", duration)
        if match:
            return int(float(match[1]) * _UNITS[match[2] or "s"])
    raise InvalidArguments(f"{duration!r} is no duration; give seconds, or text such as '90s', '15m', '1h'")
