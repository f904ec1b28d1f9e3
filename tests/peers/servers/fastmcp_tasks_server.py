"""fastmcp-tasks as a server with the tasks extension of 2026-07-28, over stdio. Runs in an environment of its own."""

import asyncio
from datetime import timedelta

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp_tasks import TasksExtension

server = FastMCP("fastmcp-tasks")
server.add_extension(TasksExtension(url="memory://", minimum_check_interval=timedelta(milliseconds=20)))


@server.tool(task=True)
async def add(a: int, b: int) -> int:
    return a + b


@server.tool(task=True)
async def fail() -> str:
    raise ToolError("on purpose")


@server.tool(task=True)
async def wait() -> str:
    await asyncio.sleep(60)
    return "too late"


if __name__ == "__main__":
    server.run(show_banner=False)
