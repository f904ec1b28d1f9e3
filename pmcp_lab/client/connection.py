"""One MCP connection and the asyncio task that owns it.

The SDK's client must be left by the task that entered it, so a single background task holds it open from
handshake to end; everything else uses it from outside.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any

import mcp_types as types
from mcp.client import Client

from pmcp_lab._version import __version__
from pmcp_lab.client.follower import Follower
from pmcp_lab.client.hosting import Roots, ServerLog
from pmcp_lab.client.peer import Peer, TasksExtension, ui_extension
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.sampling import Callback as SamplingCallback
from pmcp_lab.client.target import Command, Local, Target, Url
from pmcp_lab.client.transport import StderrLog, TaskTransport, http_transport, local_transport, stdio_transport
from pmcp_lab.errors import ConnectionClosed, ConnectionFailed, LabError

_verdicts: dict[Target, str] = {}
"""Which mode a target turned out to speak: probing a server that ignores unknown methods costs 10 s."""


class Connection:
    """Opens at once, in the background.

    Args:
        mode: "auto", "legacy" or "2026-07-28".
        timeout: Seconds for start and handshake together.
        on_sampling: Makes completions for the server; without it sampling is not declared.
    """

    def __init__(
        self, name: str, target: Target, mode: str, timeout: float, on_sampling: SamplingCallback | None = None
    ) -> None:
        self.name = name
        self.target = target
        self.stderr = StderrLog() if isinstance(target, Command) else None
        self.ready: concurrent.futures.Future[Peer] = concurrent.futures.Future()
        self.lost: str | None = None
        """Why the connection ended, when nobody asked it to."""
        self.mode = mode
        self._timeout = timeout
        self.follower = Follower(self)
        self.roots = Roots()
        self.log = ServerLog()
        self.follower.on_sampling = on_sampling
        self.samples = on_sampling is not None
        """Whether the handshake declares sampling."""
        self._peer: Peer | None = None
        self._closing = False
        self._owner = runtime().start(self._own())
        runtime().at_exit(self, self.close)

    @property
    def open(self) -> bool:
        return self._peer is not None and not self._closing and self.lost is None

    @property
    def peer(self) -> Peer:
        """The live peer.

        Raises:
            ConnectionClosed: The connection ended or was never there.
        """
        if self._peer is None or not self.open:
            raise ConnectionClosed(self.ending())
        return self._peer

    def ending(self) -> str:
        """Why it is closed, with what a stdio server last wrote to stderr."""
        return self.lost or f"Server {self.name!r} is closed; connect to it again."

    def _trouble(self) -> str:
        """The same in one line."""
        last_words = self.stderr.tail(1) if self.stderr is not None and self.lost is not None else ""
        return self.ending().partition(" Its last words")[0] + (f" {last_words}" if last_words else "")

    async def _own(self) -> None:
        self._stop = asyncio.Event()
        try:
            await self._negotiate()
        except LabError as error:
            self._refuse(error)
        except BaseException as error:
            self._refuse(ConnectionFailed(self._why(error)))
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._peer = None
            self.follower.end(self.ending(), self._trouble())
            if self.stderr is not None:
                self.stderr.close()
            runtime().forget(self)

    async def _negotiate(self) -> None:
        remembered = _verdicts.get(self.target) if self.mode == "auto" else None
        if remembered is not None:
            try:
                await self._serve(remembered)
            except Exception:
                if self.ready.done():
                    raise
                del _verdicts[self.target]
            else:
                return
        await self._serve(self.mode)

    async def _serve(self, mode: str) -> None:
        client = Client(
            self._transport(mode),
            mode=mode,
            client_info=types.Implementation(name="pmcp_lab", version=__version__),
            extensions=[TasksExtension(self.follower.on_task), ui_extension()],
            elicitation_callback=self.follower.on_elicitation,
            sampling_callback=self.follower.sampled if self.samples else None,
            message_handler=self.follower.on_message,
            list_roots_callback=self.roots.answer,
            logging_callback=self.log.take,
        )
        async with asyncio.timeout(self._timeout) as limit:
            async with client:
                if mode not in ("auto", "legacy"):
                    # A pinned version alone tells nothing of what the server can do.
                    told = await client.session.send_discover(mode)
                    client.session.adopt(types.DiscoverResult.model_validate(told))
                limit.reschedule(None)
                self._peer = peer = Peer(client, self.name)
                # An in-process server takes both modes; only what had to be found out is remembered.
                if self.mode == "auto" and not isinstance(self.target, Local):
                    _verdicts[self.target] = peer.version if peer.modern else "legacy"
                watching = asyncio.create_task(self.follower.run())
                self.ready.set_result(peer)
                try:
                    await self._stop.wait()
                finally:
                    watching.cancel()

    def _transport(self, mode: str) -> Any:
        match self.target:
            case Command():
                assert self.stderr is not None
                return TaskTransport(stdio_transport(self.target, self.stderr), self._on_end)
            case Url():
                return TaskTransport(http_transport(self.target), lambda: None)
            case Local(server=server):
                return TaskTransport(local_transport(server), self._on_end) if mode == "legacy" else server

    def _on_end(self) -> None:
        if self._closing or self.lost is not None:
            return
        self.lost = f"Server {self.name!r} stopped."
        if self.stderr is not None and (tail := self.stderr.tail()):
            self.lost += f" Its last words on stderr:\n{tail}"
        self._stop.set()

    def _refuse(self, error: LabError) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
        elif self.lost is None and not self._closing:
            self.lost = str(error)

    def _why(self, error: BaseException) -> str:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        match error:
            case TimeoutError():
                reason = f"it did not complete the handshake within {self._timeout:g} s"
            case asyncio.CancelledError():
                reason = "it was closed while connecting"
            case _:
                text = str(error) or type(error).__name__
                reason = text[0].lower() + text[1:] if text[:2] != text[:2].upper() else text
        what = "Lost the connection to" if self.ready.done() else "Can't connect to"
        message = f"{what} {self.name!r} ({self.target}): {reason}"
        if self.stderr is not None and (tail := self.stderr.tail()):
            message += f"\nIts stderr says:\n{tail}"
        return message

    async def close(self) -> None:
        """End the connection; returns when the server process is gone."""
        self._closing = True
        if not self.ready.done():
            self._owner.cancel()
        elif hasattr(self, "_stop"):
            self._stop.set()
        await asyncio.wait([asyncio.wrap_future(self._owner)])
