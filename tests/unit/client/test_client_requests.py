"""What our client puts on the wire around tasks, as a server sees it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from pydantic import Field

import pmcp_lab as lab
from pmcp_lab.client import client_of, runtime
from pmcp_lab.server import Tasks
from tests.unit.jsonrpc import serve


class Recorder:
    """Middleware: keeps what was asked, and can hide the capability of a 2025-11-25 server."""

    def __init__(self, *, hide: bool = False) -> None:
        self.asked: list[tuple[str, dict[str, Any], str | None]] = []
        self._hide = hide

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        self.asked.append((ctx.method, dict(ctx.params or {}), ctx.request.headers.get("mcp-name")))
        result = await call_next(ctx)
        if self._hide and ctx.method == "initialize" and isinstance(result, dict):
            # PMCP's place for it counts too.
            hidden = {"tasks", "experimental"}
            capabilities = {key: value for key, value in result["capabilities"].items() if key not in hidden}
            return {**result, "capabilities": capabilities}
        return result

    def of(self, method: str) -> list[tuple[dict[str, Any], str | None]]:
        return [(params, name) for asked, params, name in self.asked if asked == method]


def quick(recorder: Recorder) -> MCPServer[Any]:
    tasks = Tasks(anonymous="local")

    @tasks.tool(support="optional", poll_interval="10ms")
    async def quick() -> str:
        await asyncio.sleep(0.05)
        return "done"

    return MCPServer("quick", extensions=[tasks], middleware=[recorder, tasks], log_level="CRITICAL")


async def run(recorder: Recorder, mode: str) -> str | None:
    """The id of a task, run to its end; None when the server made none."""

    def use(url: str) -> str | None:
        with lab.connect(url, name="recorded", mode=mode) as server:
            task = server.task("quick")
            assert task.result(timeout=10).text == "done"
            if mode == "2026-07-28":
                # Its own connection was told by a stream.
                with lab.connect(url, name="another", mode=mode) as other:
                    assert other.attach(str(task.id)).result(timeout=10).text == "done"
            return task.id

    async with serve(quick(recorder)) as url:
        return await asyncio.to_thread(use, url)


async def test_tasks_are_named_in_a_header() -> None:
    recorder = Recorder()
    task_id = await run(recorder, "2026-07-28")
    assert recorder.of("tools/call")[0][1] == "quick"
    assert "task" not in recorder.of("tools/call")[0][0]
    asked = recorder.of("tasks/get")
    assert asked
    assert {name for _, name in asked} == {task_id}
    assert {params["taskId"] for params, _ in asked} == {task_id}


async def test_a_legacy_task_is_asked_for_where_the_server_declares_it() -> None:
    recorder = Recorder()
    assert await run(recorder, "legacy") is not None
    assert "task" in recorder.of("tools/call")[0][0]


async def test_a_tool_alone_does_not_make_a_server_one_with_tasks() -> None:
    recorder = Recorder(hide=True)
    assert await run(recorder, "legacy") is None
    assert "task" not in recorder.of("tools/call")[0][0]


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_requests_about_tasks_do_not_name_a_related_task(mode: str) -> None:
    recorder = Recorder()
    await run(recorder, mode)
    about = [params for method, params, _ in recorder.asked if method.startswith("tasks/")]
    assert about
    assert all("io.modelcontextprotocol/related-task" not in (params.get("_meta") or {}) for params in about)


Region = Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]


async def test_an_argument_that_became_a_header_is_sent_as_one() -> None:
    """The server refuses the call (`HEADER_MISMATCH`) whose schema the client does not know any more."""
    server: MCPServer[Any] = MCPServer("regional", log_level="CRITICAL")

    @server.tool()
    def where(region: str) -> str:
        return region

    def use(url: str) -> None:
        with lab.connect(url, name="regional", mode="2026-07-28") as connected:
            assert connected.call("where", region="here").text == "here"
            server.remove_tool("where")

            @server.tool(name="where")
            def changed(region: Region) -> str:
                return f"{region}, by its header"

            assert connected.call("where", region="there").text == "there, by its header"
            app = client_of(connected).pass_on("where", {"region": "elsewhere"})
            assert runtime().run(app)["content"][0]["text"] == "elsewhere, by its header"

    async with serve(server) as url:
        await asyncio.to_thread(use, url)
