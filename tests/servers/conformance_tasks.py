"""The task tools that the `tasks-*` scenarios of the conformance suite call."""

from __future__ import annotations

import asyncio
from typing import Annotated

from mcp.server.mcpserver import Elicit, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR
from pydantic import BaseModel

from pmcp_lab.server import TaskContext, Tasks

tasks = Tasks("memory://")


class Confirm(BaseModel):
    confirm: bool


class Name(BaseModel):
    name: str


class Count(BaseModel):
    count: int


async def ask_name() -> Elicit[Name]:
    return Elicit("What is your name?", Name)


@tasks.tool(support="forbidden")
async def greet(name: str = "World") -> str:
    """Greet at once."""
    return f"Hello, {name}!"


@tasks.tool(support="optional", poll_interval="100ms")
async def slow_compute(seconds: float = 1, label: str = "result") -> str:
    """Take a while."""
    await asyncio.sleep(seconds)
    return f"computed {label}"


@tasks.tool(support="required", poll_interval="100ms")
async def failing_job() -> str:
    """End in a tool error."""
    await asyncio.sleep(0.05)
    raise ToolError("the job failed, as it should")


@tasks.tool(support="optional", poll_interval="100ms")
async def protocol_error_job() -> str:
    """End in a protocol error."""
    await asyncio.sleep(0.05)
    raise MCPError(INTERNAL_ERROR, "the job broke, as it should")


@tasks.tool(support="optional", poll_interval="100ms")
async def confirm_delete(task: TaskContext, filename: str = "a.txt") -> str:
    """Ask once."""
    answer = await task.elicit(f"Delete {filename}?", Confirm)
    return f"deleted {filename}" if answer.content and answer.content.confirm else f"kept {filename}"


@tasks.tool(support="optional", poll_interval="100ms")
async def multi_input(task: TaskContext) -> str:
    """Ask twice at once."""
    answers = await asyncio.gather(task.elicit("Your name?", Name), task.elicit("How many?", Count))
    return f"got {[answer.action for answer in answers]}"


@tasks.tool(support="required", poll_interval="100ms")
async def test_tool_with_task(who: Annotated[Name, Resolve(ask_name)]) -> str:
    """Ask before the task is made, then use the answer in it."""
    return f"task for {who.name}"
