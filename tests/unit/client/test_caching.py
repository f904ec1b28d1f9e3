"""How long what a server listed, or had read, is kept: `ttlMs` of 2026-07-28, changes that are told, and `refresh`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp.server import CacheHint, Server
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import InputRequiredResult, ReadResourceResult, TextResourceContents

import pmcp_lab as lab
from pmcp_lab.client import client_of, runtime
from pmcp_lab.errors import InvalidArguments
from tests.unit.front_end import until

ODD = Path(__file__).parents[2] / "servers" / "odd.py"
DAY = 86_400_000

Hinting = Callable[..., lab.Server]


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.perf_counter() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("pmcp_lab.client.listings", "pmcp_lab.client.connection.freshness"):
        monkeypatch.setattr(f"{module}.time", type("Time", (), {"monotonic": staticmethod(clock)}))
    return clock


@pytest.fixture
def hinting() -> Iterator[Hinting]:
    opened: list[lab.Server] = []

    def connect(mode: str = "auto", **hints: Any) -> lab.Server:
        command = [sys.executable, str(ODD), "hints", json.dumps(hints)]
        opened.append(lab.connect(command, name="hints", mode=mode))
        return opened[-1]

    yield connect
    for server in opened:
        server.close()


def shown(server: lab.Server) -> list[str]:
    """How often the server was asked for each, which it says itself."""
    titles = [str(server.tools["work"].raw["title"]), *server.prompts]
    names = [str(each.raw["name"]) for each in server.resources.values()]
    return [*titles, *names, server.read("memo://a").text]


def times(count: int) -> list[str]:
    return [f"{what}-{count}" for what in ("tools", "prompts", "resources", "resources")]


def test_what_is_fresh_is_not_asked_for_again(hinting: Hinting, clock: Clock) -> None:
    server = hinting(ttlMs=60_000, cacheScope="private")
    assert server.version == "2026-07-28"
    assert shown(server) == shown(server) == times(1)
    clock.ahead = 59
    assert shown(server) == times(1)
    clock.ahead = 61
    assert shown(server) == shown(server) == times(2)


def test_refresh_goes_past_what_is_fresh(hinting: Hinting) -> None:
    server = hinting(ttlMs=DAY, cacheScope="public")
    assert shown(server) == times(1)
    server.refresh()
    assert shown(server) == times(2)


@pytest.mark.parametrize(
    "hints",
    [
        {"ttlMs": 0, "cacheScope": "private"},
        {"ttlMs": -5000, "cacheScope": "public"},
        {"cacheScope": "public"},
        {},
        {"ttlMs": None, "cacheScope": None},
        {"ttlMs": "60000", "cacheScope": "shared"},
        {"ttlMs": float("inf")},
        {"ttlMs": True},
    ],
    ids=json.dumps,
)
def test_what_is_stale_is_asked_for_each_time(hinting: Hinting, hints: dict[str, Any]) -> None:
    server = hinting(**hints)
    assert server.version == "2026-07-28"
    assert shown(server) == times(1)
    assert shown(server) == times(2)


def test_no_answer_is_fresh_for_more_than_a_day(hinting: Hinting, clock: Clock) -> None:
    server = hinting(ttlMs=10**15, cacheScope="private")
    assert shown(server) == times(1)
    clock.ahead = 86_390
    assert shown(server) == times(1)
    clock.ahead = 86_410
    assert shown(server) == times(2)


def test_2025_11_25_has_no_hints_whatever_a_server_sends(hinting: Hinting, clock: Clock) -> None:
    server = hinting("legacy", ttlMs=1000, cacheScope="public")
    assert server.version == "2025-11-25"
    assert shown(server) == times(1)
    clock.ahead = 10
    # Lists are kept until the server says that they changed; what is read is read each time.
    assert shown(server) == [*times(1)[:3], "resources-2"]


def test_a_call_asks_for_no_list(hinting: Hinting) -> None:
    server = hinting(ttlMs=0, cacheScope="private")
    assert server.tool("work").raw["title"] == "tools-1"
    assert server.tool("work").raw["title"] == "tools-1"
    assert server.tools["work"].raw["title"] == "tools-2"


def test_what_runs_on_the_loop_gets_what_is_known(hinting: Hinting) -> None:
    server = hinting(ttlMs=0, cacheScope="private")
    assert shown(server) == times(1)

    async def look() -> list[str]:
        return [str(server.tools["work"].raw["title"]), *server.prompts]

    assert runtime().run(look()) == times(1)[:2]
    assert shown(server) == times(2)


def test_a_server_that_came_back_is_asked_anew(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    script = tmp_path / "server.py"
    script.write_text(FILED.format(asked=str(asked)))
    with lab.connect([sys.executable, str(script)], name="filed") as server:
        assert list(server.tools) == ["first"]
        assert server.read("memo://a").text == "1"
        assert server.read("memo://a").text == "1"
        documents = client_of(server).listings.documents
        documents["ui://a/b"] = object()
        with pytest.raises(lab.errors.LabError):
            server.call("first")
        until(lambda: server.status == "open")
        until(lambda: not documents)
        until(lambda: list(server.tools) == ["second"])
        assert server.read("memo://a").text == "1", "it is another process, which counts from one"


FILED = """
import itertools, os, pathlib
from mcp.server import CacheHint
from mcp.server.mcpserver import MCPServer
asked = pathlib.Path({asked!r})
hint = CacheHint(86_400_000, "public")
methods = ("tools/list", "resources/list", "resources/read", "resources/templates/list")
server = MCPServer("filed", log_level="ERROR", cache_hints={{method: hint for method in methods}})
@server.tool(name="second" if asked.exists() else "first")
def end() -> str:
    asked.write_text("")
    os._exit(1)
count = itertools.count(1)
@server.resource("memo://a")
def read() -> str:
    return str(next(count))
server.run("stdio")
"""


class Changing:
    """An SDK server whose one tool, and resource, are others each time they are asked for."""

    def __init__(self, *, refuse_after: int | None = None) -> None:
        self.listed = self.read = 0
        self.refuse_after = refuse_after
        self.server: Server[Any] = Server(
            "changing",
            on_list_tools=self.tools,
            on_call_tool=self.call,
            on_read_resource=self.resource,
            cache_hints={"tools/list": CacheHint(DAY, "private"), "resources/read": CacheHint(DAY, "private")},
        )

    async def tools(self, _ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        page = 1 if params is None or params.cursor is None else int(params.cursor)
        if page == 1:
            self.listed += 1
            if self.refuse_after is not None and self.listed > self.refuse_after:
                raise ValueError("out of order")
        tool = types.Tool(name=f"page-{page}-{self.listed}", input_schema={"type": "object"})
        # The last page is stale long before the others.
        hints = {"ttl_ms": 5000} if page == 3 else {}
        return types.ListToolsResult(tools=[tool], next_cursor=None if page == 3 else str(page + 1), **hints)

    async def call(self, _ctx: Any, _params: types.CallToolRequestParams) -> types.CallToolResult:
        return types.CallToolResult(content=[])

    async def resource(
        self, _ctx: Any, params: types.ReadResourceRequestParams
    ) -> ReadResourceResult | InputRequiredResult:
        self.read += 1
        if params.uri == "memo://asks" and not params.input_responses:
            asked = types.ElicitRequestFormParams(
                message="Which?", requested_schema={"type": "object", "properties": {"which": {"type": "string"}}}
            )
            return InputRequiredResult(input_requests={"which": types.ElicitRequest(params=asked)})
        return ReadResourceResult(contents=[TextResourceContents(uri=params.uri, text=str(self.read))])


def test_a_list_is_stale_with_the_first_of_its_pages(clock: Clock) -> None:
    with lab.connect(Changing().server, name="changing", mode="2026-07-28") as server:
        assert list(server.tools) == ["page-1-1", "page-2-1", "page-3-1"]
        clock.ahead = 4
        assert list(server.tools) == ["page-1-1", "page-2-1", "page-3-1"]
        clock.ahead = 6
        assert list(server.tools) == ["page-1-2", "page-2-2", "page-3-2"]


def test_what_is_stale_is_better_than_nothing(clock: Clock) -> None:
    with lab.connect(Changing(refuse_after=1).server, name="changing", mode="2026-07-28") as server:
        first = list(server.tools)
        clock.ahead = 6
        assert list(server.tools) == first
        server.refresh()
        with pytest.raises(lab.errors.PeerError):
            _ = server.tools


def test_each_resource_is_kept_by_itself_and_what_depends_on_answers_is_not(clock: Clock) -> None:
    changing = Changing()
    with lab.connect(changing.server, name="changing", mode="2026-07-28") as server:
        server.on_input(lambda _: {"which": "a"})
        assert [server.read(uri).text for uri in ("memo://a", "memo://b", "memo://a")] == ["1", "2", "1"]
        assert server.read("memo://asks").text == "4"
        assert server.read("memo://asks").text == "6"


def test_two_connections_share_nothing(clock: Clock) -> None:
    changing = Changing()
    with (
        lab.connect(changing.server, name="one", mode="2026-07-28") as one,
        lab.connect(changing.server, name="two", mode="2026-07-28") as two,
    ):
        assert next(iter(one.tools)) == "page-1-1"
        assert next(iter(two.tools)) == "page-1-2"
        assert one.read("memo://a").text != two.read("memo://a").text


def test_a_change_that_is_told_counts_for_more(clock: Clock) -> None:
    server: MCPServer[Any] = MCPServer(
        "telling",
        log_level="ERROR",
        cache_hints={method: CacheHint(DAY, "public") for method in ("tools/list", "resources/read")},
    )
    read: list[str] = []

    @server.tool()
    async def grow(ctx: Context[Any, Any]) -> str:
        def grown() -> str:
            return ""

        server.add_tool(grown)
        await ctx.notify_tools_changed()
        await ctx.notify_resource_updated("memo://a")
        return ""

    @server.resource("memo://a")
    def memo() -> str:
        read.append("")
        return str(len(read))

    with lab.connect(server, name="telling", mode="2026-07-28") as connected:
        client = client_of(connected)
        until(lambda: client.list_changes.heard)
        changed: list[str] = []
        runtime().call_soon(client.resource_changes.want, "memo://a", lambda: changed.append("memo://a"))
        assert list(connected.tools) == ["grow"]
        assert connected.read("memo://a").text == connected.read("memo://a").text == "1"
        time.sleep(0.3)
        connected.call("grow")
        until(lambda: list(connected.tools) == ["grow", "grown"])
        until(lambda: bool(changed))
        assert connected.read("memo://a").text == "2"


def test_arguments_are_held_against_the_present_schema(clock: Clock) -> None:
    wanted = ["n"]

    async def tools(_ctx: Any, _params: Any) -> types.ListToolsResult:
        properties = {name: {"type": "integer"} for name in wanted}
        schema = {"type": "object", "properties": properties, "required": wanted, "additionalProperties": False}
        return types.ListToolsResult(tools=[types.Tool(name="work", input_schema=schema)], ttl_ms=1000)

    async def call(_ctx: Any, _params: Any) -> types.CallToolResult:
        return types.CallToolResult(content=[types.TextContent(text="done")])

    with lab.connect(
        Server("schemas", on_list_tools=tools, on_call_tool=call), name="schemas", mode="2026-07-28"
    ) as server:
        assert server.call("work", n=1).text == "done"
        wanted[:] = ["m"]
        with pytest.raises(InvalidArguments):
            server.call("work", m=1)
        clock.ahead = 2
        assert server.call("work", m=1).text == "done"
        with pytest.raises(InvalidArguments):
            server.call("work", n=1)
