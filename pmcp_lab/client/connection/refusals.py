"""What a request is refused with, as an error of ours; and what this side writes into such an answer itself."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
import mcp_types as types
from mcp import MCPError
from pydantic import ValidationError

from pmcp_lab.errors import ConnectionClosed, LabError, PeerError, ServerBusy

UNDELIVERED = "run.pmcp/undelivered"
"""In `error.data`: the server certainly did not take the request up."""
BROKE = "run.pmcp/broke"
"""In `error.data`: it happened to this request alone."""
BUSY = "run.pmcp/busy"
"""In `error.data`: the HTTP status of a server that wants to be left alone …"""
RETRY_AFTER = "run.pmcp/retry-after"
"""… and for how many seconds, or null."""


ROUNDS = 10
"""How often one call may ask before it is given up; the SDK's own limit."""

_CLOSED = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream)
REFUSALS = (MCPError, ValidationError, *_CLOSED)
"""What the SDK raises where there is no result."""


def refusal(error: Exception, server: str, awaited: str | None = None) -> LabError:
    """What to raise for one of `REFUSALS`.

    Args:
        awaited: What a request waits for that was accepted.
    """
    match error:
        case MCPError(code=types.REQUEST_TIMEOUT) if awaited is not None:
            return PeerError(f"No answer in time: {awaited} ({error.code})", code=error.code)
        case MCPError():
            return _answered(error, server)
        case ValidationError():
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "the answer itself"
            return PeerError(f"Server {server!r} sent an answer that can't be used: {place}: {first['msg']}")
    return ConnectionClosed(f"The connection to server {server!r} is closed.")


def _answered(error: MCPError, server: str) -> LabError:
    data = error.data if isinstance(error.data, Mapping) else {}
    if error.code == types.CONNECTION_CLOSED:
        what = f": {error.message}" if BROKE in data else " closed the connection."
        return ConnectionClosed(f"Server {server!r}{what}", delivered=not data.get(UNDELIVERED))
    if BUSY in data:
        wish = data.get(RETRY_AFTER)
        when = "again later" if wish is None else f"again in {wish:g} s"
        return ServerBusy(f"Server {server!r} answered: {error.message}; try {when}", wish)
    return PeerError(f"Server {server!r} answered: {error.message} ({error.code})", code=error.code, data=error.data)
