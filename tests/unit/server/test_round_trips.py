"""Calls that ask a 2026-07-28 client which has no tasks: the question is the call's result, the answer comes with the
same call made again (multi round-trip requests).
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from anyio.to_thread import current_default_thread_limiter
from mcp import Client
from mcp.server.lowlevel import Server
from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool
from mcp_types import CreateMessageResult, ElicitResult

from pmcp_lab.execution import QueueExecutor
from pmcp_lab.server import Limits, Tasks, current_task
from pmcp_lab.tasks import resolve_owner
from pmcp_lab.tasks.owner import network_owner
from tests.unit.asking import NAMED, NO, Asked, Lab, Name, questions, said, text
from tests.unit.jsonrpc import Json, legacy, modern
from tests.unit.modern_http import Modern, rpc

INVALID = {"reason": "invalid_request_state"}


async def test_questions_one_after_the_other() -> None:
    lab = Lab()
    async with lab.asked() as client:
        first = await client.call("greet", {"times": 2})
        assert list(questions(first).values()) == ["Who? (0)"]
        assert first.keys() == {"resultType", "inputRequests", "requestState", "_meta"}
        [(key, asked)] = first["inputRequests"].items()
        assert (asked["method"], asked["params"]["mode"]) == ("elicitation/create", "form")
        answers = {key: {"action": "accept", "content": {"name": "Ada"}}}
        second = await client.call("greet", {"times": 2}, to=first, answers=answers)
        assert list(questions(second).values()) == ["Who? (1)"]
        assert questions(second).keys().isdisjoint(answers), "a key is used once"
        done = await client.call("greet", {"times": 2}, to=second, answers=dict.fromkeys(questions(second), NAMED))
        assert text(done) == "Hello, Ada and Ada!"
        assert done["structuredContent"] == {"result": "Hello, Ada and Ada!"}
        assert lab.runs == ["greet"], "the tool has gone on, and was not called again"


async def test_questions_at_once_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pmcp_lab.server.round_trips._TOGETHER", 1.0)
    async with Lab().asked() as client:
        asked = await client.call("both")
        assert questions(asked) == {"left": "Left?", "r": "Right?"}
        some = await client.call("both", to=asked, answers={"left": NAMED})
        assert questions(some) == {"r": "Right?"}, "what has no answer is asked again, and the rest is not"
        assert text(await client.call("both", to=some, answers={"r": NO})) == "Ada decline"


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_refusal_is_an_answer(action: str) -> None:
    async with Lab().asked() as client:
        assert text(await client.through("greet", answer={"action": action})) == f"Hello, {action}!"


async def test_answers_that_are_none() -> None:
    lab = Lab()
    async with lab.asked() as client:
        asked = await client.call("greet")
        [key] = questions(asked)
        for answers in (None, {}, {"never-asked": NAMED}):
            assert questions(await client.call("greet", to=asked, answers=answers)) == questions(asked)
        for wrong in (
            {key: {"action": "maybe"}},
            {key: "Ada"},
            {key: None},
            {key: {"role": "assistant", "content": {"type": "text", "text": "Ada"}, "model": "m"}},
            {key: {"roots": []}},
        ):
            assert (await client.call("greet", to=asked, answers=wrong))["error"]["code"] == -32602, wrong
        assert questions(await client.call("greet", to=asked)) == questions(asked), "it is still open"
        many = {key: NAMED, "never-asked": NAMED}
        assert text(await client.call("greet", to=asked, answers=many)) == "Hello, Ada!"
        misfit = await client.through("greet", answer={"action": "accept", "content": {"nom": "Ada"}})
        assert misfit["isError"]
        assert "does not fit its form (name)" in text(misfit)


async def test_the_same_answer_again_and_at_once() -> None:
    lab = Lab()
    async with lab.asked() as client:
        asked = await client.call("slow")
        answers = dict.fromkeys(questions(asked), NAMED)
        again = [asyncio.create_task(client.call("slow", to=asked, answers=answers)) for _ in range(3)]
        await asyncio.sleep(0.2)
        lab.go.set()
        assert [text(result) for result in await asyncio.gather(*again)] == ["Ada"] * 3
        other = dict.fromkeys(answers, NO)
        assert text(await client.call("slow", to=asked, answers=other)) == "Ada", "what is answered stays"
        assert lab.tasks.stats().total.completed == 1


async def test_a_state_is_of_one_caller_and_one_call(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tasks.db"
    async with AsyncExitStack() as stack:
        ada = await stack.enter_async_context(Lab(url, guarded=True).asked(token="ada"))
        asked = await ada.call("greet")
        answers = dict.fromkeys(questions(asked), NAMED)

        def person(token: str) -> Asked:
            return Asked(Modern(ada.peer.http, ada.peer.url, token, {"elicitation": {}}))

        for token in ("eve", "other-ada", "robot", "odd"):
            refused = (await person(token).call("greet", to=asked, answers=answers))["error"]
            assert (refused["code"], refused["data"]) == (-32602, INVALID), token
        state = asked["requestState"]
        for wrong in (
            {"requestState": state[:-2] + ("AA" if state[-2:] != "AA" else "BB")},
            {"requestState": state[:-4]},
            {"requestState": "pmcp-lab." + "x" * 5000},
            {"requestState": "pmcp-lab.é"},
            {"requestState": "pmcp-lab."},
        ):
            refused = (await ada.call("greet", to=wrong, answers=answers))["error"]
            assert (refused["code"], refused["data"]) == (-32602, INVALID), wrong
        for tool, arguments in (("greet", {"greeting": "Bye"}), ("both", {}), ("adds", {"a": 1}), ("nothing", {})):
            refused = (await ada.call(tool, arguments, to=asked, answers=answers))["error"]
            assert (refused["code"], refused["data"]) == (-32602, INVALID), tool
        nobody = await stack.enter_async_context(Lab(url).asked())
        refused = (await nobody.call("greet", to=asked, answers=answers))["error"]
        assert (refused["code"], refused["data"]) == (-32602, INVALID)
        assert text(await person("ada-again").call("greet", to=asked, answers=answers)) == "Hello, Ada!", "it is Ada"


async def test_nobody_sees_the_task_behind_a_call() -> None:
    lab = Lab(guarded=True)
    async with lab.asked(token="ada") as client:
        asked = await client.call("greet")
        able = Modern(client.peer.http, client.peer.url, "ada")
        [record] = await lab.behind(*resolve_owner("ada", issuer="https://one"))
        assert record.task_id not in asked["requestState"]
        for method, params in (("tasks/get", {}), ("tasks/cancel", {}), ("tasks/update", {"inputResponses": {}})):
            refused = rpc(await able.about(method, record.task_id, **params))
            assert refused["error"]["code"] == -32602, method
        async with able.listen(record.task_id) as messages:
            acknowledged = await anext(messages)
            assert acknowledged["params"]["notifications"].get("taskIds") == []
        async with legacy(client.peer.url, token="ada") as old:
            assert (await old.call("tasks/list"))["tasks"] == []
    lab = Lab()
    async with legacy(lab.server) as old, modern(lab.server, tasks=False) as peer:
        await peer.client.session.call_tool("greet", {}, allow_input_required=True)
        assert (await old.call("tasks/list"))["tasks"] == []
        assert [record.status for record in await lab.behind("local")] == ["input_required"]


async def test_what_the_client_can_not_be_asked() -> None:
    lab = Lab()
    sampling: Json = {"role": "assistant", "content": {"type": "text", "text": "hey"}, "model": "m"}
    async with lab.asked(sampling={}) as client:
        refused = await client.call("greet")
        assert "did not declare elicitation" in text(refused)
        assert text(await client.through("completes", answer=sampling)) == "hey"
    lab = Lab()
    async with lab.asked(elicitation={}) as client:
        assert "did not declare sampling" in text(await client.call("completes"))
        assert "did not declare elicitation.url" in text(await client.call("opens"))
    lab = Lab()
    async with lab.asked(elicitation={"url": {}}) as client:
        assert "did not declare elicitation" in text(await client.call("greet"))
        asked = await client.call("opens")
        [request] = asked["inputRequests"].values()
        assert (request["params"]["mode"], request["params"]["url"]) == ("url", "https://example.com/sign")
        assert text(await client.through("opens", answer={"action": "accept"})) == "accept"
    lab = Lab()
    async with lab.asked(roots={}) as client:
        assert "did not declare elicitation" in text(await client.call("greet"))
    assert await lab.behind("local") == []


async def test_what_is_no_question() -> None:
    lab = Lab()
    async with lab.asked() as client:
        for request, what in (
            ({"method": "roots/list"}, "not with 'roots/list'"),
            ({"method": "elicitation/create"}, "can't be asked like this"),
            ({"method": "elicitation/create", "params": {"mode": "form", "message": "?"}}, "can't be asked like this"),
        ):
            assert what in text(await client.call("odd", {"request": request}))
    assert lab.tasks.stats().tools == {}


async def test_each_request_declares_what_it_can_be_asked() -> None:
    async with Lab().asked() as client:
        asked = await client.call("greet", {"times": 2})
        mute = Asked(Modern(client.peer.http, client.peer.url, capabilities={"sampling": {}}))
        answers = dict.fromkeys(questions(asked), NAMED)
        refused = (await mute.call("greet", {"times": 2}, to=asked, answers=answers))["error"]
        assert (refused["code"], refused["data"]) == (-32021, {"requiredCapabilities": {"elicitation": {}}})
        second = await client.call("greet", {"times": 2}, to=asked)
        assert list(questions(second).values()) == ["Who? (1)"], "the answer has come, and the question is still open"


async def test_tools_that_are_never_and_always_tasks() -> None:
    async with Lab().asked() as client:
        assert text(await client.through("never_a_task")) == "Ada"
        refused = (await client.call("always_a_task"))["error"]
        assert refused["code"] == -32021
        able = Asked(Modern(client.peer.http, client.peer.url, capabilities={"elicitation": {}, **TASKS}))
        assert (await able.call("greet"))["resultType"] == "task"
        assert text(await able.through("never_a_task")) == "Ada", "no task can carry its question"


TASKS: Json = {"extensions": {"io.modelcontextprotocol/tasks": {}}}


async def test_a_tool_that_does_not_ask_leaves_nothing(tmp_path: Path) -> None:
    lab = Lab(f"sqlite:///{tmp_path}/tasks.db")
    async with lab.asked() as client:
        for n in range(3):
            assert text(await client.call("adds", {"a": n})) == str(n + 1)
        assert (await client.call("adds", {"a": "x"}))["isError"]
        assert lab.tasks.stats().tools == {}
        assert [await lab.behind(*owner) for owner in (("local",), network_owner("0" * 12))] == [[], []]
        assert "requestState" not in await client.call("adds", {"a": 1})


async def test_what_a_tool_does_is_kept_when_it_asks() -> None:
    lab = Lab()
    async with modern(lab.server, tasks=False) as peer:
        await peer.client.session.call_tool("greet", {"times": 2}, allow_input_required=True)
        [record] = await lab.behind("local")
        assert record.variables == {"round": 0}
        assert record.job is not None
        assert record.job.arguments == {"times": 2}


async def test_errors_after_a_question(caplog: pytest.LogCaptureFixture) -> None:
    async with Lab().asked() as client:
        failed = await client.through("breaks", {"how": "protocol"})
        assert failed["error"] == {"code": -32055, "message": "out of order", "data": {"retry": False}}
        failed = await client.through("breaks", {"how": "crash"})
        assert failed["isError"]
        assert text(failed) == "Error executing tool breaks: RuntimeError: loss is nan"


async def test_progress_is_the_waiting_request_s() -> None:
    lab = Lab()
    lab.go.set()
    heard: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        heard.append((done, total, message))

    async def answer(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"name": "Ada"})

    async with Client(lab.server, mode="2026-07-28", elicitation_callback=answer) as client:
        result = await client.call_tool("slow", {}, progress_callback=progress)
        assert result.structured_content == {"result": "Ada"}
        assert [part for part, _, _ in heard] == sorted({part for part, _, _ in heard}), "it increases"
        assert (0.75, 1.0, "step 3") in heard
        heard.clear()
        await client.call_tool("by_context", {}, progress_callback=progress)
        assert heard == [(1, 10, None), (0.9, 1.0, "nearly")]


async def test_the_sdk_s_own_client() -> None:
    async def answer(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"name": params.message})

    async def sample(context: Any, params: Any) -> CreateMessageResult:
        return CreateMessageResult(role="assistant", content=TextContent(type="text", text="hey"), model="m")

    lab = Lab()
    async with Client(lab.server, mode="2026-07-28", elicitation_callback=answer, sampling_callback=sample) as client:
        for tool, arguments, result in (
            ("greet", {"times": 3}, "Hello, Who? (0) and Who? (1) and Who? (2)!"),
            ("both", {}, "Left? Right?"),
            ("completes", {}, "hey"),
            ("in_thread", {}, "Who? False"),
            ("by_context", {}, "Who?"),
            ("wrapped", {"text": "so"}, "so accept accept"),
        ):
            called = await client.call_tool(tool, arguments)
            assert called.structured_content == {"result": result}, tool


async def test_a_thread_that_waits_is_lent() -> None:
    lab = Lab()
    async with modern(lab.server, tasks=False) as peer:
        limiter = current_default_thread_limiter()
        before = limiter.available_tokens
        for _ in range(3):
            await peer.client.session.call_tool("in_thread", {}, allow_input_required=True)
        assert limiter.available_tokens == before
        await lab.tasks.close(0)
        async with asyncio.timeout(5):
            while limiter.total_tokens != limiter.available_tokens + limiter.borrowed_tokens or limiter.borrowed_tokens:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert limiter.available_tokens == before


async def test_nobody_s_turn_is_waited_for() -> None:
    lab = Lab()
    async with lab.asked() as client:
        first, second = [await client.call("one_at_a_time") for _ in range(2)]
        for asked in (second, first):
            done = await client.call("one_at_a_time", to=asked, answers=dict.fromkeys(questions(asked), NAMED))
            assert text(done) == "Ada"


async def test_limits_hold() -> None:
    lab = Lab(limits=Limits(tasks_per_owner=2, default_ttl="1s", poll_interval="10ms"))
    async with lab.asked() as client:
        asked = [await client.call("waits") for _ in range(3)]
        assert [result["resultType"] for result in asked] == ["input_required", "input_required", "complete"]
        assert "there are already 2 unfinished tasks" in text(asked[2])
        able = Modern(client.peer.http, client.peer.url)
        assert await able.task("adds", a=1), "what calls leave open is not counted among tasks"
        lab.stopped.clear()
        async with asyncio.timeout(10):
            while len(lab.stopped) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        refused = (await client.call("waits", to=asked[0], answers=dict.fromkeys(questions(asked[0]), NAMED)))["error"]
        assert (refused["code"], refused["data"]) == (-32602, INVALID)
        assert questions(await client.call("waits"))


async def test_tasks_that_are_kept_for_good_are_not_behind_calls() -> None:
    lab = Lab(limits=Limits(default_ttl=None, max_ttl=None))
    async with modern(lab.server, tasks=False) as peer:
        await peer.client.session.call_tool("greet", {}, allow_input_required=True)
        [record] = await lab.behind("local")
        assert record.ttl == 24 * 3_600_000


async def test_where_tasks_are_run_elsewhere() -> None:
    published: list[Any] = []

    async def publish(message: Any) -> None:
        published.append(message)

    lab = Lab(executor=QueueExecutor(publish))
    async with lab.asked() as client:
        assert text(await client.through("greet", {"times": 2})) == "Hello, Ada and Ada!"
    assert published == []


async def test_callers_that_may_not_have_tasks() -> None:
    async with Lab(limits=Limits(allow_anonymous=False)).asked() as client:
        assert "authenticate first" in text(await client.call("greet"))
    async with Lab(anonymous="refuse").asked() as client:
        assert (await client.call("greet"))["error"]["code"] == -32600
    async with Lab(anonymous="local").asked() as client:
        assert text(await client.through("greet")) == "Hello, Ada!"


async def test_a_lowlevel_server() -> None:
    async def call(ctx: Any, params: CallToolRequestParams) -> CallToolResult:
        answer = await ctx.session.elicit_form("Who?", {"type": "object", "properties": {"name": {"type": "string"}}})
        other = said(await current_task().elicit("And?", Name))
        return CallToolResult(content=[TextContent(type="text", text=f"{answer.action} {other}")])

    async def tools(ctx: Any, params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[Tool(name="ask", input_schema={"type": "object"})])

    async def answer(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"name": "Ada"})

    tasks = Tasks()
    server: Server[Any] = Server("low", on_call_tool=call, on_list_tools=tools)
    tasks.attach(server)
    tasks.wrap("ask")
    async with Client(server, mode="2026-07-28", elicitation_callback=answer) as client:
        [block] = (await client.call_tool("ask", {})).content
        assert block.type == "text"
        assert block.text == "accept Ada"
    await tasks.close(0)
