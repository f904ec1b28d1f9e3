"""Reading a server's apps before somebody opens one, so that the first opening waits for no server."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from pmcp_lab.client import Client, Local, seen
from pmcp_lab.errors import LabError
from pmcp_lab.host.profile import STANDARD, Profile
from pmcp_lab.host.resource import ALWAYS_READ, AppResource, read_app

QUIET = 0.3
"""Seconds after the connection stands: what the next cell asks of the server goes first."""
APPS_AHEAD = 8
CHARACTERS_AHEAD = 8_000_000
"""Of all documents together; the others are read when they are opened."""


async def read_ahead(client: Client) -> None:
    """List the tools of a new connection and read the apps they refer to, one after another.

    MCP Apps are declared with their tools so that hosts can do this. A server in this process is left alone: it
    answers at once, and what it shows is often still being written. On the connection's loop.
    """
    if isinstance(client.target, Local):
        return
    # What is wrong is told to whoever opens the app.
    with suppress(LabError):
        await client.connection.live()
        await asyncio.sleep(QUIET)
        tools = (await client.listings.tools()).values()
        apps = dict.fromkeys(STANDARD.tool_ui(tool.raw.get("_meta")).resource_uri for tool in tools)
        room = CHARACTERS_AHEAD
        for uri in [uri for uri in apps if uri is not None][:APPS_AHEAD]:
            if room > 0 and uri not in client.listings.documents:
                with suppress(LabError):
                    room -= len((await read_first(client, uri)).html)


async def read_first(client: Client, uri: str, profile: Profile = STANDARD) -> AppResource:
    """Read an app that is not known; several who want it at the same time wait for one read.

    Raises:
        AppError: As `read_app`.
    """
    known = client.listings.documents.get(uri)
    if profile is not STANDARD or known is ALWAYS_READ:
        return await read_app(client, uri, profile)
    if isinstance(known, asyncio.Task):
        reading: asyncio.Task[AppResource] = known
    else:
        reading = asyncio.create_task(read_app(client, uri))
        client.listings.documents[uri] = reading
        # Whoever waits is told what is wrong; at times nobody does.
        reading.add_done_callback(seen)
        reading.add_done_callback(lambda _: _forget(client, uri, reading))
    # Who gives up waiting is not the only one, perhaps.
    return await asyncio.shield(reading)


def _forget(client: Client, uri: str, reading: asyncio.Task[AppResource]) -> None:
    """It failed, or else what it read stands in its place."""
    if client.listings.documents.get(uri) is reading:
        del client.listings.documents[uri]
