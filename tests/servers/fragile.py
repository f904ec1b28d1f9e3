"""Has a task that kills the server in the middle, after some last words on stderr."""

import asyncio
import os
import sys

from mcp.server.mcpserver import MCPServer

from pmcp_lab.server import Tasks
from pmcp_lab.tasks import TaskContext

tasks = Tasks("memory://")


@tasks.tool(support="optional")
async def collapse(after: float, task: TaskContext) -> str:
    """Work for a while, then take the whole server down."""
    await task.update(message="about to fall", progress=0.5)
    await asyncio.sleep(after)
    print("out of cheese", file=sys.stderr, flush=True)
    os._exit(3)


server = MCPServer("fragile", extensions=[tasks], middleware=[tasks])


@server.tool()
def ping() -> str:
    """Answer."""
    return "pong"


if __name__ == "__main__":
    server.run("stdio")
