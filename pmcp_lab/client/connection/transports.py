"""How each kind of target is spoken to: the SDK's transports, a stdio server's stderr, and what is read of tasks
on the way past the SDK."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import mcp_types as types
from mcp.client import Transport
from mcp.client.stdio import StdioServerParameters, get_default_environment, stdio_client
from mcp.shared.jsonrpc_dispatcher import progress_token_from_params
from mcp.shared.message import SessionMessage
from mcp_types import PROTOCOL_VERSION_META_KEY
from mcp_types.methods import CACHEABLE_METHODS
from pydantic import ValidationError

from pmcp_lab.client.connection.freshness import with_hints
from pmcp_lab.client.connection.stderr import StderrLog
from pmcp_lab.client.connection.streams import ACKNOWLEDGED, LISTEN, Streams
from pmcp_lab.client.connection.unreadable import given, read_anyway
from pmcp_lab.client.targets import Command, Url
from pmcp_lab.errors import ConnectionFailed, InvalidArguments, LabError
from pmcp_lab.protocol import TaskState, decode_task, legacy, meta, modern

CREATED = "run.pmcp/created-task"
"""`_meta` key under which a `CallToolResult` carries the task that was created instead of a result."""

ON_TASK: ContextVar[Callable[[str], None] | None] = ContextVar("on_task", default=None)
"""Called with the task that a request has become, as soon as its progress names one: long before its answer."""

NOISE_SHOWN = 200
"""Characters of a line that is no message."""


class Words(Protocol):
    """Who keeps what a server says besides MCP."""

    def on_noise(self, line: str) -> None:
        """A line that is no message."""

    def on_unreadable(self, said: str) -> None:
        """What is wrong with a notification."""


_WORDS: ContextVar[Words | None] = ContextVar("words", default=None)
"""Of the connection that this is part of."""


class _OneLineEach(logging.Filter):
    """The SDK logs twenty lines for each one that it can't read; here it becomes one, in `server.stderr`."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        words = _WORDS.get()
        error = record.exc_info[1] if record.exc_info else None
        if text.startswith("Failed to validate notification") and words and isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            words.on_unreadable(f"{text.rpartition(' ')[2]} can't be read: {place}: {first['msg']}")
            return False
        return not text.startswith("Failed to parse JSONRPC message")


for _name in ("mcp.client.stdio", "client"):  # the SDK's session logs as "client"
    logging.getLogger(_name).addFilter(_OneLineEach())

# Linux: the server is told when the thread that started it ends, even by SIGKILL, and then exec'd in place.
# The page of an app is one line of half a megabyte: through a pipe of 64 KB server and kernel take eight turns at it.
_LAUNCH = (
    "import ctypes, fcntl, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGTERM)\n"
    "if os.getppid() != int(sys.argv[1]): sys.exit(1)\n"
    "try: fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)\n"
    "except OSError: pass\n"
    "os.execvp(sys.argv[2], sys.argv[2:])\n"
)


def stdio_parameters(command: Command) -> StdioServerParameters:
    """How to start a command so that it does not outlive this process.

    Raises:
        ConnectionFailed: No such program or folder.
    """
    env = dict(command.env)
    if command.cwd is not None and not Path(command.cwd).is_dir():
        raise ConnectionFailed(f"Can't start {command}: the folder {command.cwd!r} does not exist.")
    path = (get_default_environment() | env).get("PATH")
    program, *args = command.argv
    local = Path(command.cwd, program) if command.cwd and os.sep in program else Path(program)
    if shutil.which(local, path=path) is None:
        raise ConnectionFailed(f"Can't start {command}: there is no program {program!r} (or it is not executable).")
    if sys.platform == "linux":
        args = ["-I", "-S", "-c", _LAUNCH, str(os.getpid()), program, *args]
        program = sys.executable
    return StdioServerParameters(command=program, args=args, env=env, cwd=command.cwd, encoding_error_handler="replace")


@asynccontextmanager
async def stdio_transport(command: Command, log: StderrLog) -> AsyncIterator[Any]:
    async with stdio_client(stdio_parameters(command), errlog=log.file) as streams:
        yield streams


class TaskTransport:
    """Wraps a transport so that a legacy `{"task": …}` answer passes the SDK's check of `tools/call` results.

    The answer is rewritten into an empty `CallToolResult` that carries the task in `_meta[CREATED]`; it is
    marked `isError` because such results are not held against the tool's output schema.

    What a server has left out that the SDK insists on is filled in: hints of a list, settings of an extension.

    What the server tells of tasks by itself is taken here too: the SDK's queue for it drops what comes in a
    burst, as the first word of a stream for a thousand tasks does.

    Args:
        inner: The transport to wrap.
        on_end: Called once when the server's side of the stream ends.
        on_task: Called with every Task the server volunteers, in either generation.
        words: Told what is no message, or none that can be read.
        streams: Told of the `subscriptions/listen` requests and their acknowledgements.
    """

    def __init__(
        self,
        inner: Transport,
        streams: Streams,
        *,
        on_end: Callable[[], None],
        on_task: Callable[[TaskState], None],
        words: Words,
    ) -> None:
        self._inner = inner
        self._on_end = on_end
        self._on_task = on_task
        self._words = words
        self._streams = streams
        self._stack = AsyncExitStack()
        self._asked: set[types.RequestId] = set()
        self._mended: dict[types.RequestId, str] = {}
        """Requests whose answers may lack what the SDK insists on, and their methods."""
        self._on_begun: dict[types.ProgressToken, Callable[[str], None]] = {}

    async def __aenter__(self) -> tuple[_Reader, _Writer]:
        # The SDK reads the messages in tasks that are begun after this, in this context.
        _WORDS.set(self._words)
        read, write = await self._stack.enter_async_context(self._inner)
        return _Reader(read, self._incoming, self._on_end), _Writer(write, self._outgoing)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    def _outgoing(self, item: SessionMessage) -> None:
        message = item.message
        if not isinstance(message, types.JSONRPCRequest):
            return
        if message.method == LISTEN:
            self._streams.sent(message.id)
        elif message.method == "tools/call" and (message.params or {}).get("task") is not None:
            self._asked.add(message.id)
        elif message.method == "initialize" or (
            message.method in CACHEABLE_METHODS
            and PROTOCOL_VERSION_META_KEY in ((message.params or {}).get("_meta") or {})
        ):
            self._mended[message.id] = message.method
        if (on_begun := ON_TASK.get()) is not None and (
            token := progress_token_from_params(message.params)
        ) is not None:
            self._on_begun[token] = on_begun

    def _incoming(self, item: SessionMessage | Exception) -> SessionMessage | Exception:
        if isinstance(item, Exception):
            line = given(item) if isinstance(item, ValidationError) else None
            message = None if line is None else read_anyway(line)
            if message is None:
                if line is not None:
                    self._words.on_noise(_shown(str(line)))
                return item
            item = SessionMessage(message)
        message = item.message
        if isinstance(message, types.JSONRPCNotification):
            self._notified(message.method, message.params or {})
            return item
        if isinstance(message, types.JSONRPCResponse | types.JSONRPCError) and message.id is not None:
            # The SDK's progress token is the id of the request.
            self._on_begun.pop(message.id, None)
            method = self._mended.pop(message.id, None)
            if method is not None and isinstance(message, types.JSONRPCResponse):
                whole = with_settings(with_hints(method, message.result))
                item.message = message = message.model_copy(update={"result": whole})
        if isinstance(message, types.JSONRPCResponse | types.JSONRPCError) and message.id in self._asked:
            self._asked.discard(message.id)
            if isinstance(message, types.JSONRPCResponse) and isinstance(message.result.get("task"), dict):
                result = {"content": [], "isError": True, "_meta": {CREATED: message.result}}
                item.message = message.model_copy(update={"result": result})
        return item

    def _notified(self, method: str, params: Mapping[str, Any]) -> None:
        if method == ACKNOWLEDGED:
            self._streams.came(params)
        elif method in (legacy.STATUS, modern.CHANGED):
            with suppress(LabError):  # a malformed notification says nothing; a poll tells
                self._on_task(decode_task(params))
        elif method == "notifications/progress" and self._on_begun:
            self._named(params.get("progressToken"), params.get("_meta"))

    def _named(self, token: object, about: object) -> None:
        related = about.get(meta.RELATED_TASK) if isinstance(about, Mapping) else None
        task_id = related.get("taskId") if isinstance(related, Mapping) else None
        if isinstance(task_id, str) and isinstance(token, str | int) and token in self._on_begun:
            self._on_begun.pop(token)(task_id)


def with_settings(result: dict[str, Any]) -> dict[str, Any]:
    """A server's capabilities, with settings for each extension: one that says `null`, or a list, has none to speak of.

    The SDK would not read them, and take a server of 2026-07-28 for one of 2025-11-25.
    """
    capabilities = result.get("capabilities")
    named = capabilities.get("extensions") if isinstance(capabilities, dict) else None
    if not isinstance(capabilities, dict) or not isinstance(named, dict):
        return result
    extensions = {name: settings if isinstance(settings, dict) else {} for name, settings in named.items()}
    return {**result, "capabilities": {**capabilities, "extensions": extensions}}


def _shown(text: str) -> str:
    """A line that could not be read as a message, as much of it as fits one of a text."""
    # What is not UTF-8 has become replacement characters on the way.
    line = "".join(char if char.isprintable() else " " for char in text).strip()
    return line if len(line) <= NOISE_SHOWN else line[: NOISE_SHOWN - 1] + "…"


class _Stream:
    """One end of a transport, passed through."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> bool | None:
        return await self._inner.__aexit__(*exc)  # type: ignore[no-any-return]


class _Reader(_Stream):
    def __init__(
        self,
        inner: Any,
        change: Callable[[SessionMessage | Exception], SessionMessage | Exception],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(inner)
        self._change = change
        self._on_end = on_end

    @property
    def last_context(self) -> Any:
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        return self._change(await self._inner.receive())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            item = await self._inner.__anext__()
        except StopAsyncIteration:
            self._on_end()
            raise
        return self._change(item)


class _Writer(_Stream):
    def __init__(self, inner: Any, see: Callable[[SessionMessage], None]) -> None:
        super().__init__(inner)
        self._see = see

    async def send(self, item: SessionMessage) -> None:
        self._see(item)
        await self._inner.send(item)


@asynccontextmanager
async def http_transport(
    target: Url, on_loss: Callable[[str], bool], on_stranger: Callable[[str], None]
) -> AsyncIterator[Any]:
    from mcp.client.streamable_http import streamable_http_client

    from pmcp_lab.client.connection.accepted import Accepted
    from pmcp_lab.client.connection.http import HttpClient

    accepted = Accepted()
    async with (
        HttpClient(target, on_loss, on_stranger, accepted) as http,
        # An answer may be as long as over stdio or as plain JSON: the page of an app is often more than the SDK's 1 MB.
        streamable_http_client(target.url, http_client=http, max_sse_event_size=None) as (read, write),
    ):
        yield _Reader(read, accepted.incoming), _Writer(write, accepted.outgoing)


@asynccontextmanager
async def local_transport(server: Any) -> AsyncIterator[Any]:
    """A server object of this process over memory streams, which carry both generations."""
    from mcp.server import Server
    from mcp.server.mcpserver import MCPServer
    from mcp.shared.memory import create_client_server_memory_streams

    if isinstance(server, MCPServer):
        try:
            manager = server.session_manager
        except RuntimeError:
            server.streamable_http_app()
            manager = server.session_manager
        server = manager.app
    if not isinstance(server, Server):
        raise InvalidArguments(f"a {type(server).__name__} is no MCP server")
    async with create_client_server_memory_streams() as (ours, theirs):
        options = server.create_initialization_options()
        serving = asyncio.create_task(server.run(*theirs, options))
        try:
            yield ours
        finally:
            await ours[1].aclose()
            _, running = await asyncio.wait([serving], timeout=2.0)
            for task in running:
                task.cancel()
