"""What an app asked, as a list and as a table."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import comm
import pytest
from mcp.server.apps import APP_MIME_TYPE, Apps
from mcp.server.mcpserver import Context, MCPServer

import pmcp_lab as lab
import pmcp_lab.notebook
from pmcp_lab.client import runtime
from pmcp_lab.server import Tasks
from pmcp_lab.workflow import SequentialWorkflow, Workflows, prompt_arg
from tests.unit.front_end import Comm, FrontEnd, until


@pytest.fixture(autouse=True)
def comms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", Comm)


@pytest.fixture
def demo() -> Iterator[lab.Server]:
    with lab.connect("demo") as server:
        yield server


def test_calls_are_a_list_and_a_table(demo: lab.Server) -> None:
    view = demo.app("wave", frequency=3)
    assert list(view.calls.df.columns) == ["time", "method", "name", "arguments", "result", "error", "is_error", "ms"]
    page = FrontEnd(view)
    for call, payload in enumerate(
        (
            {"method": "tools/call", "params": {"name": "wave", "arguments": {"frequency": 2}}},
            {"method": "tools/call", "params": {"name": "no such tool"}},
            {"method": "resources/read", "params": {"uri": "ui://demo/wave"}},
            {"method": "tools/call", "params": {"name": "wave", "arguments": {"frequency": -1}}},
        )
    ):
        page.send(kind="rpc", view="v", call=call, payload=payload)
    until(lambda: len(view.calls) == 4 and all("ms" in entry for entry in view.calls))
    table = view.calls.df
    assert table["name"].tolist() == ["wave", "no such tool", "ui://demo/wave", "wave"]
    assert table["arguments"][0] == {"frequency": 2}
    assert table["result"][0]["frequency"] == 2
    assert "no tool 'no such tool'" in table["error"][1]
    assert table["is_error"].tolist() == [False, False, False, True]
    assert str(table["time"].dt.tz) == "UTC"
    assert (table["ms"] >= 0).all()
    assert view.calls[0]["method"] == "tools/call"


def test_the_inspector_comes_on_request(demo: lab.Server) -> None:
    page = FrontEnd(demo.app("wave"))
    assert "Handshake" not in str(page.opened)
    page.send(kind="code", view="v", name="inspector")
    (answer,) = page.wait("code")
    assert answer["to"] == "v"
    assert "Handshake" in answer["payload"]["module"]
    assert ".pmcp-ins-row" in answer["payload"]["style"]


def test_changed_lists_of_the_server_reach_the_app() -> None:
    apps = Apps()
    apps.add_html_resource("ui://growing/page", "<p>")

    @apps.tool(resource_uri="ui://growing/page")
    async def grow(ctx: Context) -> str:
        await ctx.session.send_tool_list_changed()
        return "grown"

    source: MCPServer = MCPServer("growing", extensions=[apps])
    with lab.connect(source, mode="legacy") as server:
        view = server.app("grow")
        page = FrontEnd(view)
        server.call("grow")
        (told,) = page.wait("notify")[:1]
        assert told["payload"] == {"method": "notifications/tools/list_changed", "params": {}}
        view.close()
        count = len(page.of("notify"))
        server.call("grow")
        assert len(page.of("notify")) == count


def test_an_app_that_was_read_once_is_shown_at_once_and_read_behind_its_back() -> None:
    source: MCPServer = MCPServer("steady")
    pages = ["<p>first", "<p>first", "<p>second", "<p>third"]  # a process sends the same document once
    reads: list[str] = []

    @source.resource("ui://steady/page", mime_type=APP_MIME_TYPE)
    def page() -> str:
        reads.append(pages[len(reads)])
        return reads[-1]

    @source.tool(meta={"ui": {"resourceUri": "ui://steady/page"}})
    def show() -> str:
        return "shown"

    with lab.connect(source) as server:
        assert FrontEnd(server.app("show")).updates("_resource")[-1]["html"] == "<p>first"
        second = FrontEnd(server.app("show"))
        until(lambda: len(reads) == 2)
        assert len(second.updates("_resource")) == 1
        # One that is another now is shown anew, and never again from memory.
        third = FrontEnd(server.app("show"))
        until(lambda: len(third.updates("_resource")) == 2)
        assert third.updates("_resource")[-1]["html"] == "<p>second"
        fourth = FrontEnd(server.app("show"))
        assert [each["html"] for each in fourth.updates("_resource")] == ["<p>third"]
        assert len(reads) == 4


def test_an_app_calls_no_tool_out_of_its_turn() -> None:
    did: list[str] = []
    apps = Apps()
    apps.add_html_resource("ui://release/page", "<p>")
    tasks = Tasks("memory://")

    @apps.tool(resource_uri="ui://release/page")
    def look() -> str:
        return "here"

    source: MCPServer = MCPServer("release", extensions=[apps, tasks], middleware=[tasks])

    @source.tool()
    def publish(version: str) -> str:
        did.append(version)
        return version

    release = (
        SequentialWorkflow("release", "Publish a version")
        .argument("version", "Which")
        .step("approve", execution="manual", question="Publish?", answer={"ok": "boolean"}, proceed_if="ok")
        .step("publish", "publish", {"version": prompt_arg("version")}, guarded=True)
    )
    Workflows([release], tasks).attach(source)
    with lab.connect(source) as server:
        view = server.app("look")
        page = FrontEnd(view)
        run = server.workflow("release", version="1").wait(10)
        for call, meta in enumerate(({}, {"_meta": {"_task_id": run.id, "_step": "publish"}})):
            params = {"name": "publish", "arguments": {"version": "1"}, **meta}
            page.send(kind="rpc", view="v", call=call, payload={"method": "tools/call", "params": params})
        until(lambda: len(view.calls) == 2 and all("ms" in entry for entry in view.calls))
        by_itself, as_step = view.calls.df["error"]
        assert "runs only as step 'publish'" in by_itself
        assert "'_task_id', '_step' in _meta is the host's to set" in as_step
        assert did == []
        run.answer({"ok": True})
        run.result(10)
    assert did == ["1"]


def rpc(page: FrontEnd, method: str, **params: Any) -> dict[str, Any]:
    page.send(kind="rpc", view="v1", call=1, payload={"method": method, "params": params})
    answer: dict[str, Any] = page.wait("rpc-result")[0]["payload"]
    return answer


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"arguments": [1, 2]}, "arguments must be an object"),
        ({"arguments": None}, "arguments must be an object"),
        ({"_meta": "x"}, "_meta must be an object"),
        ({"task": {"ttl": 5}}, "leave out task"),
        ({"_meta": {"trace": "7"}}, "is the host's to set"),
        ({"_meta": {"io.modelcontextprotocol/related-task": {"taskId": "1"}}}, "is the host's to set"),
    ],
)
def test_what_a_call_cannot_be_is_refused_and_never_dropped(demo: lab.Server, params: dict[str, Any], why: str) -> None:
    page = FrontEnd(demo.app("wave"))
    error = rpc(page, "tools/call", name="add", **params)["error"]
    assert error["code"] == -32602
    assert why in error["message"]


def test_what_an_app_adds_to_a_call_reaches_the_server() -> None:
    apps = Apps()
    apps.add_html_resource("ui://meta/page", "<p>hello</p>")

    @apps.tool(resource_uri="ui://meta/page")
    async def show(ctx: Context) -> dict[str, Any]:
        return dict(ctx.request_context.meta or {})

    with lab.connect(MCPServer("meta", extensions=[apps])) as server:
        page = FrontEnd(server.app("show"))
        got = rpc(page, "tools/call", name="show", arguments={}, _meta={"com.example/trace": "7"})
        assert got["result"]["structuredContent"]["com.example/trace"] == "7"


def test_what_went_wrong_is_a_table(demo: lab.Server) -> None:
    view = demo.app("wave")
    assert list(view.errors.columns) == ["time", "kind", "message", "source", "line", "column"]
    page = FrontEnd(view)
    for event, payload in (
        ("app-error", {"message": "Uncaught x", "source": "about:srcdoc", "line": 3, "column": 9}),
        ("size", {"width": 1, "height": 2}),
        ("csp-violation", {"directive": "img-src", "blocked": "https://a.example/", "line": 0}),
        ("app-error", {"message": {"no": "text"}, "source": 7, "line": "2", "column": True}),
        ("app-error", "no object"),
    ):
        page.send(kind="event", view="v", event=event, payload=payload)
    until(lambda: len(view.events) == 5)
    table = view.errors
    assert table["kind"].tolist() == ["error", "blocked", "error", "error"]
    assert table["message"].tolist()[:2] == ["Uncaught x", "img-src blocked https://a.example/"]
    assert table["line"].tolist()[0] == 3
    assert table["line"].isna().tolist() == [False, True, True, True]
    assert table["source"].dropna().tolist() == ["about:srcdoc"]
    assert str(table["time"].dt.tz) == "UTC"


def test_an_app_that_can_not_be_read_again_is_shown_as_it_was() -> None:
    source: MCPServer = MCPServer("breaking")
    broken = threading.Event()

    @source.resource("ui://breaking/page", mime_type=APP_MIME_TYPE)
    def page() -> str:
        if broken.is_set():
            raise FileNotFoundError("page.html is gone")
        return "<p>whole"

    @source.tool(meta={"ui": {"resourceUri": "ui://breaking/page"}})
    def show() -> str:
        return "shown"

    with lab.connect(source) as server:
        view = server.app("show")
        broken.set()
        runtime().call_soon(view._changed)
        until(lambda: view._host.get("stale"))
        assert view.errors["kind"].tolist() == ["reload"]
        broken.clear()
        runtime().call_soon(view._changed)
        until(lambda: not view._host.get("stale"))
        broken.set()
        runtime().call_soon(view._changed)
        until(lambda: view._host.get("stale"))
        broken.clear()
        view.restart(server.tools["show"], {})
        assert not view._host.get("stale")
