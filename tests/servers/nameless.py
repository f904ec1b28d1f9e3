"""Tasks of 2025-11-25 whose questions do not say which of them asks. Over stdio: there nothing else says it either.

A task asks where a client waits for its result, with its own name, and stands as it is told to.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel


class Sure(BaseModel):
    sure: bool


tasks: dict[str, str] = {}
gate = asyncio.Event()


def _able(tool: dict[str, Any]) -> dict[str, Any]:
    return {**tool, "execution": {"taskSupport": "optional"}} if tool["name"] == "ask" else tool


def _task(name: str, status: str) -> dict[str, Any]:
    moment = datetime.now(UTC).isoformat()
    about = {"taskId": name, "status": status, "createdAt": moment, "lastUpdatedAt": moment}
    return {**about, "ttl": None, "pollInterval": 20}


async def old_tasks(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: the methods of tasks."""
    params: Any = ctx.params or {}
    match ctx.method:
        case "initialize":
            begun: Any = await call_next(ctx)
            offered = {"requests": {"tools": {"call": {}}}, "cancel": {}}
            return {**begun, "capabilities": {**begun["capabilities"], "tasks": offered}}
        case "tools/list":
            listed: Any = await call_next(ctx)
            return {**listed, "tools": [_able(tool) for tool in listed["tools"]]}
        case "tools/call" if "task" in params:
            name = params["arguments"]["name"]
            tasks[name] = params["arguments"]["status"]
            return {"task": _task(name, "working")}
        case "tasks/get":
            return _task(params["taskId"], tasks[params["taskId"]])
        case "tasks/result":
            name = params["taskId"]
            await gate.wait()
            said = await ctx.session.elicit_form(f"{name}?", Sure.model_json_schema())
            tasks[name] = "completed"
            return {"content": [{"type": "text", "text": said.action}]}
    return await call_next(ctx)


server: MCPServer[Any] = MCPServer("nameless", middleware=[old_tasks], log_level="CRITICAL")


@server.tool()
async def ask(name: str, status: str) -> str:
    return "only as a task"


@server.tool()
async def hold(ctx: Context[Any, Any], name: str, asks: bool) -> str:
    """Say that it has come; ask, or do nothing, once the gate is open."""
    await ctx.report_progress(1, 1, name)
    await gate.wait()
    if not asks:
        await asyncio.sleep(60)
    return (await ctx.elicit(f"{name}?", Sure)).action


@server.tool()
async def go() -> None:
    """Open the gate when this call is over."""
    asyncio.get_running_loop().call_later(0.2, gate.set)


if __name__ == "__main__":
    server.run()
