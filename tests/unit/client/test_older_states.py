"""States of a task that come late or twice: what a call takes of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.server import TaskContext, Tasks
from tests.unit.front_end import until

LONG_AGO = "2020-01-01T00:00:00.000Z"


class Retelling:
    """Middleware: changes what the server says of its tasks, and counts how often it was asked."""

    def __init__(self) -> None:
        self.change: dict[str, Any] = {}
        self.asked = 0

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        answer: Any = await call_next(ctx)
        if ctx.method != "tasks/get":
            return answer
        self.asked += 1
        return {**answer, **self.change}

    def ask_again(self) -> None:
        """Return when the client has taken an answer that was changed like this."""
        before = self.asked
        until(lambda: self.asked >= before + 3)
        time.sleep(0.05)


@pytest.fixture
def retelling() -> Retelling:
    return Retelling()


@pytest.fixture
def run(retelling: Retelling) -> Iterator[lab.Task]:
    tasks = Tasks()

    @tasks.tool(poll_interval="20ms")
    async def wait(task: TaskContext) -> str:
        await task.update(message="now", progress=0.5)
        await asyncio.sleep(60)
        return "over"

    server: MCPServer[Any] = MCPServer("retelling", extensions=[tasks], middleware=[retelling, tasks])
    with lab.connect(server, name="retelling", mode="legacy") as connected:
        task = connected.task("wait")
        until(lambda: task.message == "now")
        yield task
        retelling.change = {}
        task.cancel()


def test_one_that_is_older_than_what_is_known_is_not_taken(retelling: Retelling, run: lab.Task) -> None:
    retelling.change = {"statusMessage": "long ago", "lastUpdatedAt": LONG_AGO}
    retelling.ask_again()
    assert run.message == "now"
    assert [moment.message for moment in run.moments][-1] == "now"
    retelling.change = {"status": "input_required", "lastUpdatedAt": LONG_AGO}
    retelling.ask_again()
    assert run.status == "working"


def test_one_of_the_same_moment_is_taken(retelling: Retelling, run: lab.Task) -> None:
    retelling.change = {"statusMessage": "and now"}
    until(lambda: run.message == "and now")


def test_one_that_is_newer_is_taken_and_clears_what_was_said_before(retelling: Retelling, run: lab.Task) -> None:
    retelling.change = {"statusMessage": None, "lastUpdatedAt": "2100-01-01T00:00:00.000Z"}
    until(lambda: run.message is None)
    assert run.progress == 0.5, "an answer that says nothing of it changes nothing of it"
