"""The 2025-11-25 wire, requirement by requirement; `test_spec_table` says which test proves which."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any

import pytest
from mcp import StdioServerParameters
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel

from pmcp_lab.execution import AsyncioExecutor
from pmcp_lab.server import Limits, TaskContext, Tasks
from tests.servers import environment
from tests.unit.jsonrpc import Json, legacy, serve
from tests.unit.server.test_server_life import settled
from tests.unit.server.test_server_tools import refused
from tests.unit.virtual_time import run

RELATED = "io.modelcontextprotocol/related-task"
IMMEDIATE = "io.modelcontextprotocol/model-immediate-response"
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Sure(BaseModel):
    sure: bool


class Lab:
    def __init__(self, **options: Any) -> None:
        self.go = asyncio.Event()
        self.ended: list[str] = []
        # Everybody is one owner, so that a second connection can look at the same tasks.
        self.tasks = tasks = Tasks(executor=AsyncioExecutor(grace=0.05), anonymous="local", **options)

        @tasks.tool(immediate_response="I am on it.", poll_interval="20ms")
        async def wait(task: TaskContext) -> dict[str, Any]:
            await task.update(message="waiting", progress=0.25)
            await self.go.wait()
            await task.update(progress=0.5)
            return {"n": 1}

        @tasks.tool(poll_interval="20ms")
        async def confirm(task: TaskContext) -> bool:
            answer = await task.elicit("Really?", Sure)
            await self.go.wait()
            return answer.content is not None and answer.content.sure

        @tasks.tool()
        async def deaf() -> str:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.ended.append("deaf")
            return "finished all the same"

        @tasks.tool()
        async def add(a: int, b: int) -> int:
            if a < 0:
                raise MCPError(-32055, "only upwards", {"a": a})
            if b < 0:
                raise ValueError("a crash")
            return a + b

        self.server: MCPServer[Any] = MCPServer("wire", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")

        @self.server.prompt()
        def hello() -> str:
            return "hello"

        @self.server.tool()
        async def plain(ctx: Context) -> str:
            return "plain"


def meta(message: Json) -> Json:
    return message.get("_meta") or {}


async def test_capabilities() -> None:
    async with serve(Lab().server) as url, legacy(url) as peer:
        capabilities = peer.initialized["capabilities"]
        assert capabilities["tasks"] == {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
        assert "extensions" not in capabilities


async def test_task_on_other_requests_is_ignored() -> None:
    async with serve(Lab().server) as url, legacy(url) as peer:
        prompt = await peer.call("prompts/get", {"name": "hello", "task": {"ttl": 1000}})
        assert prompt["messages"][0]["content"]["text"] == "hello"
        assert "tools" in await peer.call("tools/list", {"task": {}})


async def test_creation() -> None:
    lab = Lab()
    async with serve(lab.server) as url, legacy(url) as peer:
        # Nothing lets the tool end, so an answer means that creation did not wait for it.
        created = await peer.tool("wait", task={"ttl": 90_000})
        assert set(created) == {"task", "_meta"}
        assert meta(created) == {IMMEDIATE: "I am on it."}
        task = created["task"]
        assert task["status"] == "working"
        assert isinstance(task["taskId"], str)
        assert task["ttl"] == 90_000
        assert task["pollInterval"] == 20
        assert meta(await peer.tool("add", {"a": 1, "b": 2}, task={})) == {}
        lab.go.set()


@pytest.mark.parametrize("ttl", [None, 60_000])
async def test_every_task_says_when_and_how_long(ttl: int | None) -> None:
    lab = Lab(limits=Limits(default_ttl=None if ttl is None else ttl / 1_000, max_ttl=None))
    async with serve(lab.server) as url, legacy(url) as peer:
        created = (await peer.tool("wait", task={}))["task"]
        params = {"taskId": created["taskId"]}
        await settled(lambda: peer.notified("notifications/tasks/status"))
        notes = [
            created,
            await peer.call("tasks/get", params),
            (await peer.call("tasks/list"))["tasks"][0],
            await peer.call("tasks/cancel", params),
            *peer.notified("notifications/tasks/status"),
        ]
        for task in notes:
            # A ttl without limit is null and not left out.
            assert task["ttl"] == ttl
            assert ISO.fullmatch(task["createdAt"])
            assert ISO.fullmatch(task["lastUpdatedAt"])
            assert task["createdAt"] == created["createdAt"]
            assert task["lastUpdatedAt"] >= task["createdAt"]


async def test_result_waits_for_the_end() -> None:
    lab = Lab()
    async with serve(lab.server) as url, legacy(url) as peer:
        task_id = await peer_task(peer, "wait")
        waiting = asyncio.create_task(peer.call("tasks/result", {"taskId": task_id}))
        assert (await peer.call("tasks/get", {"taskId": task_id}))["status"] == "working", "others are served meanwhile"
        assert not waiting.done()
        lab.go.set()
        assert (await waiting)["structuredContent"] == {"n": 1}


async def peer_task(peer: Any, name: str, arguments: Json | None = None) -> str:
    return str((await peer.tool(name, arguments, task={}))["task"]["taskId"])


async def test_result_is_what_the_call_would_have_returned() -> None:
    async with serve(Lab().server) as url, legacy(url) as peer:
        for arguments in ({"a": 1, "b": 2}, {"a": 1, "b": -2}):
            task_id = await peer_task(peer, "add", arguments)
            result = await peer.call("tasks/result", {"taskId": task_id})
            assert result.pop("_meta") == {RELATED: {"taskId": task_id}}
            assert result == await peer.tool("add", arguments)
        task_id = await peer_task(peer, "add", {"a": -1, "b": 2})
        through_task = await refused(peer.call("tasks/result", {"taskId": task_id}))
        assert through_task == await refused(peer.tool("add", {"a": -1, "b": 2}))
        assert through_task[0] == -32055


async def test_result_of_a_cancelled_task_is_an_error() -> None:
    async with serve(Lab().server) as url, legacy(url) as peer:
        task_id = await peer_task(peer, "wait")
        await peer.call("tasks/cancel", {"taskId": task_id})
        code, text, _ = await refused(peer.call("tasks/result", {"taskId": task_id}))
        assert code == -32602
        assert "cancelled" in text


async def test_related_task_is_where_it_must_be_and_nowhere_else() -> None:
    lab = Lab()
    yes = {"action": "accept", "content": {"sure": True}}
    async with serve(lab.server) as url, legacy(url, answer=lambda _: yes) as peer:
        created = await peer.tool("confirm", task={}, _meta={"progressToken": 7})
        params = {"taskId": created["task"]["taskId"]}
        related = {RELATED: {"taskId": params["taskId"]}}
        asking = asyncio.create_task(peer.call("tasks/result", params))
        await settled(lambda: peer.requests)
        assert {RELATED: peer.requests[0]["params"]["_meta"][RELATED]} == related
        without = [
            await peer.call("tasks/get", params),
            *(await peer.call("tasks/list"))["tasks"],
            await peer.call("tasks/list"),
            *peer.notified("notifications/tasks/status"),
        ]
        lab.go.set()
        assert meta(await asking) == related
        task_id = await peer_task(peer, "deaf")
        without.append(await peer.call("tasks/cancel", {"taskId": task_id}))
        assert all(RELATED not in meta(message) for message in without)


async def test_the_task_id_parameter_wins() -> None:
    lab = Lab()
    async with serve(lab.server) as url, legacy(url) as peer:
        one, two = await peer_task(peer, "wait"), await peer_task(peer, "wait")
        misleading = {"taskId": one, "_meta": {RELATED: {"taskId": two}}}
        assert (await peer.call("tasks/get", misleading))["taskId"] == one
        assert (await peer.call("tasks/cancel", misleading))["taskId"] == one
        assert (await peer.call("tasks/get", {"taskId": two}))["status"] == "working"
        lab.go.set()
        outcome = await peer.call("tasks/result", {"taskId": two, "_meta": {RELATED: {"taskId": one}}})
        assert outcome["_meta"][RELATED] == {"taskId": two}


async def test_input_required_ends_with_the_last_answer() -> None:
    lab = Lab()
    yes = {"action": "accept", "content": {"sure": True}}
    async with serve(lab.server) as url, legacy(url, answer=lambda _: yes) as peer:
        task_id = await peer_task(peer, "confirm")
        assert (await peer.until(task_id, "input_required", "failed"))["status"] == "input_required"
        waiting = asyncio.create_task(peer.call("tasks/result", {"taskId": task_id}))
        await peer.until(task_id, "working")
        lab.go.set()
        assert (await waiting)["structuredContent"] == {"result": True}


async def test_a_question_that_nobody_fetches_is_pushed() -> None:
    lab = Lab()
    lab.go.set()
    yes = {"action": "accept", "content": {"sure": True}}
    async with serve(lab.server) as url, legacy(url, answer=lambda _: yes) as peer:
        task_id = await peer_task(peer, "confirm")
        await peer.until(task_id, "completed")
        assert len(peer.requests) == 1
        assert peer.requests[0]["params"]["_meta"][RELATED] == {"taskId": task_id}


async def test_a_pushed_question_is_taken_over_by_tasks_result() -> None:
    lab = Lab()
    lab.go.set()
    asked: list[Json] = []

    def second_time(request: Json) -> Json | None:
        asked.append(request)
        return None if len(asked) == 1 else {"action": "accept", "content": {"sure": True}}

    async with serve(lab.server) as url, legacy(url, answer=second_time) as peer:
        task_id = await peer_task(peer, "confirm")
        await settled(lambda: len(asked) == 1)
        result = await peer.call("tasks/result", {"taskId": task_id})
        assert result["structuredContent"] == {"result": True}
        assert len(asked) == 2


async def test_a_question_pushed_over_stdio_is_asked_once() -> None:
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "tests.servers.conformance", "--stdio"], env=environment()
    )
    async with legacy(command, answer=lambda _: None) as peer:
        task_id = await peer_task(peer, "confirm_delete", {"filename": "b.txt"})
        await settled(lambda: peer.requests)
        waiting = asyncio.create_task(peer.call("tasks/result", {"taskId": task_id}))
        assert (await peer.call("tasks/get", {"taskId": task_id}))["status"] == "input_required"
        await peer.reply(peer.requests[0], {"action": "accept", "content": {"confirm": True}})
        assert (await waiting)["content"][0]["text"] == "deleted b.txt"
        assert len(peer.requests) == 1


async def test_progress_lasts_as_long_as_the_task() -> None:
    lab = Lab()
    async with serve(lab.server) as url, legacy(url) as peer:
        created = await peer.tool("wait", task={}, _meta={"progressToken": "p"})
        await settled(lambda: len(peer.notified("notifications/progress")) == 1)
        lab.go.set()
        await peer.until(created["task"]["taskId"], "completed")
        await settled(lambda: peer.notified("notifications/progress")[-1]["progress"] == 1.0)
        notes = peer.notified("notifications/progress")
        assert all(note["progressToken"] == "p" for note in notes)
        assert all(note["_meta"] == {RELATED: {"taskId": created["task"]["taskId"]}} for note in notes)
        values = [note["progress"] for note in notes]
        assert values == sorted(set(values)), "progress only ever grows"


async def test_status_notifications_are_tasks() -> None:
    lab = Lab()
    async with serve(lab.server) as url, legacy(url) as peer:
        task_id = await peer_task(peer, "wait")
        lab.go.set()
        await settled(lambda: any(n["status"] == "completed" for n in peer.notified("notifications/tasks/status")))
        last = peer.notified("notifications/tasks/status")[-1]
        assert last == await peer.call("tasks/get", {"taskId": task_id})


def test_who_has_fetched_the_end_of_a_task_is_not_told_of_it() -> None:
    async def main() -> None:
        lab = Lab()
        async with legacy(lab.server) as mine, legacy(lab.server) as other:
            fetched, foreign, left = [await peer_task(mine, "add", {"a": 1, "b": 1}) for _ in range(3)]
            await mine.call("tasks/result", {"taskId": fetched})
            await other.call("tasks/result", {"taskId": foreign})
            await asyncio.sleep(1)
            assert [note["taskId"] for note in mine.notified("notifications/tasks/status")] == [foreign, left]
            assert other.notified("notifications/tasks/status") == []

    run(main())


async def test_lists_have_pages_and_everything_that_can_be_got() -> None:
    lab = Lab(limits=Limits(tasks_per_owner=None))
    async with serve(lab.server) as url, legacy(url) as peer:
        made = {await peer_task(peer, "add", {"a": n, "b": 1}) for n in range(55)}
        pages, cursor = [], None
        while True:
            page = await peer.call("tasks/list", {"cursor": cursor} if cursor else {})
            pages.append([task["taskId"] for task in page["tasks"]])
            cursor = page.get("nextCursor")
            if cursor is None:
                break
        assert [len(page) for page in pages] == [50, 5]
        assert {task_id for page in pages for task_id in page} == made
        for task_id in made:
            await peer.call("tasks/get", {"taskId": task_id})
        for bad in ("x", "bm90IG91cnM="):
            code, text, _ = await refused(peer.call("tasks/list", {"cursor": bad}))
            assert code == -32602
            assert "cursor" in text


async def test_what_has_ended_can_not_be_cancelled() -> None:
    lab = Lab()
    async with serve(lab.server) as url, legacy(url) as peer:
        done = await peer_task(peer, "add", {"a": 1, "b": 1})
        failed = await peer_task(peer, "add", {"a": -1, "b": 1})
        stopped = await peer_task(peer, "wait")
        await peer.call("tasks/cancel", {"taskId": stopped})
        for task_id, status in ((done, "completed"), (failed, "failed"), (stopped, "cancelled")):
            assert (await peer.until(task_id, "completed", "failed", "cancelled"))["status"] == status
            code, text, _ = await refused(peer.call("tasks/cancel", {"taskId": task_id}))
            assert code == -32602
            assert status in text


async def test_cancelled_before_the_answer_and_for_good() -> None:
    lab = Lab()
    async with serve(lab.server) as url, legacy(url) as peer:
        task_id = await peer_task(peer, "deaf")
        await asyncio.sleep(0)
        assert (await peer.call("tasks/cancel", {"taskId": task_id}))["status"] == "cancelled"
        # The tool swallows its cancellation and returns.
        await settled(lambda: lab.ended == ["deaf"])
        assert (await peer.call("tasks/get", {"taskId": task_id}))["status"] == "cancelled"


@pytest.mark.parametrize("method", ["tasks/get", "tasks/result", "tasks/cancel"])
@pytest.mark.parametrize("params", [{"taskId": "no-such-task"}, {"taskId": ""}, {"taskId": 7}, {"taskId": None}, {}])
async def test_an_id_that_is_none(method: str, params: Json) -> None:
    async with serve(Lab().server) as url, legacy(url) as peer:
        code, text, _ = await refused(peer.call(method, params))
        assert code == -32602
        assert text


async def test_trouble_with_the_store_is_an_internal_error(tmp_path: Any) -> None:
    lab = Lab(store=f"sqlite:///{tmp_path / 't.db'}")
    async with serve(lab.server) as url, legacy(url) as peer:
        task_id = await peer_task(peer, "add", {"a": 1, "b": 1})
        await peer.until(task_id, "completed")
        await lab.tasks.store.close()
        for method, params in (
            ("tasks/get", {"taskId": task_id}),
            ("tasks/result", {"taskId": task_id}),
            ("tasks/cancel", {"taskId": task_id}),
            ("tasks/list", {}),
            ("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}, "task": {}}),
        ):
            code, text, data = await refused(peer.call(method, params))
            assert code == -32603
            # Where the tasks are is no business of a client's.
            assert text == "the server can't use its task store at the moment; try again later"
            assert data is None
        assert (await peer.tool("plain"))["structuredContent"] == {"result": "plain"}
