"""Who wants to hear that a resource changed, and how the server is asked to say so in either generation.

Who wants to hear of the lists as such is told in `list_changes`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import mcp_types as types

from pmcp_lab.client.connection.attendant import Attendant, Hears
from pmcp_lab.client.connection.peer import Peer
from pmcp_lab.client.connection.streams import Stream
from pmcp_lab.errors import LabError, PeerError

AGAIN = 1.0
"""Seconds until a stream is opened again that the server ended."""


class ResourceChanges(Attendant):
    """The resources of one connection that somebody looks at. Lives on the connection's loop, as all its methods do.

    Nothing is asked of a server while nobody wants to hear anything.
    """

    def __init__(self) -> None:
        self.outdated: Callable[[str], object] = lambda _: None
        """Called with the URI of each resource of which the server says that it changed."""
        self._wanted: dict[str, list[Callable[[], object]]] = {}
        self._change = asyncio.Event()
        self._began = False

    def want(self, uri: str, changed: Callable[[], object]) -> None:
        """Call a function whenever the resource may have changed."""
        self._wanted.setdefault(uri, []).append(changed)
        self._change.set()

    def forget(self, uri: str, changed: Callable[[], object]) -> None:
        """Call it no more."""
        callbacks = self._wanted.get(uri, [])
        if changed in callbacks:
            callbacks.remove(changed)
        if not callbacks and self._wanted.pop(uri, None) is not None:
            self._change.set()

    def hears(self) -> Hears:
        return {
            types.ResourceUpdatedNotification: lambda message: self._updated(str(message.params.uri)),
            types.ResourceListChangedNotification: lambda _: self._tell(None),
        }

    def _updated(self, uri: str) -> None:
        self.outdated(uri)
        self._tell(uri)

    async def run(self, peer: Peer) -> None:
        """Have one connection tell of what is wanted, until cancelled."""
        offered = peer.capabilities.resources
        if self._began:
            self._tell(None)  # it may be another server now, or have changed while nobody heard it
        self._began = True
        if offered is None or not offered.subscribe:
            return
        # Without news there are the views as they are; a connection that is lost says so itself.
        with suppress(LabError):
            await (self._listen(peer) if peer.modern else self._subscribe(peer))

    async def _subscribe(self, peer: Peer) -> None:
        """2025-11-25: one subscription for each."""
        subscribed: set[str] = set()
        while True:
            self._change.clear()
            wanted = set(self._wanted)
            for verb, uris in (("subscribe", wanted - subscribed), ("unsubscribe", subscribed - wanted)):
                for uri in uris:
                    with suppress(PeerError):  # the others may be taken
                        await peer.request(f"resources/{verb}", {"uri": uri})
            subscribed = wanted
            await self._change.wait()

    async def _listen(self, peer: Peer) -> None:
        """2026-07-28: one stream for all, opened anew when they are others."""
        stream: Stream | None = None
        try:
            while True:
                self._change.clear()
                before, stream = stream, await peer.listen_to_resources(self._wanted) if self._wanted else None
                if before is not None:
                    before.close()
                change = asyncio.ensure_future(self._change.wait())
                try:
                    ended = [change, *([stream.request] if stream is not None else [])]
                    await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    change.cancel()
                if stream is not None and stream.request.done():
                    stream = None
                    await asyncio.sleep(AGAIN)
                    self._tell(None)
        finally:
            if stream is not None:
                stream.close()

    def _tell(self, uri: str | None) -> None:
        for known, callbacks in list(self._wanted.items()):
            if uri is None or uri == known:
                for changed in list(callbacks):
                    changed()
