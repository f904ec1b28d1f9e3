"""How long clients may keep what our servers list and read: said on 2026-07-28 alone, and never wider than it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.server import CacheHint
from mcp.server.mcpserver import MCPServer
from mcp_types.methods import CACHEABLE_METHODS

from pmcp_lab.apps import Apps, RecordedCall, Recording, WidgetDir, replay_server
from pmcp_lab.demo.server import build
from pmcp_lab.protocol import workflow_wire
from pmcp_lab.protocol.ui import MIME_TYPE, UI_EXTENSION
from pmcp_lab.server import Tasks
from pmcp_lab.workflow import SequentialWorkflow, Workflows
from tests.unit.jsonrpc import Json, TasksClient
from tests.unit.modern_http import Modern, rpc

LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
PUBLIC = {method: CacheHint(ttl_ms=60_000, scope="public") for method in CACHEABLE_METHODS}
HINTS = {"ttlMs", "cacheScope"}
SHOWS_APPS = {"extensions": {UI_EXTENSION: {"mimeTypes": [MIME_TYPE]}}}


@asynccontextmanager
async def serving(server: Any) -> AsyncIterator[tuple[httpx2.AsyncClient, str]]:
    app = server.streamable_http_app(stateless_http=True, json_response=True)
    transport = httpx2.ASGITransport(app=app)
    async with server.session_manager.run(), httpx2.AsyncClient(transport=transport) as http:
        yield http, "http://127.0.0.1:8000/mcp"


async def modern(server: Any, method: str, named: str | None = None, **params: Any) -> Json:
    async with serving(server) as (http, url):
        client = Modern(http, url, capabilities=SHOWS_APPS)
        return dict(rpc(await client.post(method, named, **params))["result"])


async def legacy(server: Any, method: str, **params: Any) -> Json:
    async with serving(server) as (http, url):
        headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return dict(rpc(await http.post(url, json=body, headers=headers))["result"])


def widgets(folder: Path, *, hosts: tuple[str, ...] = (), private: bool = False, **options: Any) -> MCPServer[Any]:
    folder = Path(mkdtemp(dir=folder))
    (folder / "board.html").write_text("<p>board")
    apps = Apps(WidgetDir(folder, app="chess"), hosts=hosts, **options)

    @apps.tool("board", visibility=["app"] if private else None)
    def play() -> dict[str, int]:
        return {"moves": 3}

    (folder / "late.html").write_text("<p>late")
    return MCPServer("chess", extensions=[apps], middleware=[apps], cache_hints=PUBLIC, log_level="ERROR")


def recorded() -> Any:
    recording = Recording(
        server={"name": "shop"},
        tools=[{"name": "buy", "inputSchema": {"type": "object"}}],
        resources=[{"uri": "ui://shop/a", "mimeType": MIME_TYPE, "text": "<p>"}],
        calls=[RecordedCall(tool="buy", arguments={}, result={"content": []}, ms=1)],
    )
    return replay_server(recording)


def led() -> MCPServer[Any]:
    tasks = Tasks("memory://")
    server: MCPServer[Any] = MCPServer(
        "led", extensions=[tasks], middleware=[tasks], cache_hints=PUBLIC, log_level="ERROR"
    )

    @server.resource("memo://a")
    def memo() -> str:
        return "a"

    server.tool(name="build")(memo)
    release = SequentialWorkflow("release", "Publish it").step("read", resources=["memo://a"], execution="client")
    Workflows([release.step("build", "build")], tasks).attach(server)
    return server


@pytest.mark.parametrize("method", ["server/discover", *LISTS])
async def test_our_servers_say_how_long_their_lists_are_fresh(method: str) -> None:
    for server in (build(), led()):
        found = await modern(server, method)
        assert found["ttlMs"] > 0
        assert found["cacheScope"] == "public"


async def test_a_recording_stays_as_it_is_and_is_nobody_elses() -> None:
    for method in ("tools/list", "resources/list"):
        found = await modern(recorded(), method)
        assert found["ttlMs"] == 3_600_000
        assert found["cacheScope"] == "private"
    read = await modern(recorded(), "resources/read", "ui://shop/a", uri="ui://shop/a")
    assert set(read) >= HINTS


@pytest.mark.parametrize("method", LISTS)
async def test_2025_11_25_has_nothing_of_it(method: str, tmp_path: Path) -> None:
    for server in (build(), led(), recorded(), widgets(tmp_path, fresh="5m", hosts=("chatgpt",), private=True)):
        if server.name == "shop" and method not in ("tools/list", "resources/list"):
            continue
        assert not HINTS & set(await legacy(server, method))


async def test_a_widget_of_2025_11_25_has_nothing_of_it(tmp_path: Path) -> None:
    for uri in ("ui://chess/board", "ui://chess/late"):
        server = widgets(tmp_path, fresh="5m", hosts=("chatgpt",))
        assert set(await legacy(server, "resources/read", uri=uri)) == {"contents"}


@pytest.mark.parametrize("uri", ["ui://chess/board", "ui://chess/late"])
async def test_an_author_says_how_long_widgets_are_fresh(tmp_path: Path, uri: str) -> None:
    async def read(**options: Any) -> tuple[int, str]:
        found = await modern(widgets(tmp_path, **options), "resources/read", uri, uri=uri)
        return found["ttlMs"], found["cacheScope"]

    assert await read(fresh="5m") == (300_000, "public")
    assert await read(fresh=0) == (0, "public")
    assert await read(fresh="5m", hosts=("chatgpt",)) == (300_000, "private")
    # Without a word of its own: what is said of all resources, where the server knows of it.
    assert await read() == ((60_000, "public") if uri.endswith("board") else (0, "private"))
    with pytest.raises(ValueError, match="fresh"):
        widgets(tmp_path, fresh="soon")


async def test_what_is_made_for_a_kind_of_host_is_private(tmp_path: Path) -> None:
    async def scope(method: str, **options: Any) -> str:
        return str((await modern(widgets(tmp_path, **options), method))["cacheScope"])

    assert await scope("tools/list") == "public"
    assert await scope("tools/list", private=True) == "private", "other hosts are not shown it"
    assert await scope("resources/list") == "public"
    assert await scope("resources/list", hosts=("chatgpt",)) == "private"


async def test_what_is_read_for_a_workflow_is_for_its_caller_alone() -> None:
    async with Client(led(), mode="2026-07-28", extensions=[TasksClient()], cache=None) as client:
        plain = await client.read_resource("memo://a")
        assert (plain.ttl_ms, plain.cache_scope) == (60_000, "public")
        begun = workflow_wire.read_prompt(wire(await client.get_prompt("release", {})))
        assert begun is not None
        meta: Any = workflow_wire.continuation_meta(begun.task_id)
        read = await client.read_resource("memo://a", meta=meta)
        assert (read.ttl_ms, read.cache_scope) == (0, "private")


def wire(result: Any) -> Json:
    return dict(result.model_dump(by_alias=True, mode="json", exclude_none=True))
