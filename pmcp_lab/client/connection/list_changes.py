"""What a server lists (tools, resources, prompts) may change: hearing of it, and who is told.

A 2025-11-25 server tells by itself; a 2026-07-28 server tells on a stream that is asked for here. The lists
themselves are kept in `primitives`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import mcp_types as types

from pmcp_lab.client.connection.attendant import Attendant, Hears
from pmcp_lab.client.connection.peer import Peer
from pmcp_lab.errors import ConnectionClosed, PeerError
from pmcp_lab.protocol.backoff import doubled

CHANGED = {
    "notifications/tools/list_changed": "tools",
    "notifications/resources/list_changed": "resources",
    "notifications/prompts/list_changed": "prompts",
}
SHORTEST, LONGEST = 0.5, 60.0
"""Seconds from the end of a stream to the next: doubled with each that did not last."""


class ListChanges(Attendant):
    """Who wants to know that a list of one server changed. Lives on the connection's loop."""

    def __init__(self) -> None:
        self.forget: Callable[[str], None] | None = None
        """Called with "tools", "resources" or "prompts" when that list is not what it was, or may not be."""
        self.on_changed: set[Callable[[str], None]] = set()
        """Called with the method of the notification, once the list is forgotten."""
        self.heard = False
        """Whether a change that the server tells of is noticed now."""
        self._missed = False

    def hears(self) -> Hears:
        lists = (
            types.ToolListChangedNotification,
            types.ResourceListChangedNotification,
            types.PromptListChangedNotification,
        )
        return dict.fromkeys(lists, lambda message: self.changed(message.method))

    def changed(self, method: str) -> None:
        """The server says so."""
        if self.forget is not None:
            self.forget(CHANGED[method])
        for tell in list(self.on_changed):
            tell(method)

    async def run(self, peer: Peer) -> None:
        """Hear of changes for as long as a connection lasts."""
        clock = asyncio.get_running_loop().time
        short = 0
        with suppress(PeerError):  # it declares what it does not do
            while True:
                self._catch_up()
                began = clock()
                with suppress(ConnectionClosed):  # not acknowledged in time; the connection's own end cancels this
                    stream = await peer.listen_to_lists()
                    self.heard = True
                    if stream is None:
                        return
                    await stream.over()
                self.heard = False
                short = 0 if clock() > began + LONGEST else short + 1
                await asyncio.sleep(doubled(short, SHORTEST, LONGEST))

    def _catch_up(self) -> None:
        """What changed while nobody listened was not told."""
        if self._missed and self.forget is not None:
            for name in CHANGED.values():
                self.forget(name)
        self._missed = True
