"""What a server that is to be killed, stopped and woken says on the way, and is told: JSON lines on descriptor 3."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from typing import Any, Final

import uvicorn
from mcp.server.mcpserver import MCPServer

_CONTROL: Final = 3


def say(what: str, **about: Any) -> None:
    """Without waiting, and in one piece: what is said before a kill is heard."""
    os.write(_CONTROL, json.dumps({"what": what, **about}).encode() + b"\n")


async def orders() -> AsyncIterator[dict[str, Any]]:
    """What whoever started this process tells it."""
    reader, _ = await asyncio.open_connection(sock=socket.socket(fileno=os.dup(_CONTROL)))
    async for line in reader:
        yield json.loads(line)


def serve(server: MCPServer[Any], *, stdio: bool) -> None:
    """On standard input and output, or over HTTP at a URL that is said."""
    if stdio:
        say("serving", url="")
        server.run("stdio")
        return
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        say("serving", url=f"http://127.0.0.1:{listening.getsockname()[1]}/mcp")
        config = uvicorn.Config(server.streamable_http_app(), log_level="error", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listening])
