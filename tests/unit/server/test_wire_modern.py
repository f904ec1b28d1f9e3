"""The 2026-07-28 wire of the tasks extension, requirement by requirement; `test_spec_table` says which proves which."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel

from pmcp_lab.server import Limits, TaskContext, Tasks
from tests.unit.jsonrpc import legacy, modern, serve
from tests.unit.modern_http import Modern, rpc

RELATED = "io.modelcontextprotocol/related-task"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
ASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {}}
MISSING = {"requiredCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}}


class Sure(BaseModel):
    sure: bool


class Lab:
    def __init__(self, store: str = "memory://", **options: Any) -> None:
        self.go = asyncio.Event()
        self.tasks = tasks = Tasks(store, **options)

        @tasks.tool()
        async def wait(task: TaskContext) -> dict[str, int]:
            await task.update(message="waiting", progress=0.5)
            await self.go.wait()
            return {"n": 1}

        @tasks.tool()
        async def confirm(task: TaskContext, times: int = 1) -> int:
            for number in range(times):
                await task.elicit(f"Really? ({number})", Sure)
            return times

        @tasks.tool(support="required")
        async def fail(how: str) -> str:
            raise MCPError(-32055, "out of order", {"retry": False}) if how == "protocol" else ToolError("not today")

        @tasks.tool()
        async def burst(task: TaskContext) -> int:
            await self.go.wait()
            for n in range(500):
                await task.update(variables={"n": n})
            return 500

        self.server: MCPServer[Any] = MCPServer("wire", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")

    @asynccontextmanager
    async def peer(self, capabilities: Any = ASKS) -> AsyncIterator[Modern]:
        async with serve(self.server) as url, httpx2.AsyncClient(timeout=10) as http:
            yield Modern(http, url, capabilities=capabilities)


async def test_each_request_declares_for_itself() -> None:
    lab = Lab()
    async with lab.peer() as able:
        unable = Modern(able.http, able.url, capabilities={})
        assert (await able.call("fail", how="tool"))["result"]["resultType"] == "task"
        # What it said on an earlier request counts for nothing.
        refusal = await unable.post("tools/call", "fail", name="fail", arguments={"how": "tool"})
        assert refusal.status_code == 400
        assert rpc(refusal)["error"]["code"] == -32021
        assert rpc(refusal)["error"]["data"] == MISSING
        lab.go.set()
        inline = (await unable.call("wait"))["result"]
        assert inline["resultType"] == "complete"
        assert inline["structuredContent"] == {"n": 1}
        task_id = await able.task("wait")
        for method, params in (("tasks/get", {}), ("tasks/cancel", {}), ("tasks/update", {"inputResponses": {}})):
            assert rpc(await unable.about(method, task_id, **params))["error"]["code"] == -32021
        async with unable.listen(task_id) as messages:
            assert [message async for message in messages] == []
        refusal = await unable.post("subscriptions/listen", notifications={"taskIds": [task_id]})
        assert rpc(refusal)["error"]["code"] == -32021
        assert rpc(refusal)["error"]["data"] == MISSING


async def test_result_types() -> None:
    lab = Lab()
    async with lab.peer() as peer:
        created = (await peer.call("confirm"))["result"]
        assert created["resultType"] == "task"
        assert created["status"] == "working"
        assert created.keys().isdisjoint({"result", "error", "inputRequests", "requestState", "task"})
        task = await peer.until(created["taskId"], "input_required")
        answers = {"inputResponses": {key: {"action": "decline"} for key in task["inputRequests"]}}
        for body in (
            task,
            rpc(await peer.about("tasks/update", task["taskId"], **answers))["result"],
            rpc(await peer.about("tasks/cancel", task["taskId"]))["result"],
            rpc(await peer.post("tools/list"))["result"],
        ):
            assert body["resultType"] == "complete"


async def test_acknowledgements_are_empty() -> None:
    lab = Lab()
    async with lab.peer() as peer:
        task = await peer.until(await peer.task("confirm"), "input_required")
        answers = {"inputResponses": {"never-asked": {"action": "accept"}}}
        done = await peer.task("fail", how="tool")
        await peer.until(done, "completed")
        for answer in (
            await peer.about("tasks/update", task["taskId"], **answers),
            await peer.about("tasks/cancel", task["taskId"]),
            await peer.about("tasks/cancel", task["taskId"]),
            await peer.about("tasks/cancel", done),
            await peer.about("tasks/update", done, **answers),
        ):
            assert rpc(answer)["result"].keys() <= {"resultType", "_meta"}
            assert rpc(answer)["result"]["_meta"].keys() == {"io.modelcontextprotocol/serverInfo"}
        assert (await peer.until(done, "completed"))["status"] == "completed", "nothing changes what has ended"


async def test_what_each_status_carries() -> None:
    lab = Lab()
    extra = {"result", "error", "inputRequests"}
    async with lab.peer() as peer:
        working = await peer.until(await peer.task("wait"), "working")
        assert extra.isdisjoint(working)
        asking = await peer.until(await peer.task("confirm"), "input_required")
        assert extra & asking.keys() == {"inputRequests"}
        assert [request["method"] for request in asking["inputRequests"].values()] == ["elicitation/create"]
        await peer.about("tasks/cancel", working["taskId"])
        assert extra.isdisjoint(await peer.until(working["taskId"], "cancelled"))
        reported = await peer.until(await peer.task("fail", how="tool"), "completed", "failed")
        assert reported["status"] == "completed"
        assert extra & reported.keys() == {"result"}
        assert reported["result"]["isError"] is True
        assert RELATED not in (reported["result"].get("_meta") or {})
        broken = await peer.until(await peer.task("fail", how="protocol"), "completed", "failed")
        assert broken["status"] == "failed"
        assert extra & broken.keys() == {"error"}
        assert broken["error"] == {"code": -32055, "message": "out of order", "data": {"retry": False}}
        assert broken["statusMessage"] == "out of order"
        lab.go.set()


@pytest.mark.parametrize("ttl", [None, 60_000])
async def test_every_task_says_how_long(ttl: int | None) -> None:
    lab = Lab(limits=Limits(default_ttl=None if ttl is None else ttl / 1_000, max_ttl=None, poll_interval="700ms"))
    async with lab.peer() as peer:
        created = (await peer.call("wait"))["result"]
        async with peer.listen(created["taskId"]) as messages:
            await anext(messages)
            sent = (await anext(messages))["params"]
        for task in (created, (await peer.get(created["taskId"]))["result"], sent):
            assert task["ttlMs"] == ttl
            assert task["pollIntervalMs"] == 700
            assert {"createdAt", "lastUpdatedAt"} <= task.keys()
            assert task.keys().isdisjoint({"ttl", "pollInterval"})


async def test_a_task_can_be_got_wherever_as_soon_as_it_is_named(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'tasks.db'}"
    one, two = Lab(store), Lab(store)
    async with one.peer() as here, two.peer() as there:
        for _ in range(20):
            assert (await there.get(await here.task("wait")))["result"]["status"] == "working"
    one.go.set()
    await one.tasks.close()
    await two.tasks.close()


async def test_a_question_can_be_answered_at_another_server(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'tasks.db'}"
    one, two = Lab(store, anonymous="local"), Lab(store, anonymous="local")
    async with one.peer() as here, two.peer() as there:
        task_id = await here.task("confirm")
        task = await there.until(task_id, "input_required")
        await there.about(
            "tasks/update", task_id, inputResponses={k: {"action": "decline"} for k in task["inputRequests"]}
        )
        assert (await there.until(task_id, "completed"))["result"]["structuredContent"] == {"result": 1}
        # And in the other generation, where the question comes to who waits for the result.
        task_id = await here.task("confirm")
        async with legacy(there.url, answer=lambda _: {"action": "cancel"}) as old:
            result = await old.call("tasks/result", {"taskId": task_id})
            assert result["structuredContent"] == {"result": 1}
    await one.tasks.close()
    await two.tasks.close()


async def test_keys_are_never_used_twice() -> None:
    lab = Lab()
    async with lab.peer() as peer:
        task_id = await peer.task("confirm", times=4)
        seen: list[str] = []
        for number in itertools.count():
            task = await peer.until(task_id, "input_required", "completed")
            if task["status"] == "completed":
                break
            [(key, request)] = task["inputRequests"].items()
            if key in seen:
                # Acknowledged, but not yet worked off.
                await asyncio.sleep(0.01)
                continue
            assert request["params"]["message"] == f"Really? ({len(seen)})"
            seen.append(key)
            answers = {key: {"action": "decline"}, **{old: {"action": "accept"} for old in seen[:-1]}}
            await peer.about("tasks/update", task_id, inputResponses=answers)
            assert number < 100
        assert len(set(seen)) == 4


async def test_a_cancelled_request_leaves_its_task() -> None:
    lab = Lab()
    async with modern(lab.server) as peer:
        task_id = await peer.task("wait")
        await peer.client.session.send_notification(_cancelled(1))
        lab.go.set()
        await peer.until(task_id, "completed")


def _cancelled(request_id: int) -> Any:
    from mcp_types import CancelledNotification, CancelledNotificationParams

    return CancelledNotification(params=CancelledNotificationParams(request_id=request_id))


# --- listening ------------------------------------------------------------------------------------------


async def test_a_listener_hears_the_present_and_each_change_as_get_would_say_it() -> None:
    lab = Lab()
    async with lab.peer() as peer:
        task_id = await peer.task("wait")
        async with peer.listen(task_id, "unknown", task_id) as messages:
            acknowledged = await anext(messages)
            assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
            assert acknowledged["params"]["notifications"]["taskIds"] == [task_id]
            heard = [await anext(messages)]
            assert heard[0]["params"]["status"] == "working", "the present comes first, without a change"
            lab.go.set()
            while heard[-1]["params"]["status"] != "completed":
                heard.append(await anext(messages))
        # Progress and log messages have no place here.
        assert {message["method"] for message in heard} == {"notifications/tasks"}
        last = heard[-1]["params"]
        assert last["_meta"].pop(SUBSCRIPTION) == "listening"
        got = (await peer.get(task_id))["result"]
        del got["resultType"], got["_meta"]["io.modelcontextprotocol/serverInfo"]
        assert last == got


async def test_bursts_are_heard_as_their_end() -> None:
    lab = Lab()
    async with lab.peer() as peer:
        task_id = await peer.task("burst")
        async with peer.listen(task_id) as messages:
            await anext(messages)
            lab.go.set()
            heard = []
            async for message in messages:
                heard.append(message["params"])
                if message["params"]["status"] == "completed":
                    break
        assert len(heard) < 250
        assert heard[-1]["_meta"]["n"] == 499


def repr_of(value: Any) -> str:
    return repr(value)[:20]


async def test_many_tasks_on_one_stream() -> None:
    lab = Lab()
    async with lab.peer() as peer:
        made = [await peer.task("wait") for _ in range(5)]
        async with peer.listen(*made) as messages:
            assert (await anext(messages))["params"]["notifications"]["taskIds"] == made
            lab.go.set()
            ended: set[str] = set()
            while ended != set(made):
                params = (await anext(messages))["params"]
                if params["status"] == "completed":
                    ended.add(params["taskId"])


@pytest.mark.parametrize("wanted", ["x", {"a": 1}, [1], [None], 3, ["x"] * 1_001], ids=repr_of)
async def test_task_ids_that_are_no_list_of_text_or_too_many(wanted: Any) -> None:
    async with Lab().peer() as peer:
        answer = rpc(await peer.post("subscriptions/listen", notifications={"taskIds": wanted}))
        assert answer["error"]["code"] == -32602


async def test_trouble_with_the_store_says_nothing_about_it(tmp_path: Path) -> None:
    lab = Lab(f"sqlite:///{tmp_path / 't.db'}")
    async with lab.peer() as peer:
        task_id = await peer.task("fail", how="tool")
        await peer.until(task_id, "completed")
        await lab.tasks.store.close()
        for answer in (
            await peer.post("subscriptions/listen", notifications={"taskIds": [task_id]}),
            await peer.about("tasks/get", task_id),
            await peer.about("tasks/cancel", task_id),
            await peer.post("tools/call", "wait", name="wait", arguments={}),
        ):
            error = rpc(answer)["error"]
            assert error["code"] == -32603
            assert "task store" in error["message"]
            assert str(tmp_path) not in answer.text


# --- headers and generations ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_routing_headers(method: str) -> None:
    lab = Lab()
    async with lab.peer() as peer:
        task_id = await peer.task("wait")
        params = {"taskId": task_id, "inputResponses": {}}
        wrong = await peer.post(method, "another-task", **params)
        assert wrong.status_code == 400
        assert rpc(wrong)["error"]["code"] == -32020
        encoded = f"=?base64?{base64.b64encode(task_id.encode()).decode()}?="
        for name in (task_id, encoded):
            assert (await peer.post(method, name, **params)).status_code == 200
        # The header is only a client's duty: one real client leaves it out.
        assert (await peer.post(method, None, **params)).status_code == 200
        lab.go.set()


async def test_the_method_header_must_match() -> None:
    async with Lab().peer() as peer:
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tasks/cancel",
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": {"taskId": "x", "_meta": peer.envelope}}
        answer = await peer.http.post(peer.url, json=body, headers=headers)
        assert answer.status_code == 400
        assert rpc(answer)["error"]["code"] == -32020


async def test_generations_do_not_mix() -> None:
    lab = Lab(anonymous="local")
    async with lab.peer() as new:
        discovered = rpc(await new.post("server/discover"))["result"]["capabilities"]
        assert "tasks" not in discovered
        assert discovered["extensions"]["io.modelcontextprotocol/tasks"] == {}
        for method in ("tasks/list", "tasks/result"):
            answer = await new.about(method, "x")
            assert answer.status_code == 404
            assert rpc(answer)["error"]["code"] == -32601
        async with legacy(new.url, capabilities=ASKS) as old:
            # It declares the extension, and still gets tasks only by asking for them.
            lab.go.set()
            assert (await old.tool("wait"))["structuredContent"] == {"n": 1}
            # Tasks themselves belong to no generation.
            task_id = await old.task("wait")
            assert (await new.get(task_id))["result"]["taskId"] == task_id
            made = await new.task("wait")
            assert (await old.call("tasks/get", {"taskId": made}))["taskId"] == made
