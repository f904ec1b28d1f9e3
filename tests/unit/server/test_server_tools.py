"""Which calls become tasks, what refuses them, and how each kind of end shows in each generation."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Any

import pytest
from mcp import Client
from mcp.server.extension import Extension
from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolRequest, CallToolRequestParams, TaskMetadata
from pydantic import BaseModel, ValidationError

from pmcp_lab.errors import LabError
from pmcp_lab.execution import AsyncioExecutor
from pmcp_lab.server import Limits, TaskContext, Tasks
from tests.unit.jsonrpc import Body, ListRequest, RpcError, TaskRequest, legacy, modern, serve


class Name(BaseModel):
    name: str


async def ask_name() -> Elicit[Name]:
    return Elicit("Who are you?", Name)


def lab(*, middleware: bool = True, extensions: list[Extension] | None = None, **options: Any) -> MCPServer[Any]:
    tasks = Tasks("memory://", **options)

    @tasks.tool(support="required", ttl=60, poll_interval="50ms")
    async def must(n: int, task: TaskContext) -> dict[str, int]:
        await task.update(variables={"n": n})
        return {"n": n}

    @tasks.tool(support="forbidden")
    async def never(n: int = 1) -> int:
        return n

    @tasks.tool()
    async def protocol_error(task: TaskContext) -> None:
        raise MCPError(-32055, "out of order", {"retry": False})

    @tasks.tool(mask_errors=True)
    async def crash() -> None:
        raise RuntimeError("the password is hunter2")

    @tasks.tool()
    async def refuse() -> None:
        raise ToolError("not today")

    @tasks.tool()
    def threaded(n: int, task: TaskContext) -> str:
        task.in_thread.update(progress=0.5, variables={"thread": threading.current_thread().name})
        return "x" * n

    @tasks.tool(name="both", title="Both", meta={"k": 1})
    async def takes_both(ctx: Context, task: TaskContext, n: int = 2) -> list[str]:
        return [str(task.task_id), ctx.mcp_server.name, str(n)]

    @tasks.tool()
    async def greet(who: Annotated[Name, Resolve(ask_name)]) -> str:
        return f"hello {who.name}"

    @tasks.tool()
    async def too_big(task: TaskContext) -> None:
        await task.update(variables={"v": "x" * 70_000})

    return MCPServer(
        "lab",
        extensions=[tasks, *(extensions or [])],
        middleware=[tasks] if middleware else [],
        log_level="CRITICAL",
    )


async def refused(call: Any) -> tuple[int, str, Any]:
    with pytest.raises((RpcError, MCPError)) as caught:
        await call
    error: Any = caught.value
    return error.code, error.message, error.data


# --- who becomes a task -----------------------------------------------------------------------------


async def test_legacy_support() -> None:
    async with serve(lab()) as url, legacy(url) as peer:
        tools = {tool["name"]: tool for tool in (await peer.call("tools/list"))["tools"]}
        assert tools["must"]["execution"] == {"taskSupport": "required"}
        assert "execution" not in tools["never"]
        assert (tools["both"]["title"], tools["both"]["_meta"]) == ("Both", {"k": 1})
        assert set(tools["both"]["inputSchema"]["properties"]) == {"n"}

        code, text, _ = await refused(peer.tool("must", {"n": 1}))
        assert (code, text) == (-32601, "tool 'must' must be called as a task")
        for name in ("never", "unknown"):
            code, text, _ = await refused(peer.tool(name, task={}))
            assert (code, text) == (-32601, f"tool {name!r} can't be called as a task")
        assert (await peer.tool("never", task=None))["structuredContent"] == {"result": 1}
        assert (await refused(peer.tool("must", {"n": 1}, task={"ttl": -1})))[0] == -32602
        assert (await refused(peer.tool("must", {"n": 1}, task={"ttl": "soon"})))[0] == -32602
        code, text, _ = await refused(peer.tool("must", {"n": "many"}, task={}))
        assert code == -32602
        assert "n" in text
        assert (await peer.call("tasks/list"))["tasks"] == [], "what is refused leaves no task behind"

        created = await peer.tool("must", {"n": 1}, task={"ttl": 10**12})
        assert created["task"]["ttl"] == Limits().max_ttl_ms, "the server overrides a ttl that is too long"
        assert created["task"]["pollInterval"] == 50
        assert (await peer.tool("must", {"n": 1}, task={}))["task"]["ttl"] == 60_000


async def test_modern_support() -> None:
    async with modern(lab()) as peer:
        assert (await peer.tool("never"))["structuredContent"] == {"result": 1}
        made = await peer.until(await peer.task("must", {"n": 4}), "completed")
        assert made["result"]["structuredContent"] == {"n": 4}
        assert made["_meta"]["n"] == 4
        assert (await peer.tool("must", {"n": "many"}))["isError"] is True
        for method in ("tasks/result", "tasks/list"):
            assert (await refused(peer.call(method, made["taskId"])))[0] == -32601


async def test_modern_client_without_the_extension() -> None:
    server = lab()
    async with modern(server) as peer:
        task_id = await peer.task("must", {"n": 1})
    async with modern(server, tasks=False) as peer:
        calls = [
            peer.tool("must", {"n": 1}),
            peer.call("tasks/get", task_id),
            peer.call("tasks/cancel", task_id),
            peer.call("tasks/update", task_id, inputResponses={}),
        ]
        for call in calls:
            code, _, data = await refused(call)
            assert code == -32021
            assert data == {"requiredCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}}
        # `task` is a 2025-11-25 parameter and must be ignored here.
        params = CallToolRequestParams(name="threaded", arguments={"n": 2}, task=TaskMetadata(ttl=5))
        result = await peer.client.session.send_request(CallToolRequest(params=params), Body)
        assert result.model_dump()["structuredContent"] == {"result": "xx"}


async def test_older_handshakes_have_no_tasks() -> None:
    async with serve(lab()) as url, legacy(url, version="2025-06-18") as peer:
        assert peer.initialized["protocolVersion"] == "2025-06-18"
        assert "tasks" not in peer.initialized["capabilities"]
        assert all("execution" not in tool for tool in (await peer.call("tools/list"))["tools"])
        assert (await peer.tool("threaded", {"n": 1}, task={}))["structuredContent"] == {"result": "x"}
        assert (await refused(peer.call("tasks/get", {"taskId": "x"})))[0] == -32601


async def test_legacy_in_process() -> None:
    async with Client(lab(), mode="legacy") as client:
        params = CallToolRequestParams(name="must", arguments={"n": 3}, task=TaskMetadata(ttl=5_000))
        with pytest.raises(ValidationError, match="content"):
            # The SDK's client can't read the answer, but the task is made.
            await client.session.send_request(CallToolRequest(params=params), Body)
        listed = await client.session.send_request(ListRequest(method="tasks/list", params={}), Body)  # type: ignore[arg-type]
        [task] = listed.model_dump()["tasks"]
        request = TaskRequest(method="tasks/result", params={"taskId": task["taskId"]})
        result = await client.session.send_request(request, Body)  # type: ignore[arg-type]
        assert result.model_dump()["structuredContent"] == {"n": 3}


async def test_forgotten_middleware_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async with serve(lab(middleware=False)) as url, legacy(url) as peer:
        code, text, _ = await refused(peer.tool("must", {"n": 1}, task={}))
        assert code == -32603
        assert "middleware=[tasks]" in text
        assert "middleware=[tasks]" in caplog.text
    async with modern(lab(middleware=False)) as peer:
        await peer.until(await peer.task("must", {"n": 1}), "completed")


# --- declaring --------------------------------------------------------------------------------------


async def test_tools_can_be_declared_after_attach() -> None:
    tasks = Tasks()
    server: MCPServer[Any] = MCPServer("late", extensions=[tasks], log_level="CRITICAL")
    with pytest.raises(LabError, match="attach"):

        @tasks.tool()
        async def early() -> None: ...

    assert tasks.attach(server) is server
    assert tasks.attach(server) is server
    assert sum(one is tasks for one in server.middleware) == 1

    @tasks.tool(support="required")
    async def late(task: TaskContext) -> str:
        return "in time"

    async with modern(server) as peer:
        done = await peer.until(await peer.task("late"), "completed")
        assert done["result"]["structuredContent"] == {"result": "in time"}


def test_what_can_not_be_declared() -> None:
    tasks = Tasks()
    with pytest.raises(ValueError, match="support is one of"):
        tasks.tool(support="maybe")(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="duration"):
        tasks.tool(ttl="forever")
    with pytest.raises(TypeError, match="parentheses"):
        tasks.tool(len)  # type: ignore[arg-type]

    async def two(a: TaskContext, b: TaskContext) -> None: ...

    with pytest.raises(TypeError, match="more than one TaskContext: a, b"):
        tasks.tool()(two)

    @tasks.tool()
    async def once() -> None: ...

    with pytest.raises(ValueError, match="already is a task tool named 'once'"):
        tasks.tool()(once)


# --- how they end -----------------------------------------------------------------------------------


async def test_ends_in_legacy() -> None:
    async with serve(lab()) as url, legacy(url) as peer:
        failed = await peer.task("protocol_error")
        assert (await peer.until(failed, "failed", "completed"))["status"] == "failed"
        outcome = await refused(peer.call("tasks/result", {"taskId": failed}))
        assert outcome == (-32055, "out of order", {"retry": False})

        for name, says in (
            ("refuse", "not today"),
            ("crash", "Error executing tool crash"),
            ("too_big", "70000 bytes"),
        ):
            task = await peer.until(await peer.task(name), "failed", "completed")
            assert task["status"] == "failed"
            assert says in task["statusMessage"]
            result = await peer.call("tasks/result", {"taskId": task["taskId"]})
            assert result["isError"] is True
            assert says in result["content"][0]["text"]
            assert "hunter2" not in str(result)
        assert "hunter2" not in str(await peer.call("tasks/list"))


async def test_ends_in_modern() -> None:
    async with modern(lab()) as peer:
        task = await peer.until(await peer.task("protocol_error"), "failed")
        assert task["error"] == {"code": -32055, "message": "out of order", "data": {"retry": False}}
        assert "result" not in task
        for name in ("refuse", "crash", "too_big"):
            task = await peer.until(await peer.task(name), "completed", "failed")
            assert task["status"] == "completed"
            assert task["result"]["isError"] is True


async def test_plain_functions_run_in_a_thread_with_or_without_a_task() -> None:
    async with modern(lab()) as peer:
        task = await peer.until(await peer.task("threaded", {"n": 3}), "completed")
        assert task["result"]["structuredContent"] == {"result": "xxx"}
        assert task["_meta"]["thread"] != threading.current_thread().name
    async with modern(lab(), tasks=False) as peer:
        assert (await peer.tool("threaded", {"n": 3}))["structuredContent"] == {"result": "xxx"}


async def test_both_contexts() -> None:
    async with modern(lab()) as peer:
        task_id = await peer.task("both")
        task = await peer.until(task_id, "completed")
        assert task["result"]["structuredContent"] == {"result": [task_id, "lab", "2"]}
    async with modern(lab(), tasks=False) as peer:
        assert (await peer.tool("both", {"n": 5}))["structuredContent"] == {"result": ["None", "lab", "5"]}


async def test_dependencies_ask_before_the_task_is_made() -> None:
    async def answer(context: Any, params: Any) -> Any:
        from mcp_types import ElicitResult

        return ElicitResult(action="accept", content={"name": "Ada"})

    async with modern(lab(), elicitation=answer) as peer:
        first = await peer.client.session.call_tool("greet", {}, allow_claimed=True, allow_input_required=True)
        assert first.result_type == "input_required"
        responses = {key: {"action": "accept", "content": {"name": "Ada"}} for key in first.input_requests or {}}
        second = await peer.client.session.call_tool(
            "greet",
            {},
            allow_claimed=True,
            allow_input_required=True,
            input_responses=responses,  # type: ignore[arg-type]
            request_state=first.request_state,
        )
        assert second.result_type == "task"
        task = await peer.until(second.taskId, "completed")  # type: ignore[union-attr]
        assert task["result"]["structuredContent"] == {"result": "hello Ada"}


class Veto(Extension):
    identifier = "com.example/veto"

    async def intercept_tool_call(self, params: Any, ctx: Any, call_next: Any) -> Any:
        if params.name == "must":
            raise MCPError(-32099, "not for you")
        return await call_next(ctx)


async def test_other_interceptors_apply_to_task_calls() -> None:
    server = lab(extensions=[Veto()])
    async with modern(server) as peer:
        assert (await refused(peer.tool("must", {"n": 1})))[:2] == (-32099, "not for you")
    async with serve(server) as url, legacy(url) as old:
        assert (await refused(old.tool("must", {"n": 1}, task={})))[:2] == (-32099, "not for you")
        assert (await old.call("tasks/list"))["tasks"] == []


async def test_the_quota_is_an_error_of_the_call() -> None:
    tasks = Tasks(limits=Limits(tasks_per_owner=1))

    @tasks.tool()
    async def wait(task: TaskContext) -> None:
        await task.cancelled.wait()

    server: MCPServer[Any] = MCPServer("q", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
    async with modern(server) as peer:
        first = await peer.task("wait")
        code, text, _ = await refused(peer.tool("wait"))
        assert code == -32603
        assert "unfinished tasks" in text
        await peer.call("tasks/cancel", first)
        await peer.call("tasks/cancel", await peer.task("wait"))


async def test_concurrency_is_bounded_and_in_order() -> None:
    tasks = Tasks(executor=AsyncioExecutor(concurrency=2))
    running: list[int] = []
    order: list[int] = []
    most = 0

    @tasks.tool()
    async def step(n: int) -> int:
        nonlocal most
        running.append(n)
        order.append(n)
        most = max(most, len(running))
        await asyncio.sleep(0.02)
        running.remove(n)
        return n

    server: MCPServer[Any] = MCPServer("c", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
    async with modern(server) as peer:
        made = [await peer.task("step", {"n": n}) for n in range(6)]
        await peer.call("tasks/cancel", made[-1])
        for task_id in made[:-1]:
            await peer.until(task_id, "completed")
    await tasks.close()
    assert most == 2
    assert order == [0, 1, 2, 3, 4], "a task cancelled while it waited never runs"
    with pytest.raises(LabError, match="shutting down"):
        await tasks.executor.submit((("local",), "x"))
