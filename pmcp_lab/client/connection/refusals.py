"""What a request is refused with, as an error of ours; and what this side writes into such an answer itself."""

from __future__ import annotations

from collections.abc import Mapping

from mcp import MCPError
from mcp_types import CONNECTION_CLOSED

from pmcp_lab.errors import ConnectionClosed, LabError, PeerError, ServerBusy

UNDELIVERED = "run.pmcp/undelivered"
"""In `error.data`: the server certainly did not take the request up."""
BROKE = "run.pmcp/broke"
"""In `error.data`: it happened to this request alone."""
BUSY = "run.pmcp/busy"
"""In `error.data`: the HTTP status of a server that wants to be left alone …"""
RETRY_AFTER = "run.pmcp/retry-after"
"""… and for how many seconds, or null."""


def refusal(error: MCPError, server: str) -> LabError:
    """What to raise where `server` answered a request with a JSON-RPC error."""
    data = error.data if isinstance(error.data, Mapping) else {}
    if error.code == CONNECTION_CLOSED:
        what = f": {error.message}" if BROKE in data else " closed the connection."
        return ConnectionClosed(f"Server {server!r}{what}", delivered=not data.get(UNDELIVERED))
    if BUSY in data:
        wish = data.get(RETRY_AFTER)
        when = "again later" if wish is None else f"again in {wish:g} s"
        return ServerBusy(f"Server {server!r} answered: {error.message}; try {when}", wish)
    return PeerError(f"Server {server!r} answered: {error.message} ({error.code})", code=error.code, data=error.data)
