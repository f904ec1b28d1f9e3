"""Why a tool failed reaches the person who waits, in every form of a call."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

import pmcp_lab as lab
from pmcp_lab.errors import ToolError
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.server.tool import TOLD


class Point(BaseModel):
    x: int


def build() -> MCPServer[Any]:
    tasks = Tasks(anonymous="local")

    @tasks.tool()
    async def simulate(n: int, task: TaskContext) -> int:
        await task.update(message="at work")
        raise RuntimeError(f"job {n} diverged: loss is nan")

    @tasks.tool()
    def threaded(n: int) -> int:
        raise KeyError(n)

    @tasks.tool()
    async def grouped() -> None:
        raise ExceptionGroup("unhandled errors in a TaskGroup", [ExceptionGroup("again", [ValueError("the one")])])

    @tasks.tool()
    async def wordless() -> None:
        raise TimeoutError

    @tasks.tool()
    async def verbose() -> None:
        raise ValueError("x" * 100_000)

    @tasks.tool()
    async def invalid() -> None:
        Point.model_validate({"x": "hunter2"})

    @tasks.tool(mask_errors=True)
    async def masked() -> None:
        raise RuntimeError("the password is hunter2")

    return MCPServer("lab", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")


def reason(server: lab.Server, tool: str, way: str, **arguments: Any) -> str:
    task = server.task(tool, arguments) if way == "task" else None
    with pytest.raises(ToolError) as caught:
        server.call(tool, arguments, timeout=10) if task is None else task.result(10)
    return caught.value.message.removeprefix(f"lab.{tool} failed: Error executing tool {tool}").removeprefix(": ")


@pytest.mark.parametrize("way", ["call", "task"])
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_what_a_tool_raised_is_told(mode: str, way: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    with lab.connect(build(), name="lab", mode=mode) as server:
        assert reason(server, "simulate", way, n=3) == "RuntimeError: job 3 diverged: loss is nan"
        assert any(each.exc_info for each in caplog.records), "the traceback is in the server's log"
        assert reason(server, "threaded", way, n=3) == "KeyError: 3"
        assert reason(server, "grouped", way) == "ValueError: the one"
        assert reason(server, "wordless", way) == "TimeoutError"
        assert len(reason(server, "verbose", way)) < TOLD + 50
        assert reason(server, "invalid", way) == "ValidationError: x: int_parsing"
        assert reason(server, "masked", way) == ""


def test_the_rows_of_a_sweep_say_each_its_own() -> None:
    with lab.connect(build(), name="lab") as server:
        many = server.map("simulate", [{"n": n} for n in range(3)])
        many.wait(20)
        assert [error.rpartition(": loss")[0][-14:] for error in many.df.error] == [
            f"job {n} diverged" for n in range(3)
        ]
