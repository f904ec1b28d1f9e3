"""Widgets on a server, as clients of both generations and of every kind of host see them."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client, advertise
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types import CallToolResult, EmbeddedResource, Implementation, TextContent, TextResourceContents

from pmcp_lab.apps import CHATGPT, MCP_UI, STANDARD, Apps, WidgetDir
from pmcp_lab.errors import AppError, UnknownWidget
from pmcp_lab.protocol.ui import MIME_TYPE, UI_EXTENSION, resource_ui, tool_ui
from pmcp_lab.server import Tasks

BOARD = """<!doctype html><!-- mcp-app
title: Board
description: A chess board
csp:
  connect: [https://api.example]
  resources: [https://cdn.example]
  frames: [https://frames.example]
  base_uri: [https://base.example]
  redirect: [https://shop.example]
permissions: [clipboardWrite]
border: true
domain: https://chess.example
--><p>board"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "board.html").write_text(BOARD)
    return tmp_path


def chess(folder: Path, **options: Any) -> MCPServer[Any]:
    apps = Apps(WidgetDir(folder, app="chess"), **options)

    @apps.tool("board", fallback=lambda result: f"{result['moves']} moves so far")
    def play() -> dict[str, int]:
        return {"moves": 3}

    @apps.tool("chess/board", visibility=["app"], title="Move")
    def move() -> dict[str, int]:
        return {"moves": 4}

    return MCPServer("chess", extensions=[apps], middleware=[apps], log_level="ERROR")


@asynccontextmanager
async def client(
    server: Any, mode: str = "auto", *, mime: str | None = MIME_TYPE, **options: Any
) -> AsyncIterator[Client]:
    shown = [advertise(UI_EXTENSION, {"mimeTypes": [mime]})] if mime is not None else []
    async with Client(server, mode=mode, extensions=shown, **options) as connected:
        yield connected


def text_of(result: CallToolResult) -> str:
    return "".join(block.text for block in result.content if isinstance(block, TextContent))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_one_call_binds_tool_resource_and_metadata(folder: Path, mode: str) -> None:
    async with client(chess(folder), mode) as host:
        tools = {tool.name: tool for tool in (await host.list_tools()).tools}
        assert tool_ui(tools["play"].meta).resource_uri == "ui://chess/board"
        assert tool_ui(tools["move"].meta).visibility == {"app"}
        assert tools["play"].meta is not None
        assert tools["play"].meta["ui/resourceUri"] == "ui://chess/board"
        (listed,) = (await host.list_resources()).resources
        assert (listed.uri, listed.title, listed.mime_type) == ("ui://chess/board", "Board", MIME_TYPE)
        for uri in ("ui://chess/board", "ui://chess/board.html"):
            (item,) = (await host.read_resource(uri)).contents
            assert isinstance(item, TextResourceContents)
            assert (str(item.uri), item.mime_type) == (uri, MIME_TYPE)
            assert item.meta == listed.meta
            assert item.text.startswith('<!doctype html><script data-pmcp-bridge="standard">')
            assert item.text.endswith("<p>board")
        ui = resource_ui(item.meta)
        assert ui.csp.connect == ("https://api.example",)
        assert (ui.permissions, ui.prefers_border) == (("clipboardWrite",), True)
        # For a host with widgets the text stays as the tool made it.
        assert '"moves": 3' in text_of(await host.call_tool("play", {}))
        with pytest.raises(MCPError):
            await host.read_resource("ui://chess/../../secret")


async def test_a_host_without_widgets_gets_a_text_and_no_tools_of_the_widget(folder: Path) -> None:
    async with client(chess(folder), mime=None) as host:
        assert [tool.name for tool in (await host.list_tools()).tools] == ["play"]
        result = await host.call_tool("play", {})
        assert text_of(result) == "3 moves so far"
        assert result.structured_content == {"moves": 3}
    apps = Apps(WidgetDir(folder, app="chess"))
    apps.tool("board", name="odd", fallback=lambda result: result["none"])(lambda: {"a": 1})
    odd: MCPServer[Any] = MCPServer("odd", extensions=[apps], middleware=[apps], log_level="CRITICAL")
    async with client(odd, mime=None) as host:
        result = await host.call_tool("odd", {})
        assert not result.is_error
        assert '"a": 1' in text_of(result)
    async with client(chess(folder), mime="text/uri-list") as host:
        assert text_of(await host.call_tool("play", {})) == "3 moves so far"


async def test_each_kind_of_host_gets_its_own_keys_type_and_bridge(folder: Path) -> None:
    server = chess(folder, hosts=["chatgpt", MCP_UI])
    async with client(server, mime=CHATGPT.mime_type) as host:
        (item,) = (await host.read_resource("ui://chess/board")).contents
        assert isinstance(item, TextResourceContents)
        assert item.mime_type == "text/html+skybridge"
        assert 'data-pmcp-bridge="chatgpt"' in item.text
        assert item.meta is not None
        assert item.meta["openai/widgetCSP"] == {
            "connect_domains": ["https://api.example"],
            "resource_domains": ["https://cdn.example"],
            "frame_domains": ["https://frames.example"],
            "base_uri_domains": ["https://base.example"],
            "redirect_domains": ["https://shop.example"],
        }
        assert item.meta["ui"]["csp"] == {
            "connectDomains": ["https://api.example"],
            "resourceDomains": ["https://cdn.example"],
            "frameDomains": ["https://frames.example"],
            "baseUriDomains": ["https://base.example"],
        }
        assert item.meta["openai/widgetPrefersBorder"] is True
        assert item.meta["openai/widgetDescription"] == "A chess board"
        (listed,) = (await host.list_resources()).resources
        assert (listed.mime_type, listed.meta) == (item.mime_type, item.meta)
        tools = {tool.name: tool.meta or {} for tool in (await host.list_tools()).tools}
        assert tools["play"]["openai/outputTemplate"] == "ui://chess/board"
        assert tools["play"]["openai/widgetAccessible"] is True
        assert tools["move"]["openai/visibility"] == "private"
    # One that does not say what it shows is known by its name.
    nanobot = Implementation(name="nanobot", version="1")
    async with client(server, mime=None, client_info=nanobot) as host:
        result = await host.call_tool("play", {})
        assert text_of(result) == "3 moves so far"
        embedded = result.content[-1]
        assert isinstance(embedded, EmbeddedResource)
        assert isinstance(embedded.resource, TextResourceContents)
        assert embedded.resource.mime_type == "text/html"
        policy = embedded.resource.text.partition('http-equiv="Content-Security-Policy" content="')[2].partition('"')[0]
        assert "connect-src https://api.example;" in policy
        assert embedded.resource.text.index("http-equiv") < embedded.resource.text.index("data-pmcp-bridge")
    async with client(server) as host:
        assert (await host.read_resource("ui://chess/board")).contents[0].mime_type == MIME_TYPE


async def save(write: Callable[[], object], heard: asyncio.Queue[Any], wanted: set[str]) -> list[Any]:
    """What is heard of a save, until all of it is."""
    write()
    messages: list[Any] = []
    async with asyncio.timeout(5):
        while {message.method for message in messages} < wanted:
            messages.append(await heard.get())
    return messages


UPDATED, LISTED = "notifications/resources/updated", "notifications/resources/list_changed"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_hosts_hear_of_what_was_saved(folder: Path, mode: str) -> None:
    heard: asyncio.Queue[Any] = asyncio.Queue()
    board = folder / "board.html"

    async def change(host: Client) -> None:
        messages = await save(lambda: board.write_text("<p>new"), heard, {UPDATED, LISTED})
        assert {m.params.uri for m in messages if m.method == UPDATED} == {"ui://chess/board"}
        (item,) = (await host.read_resource("ui://chess/board")).contents
        assert isinstance(item, TextResourceContents)
        assert item.text.endswith("<p>new")
        # As editors save: a new file takes the place of the old one.
        draft = folder / "board.html~"
        draft.write_text("<p>newer")
        await save(lambda: draft.replace(board), heard, {UPDATED, LISTED})
        await save(lambda: (folder / "clock.html").write_text("<p>tick"), heard, {LISTED})
        assert [each.name for each in (await host.list_resources()).resources] == ["board", "clock"]
        assert (await host.read_resource("ui://chess/clock")).contents[0].mime_type == MIME_TYPE
        await save((folder / "clock.html").unlink, heard, {LISTED})
        assert [each.name for each in (await host.list_resources()).resources] == ["board"]

    async with client(chess(folder), mode, message_handler=heard.put) as host:
        offered = host.server_capabilities.resources
        assert offered is not None
        assert offered.subscribe
        assert offered.list_changed
        if mode == "auto":
            async with host.listen(resources_list_changed=True, resource_subscriptions=["ui://chess/board"]):
                await change(host)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MCPDeprecationWarning)
                await host.subscribe_resource("ui://chess/board")
                await change(host)
                await host.unsubscribe_resource("ui://chess/board")
            assert {m.method for m in await save(lambda: board.write_text("x"), heard, {LISTED})} == {LISTED}


async def test_a_server_that_does_not_watch_says_so(folder: Path) -> None:
    apps = Apps(WidgetDir(folder, app="chess", watch=False))
    server: MCPServer[Any] = MCPServer("chess", extensions=[apps], middleware=[apps], log_level="ERROR")
    async with client(server, "legacy") as host:
        assert host.server_capabilities.resources is not None
        assert not host.server_capabilities.resources.list_changed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MCPDeprecationWarning)
            with pytest.raises(MCPError, match="not found"):
                await host.subscribe_resource("ui://chess/board")


async def test_it_serves_without_its_middleware_half_and_beside_tasks(folder: Path) -> None:
    apps = Apps(WidgetDir(folder, app="chess"))
    tasks = Tasks("memory://")

    @tasks.tool(meta=apps.meta("board"))
    async def think() -> dict[str, int]:
        return {"best": 1}

    server: MCPServer[Any] = MCPServer("chess", extensions=[tasks, apps], middleware=[tasks], log_level="ERROR")
    async with client(server) as host:
        (tool,) = (await host.list_tools()).tools
        assert tool_ui(tool.meta).resource_uri == "ui://chess/board"
        (item,) = (await host.read_resource("ui://chess/board")).contents
        assert isinstance(item, TextResourceContents)
        assert resource_ui(item.meta).csp.connect == ("https://api.example",)
        assert "data-pmcp-bridge" in item.text


def test_mistakes_are_found_where_they_are_made(folder: Path, tmp_path: Path) -> None:
    apps = Apps(WidgetDir(folder, app="chess"), WidgetDir(folder, app="go"))
    with pytest.raises(AppError, match="several apps have a widget 'board': say 'chess/board' or 'go/board'"):
        apps.tool("board")
    with pytest.raises(UnknownWidget, match="'chess' has no widget 'bord'. Did you mean 'board'"):
        apps.tool("chess/bord")
    with pytest.raises(UnknownWidget, match="'ches' has no widget"):
        apps.tool("ches/board")
    with pytest.raises(AppError, match="there are widgets of 'go' already"):
        apps.add_widgets(WidgetDir(folder, app="go"))
    with pytest.raises(AppError, match="'chatgtp' is no kind of host. Did you mean 'chatgpt'"):
        Apps(hosts=["chatgtp"])
    with pytest.raises(TypeError, match="give one of them"):
        apps.tool()
    (folder / "bad.html").write_text("<!-- mcp-app\ncsp: {connect: [x]}\n-->")
    with pytest.raises(AppError, match="bad.html: csp connect: 'x' is no origin"):
        apps.tool("go/bad")
    assert STANDARD.resource_meta(apps.widget("go/bad").metadata) == {}
