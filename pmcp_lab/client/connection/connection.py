"""One MCP connection and the asyncio task that owns it.

The SDK's client must be left by the task that entered it, so a single background task holds it open from
handshake to end, and opens it again when it is lost; everything else uses it from outside.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import mcp_types as types
from mcp import MCPError
from mcp.client import Client, IncomingMessage

from pmcp_lab._version import __version__
from pmcp_lab.client.connection.attendant import Attendant, ClientFeatures
from pmcp_lab.client.connection.extensions import client_extensions
from pmcp_lab.client.connection.last_words import LastWords, innermost, one_line
from pmcp_lab.client.connection.peer import Peer
from pmcp_lab.client.connection.stderr import StderrLog
from pmcp_lab.client.connection.streams import Streams
from pmcp_lab.client.connection.transports import (
    TaskTransport,
    http_transport,
    local_transport,
    stdio_transport,
)
from pmcp_lab.client.runtime import runtime, seen
from pmcp_lab.client.targets import Command, Local, Target, Url
from pmcp_lab.errors import ConnectionClosed, ConnectionFailed, LabError
from pmcp_lab.protocol import TaskState
from pmcp_lab.protocol.backoff import jittered

T = TypeVar("T")

RESTARTS = 5
"""How often in a row a command is started again that ended by itself."""
STEADY = 1.0
"""A connection that lasted so many seconds ends a row of failures."""
GIVE_UP = 600.0
"""Seconds for which a URL that went away is tried."""
SHORTEST, LONGEST = 0.2, 30.0
"""Seconds: between these the upper end of the random pause before an attempt doubles with each."""
GRACE_AFTER_LOSS = 0.05
"""Seconds from a loss to the end of what was lost."""
RECONNECT_TIMEOUT = 30.0
"""Seconds a request waits while the connection is made again."""

_verdicts: dict[Target, str] = {}
"""Which mode a target turned out to speak: probing a server that ignores unknown methods costs 10 s."""


class Connection:
    """Opens in the background, once it is told to `open`, and again when it is lost.

    Args:
        mode: "auto", "legacy" or "2026-07-28".
        timeout: Seconds for start and handshake together.
    """

    def __init__(self, name: str, target: Target, mode: str, timeout: float) -> None:
        self.name = name
        self.target = target
        self._words = LastWords(name, target)
        self.ready: concurrent.futures.Future[Peer] = concurrent.futures.Future()
        """The peer once there is one; a new future each time the connection is lost."""
        self.lost: str | None = None
        """Why the connection ended for good, when nobody asked it to."""
        self.loss = ""
        """Why it was lost the last time."""
        self.attempt = 0
        """Which attempt to connect again this is, or was the last time."""
        self.mode = mode
        self._timeout = timeout
        self._attendants: Sequence[Attendant] = ()
        self._heard: dict[type, list[Callable[[Any], object]]] = {}
        self._features = ClientFeatures()
        self._peer: Peer | None = None
        self._ever = False
        """Whether there ever was a connection."""
        self._since: float | None = None
        self._next = 0.0
        """When the next attempt is made (`time.monotonic()`)."""
        self._closing = False
        self._wanted = asyncio.Event()
        self.on_status: set[Callable[[], object]] = set()
        """Called on the connection's loop when `status` may have become another."""
        self._owner: concurrent.futures.Future[None] | None = None

    def start(self, attendants: Sequence[Attendant], features: ClientFeatures) -> None:
        """Open it.

        Args:
            attendants: Are told what becomes of it, in this order.
            features: What the server may ask.
        """
        self._attendants, self._features = attendants, features
        for kind, hear in (pair for each in attendants for pair in each.hears().items()):
            self._heard.setdefault(kind, []).append(hear)
        self._owner = runtime().start(self._own())
        runtime().at_exit(self, self.close)

    # --- what it is ---

    @property
    def stderr(self) -> StderrLog | None:
        """What a stdio server writes there."""
        return self._words.stderr

    @property
    def open(self) -> bool:
        return self._peer is not None and not self._closing and self.lost is None

    @property
    def status(self) -> str:
        """ "connecting", "open", "reconnecting" or "closed"."""
        if self.open:
            return "open"
        if self._closing or self.ready.done():
            return "closed"
        return "reconnecting" if self._ever else "connecting"

    @property
    def peer(self) -> Peer:
        """The live peer.

        Raises:
            ConnectionClosed: The connection ended, was never there or is being made again.
        """
        if self._peer is None or not self.open:
            raise ConnectionClosed(self._away() if self.status == "reconnecting" else self.ending())
        return self._peer

    def ending(self) -> str:
        """Why it is closed, with what a stdio server last wrote to stderr."""
        return self.lost or f"Server {self.name!r} is closed; connect to it again."

    def _away(self) -> str:
        return f"Server {self.name!r} is away; {self.trouble()}\n{self.loss}"

    @property
    def brief_loss(self) -> str:
        """`loss` as a sentence on one line."""
        return one_line(self.loss).rstrip(".") + "."

    @property
    def summary(self) -> str:
        """Which protocol version it speaks, or else how it is doing, in a few words; never waits."""
        if self._peer is not None and self.open:
            return str(self._peer.version)
        if self.status != "reconnecting":
            return self.status
        left = self._next - time.monotonic()
        soon = f"next in {left:.0f} s" if left >= 1 else "trying now"
        return f"away, attempt {max(1, self.attempt)}, {soon}"

    def trouble(self) -> str:
        """What the rows of its tasks say, in one line."""
        if self.status == "reconnecting":
            return f"reconnecting to {self.name!r} (attempt {max(1, self.attempt)}) …"
        return one_line(self.ending())

    # --- what it is asked ---

    async def live(self, timeout: float = RECONNECT_TIMEOUT) -> Peer:
        """The peer, as soon as there is one. On the connection's loop.

        Raises:
            ConnectionClosed: There is none, and there won't be within `timeout` seconds.
        """
        if self.status in ("connecting", "reconnecting"):
            ready = asyncio.wrap_future(self.ready)
            ready.add_done_callback(seen)
            await asyncio.wait([ready], timeout=timeout)
        return self.peer

    def wait(self, timeout: float = RECONNECT_TIMEOUT) -> Peer:
        """The same from any other thread. A first connection has its own time limit."""
        ready = self.ready
        if not ready.done():
            try:
                runtime().wait(ready, timeout if self._ever else None)
            except TimeoutError:
                raise ConnectionClosed(self._away()) from None
        return self.peer

    async def ask(self, request: Callable[[Peer], Awaitable[T]], *, again: bool = False) -> T:
        """Make a request over whatever peer there is; waits for one while the connection is made again.

        A request that certainly was not taken up is sent again; any other only if `again` says that it may be.

        Args:
            request: Called with the peer.
            again: Whether asking twice does no more than asking once.

        Raises:
            ConnectionClosed: The connection ended before the answer came, or is not there in time.
        """
        for last in (False, False, False, False, True):
            peer = await self.live()
            try:
                return await request(peer)
            except ConnectionClosed as error:
                only_the_answer = self._peer is peer
                if last or (error.delivered and not again):
                    raise ConnectionClosed(error.message if only_the_answer else self.lost or self.loss) from None
            if only_the_answer:
                await asyncio.sleep(SHORTEST)
        raise AssertionError("the last attempt returns or raises")

    # --- its life ---

    async def _own(self) -> None:
        try:
            await self._keep()
        except LabError as error:
            self._refuse(error)
        except BaseException as error:
            self._refuse(ConnectionFailed(self._why(error), data=getattr(innermost(error), "data", None)))
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._peer = None
            if not self.ready.done():
                self.ready.set_exception(ConnectionClosed(self.ending()))
            for each in self._attendants:
                each.ended(self.ending(), self.trouble())
            self._words.close()
            runtime().forget(self)
            self._tell()

    async def _keep(self) -> None:
        """Connect, and again after every loss, until it is closed or there is no hope."""
        clock = asyncio.get_running_loop().time
        short = failed = 0
        found = clock()
        while True:
            try:
                await self._negotiate()
            except Exception as error:
                if not self._ever:
                    raise
                why = self._why(error)
                setback = None if self._lose(why) else why
            else:
                setback = None
            if self._closing:
                return
            if self._since is None:
                failed += 1
            else:
                short = 0 if clock() > self._since + STEADY else short + 1
                failed, found = 0, clock()
            self.attempt = failed + max(1, short)
            spent = self.attempt > RESTARTS if isinstance(self.target, Command) else clock() > found + GIVE_UP
            if spent or isinstance(self.target, Local):
                self.lost = setback or self.loss
                return
            self._interrupt()
            self._wanted.clear()
            self._tell()
            with suppress(TimeoutError):
                # A server that does answer is not made to wait for what it did before.
                pause = jittered(failed + min(short, 3), SHORTEST, LONGEST)
                self._next = time.monotonic() + pause
                await asyncio.wait_for(self._wanted.wait(), pause)

    def hurry(self) -> None:
        """Somebody waits: make the next attempt to connect again at once."""
        runtime().call_soon(self._wanted.set)

    def _tell(self) -> None:
        for tell in list(self.on_status):
            tell()

    def _lose(self, reason: str) -> bool:
        """The connection is gone; whoever asks something waits for the next. False if there was none to lose."""
        if not self.open:
            return False
        self.loss = reason
        self.ready = concurrent.futures.Future()
        self._peer = None
        # What was answered with the loss, as that a request was not taken up, still reaches who asked.
        asyncio.get_running_loop().call_later(GRACE_AFTER_LOSS, self._stop.set)
        self._interrupt()
        self._tell()
        return True

    def _interrupt(self) -> None:
        for each in self._attendants:
            each.interrupted(self.trouble())

    async def _negotiate(self) -> None:
        self._stop = asyncio.Event()
        self._since = None
        remembered = _verdicts.get(self.target) if self.mode == "auto" else None
        if remembered is not None:
            try:
                await self._serve(remembered)
            except Exception:
                if self._since is not None:
                    raise
                _verdicts.pop(self.target, None)
            else:
                return
        try:
            await self._serve(self.mode)
        except Exception as error:
            if not self._ended_on_probe(error):
                raise
            self._words.begin_anew()
            await self._serve("legacy")

    def _ended_on_probe(self, error: Exception) -> bool:
        """Whether a command ended when it was asked what it speaks, as servers do that know `initialize` alone."""
        if self.mode != "auto" or not isinstance(self.target, Command) or self._since is not None or self._closing:
            return False
        cause = innermost(error)
        return isinstance(cause, MCPError) and cause.code == types.CONNECTION_CLOSED

    async def _serve(self, mode: str) -> None:
        self._words.begin()
        streams = Streams()
        client = Client(
            self._transport(streams),
            mode=mode,
            client_info=types.Implementation(name="pmcp_lab", version=__version__),
            extensions=client_extensions(app_elicitation=self._features.app_elicitation),
            elicitation_callback=self._features.elicitation,
            sampling_callback=self._features.sampling,
            message_handler=self._on_message,
            list_roots_callback=self._features.roots,
            logging_callback=self._features.logging,
            cache=None,
        )
        async with asyncio.timeout(self._timeout) as limit:
            async with client:
                if mode not in ("auto", "legacy"):
                    # A pinned version alone tells nothing of what the server can do.
                    client.session.adopt(types.DiscoverResult.model_validate(await client.session.send_discover(mode)))
                limit.reschedule(None)
                peer = Peer(client, self.name, streams)
                # An in-process server takes both modes; only what had to be found out is remembered.
                if self.mode == "auto" and not isinstance(self.target, Local):
                    _verdicts[self.target] = peer.version if peer.modern else "legacy"
                self._since = asyncio.get_running_loop().time()
                self._ever = True
                self._peer = peer
                watching = [asyncio.create_task(each.run(peer)) for each in self._attendants]
                self.ready.set_result(peer)
                self._tell()
                try:
                    await self._stop.wait()
                finally:
                    for each in watching:
                        each.cancel()

    async def _on_message(self, message: IncomingMessage) -> None:
        self._tell_of(message)

    def _tell_of(self, sent: IncomingMessage | TaskState) -> None:
        for hear in self._heard.get(type(sent), ()):
            hear(sent)

    def _transport(self, streams: Streams) -> TaskTransport:
        match self.target:
            case Command():
                assert self._words.stderr is not None
                inner = stdio_transport(self.target, self._words.stderr)
            case Url():
                inner = http_transport(self.target, self._on_loss, self._words.on_stranger)
            case _:
                inner = local_transport(self.target.server)
        return TaskTransport(inner, streams, on_end=self._on_end, on_task=self._tell_of, words=self._words)

    def _on_end(self) -> None:
        if not isinstance(self.target, Url):  # whose transport fell, and says why when it is left
            self._lose(self._words.stopped())

    def _on_loss(self, reason: str) -> bool:
        return self._lose(f"Lost the connection to {self.name!r} ({self.target}): {self._words.scrubbed(reason)}")

    def _refuse(self, error: LabError) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
        elif self.lost is None and not self._closing:
            self.lost = str(error)

    def _why(self, error: BaseException) -> str:
        return self._words.why(error, stood=self._since is not None, mode=self.mode, timeout=self._timeout)

    async def close(self) -> None:
        """End the connection; returns when the server process is gone."""
        self._closing = True
        if self._owner is None:
            return
        if not self.ready.done():
            self._owner.cancel()
        elif hasattr(self, "_stop"):
            self._stop.set()
        await asyncio.wait([asyncio.wrap_future(self._owner)])
