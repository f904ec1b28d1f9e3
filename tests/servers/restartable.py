"""Keeps its tasks where it is told, on the port it is told, so that it can be ended and started again.

python -m tests.servers.restartable STORE_URL PORT [ANONYMOUS]; port 0 takes a free one. Prints its URL.
"""

import asyncio
import socket
import sys

import uvicorn
from mcp.server.mcpserver import MCPServer

from pmcp_lab.server import TaskContext, Tasks

tasks = Tasks(sys.argv[1], anonymous=sys.argv[3] if len(sys.argv) > 3 else "local", lease=0.5)


@tasks.tool()
async def quick(text: str) -> str:
    """Answer at once."""
    return text


@tasks.tool(poll_interval="20ms")
async def slow(seconds: float, task: TaskContext) -> str:
    """Answer later."""
    await task.update(message="under way")
    await asyncio.sleep(seconds)
    return "made it"


if __name__ == "__main__":
    server: MCPServer = MCPServer("restartable", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", int(sys.argv[2])))
        listening.listen()
        print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
        uvicorn.Server(
            uvicorn.Config(server.streamable_http_app(), log_level="error", timeout_graceful_shutdown=0)
        ).run(sockets=[listening])
