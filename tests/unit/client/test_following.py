"""What is followed: told apart by progress tokens, in step with the server while it runs, let go at its end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

import pmcp_lab as lab
from pmcp_lab.client import call_of, client_of, runtime
from pmcp_lab.server import TaskContext, Tasks
from tests.unit.front_end import until
from tests.unit.workshop import Workshop


class Sure(BaseModel):
    sure: bool


def test_progress_is_of_the_task_whose_token_it_has() -> None:
    """A 2025-11-25 server that says nothing of its tasks but how far they are."""
    tokens: dict[str, Any] = {}

    async def old_tasks(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        params: Any = ctx.params or {}
        name = params.get("taskId")
        match ctx.method:
            case "initialize":
                begun: Any = await call_next(ctx)
                offered = {"requests": {"tools": {"call": {}}}, "cancel": {}}
                return {**begun, "capabilities": {**begun["capabilities"], "tasks": offered}}
            case "tools/list":
                listed: Any = await call_next(ctx)
                return {
                    **listed,
                    "tools": [{**tool, "execution": {"taskSupport": "optional"}} for tool in listed["tools"]],
                }
            case "tools/call" if "task" in params:
                name = params["arguments"]["name"]
                tokens[name] = params["_meta"]["progressToken"]
                return {"task": working(name)}
            case "tasks/get" | "tasks/cancel":
                return {**working(name), "status": "cancelled" if ctx.method == "tasks/cancel" else "working"}
        return await call_next(ctx)

    def working(name: str) -> dict[str, Any]:
        moment = "2026-01-01T00:00:00Z"
        times = {"createdAt": moment, "lastUpdatedAt": moment, "ttl": None, "pollInterval": 60_000}
        return {"taskId": name, "status": "working", **times}

    server: MCPServer[Any] = MCPServer("old", middleware=[old_tasks], log_level="CRITICAL")

    @server.tool()
    async def work(name: str, ctx: Context[Any, Any]) -> None:
        """As a task it does nothing; as a plain call it says how far a task is."""
        await ctx.session.send_progress_notification(tokens[name], 1, 4, f"a quarter of {name}")

    with lab.connect(server, name="old", mode="legacy") as old:
        a, b = (old.task("work", name=name) for name in "ab")
        client = client_of(old)
        plain = client.plan(old.tool("work"), {"name": "b"}, as_task=None)
        runtime().run(client.start(plain))
        until(lambda: b.message is not None)
        assert (b.progress, b.message) == (0.25, "a quarter of b")
        assert (a.progress, a.message) == (None, None)


def test_a_question_that_somebody_else_answered_is_open_no_more() -> None:
    gate = asyncio.Event()
    tasks = Tasks("memory://")

    @tasks.tool(poll_interval="50ms")
    async def ask(task: TaskContext) -> str:
        await task.elicit("Sure?", Sure)
        await gate.wait()
        return "over"

    server: MCPServer[Any] = MCPServer("asking", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
    with lab.connect(server, name="one") as one, lab.connect(server, name="other") as other:
        mine = one.task("ask")
        theirs = other.attach(str(mine.id))
        until(lambda: mine.questions and theirs.questions)
        mine.answer({"sure": True})
        until(lambda: not theirs.questions)
        assert theirs.status == "working"
        runtime().call_soon(gate.set)
        assert theirs.result(10).text == "over"


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_what_ended_is_let_go(mode: str) -> None:
    with lab.connect(Workshop().server, name="shop", mode=mode) as server:
        run = server.task("double", n=4)
        assert run.result(10).text == "8"
        call = weakref.ref(call_of(run))
        server.tasks.remove(run)
        del run

        def gone() -> bool:
            gc.collect()
            return call() is None

        until(gone)
