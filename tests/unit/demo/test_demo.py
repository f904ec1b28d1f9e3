"""Each tool of the demo server, over both generations and every transport."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp_types import ElicitResult

from pmcp_lab.apps import document
from pmcp_lab.demo import build
from tests.unit.flow import Visitor, until
from tests.unit.jsonrpc import DEMO, Json, RpcError, TasksClient, legacy, modern, serve

YES = {"action": "accept", "content": {"publish": True, "visibility": "company"}}


@asynccontextmanager
async def demo(transport: str) -> AsyncIterator[Any]:
    if transport == "stdio":
        yield DEMO
    elif transport == "http":
        async with serve(build()) as url:
            yield url
    else:
        yield build()


def accept(request: Json) -> Json:
    assert request["method"] == "elicitation/create"
    return YES


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_legacy_generation(transport: str) -> None:
    async with demo(transport) as target, legacy(target, answer=accept) as peer:
        assert peer.initialized["capabilities"]["tasks"]["requests"] == {"tools": {"call": {}}}
        tools = {tool["name"]: tool for tool in (await peer.call("tools/list"))["tools"]}
        assert {name: tool.get("execution") for name, tool in tools.items()} == {
            "add": None,
            "answer_sales_report": None,
            "train": {"taskSupport": "optional"},
            "publish": {"taskSupport": "optional"},
            "flaky": {"taskSupport": "optional"},
            "wave": None,
            "wave_presets": None,
            "chess": None,
            "chess_play": None,
            "dataviz": None,
            "dataviz_tables": None,
            "map": None,
            "map_place": None,
            "fetch_sales": None,
            "save_summary": None,
            "send_report": None,
        }
        assert set(tools["train"]["inputSchema"]["properties"]) == {"epochs", "lr", "seconds"}

        assert (await peer.tool("add", {"a": 1, "b": 2}))["structuredContent"] == {"result": 3}

        trained = await peer.task("train", {"epochs": 4, "seconds": 0.2}, ttl=60_000)
        task = await peer.until(trained, "completed")
        assert task["ttl"] == 60_000
        assert task["_meta"]["epoch"] == 4
        assert task["_meta"]["run.pmcp/progress"] == {"progress": 1.0, "total": 1}
        result = await peer.call("tasks/result", {"taskId": trained})
        assert result["_meta"]["io.modelcontextprotocol/related-task"] == {"taskId": trained}
        losses = result["structuredContent"]["history"]
        assert losses == sorted(losses, reverse=True)
        assert "resultType" not in result

        published = await peer.task("publish", {"model": "m"})
        answer = await peer.call("tasks/result", {"taskId": published})
        assert answer["structuredContent"]["visibility"] == "company"
        question = peer.requests[-1]["params"]
        assert question["_meta"]["io.modelcontextprotocol/related-task"] == {"taskId": published}
        assert question["requestedSchema"]["properties"]["visibility"]["enum"] == [
            "team",
            "company",
            "public",
        ]

        failed = await peer.task("flaky", {"after": 0.05})
        task = await peer.until(failed, "failed")
        assert "the data source went away" in task["statusMessage"]
        assert (await peer.call("tasks/result", {"taskId": failed}))["isError"] is True

        long = await peer.task("train", {"seconds": 60})
        assert (await peer.call("tasks/cancel", {"taskId": long}))["status"] == "cancelled"
        with pytest.raises(RpcError, match="cancelled") as refused:
            await peer.call("tasks/cancel", {"taskId": long})
        assert refused.value.code == -32602

        listed = (await peer.call("tasks/list"))["tasks"]
        assert [task["taskId"] for task in listed] == [long, failed, published, trained]
        assert any(note["status"] == "completed" for note in peer.notified("notifications/tasks/status"))


@pytest.mark.parametrize("transport", ["in process", "stdio", "http"])
async def test_modern_generation(transport: str) -> None:
    async with demo(transport) as target, modern(target) as peer:
        assert (await peer.tool("add", {"a": 1, "b": 2}))["structuredContent"] == {"result": 3}
        assert all(tool.execution is None for tool in (await peer.client.list_tools()).tools)

        trained = await peer.task("train", {"epochs": 4, "seconds": 0.2})
        task = await peer.until(trained, "completed")
        assert task["resultType"] == "complete"
        assert task["ttlMs"] == 3_600_000
        assert task["_meta"]["epoch"] == 4
        assert task["result"]["structuredContent"]["epochs"] == 4
        assert "io.modelcontextprotocol/related-task" not in task["result"].get("_meta", {})

        published = await peer.task("publish", {"model": "m"})
        task = await peer.until(published, "input_required")
        [(key, question)] = task["inputRequests"].items()
        assert question["method"] == "elicitation/create"
        acknowledged = await peer.call("tasks/update", published, inputResponses={key: YES, "never asked": YES})
        assert acknowledged.keys() <= {"resultType", "_meta"}
        task = await peer.until(published, "completed")
        assert task["result"]["structuredContent"]["note"] == "m is published for: company."

        failed = await peer.task("flaky", {"after": 0.05})
        task = await peer.until(failed, "completed")
        assert task["result"]["isError"] is True

        long = await peer.task("train", {"seconds": 60})
        for _ in range(2):
            assert (await peer.call("tasks/cancel", long)).keys() <= {"resultType", "_meta"}
        assert (await peer.call("tasks/get", long))["status"] == "cancelled"


async def test_without_tasks_the_same_tools_answer_at_once() -> None:
    async with modern(build(), tasks=False) as peer:
        trained = await peer.tool("train", {"epochs": 2, "seconds": 0})
        assert trained["structuredContent"]["epochs"] == 2
        failed = await peer.tool("flaky", {"after": 0})
        assert failed["isError"] is True


async def test_without_tasks_a_call_asks_in_its_result(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(_context: Any, params: Any) -> ElicitResult:
        assert "publish" in params.message.lower()
        return ElicitResult(action="accept", content={"publish": True})

    async with Client(build(), mode="2026-07-28", elicitation_callback=answer) as client:
        result = await client.call_tool("publish", {"model": "m"})
    assert result.structured_content is not None
    assert result.structured_content["published"] is True
    assert caplog.records == []


async def test_a_plain_legacy_call_asks_within_the_call() -> None:
    async with legacy(DEMO, answer=accept) as peer:
        result = await peer.tool("publish", {"model": "m"}, _meta={"progressToken": "p"})
        assert result["structuredContent"]["published"] is True
        assert [note["progressToken"] for note in peer.notified("notifications/progress")] == ["p", "p"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_app(mode: str) -> None:
    server: MCPServer[Any] = build()
    async with Client(server, mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools["wave"].meta == {"ui": {"resourceUri": "ui://demo/wave"}}
        assert tools["wave_presets"].meta == {"ui": {"resourceUri": "ui://demo/wave", "visibility": ["app"]}}
        result = await client.call_tool("wave", {"frequency": 1.0, "damping": 0.5})
        assert result.content[0].type == "text"
        data = result.structured_content
        assert data.keys() == {"t", "y", "frequency", "damping"}
        assert len(data["t"]) == len(data["y"]) == 401
        assert data["y"][0] == 1
        [page] = (await client.read_resource("ui://demo/wave")).contents
        assert page.mime_type == "text/html;profile=mcp-app"
        assert not re.search(r"""(?:src|href)=|@import|url\(|fetch\(|XMLHttpRequest""", page.text)


@pytest.mark.parametrize("app", ["wave", "chess", "map", "dataviz"])
async def test_an_app_has_its_bridge_from_the_server_and_none_of_its_own(app: str) -> None:
    async with Client(build()) as client:
        [page] = (await client.read_resource(f"ui://demo/{app}")).contents
    script, own = page.text.split("</script>", 1)
    assert "data-pmcp-bridge" in script
    assert "new McpApps.App(" in own
    assert not re.search(r"postMessage|ui/initialize|jsonrpc", own)


async def test_a_server_without_the_front_end_says_so_where_its_apps_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "BRIDGE", tmp_path / "bridge.js")
    document._bridge.cache_clear()
    async with Client(build()) as client:
        [page] = (await client.read_resource("ui://demo/map")).contents
        assert "The front end is not built" in page.text
        assert "run `make front-end`" in page.text
        assert (await client.call_tool("add", {"a": 1, "b": 2})).structured_content == {"result": 3}


async def test_nothing_but_json_rpc_on_stdout() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pmcp_lab.demo",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=DEMO.env,
    )
    hello = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    hello += b'"capabilities":{},"clientInfo":{"name":"t","version":"1"}}}\n'
    out, _ = await process.communicate(hello)
    assert process.returncode == 0
    assert [line[:8] for line in out.splitlines()] == [b'{"jsonrp']


async def test_the_workflow_pauses_twice_and_can_be_finished() -> None:
    server = build()
    async with Client(server, mode="2026-07-28", extensions=[TasksClient()]) as client:
        visitor = Visitor(client, "sales_report")
        state = await visitor.get({"region": "north"})
        assert (state.pause and state.pause.kind, state.done) == ("schemaMismatch", 2)
        call = state.calls[0]
        state = await visitor.call(call.target, {**call.arguments, "text": "Up."}, task=state.task_id)
        assert (state.status, state.done) == ("input_required", 3)
        answer = {state.calls[0].target: {"action": "accept", "content": {"to": "board"}}}
        await visitor.about("tasks/update", state.task_id, inputResponses=answer)
        state = await until(visitor, state.task_id, "completed")
    assert [step.by for step in state.steps] == ["server", "server", "client", "person", "server"]
