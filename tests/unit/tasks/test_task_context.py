"""What a tool can do with its task, and what it can do the same way when there is none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp import Client
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import CreateMessageResult, ElicitResult, TextContent
from pydantic import BaseModel

from pmcp_lab.errors import InvalidTransition, LabError, LimitExceeded
from pmcp_lab.execution import AsyncioExecutor
from pmcp_lab.server import TaskContext, Tasks, current_task
from pmcp_lab.server.call_context import CallContext
from pmcp_lab.tasks.questions import askable
from tests.unit.jsonrpc import Json, legacy, modern, serve
from tests.unit.server.test_server_life import settled

REPLY: Json = {"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "m"}
ALL = {"elicitation": {"form": {}, "url": {}}, "sampling": {}}


class Sure(BaseModel):
    sure: bool


class Lab:
    def __init__(self) -> None:
        self.tasks = tasks = Tasks(executor=AsyncioExecutor(grace=0.05, concurrency=1))
        self.go = asyncio.Event()

        @tasks.tool()
        async def sample(task: TaskContext) -> str:
            message = await task.sample("Capital of France?", max_tokens=10, temperature=0.0)
            assert isinstance(message.content, TextContent)
            return f"{message.model}: {message.content.text}"

        @tasks.tool()
        async def visit(task: TaskContext) -> str:
            answer = await task.elicit_url("Log in", "https://example.com/login")
            return f"{answer.action} {answer.accepted} {answer.content}"

        @tasks.tool()
        async def keyed(task: TaskContext) -> list[bool]:
            first = await task.elicit("Sure?", Sure, key="sure")
            second = await task.elicit("Sure?", Sure, key="sure")
            return [first == second, first.accepted]

        @tasks.tool()
        def threaded(task: TaskContext) -> list[Any]:
            inside = task.in_thread
            inside.save({"at": 1}, variables={"n": 1})
            answer = inside.elicit("Really?", Sure)
            with pytest.raises(LimitExceeded):
                inside.save(float("nan"))
            return [answer.action, inside.refresh().integer("n"), task.checkpoint]

        @tasks.tool()
        async def paused(task: TaskContext) -> str:
            with pytest.raises(InvalidTransition):
                await task.resume()
            await task.require_input("put a number into x")
            while (x := (await task.refresh()).integer("x")) is None:  # noqa: ASYNC110 - as a tool would
                await asyncio.sleep(0.01)
            await task.resume()
            return f"{x}"

        @tasks.tool()
        async def early(task: TaskContext) -> int:
            await task.complete(7)
            return 8

        @tasks.tool()
        async def failing(task: TaskContext) -> None:
            await task.fail("out of paper", code=-32050, data={"tray": 2})

        @tasks.tool()
        async def typed(task: TaskContext) -> list[Any]:
            await task.update(variables={"flag": True, "half": 0.5, "whole": 42.0, "text": "x", "gone": 1})
            await task.update(variables={"gone": None})
            v = task.variables
            return [v.integer("flag"), v.integer("whole"), v.number("flag"), v.flag("flag"), v.text("gone"), len(v)]

        @tasks.tool()
        async def native(ctx: Context) -> str:
            await ctx.report_progress(1, 4, "a quarter")
            answer = await ctx.elicit("Really?", Sure)
            return f"{answer.action} {current_task().task_id is not None}"

        self.server: MCPServer[Any] = MCPServer("c", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")


def answer(request: Json) -> Json:
    if request["method"] == "sampling/createMessage":
        assert request["params"]["messages"] == [
            {"role": "user", "content": {"type": "text", "text": "Capital of France?"}}
        ]
        return REPLY
    if request["params"]["mode"] == "url":
        assert request["params"]["url"] == "https://example.com/login"
        assert request["params"]["elicitationId"]
        return {"action": "accept"}
    return {"action": "accept", "content": {"sure": True}}


EXPECTED = {
    "sample": "m: Paris",
    "visit": "accept True None",
    "keyed": [True, True],
    "threaded": ["accept", 1, {"at": 1}],
    "native": "accept True",
}


async def test_questions_of_2025_11_25_tasks() -> None:
    async with serve(Lab().server) as url, legacy(url, answer=answer, capabilities=ALL) as peer:
        for name, expected in EXPECTED.items():
            task_id = await peer.task(name)
            result = await peer.call("tasks/result", {"taskId": task_id})
            assert result.get("structuredContent") == {"result": expected}, name
        assert [r["params"]["_meta"]["io.modelcontextprotocol/related-task"] for r in peer.requests]
        assert len(peer.requests) == len(EXPECTED), "the key says that the second question is the first"


async def _elicit(context: Any, params: Any) -> ElicitResult:
    return ElicitResult.model_validate(answer({"method": "elicitation/create", "params": _raw(params)}))


async def _sample(context: Any, params: Any) -> CreateMessageResult:
    return CreateMessageResult.model_validate(answer({"method": "sampling/createMessage", "params": _raw(params)}))


def _raw(params: BaseModel) -> Json:
    return params.model_dump(by_alias=True, mode="json", exclude_none=True)


async def test_questions_of_2026_07_28_tasks() -> None:
    lab = Lab()
    async with modern(lab.server, elicitation=_elicit, sampling=_sample) as peer:
        for name, expected in EXPECTED.items():
            task = await peer.until(await peer.task(name), "input_required")
            for key, request in task["inputRequests"].items():
                await peer.call("tasks/update", task["taskId"], inputResponses={key: answer(request)})
            done = await peer.until(task["taskId"], "completed")
            assert done["result"]["structuredContent"] == {"result": expected}, name


async def test_the_same_without_a_task() -> None:
    lab = Lab()
    heard: list[Any] = []

    async def progress(*args: Any) -> None:
        heard.append(args)

    async with Client(lab.server, mode="legacy", elicitation_callback=_elicit, sampling_callback=_sample) as client:
        for name, expected in EXPECTED.items():
            if name == "visit":
                continue
            result = await client.call_tool(name, {}, progress_callback=progress)
            answer = "accept False" if name == "native" else expected
            assert result.structured_content == {"result": answer}, name
    assert heard == [(1, 4, "a quarter")]


@pytest.mark.parametrize(
    ("name", "kind"), [("sample", "sampling"), ("visit", "elicitation.url"), ("keyed", "elicitation")]
)
async def test_who_can_not_be_asked_is_told_why(name: str, kind: str) -> None:
    capabilities = {"visit": {"elicitation": {}}, "keyed": {"elicitation": {"url": {}}}}.get(name, {})
    async with serve(Lab().server) as url, legacy(url, answer=answer, capabilities=capabilities) as peer:
        task = await peer.until(await peer.task(name), "failed")
        assert f"did not declare {kind}," in task["statusMessage"]
        plain = await peer.tool(name)
        assert plain["isError"]
        assert f"did not declare {kind}," in plain["content"][0]["text"]


async def test_an_answer_that_is_no_message_fails_the_tool() -> None:
    async with modern(Lab().server, sampling=_sample) as peer:
        task = await peer.until(await peer.task("sample"), "input_required")
        await peer.call("tasks/update", task["taskId"], inputResponses={key: {"a": 1} for key in task["inputRequests"]})
        done = await peer.until(task["taskId"], "completed")
        assert done["result"]["isError"]
        assert "not a message of a model" in done["result"]["content"][0]["text"]


async def test_input_that_comes_another_way() -> None:
    async with modern(Lab().server) as peer:
        task = await peer.until(await peer.task("paused"), "input_required")
        assert task["statusMessage"] == "put a number into x"
        await peer.call("run.pmcp/tasks/set_variables", task["taskId"], variables={"x": 3})
        done = await peer.until(task["taskId"], "completed")
        assert "statusMessage" not in done
        assert done["result"]["structuredContent"] == {"result": "3"}


async def test_ends_a_tool_decides_itself() -> None:
    async with modern(Lab().server) as peer:
        done = await peer.until(await peer.task("early"), "completed")
        assert done["result"]["structuredContent"] == {"result": 7}
        failed = await peer.until(await peer.task("failing"), "failed")
        assert failed["error"] == {"code": -32050, "message": "out of paper", "data": {"tray": 2}}
        typed = await peer.until(await peer.task("typed"), "completed")
        assert typed["result"]["structuredContent"] == {"result": [None, None, None, True, None, 4]}


async def test_who_waits_for_an_answer_takes_no_place() -> None:
    lab = Lab()
    async with modern(lab.server, sampling=_sample) as peer:
        waiting = await peer.until(await peer.task("sample"), "input_required")
        # The executor runs one at a time.
        assert (await peer.until(await peer.task("early"), "completed"))["status"] == "completed"
        await peer.call("tasks/cancel", waiting["taskId"])
        await settled(lambda: lab.tasks.stats().total.cancelled == 1)
        assert (await peer.until(await peer.task("early"), "completed"))["status"] == "completed"
        assert lab.tasks.stats().total.running == 0


async def test_without_a_task_there_is_none_to_end() -> None:
    context = CallContext(None)
    for call in (context.complete(1), context.require_input("x"), context.resume()):
        with pytest.raises(LabError, match="there is no task"):
            await call
    with pytest.raises(LabError, match="nobody can be asked"):
        await context.elicit("Sure?", Sure)
    with pytest.raises(LabError, match="not with 'roots/list'"):
        askable({"method": "roots/list"}, ["sampling"])
    with pytest.raises(RuntimeError, match="worker thread"):
        context.in_thread.update(message="x")
