"""What PMCP peers do beyond the specification: finishing a task from outside, and tasks wrapped in `task`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

from pmcp_lab.protocol import decode_task
from pmcp_lab.server import Limits, TaskContext, Tasks
from pmcp_lab.tasks import LOCAL
from tests.unit.jsonrpc import Json, legacy, modern, serve
from tests.unit.server.test_server_life import settled
from tests.unit.server.test_server_tools import refused

SHAPES = json.loads((Path(__file__).parents[1] / "pmcp_shapes.json").read_text())


def assert_has_shape(found: Any, recorded: Any, where: str = "$") -> None:
    """Every key of the recording is there with a value of its type, and lists hold such items."""
    if isinstance(recorded, dict):
        for key, value in recorded.items():
            assert key in found, f"{where}.{key} is missing"
            assert_has_shape(found[key], value, f"{where}.{key}")
    elif isinstance(recorded, list):
        for number, item in enumerate(found):
            assert_has_shape(item, recorded[0], f"{where}[{number}]")
    else:
        assert type(found) is type(recorded), f"{where}: {found!r} is not like {recorded!r}"


def lab(**options: Any) -> tuple[Tasks, MCPServer[Any]]:
    tasks = Tasks(anonymous="local", **options)

    @tasks.tool()
    async def work(task: TaskContext) -> None:
        await task.update(variables={"goal": "ship"})
        await task.cancelled.wait()

    @tasks.tool(client_result=True)
    async def wait_for_client(task: TaskContext) -> str:
        await task.update(message="over to you")
        await task.cancelled.wait()
        return "too late"

    return tasks, MCPServer("pmcp", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")


# --- shapes -----------------------------------------------------------------------------------------


async def test_the_shapes_of_its_rust_client() -> None:
    _, server = lab(pmcp_compat=True)
    async with serve(server) as url, legacy(url) as peer:
        assert_has_shape(peer.initialized["capabilities"], SHAPES["capabilities"])
        created = await peer.tool("work", task={})
        assert_has_shape(created, SHAPES["created"])
        params = {"taskId": created["task"]["taskId"]}
        await settled(lambda: peer.notified("notifications/tasks/status"))
        assert_has_shape(peer.notified("notifications/tasks/status")[0], SHAPES["status_notification"])
        got = await peer.call("tasks/get", params)
        assert_has_shape(got, SHAPES["got"])
        assert_has_shape(got, SHAPES["task"]), "and as everybody else reads it"
        assert decode_task(got).task_id == params["taskId"]
        assert_has_shape(await peer.call("tasks/list"), SHAPES["listed"])
        cancelled = await peer.call("tasks/cancel", params)
        assert_has_shape(cancelled, SHAPES["cancelled"])
        assert cancelled["task"]["status"] == "cancelled"


async def test_nothing_is_wrapped_unless_asked() -> None:
    _, server = lab()
    async with serve(server) as url, legacy(url) as peer:
        assert_has_shape(peer.initialized["capabilities"], SHAPES["capabilities"])
        created = await peer.tool("work", task={})
        assert set(created) == {"task"}
        got = await peer.call("tasks/get", {"taskId": created["task"]["taskId"]})
        assert "task" not in got
        assert_has_shape(got, SHAPES["task"])
        assert "task" not in await peer.call("tasks/cancel", {"taskId": created["task"]["taskId"]})


# --- tasks/cancel with a result ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "structured"),
    [
        ({"rows": 1500}, {"rows": 1500}),
        ([1, 2], {"result": [1, 2]}),
        ({"content": [{"type": "text", "text": "done"}], "structuredContent": {"ok": True}}, {"ok": True}),
    ],
)
async def test_a_client_finishes_a_task_that_waits_for_it(given: Any, structured: Json) -> None:
    _, server = lab()
    async with serve(server) as url, legacy(url) as peer:
        task_id = await peer.task("wait_for_client")
        ended = await peer.call("tasks/cancel", {"taskId": task_id, "result": given})
        assert ended["status"] == "completed"
        result = await peer.call("tasks/result", {"taskId": task_id})
        assert_has_shape(result, SHAPES["result"])
        assert result["structuredContent"] == structured
        code, text, _ = await refused(peer.call("tasks/cancel", {"taskId": task_id, "result": given}))
        assert code == -32602
        assert "completed" in text


async def test_a_task_without_a_job_waits_for_its_client() -> None:
    tasks, server = lab()
    async with serve(server) as url, legacy(url) as peer:
        record = await tasks.store.create(LOCAL, method="release")
        ended = await peer.call("tasks/cancel", {"taskId": record.task_id, "result": {"shipped": True}})
        assert ended["status"] == "completed"
    async with modern(server) as new:
        record = await tasks.store.create(LOCAL, method="release")
        assert "status" not in await new.call("tasks/cancel", record.task_id, result={"shipped": True})
        task = await new.call("tasks/get", record.task_id)
        assert task["result"]["structuredContent"] == {"shipped": True}


async def test_the_result_of_running_work_can_not_be_forged() -> None:
    _, server = lab()
    async with serve(server) as url, legacy(url) as peer:
        task_id = await peer.task("work")
        code, text, _ = await refused(peer.call("tasks/cancel", {"taskId": task_id, "result": {"rows": 0}}))
        assert code == -32602
        assert "run by tool 'work'" in text
        assert (await peer.call("tasks/get", {"taskId": task_id}))["status"] == "working"
        # Null is no result.
        assert (await peer.call("tasks/cancel", {"taskId": task_id, "result": None}))["status"] == "cancelled"


async def test_a_result_that_is_too_big_or_not_one_is_refused() -> None:
    _, server = lab(limits=Limits(result_bytes=1_000))
    async with serve(server) as url, legacy(url) as peer:
        task_id = await peer.task("wait_for_client")
        for given, says in (
            ("x" * 1_000, "at most 1000"),
            ({"content": "text"}, "not a CallToolResult (content)"),
        ):
            code, text, _ = await refused(peer.call("tasks/cancel", {"taskId": task_id, "result": given}))
            assert code == -32602
            assert says in text
        assert (await peer.call("tasks/cancel", {"taskId": task_id}))["status"] == "cancelled"
