"""What happens while a task lives: questions, cancellation, notifications, lost connections, other owners."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from mcp.server.mcpserver import MCPServer
from mcp_types import SubscriptionFilter, SubscriptionsListenRequest, SubscriptionsListenRequestParams
from pydantic import BaseModel

from pmcp_lab.errors import TaskCancelled
from pmcp_lab.execution import AsyncioExecutor
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import LOCAL
from tests.unit.jsonrpc import Body, Json, RpcError, legacy, modern, serve
from tests.unit.modern_http import ENVELOPE, rpc
from tests.unit.server.test_server_tools import refused


class Sure(BaseModel):
    sure: bool
    why: str = ""


class Lab:
    """A server whose tools wait for the test."""

    def __init__(self) -> None:
        self.tasks = tasks = Tasks(executor=AsyncioExecutor(grace=0.1))
        self.ended: list[str] = []
        self.go = asyncio.Event()

        @tasks.tool()
        async def confirm(task: TaskContext) -> str:
            answer = await task.elicit("Really?", Sure)
            return f"{answer.action}: {answer.content.why if answer.content else None}"

        @tasks.tool()
        async def twice(task: TaskContext) -> list[bool]:
            answers = await asyncio.gather(task.elicit("One?", Sure), task.elicit("Two?", Sure))
            return [bool(answer.content and answer.content.sure) for answer in answers]

        @tasks.tool()
        async def polite(task: TaskContext) -> None:
            await task.cancelled.wait()
            self.ended.append("polite")

        @tasks.tool()
        async def stubborn() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.ended.append("stubborn")
                raise

        @tasks.tool()
        async def chatty(task: TaskContext) -> None:
            try:
                while True:
                    await task.update(message="still here")
                    await asyncio.sleep(0.01)
            except TaskCancelled:
                self.ended.append("chatty")
                raise

        @tasks.tool()
        async def wait(task: TaskContext) -> str:
            await task.update(message="waiting", progress=0.25)
            await self.go.wait()
            return f"{(await task.refresh()).text('note')}"

        @tasks.tool()
        async def early(task: TaskContext) -> str:
            await task.complete({"content": [{"type": "text", "text": "early"}]})
            return "late"

        self.server: MCPServer[Any] = MCPServer("life", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")


async def settled(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


# --- questions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"action": "accept", "content": {"sure": True, "why": "so"}}, "accept: so"),
        ({"action": "decline"}, "decline: None"),
        ({"action": "cancel"}, "cancel: None"),
    ],
)
async def test_answers(answer: Json, expected: str) -> None:
    lab = Lab()
    async with serve(lab.server) as url, legacy(url, answer=lambda _: answer) as peer:
        result = await peer.call("tasks/result", {"taskId": await peer.task("confirm")})
        assert result["structuredContent"] == {"result": expected}
    async with modern(lab.server) as new:
        task = await new.until(await new.task("confirm"), "input_required")
        assert task["statusMessage"] == "Really?"
        [key] = task["inputRequests"]
        await new.call("tasks/update", task["taskId"], inputResponses={key: answer})
        task = await new.until(task["taskId"], "completed")
        assert task["result"]["structuredContent"] == {"result": expected}


@pytest.mark.parametrize("answer", [{"action": "accept", "content": {"sure": "perhaps"}}, {"action": "maybe"}, 3])
async def test_an_answer_that_does_not_fit_fails_the_tool(answer: Any) -> None:
    async with modern(Lab().server) as peer:
        task = await peer.until(await peer.task("confirm"), "input_required")
        await peer.call("tasks/update", task["taskId"], inputResponses=dict.fromkeys(task["inputRequests"], answer))
        task = await peer.until(task["taskId"], "completed")
        assert task["result"]["isError"] is True
        assert "the client's answer to 'Really?'" in task["result"]["content"][0]["text"]


async def test_questions_in_parallel_and_partial_answers() -> None:
    yes = {"action": "accept", "content": {"sure": True}}
    lab = Lab()
    async with modern(lab.server) as peer:
        task_id = await peer.task("twice")
        await peer.until(task_id, "input_required")
        await asyncio.sleep(0.05)
        first, second = (await peer.call("tasks/get", task_id))["inputRequests"]
        await peer.call("tasks/update", task_id, inputResponses={first: yes})
        assert set((await peer.call("tasks/get", task_id))["inputRequests"]) == {second}
        await peer.call("tasks/update", task_id, inputResponses={first: {"action": "decline"}, second: yes})
        assert (await peer.until(task_id, "completed"))["result"]["structuredContent"] == {"result": [True, True]}
    async with serve(lab.server) as url, legacy(url, answer=lambda _: yes) as old:
        result = await old.call("tasks/result", {"taskId": await old.task("twice")})
        assert result["structuredContent"] == {"result": [True, True]}
        assert len(old.requests) == 2


async def test_a_client_that_can_not_be_asked() -> None:
    lab = Lab()
    async with serve(lab.server, stateless_http=True) as url, legacy(url, answer=lambda _: None) as peer:
        # Without sessions everybody is the local owner and nobody can be asked.
        task = await peer.until(await peer.task("confirm"), "failed")
        assert "can't be asked" in task["statusMessage"]
    async with modern(lab.server, elicitation=None) as new:
        task = await new.until(await new.task("confirm"), "completed")
        assert "can't be asked" in task["result"]["content"][0]["text"]


async def test_two_waiters_one_question_and_cancel_ends_both() -> None:
    lab = Lab()
    async with serve(lab.server) as url, legacy(url, answer=lambda _: None) as peer:
        task_id = await peer.task("confirm")
        waiters = [asyncio.create_task(peer.call("tasks/result", {"taskId": task_id})) for _ in range(2)]
        await settled(lambda: peer.requests)
        await asyncio.sleep(0.1)
        assert len(peer.requests) == 1
        assert (await peer.call("tasks/get", {"taskId": task_id}))["status"] == "input_required"
        await peer.call("tasks/cancel", {"taskId": task_id})
        for waiter in waiters:
            with pytest.raises(RpcError, match="cancelled"):
                await waiter


async def test_a_refused_question_fails_the_task() -> None:
    lab = Lab()
    async with serve(lab.server) as url, legacy(url, answer=lambda _: {"nonsense": 1}) as peer:
        task_id = await peer.task("confirm")
        with pytest.raises(RpcError, match="not one to its question"):
            await peer.call("tasks/result", {"taskId": task_id}, timeout=5)
        assert (await peer.call("tasks/get", {"taskId": task_id}))["status"] == "failed"


# --- cancellation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["polite", "stubborn", "chatty"])
async def test_cancel_stops_the_work(name: str) -> None:
    lab = Lab()
    async with modern(lab.server) as peer:
        task_id = await peer.task(name)
        await asyncio.sleep(0.05)
        await peer.call("tasks/cancel", task_id)
        assert (await peer.call("tasks/get", task_id))["status"] == "cancelled"
        await settled(lambda: lab.ended == [name])
        await asyncio.sleep(0.05)
        assert (await peer.call("tasks/get", task_id))["status"] == "cancelled"


async def test_a_task_the_tool_completes_itself_keeps_that_result() -> None:
    async with modern(Lab().server) as peer:
        task = await peer.until(await peer.task("early"), "completed")
        await asyncio.sleep(0.05)
        assert (await peer.call("tasks/get", task["taskId"]))["result"]["content"][0]["text"] == "early"


# --- telling ----------------------------------------------------------------------------------------


async def test_status_and_progress_reach_the_connection_that_asked() -> None:
    lab = Lab()
    async with serve(lab.server) as url, legacy(url) as peer:
        created = await peer.tool("wait", task={}, _meta={"progressToken": "tok"})
        task_id = created["task"]["taskId"]
        await settled(lambda: peer.notified("notifications/progress"))
        lab.go.set()
        await settled(lambda: [n for n in peer.notified("notifications/tasks/status") if n["status"] == "completed"])
        assert peer.notified("notifications/progress")[0] == {
            "progressToken": "tok",
            "progress": 0.25,
            "total": 1,
            "message": "waiting",
            "_meta": {"io.modelcontextprotocol/related-task": {"taskId": task_id}},
        }
        assert {note["taskId"] for note in peer.notified("notifications/tasks/status")} == {task_id}
        assert all("result" not in note for note in peer.notified("notifications/tasks/status"))


async def test_listening_to_tasks() -> None:
    lab = Lab()
    heard: list[Json] = []

    async def hear(message: Any) -> None:
        if not isinstance(message, Exception):
            heard.append(message.model_dump(by_alias=True, mode="json"))

    async with serve(lab.server) as url, httpx2.AsyncClient(timeout=10) as http:
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "wait",
        }
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "wait", "_meta": ENVELOPE},
        }
        created = rpc(await http.post(url, json=body, headers=headers))["result"]
        asked = {"notifications": {"taskIds": [created["taskId"], "unknown"]}, "_meta": ENVELOPE}
        body = {"jsonrpc": "2.0", "id": "sub", "method": "subscriptions/listen", "params": asked}
        del headers["mcp-name"]
        headers["mcp-method"] = "subscriptions/listen"
        async with http.stream("POST", url, json=body, headers=headers) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data:"):
                    continue
                message = httpx2.Response(200, content=line.removeprefix("data:")).json()
                heard.append(message)
                if message["method"] == "notifications/subscriptions/acknowledged":
                    lab.go.set()
                if message["params"].get("status") == "completed":
                    break
    acknowledged, *tasks = heard
    assert acknowledged["params"]["notifications"]["taskIds"] == [created["taskId"]]
    assert {message["method"] for message in tasks} == {"notifications/tasks"}
    assert {m["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] for m in tasks} == {"sub"}
    assert tasks[-1]["params"]["result"]["structuredContent"] == {"result": "None"}


async def test_listening_needs_the_extension() -> None:
    async with modern(Lab().server, tasks=False) as peer:
        wanted = SubscriptionFilter.model_validate({"taskIds": ["x"]})
        request = SubscriptionsListenRequest(params=SubscriptionsListenRequestParams(notifications=wanted))
        assert (await refused(peer.client.session.send_request(request, Body)))[0] == -32021


async def test_variables_from_the_client() -> None:
    lab = Lab()
    async with modern(lab.server) as peer:
        task_id = await peer.task("wait")
        task = await peer.call("run.pmcp/tasks/set_variables", task_id, variables={"note": "hi"})
        assert task["_meta"]["note"] == "hi"
        assert (await refused(peer.call("run.pmcp/tasks/set_variables", task_id, variables={"mcp/x": 1})))[0] == -32602
        lab.go.set()
        done = await peer.until(task_id, "completed")
        assert done["result"]["structuredContent"] == {"result": "hi"}
    async with serve(lab.server) as url, legacy(url) as old:
        assert "run.pmcp/task-variables" in old.initialized["capabilities"]["experimental"]
        params = {"taskId": await old.task("wait"), "variables": {"a": 1}}
        assert (await old.call("run.pmcp/tasks/set_variables", params))["_meta"]["a"] == 1


# --- connections and owners -------------------------------------------------------------------------


async def test_a_task_outlives_the_connection_that_made_it() -> None:
    lab = Lab()
    async with serve(lab.server) as url:
        async with modern(url) as peer:
            task_id = await peer.task("wait")
        lab.go.set()
        async with modern(url) as peer:
            await peer.until(task_id, "completed")


@pytest.mark.parametrize(("name", "status"), [("other", 400), (None, 200), ("same", 200)])
async def test_the_name_header_must_match(name: str | None, status: int) -> None:
    lab = Lab()
    async with serve(lab.server) as url, modern(url) as peer, httpx2.AsyncClient() as http:
        task_id = await peer.task("wait")
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tasks/get",
        }
        if name is not None:
            headers["mcp-name"] = task_id if name == "same" else name
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tasks/get",
            "params": {"taskId": task_id, "_meta": ENVELOPE},
        }
        response = await http.post(url, json=body, headers=headers)
        assert response.status_code == status
        if status == 400:
            assert rpc(response)["error"]["code"] == -32020
        lab.go.set()


async def test_a_task_in_memory_is_not_written_while_it_runs_and_still_hears_of_its_end() -> None:
    tasks = Tasks(lease=0.1)
    began, stopped = asyncio.Event(), asyncio.Event()

    @tasks.tool()
    async def wait(task: TaskContext) -> None:
        began.set()
        await task.cancelled.wait()
        stopped.set()

    async with modern(MCPServer("lab", extensions=[tasks], middleware=[tasks])) as peer:
        task_id = await peer.task("wait")
        await began.wait()
        born = await tasks.store.get(LOCAL, task_id)
        await asyncio.sleep(0.25)
        assert await tasks.store.get(LOCAL, task_id) == born
        assert not stopped.is_set()
        # As another server on the same store would, whose executor does not have it.
        await tasks.store.cancel(LOCAL, task_id)
        await asyncio.wait_for(stopped.wait(), 5)
    await tasks.close()
