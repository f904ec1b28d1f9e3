"""fastmcp as a server of both generations, with its tasks extension of 2026-07-28. Runs in an environment of its own.

Stdio, or with --http a free port, and the URL printed.
"""

import asyncio
import socket
import sys
from datetime import timedelta

import uvicorn
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.utilities.tasks import TaskConfig
from fastmcp_tasks import TasksExtension
from pydantic import BaseModel

server = FastMCP("fastmcp-tasks")
server.add_extension(TasksExtension(url="memory://", minimum_check_interval=timedelta(milliseconds=20)))


TASK = TaskConfig(mode="optional", poll_interval=timedelta(milliseconds=100))


class Sum(BaseModel):
    sum: int


@server.tool
async def add(a: int, b: int) -> Sum:
    """Adds."""
    return Sum(sum=a + b)


@server.tool
async def fail() -> str:
    raise ToolError("on purpose")


class Sure(BaseModel):
    sure: bool


@server.tool
async def ask(context: Context) -> str:
    answer = await context.elicit("Are you sure?", Sure)
    return f"sure: {str(answer.data.sure).lower()}" if answer.action == "accept" else f"not answered: {answer.action}"


@server.tool
async def steps(context: Context, count: int = 3) -> str:
    for step in range(1, count + 1):
        await context.report_progress(step, count, f"step {step}")
        await asyncio.sleep(0.03)
    await context.info("all steps done")
    return "done"


@server.tool(task=TASK)
async def rest() -> str:
    await asyncio.sleep(0.4)
    return "rested"


@server.tool(task=TASK)
async def fail_later() -> str:
    raise ToolError("on purpose")


@server.tool(task=TASK)
async def wait() -> str:
    await asyncio.sleep(60)
    return "too late"


@server.resource("note://hello", mime_type="text/plain")
def hello() -> str:
    return "A note named hello."


@server.resource("note://{name}", mime_type="text/plain")
def note(name: str) -> str:
    return f"A note named {name}."


@server.prompt
def greet(name: str) -> str:
    """Greets."""
    return f"Say hello to {name}."


def main() -> None:
    if sys.argv[1:] != ["--http"]:
        server.run(show_banner=False)
        return
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
        uvicorn.Server(uvicorn.Config(server.http_app(), log_level="error")).run(sockets=[listening])


if __name__ == "__main__":
    main()
