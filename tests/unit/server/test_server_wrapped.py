"""Tools that were there before tasks were: on an `MCPServer`, of other extensions, on a lowlevel server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp.server.extension import Extension, ToolBinding
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool
from pydantic import BaseModel

from pmcp_lab.errors import LabError
from pmcp_lab.server import Tasks, current_task
from pmcp_lab.tasks import LOCAL, WAITING, Job, Lease, TaskStore
from tests.unit.jsonrpc import Json, legacy, modern, serve
from tests.unit.on_store import ended
from tests.unit.server.test_server_tools import refused

YES: Json = {"action": "accept", "content": {"sure": True}}


class Sure(BaseModel):
    sure: bool


async def shout(text: str) -> str:
    return text.upper()


class Others(Extension):
    identifier = "com.example/others"

    def tools(self) -> list[ToolBinding]:
        return [ToolBinding(shout)]

    async def intercept_tool_call(self, params: Any, ctx: Any, call_next: Any) -> Any:
        if (params.arguments or {}).get("n") == 13:
            raise MCPError(-32099, "not with thirteen")
        return await call_next(ctx)


def wrapped(where: str | TaskStore = "memory://") -> tuple[Tasks, MCPServer[Any]]:
    tasks = Tasks(where, lease=0.3)
    server: MCPServer[Any] = MCPServer("w", extensions=[tasks, Others()], log_level="CRITICAL")
    tasks.attach(server)

    @server.tool()
    async def count(n: int, ctx: Context) -> str:
        await ctx.report_progress(1, 4, "a quarter")
        await current_task().update(variables={"n": n})
        answer = await ctx.elicit("Really?", Sure)
        return f"{n} {answer.action} {ctx.mcp_server.name}"

    @server.tool()
    def half(n: int) -> float:
        if n % 2:
            raise ToolError("odd")
        return n / 2

    for name in ("count", "shout", "ghost"):
        tasks.wrap(name)
    tasks.wrap("half", support="required", on_lost="retry", ttl="1m")
    return tasks, server


async def test_tools_of_the_server_and_of_others_in_both_generations() -> None:
    _, server = wrapped()
    async with modern(server) as peer:
        task = await peer.until(await peer.task("count", {"n": 3}), "input_required")
        assert (task["_meta"]["n"], task["_meta"]["run.pmcp/progress"]["progress"]) == (3, 0.25)
        await peer.call("tasks/update", task["taskId"], inputResponses=dict.fromkeys(task["inputRequests"], YES))
        done = await peer.until(task["taskId"], "completed")
        assert done["result"]["structuredContent"] == {"result": "3 accept w"}
        done = await peer.until(await peer.task("shout", {"text": "hey"}), "completed")
        assert done["result"]["structuredContent"] == {"result": "HEY"}
        done = await peer.until(await peer.task("half", {"n": "3"}), "completed")
        assert done["result"]["isError"]
        assert done["ttlMs"] == 60_000
        assert (await peer.tool("half", {"n": "three"}))["isError"], "as a plain call would say"
        failed = await peer.until(await peer.task("count", {"n": 13}), "failed")
        assert failed["error"] == {"code": -32099, "message": "not with thirteen"}
    async with serve(server) as url, legacy(url, answer=lambda _: YES) as old:
        listed = {tool["name"]: tool for tool in (await old.call("tools/list"))["tools"]}
        assert listed["half"]["execution"] == {"taskSupport": "required"}
        result = await old.call("tasks/result", {"taskId": await old.task("count", {"n": 4})})
        assert result["structuredContent"] == {"result": "4 accept w"}
        assert (await old.tool("count", {"n": 5}))["structuredContent"] == {"result": "5 accept w"}
        task = await old.until(await old.task("half", {"n": 3}), "failed")
        assert task["statusMessage"] == "Error executing tool half: odd"
        before = (await old.call("tasks/list"))["tasks"]
        assert (await refused(old.tool("half", {"n": 2})))[0] == -32601
        assert (await refused(old.tool("ghost", task={})))[0] == -32601
        code, text, _ = await refused(old.tool("half", {}, task={}))
        assert (code, text) == (-32602, "Error executing tool half: 'n' is a required property")
        code, text, _ = await refused(old.tool("half", {"n": "secret"}, task={}))
        assert (code, "secret" in text) == (-32602, False)
        assert (await old.call("tasks/list"))["tasks"] == before, "what is refused leaves no task behind"


async def test_a_wrapped_tool_is_run_again_in_another_process(sqlite_store: TaskStore) -> None:
    lease = Lease(run=WAITING, seconds=0.1, version=-1, phase="queued")
    jobs = [Job(tool="half", arguments={"n": 4}), Job(tool="count", arguments={"n": 1}, context={"protocol": "x"})]
    records = [await sqlite_store.create(LOCAL, job=job, lease=lease) for job in jobs]
    tasks, _ = wrapped(sqlite_store)
    await asyncio.sleep(0.002)
    tasks.start()
    half, count = [await ended(sqlite_store, record) for record in records]
    assert half.result["structuredContent"] == {"result": 2.0}
    assert "can't be asked" in count.result["content"][0]["text"]


def test_what_can_not_be_wrapped() -> None:
    tasks = Tasks()
    with pytest.raises(LabError, match=r"call tasks.attach\(server\) before"):
        tasks.wrap("x")
    tasks.attach(MCPServer("w", extensions=[tasks], log_level="CRITICAL"))
    tasks.wrap("x")
    with pytest.raises(ValueError, match="already is"):
        tasks.wrap("x")
    with pytest.raises(ValueError, match="support"):
        tasks.wrap("y", support="no")


# --- lowlevel ---------------------------------------------------------------------------------------

SCHEMA: Json = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def lowlevel() -> tuple[Tasks, Server[Any]]:
    async def list_tools(ctx: Any, params: Any) -> ListToolsResult:
        return ListToolsResult(
            tools=[Tool(name=name, input_schema=SCHEMA) for name in ("double", "crash", "refuse", "plain")]
        )

    async def call_tool(ctx: Any, params: CallToolRequestParams) -> CallToolResult:
        if params.name == "crash":
            raise RuntimeError("the password is hunter2")
        if params.name == "refuse":
            raise MCPError(-32055, "not today")
        task = current_task()
        n = (params.arguments or {})["n"]
        await task.update(progress=0.5, variables={"n": n})
        sure = task.task_id is None or (await task.elicit("Really?", Sure)).accepted
        return CallToolResult(content=[TextContent(type="text", text=f"{n * 2} {sure}")])

    server: Server[Any] = Server("low", on_list_tools=list_tools, on_call_tool=call_tool)
    tasks = Tasks()
    assert tasks.attach(server) is server
    for name in ("double", "crash", "refuse"):
        tasks.wrap(name)
    return tasks, server


async def test_a_lowlevel_server_in_both_generations() -> None:
    tasks, server = lowlevel()
    async with modern(server) as peer:
        assert (await peer.tool("plain", {"n": 1}))["content"][0]["text"] == "2 True"
        task = await peer.until(await peer.task("double", {"n": 3}), "input_required")
        await peer.call("tasks/update", task["taskId"], inputResponses=dict.fromkeys(task["inputRequests"], YES))
        done = await peer.until(task["taskId"], "completed")
        assert done["result"]["content"][0]["text"] == "6 True"
        failed = await peer.until(await peer.task("refuse", {"n": 1}), "failed")
        assert failed["error"] == {"code": -32055, "message": "not today"}
        crashed = await peer.until(await peer.task("crash", {"n": 1}), "completed")
        assert crashed["result"]["isError"]
        assert "hunter2" not in str(crashed)
        assert (await peer.tool("double", {}))["isError"]
        assert (await refused(peer.call("tasks/result", done["taskId"])))[0] == -32601
    async with serve(server) as url, legacy(url, answer=lambda _: YES) as old:
        assert old.initialized["capabilities"]["tasks"]["requests"] == {"tools": {"call": {}}}
        listed = {tool["name"]: tool for tool in (await old.call("tools/list"))["tools"]}
        assert listed["double"]["execution"] == {"taskSupport": "optional"}
        result = await old.call("tasks/result", {"taskId": await old.task("double", {"n": 4})})
        assert result["content"][0]["text"] == "8 True"
        assert (await old.tool("double", {"n": 5}))["content"][0]["text"] == "10 True"
        for name in ("plain", "unknown"):
            assert (await refused(old.tool(name, {"n": 1}, task={})))[0] == -32601
        assert (await refused(old.call("tasks/update", {"taskId": "x", "inputResponses": {}})))[0] == -32601
    assert tasks.stats().total.completed == 2


def test_lowlevel_servers_that_can_not_take_tasks() -> None:
    with pytest.raises(LabError, match="on_call_tool"):
        Tasks().attach(Server("empty"))
    _, server = lowlevel()
    with pytest.raises(LabError, match="already answers tasks/get"):
        Tasks().attach(server)
    declared = Tasks()
    declared.tool("mine")(shout)
    with pytest.raises(LabError, match="declare 'mine' there"):
        declared.attach(lowlevel()[1])
