"""What an app asks of the kernel beyond its own server's tools."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import comm
import pytest
from mcp.server.apps import APP_MIME_TYPE, Apps
from mcp.server.mcpserver import Context, MCPServer

import pmcp_lab as lab
from pmcp_lab.client import client_of
from pmcp_lab.client.runtime import runtime
from pmcp_lab.errors import AppError, InvalidArguments
from pmcp_lab.notebook import AppView
from tests.unit.front_end import Comm, FrontEnd, until
from tests.unit.workshop import Workshop

TEXT = {"type": "text", "text": "hello"}


@pytest.fixture(autouse=True)
def comms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", Comm)


@pytest.fixture(scope="module")
def demo() -> Iterator[lab.Server]:
    with lab.connect("demo", name="requests") as server:
        yield server


@pytest.fixture
def view(demo: lab.Server) -> AppView:
    return demo.app("wave")


@pytest.fixture
def page(view: AppView) -> FrontEnd:
    return FrontEnd(view)


def rpc(page: FrontEnd, method: str, **params: Any) -> dict[str, Any]:
    number = len(page.of("rpc-result")) + 1
    page.send(kind="rpc", view="v1", call=number, payload={"method": method, "params": params})
    answer: dict[str, Any] = page.wait("rpc-result", number)[-1]["payload"]
    return answer


def test_messages_are_kept(view: AppView, page: FrontEnd) -> None:
    assert rpc(page, "ui/message", role="user", content=[TEXT]) == {"result": {}}
    assert rpc(page, "ui/message", role="user", content=TEXT) == {"result": {}}
    assert view.messages == [{"role": "user", "content": [TEXT]}] * 2
    assert rpc(page, "ui/message", role="user", content="hello")["error"]["code"] == -32602


def test_a_callback_hears_them_on_another_thread(view: AppView, page: FrontEnd) -> None:
    heard: list[tuple[str, object]] = []
    view.on_message(lambda message: heard.append((threading.current_thread().name, message["content"])))
    rpc(page, "ui/message", role="user", content=[TEXT])
    ((thread, content),) = heard
    assert content == [TEXT]
    assert thread not in ("pmcp_lab", "MainThread")

    async def refuse(message: dict[str, Any]) -> None:
        raise AppError("not now")

    view.on_message(refuse)
    assert rpc(page, "ui/message", role="user", content=[TEXT])["error"]["message"] == "not now"


def test_the_last_context_counts(view: AppView, page: FrontEnd) -> None:
    assert view.context == {}
    told: list[dict[str, Any]] = []
    view.on_context(told.append)
    rpc(page, "ui/update-model-context", content=[TEXT])
    rpc(page, "ui/update-model-context", structuredContent={"row": 3})
    assert view.context == {"structuredContent": {"row": 3}}
    assert told == [{"content": [TEXT]}, {"structuredContent": {"row": 3}}]


def test_progress_reaches_the_view_that_asked() -> None:
    apps = Apps()
    apps.add_html_resource("ui://slow/page", "<p>hello</p>")

    @apps.tool(resource_uri="ui://slow/page")
    async def slow(ctx: Context) -> str:
        await ctx.report_progress(1, 2, "half")
        return "done"

    with lab.connect(MCPServer("slow", extensions=[apps])) as server:
        page = FrontEnd(server.app("slow"))
        params = {"name": "slow", "arguments": {}, "_meta": {"progressToken": "p1"}}
        page.send(kind="rpc", view="v1", call=1, payload={"method": "tools/call", "params": params})
        (told,) = page.wait("notify")
        assert told["to"] == "v1"
        assert told["payload"] == {
            "method": "notifications/progress",
            "params": {"progressToken": "p1", "progress": 1, "total": 2, "message": "half"},
        }
        assert page.wait("rpc-result")[0]["payload"]["result"]["content"][0]["text"] == "done"


def test_a_progress_token_is_a_text_or_a_number() -> None:
    apps = Apps()
    apps.add_html_resource("ui://slow/page", "<p>hello</p>")

    @apps.tool(resource_uri="ui://slow/page")
    async def slow(ctx: Context) -> str:
        await ctx.report_progress(1, 2, "half")
        return "done"

    with lab.connect(MCPServer("slow", extensions=[apps])) as server:
        page = FrontEnd(server.app("slow"))
        for call, token in enumerate((True, None, [1], 7), 1):
            params = {"name": "slow", "arguments": {}, "_meta": {"progressToken": token}}
            page.send(kind="rpc", view="v1", call=call, payload={"method": "tools/call", "params": params})
            page.wait("rpc-result", call)
        answers = [each["payload"] for each in page.of("rpc-result")]
        assert [answer.get("error", {}).get("code") for answer in answers] == [-32602, -32602, -32602, None]
        assert [told["payload"]["params"]["progressToken"] for told in page.of("notify")] == [7]


def test_of_messages_and_events_the_last_thousand_are_kept(view: AppView, page: FrontEnd) -> None:
    for number in range(1_003):
        params = {"role": "user", "content": [{"type": "text", "text": str(number)}]}
        page.send(kind="rpc", view="v1", call=number, payload={"method": "ui/message", "params": params})
        page.send(kind="event", view="v1", event="log", payload={"n": number})
    page.wait("rpc-result", 1_003)
    assert [each["content"][0]["text"] for each in view.messages] == [str(number) for number in range(3, 1_003)]
    until(lambda: view.events[-1]["payload"] == {"n": 1_002})
    assert len(view.events) == 1_000


class Gated:
    """A server whose tool `slow` answers number 1 when it may, and others at once."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.gate = asyncio.Event()
        apps = Apps()
        apps.add_html_resource("ui://gated/page", "<p>")

        @apps.tool(resource_uri="ui://gated/page")
        async def slow(number: int) -> dict[str, int]:
            if number == 1:
                self.entered.set()
                await self.gate.wait()
            return {"number": number}

        self.server: MCPServer[Any] = MCPServer("gated", extensions=[apps], log_level="CRITICAL")


def test_what_a_view_asked_is_given_up_when_it_goes() -> None:
    gated = Gated()
    with lab.connect(gated.server, name="gated") as server:
        view = server.open_app("slow")
        page = FrontEnd(view)
        params = {"name": "slow", "arguments": {"number": 1}}
        page.send(kind="rpc", view="v1", call=99, payload={"method": "tools/call", "params": params})
        assert gated.entered.wait(10)
        page.send(kind="bye", view="v2")
        assert rpc(page, "ui/message", role="user", content=[TEXT]) == {"result": {}}
        assert "error" not in view.calls[0]
        page.send(kind="bye", view="v1")
        until(lambda: view.calls[0].get("error") == {"message": "cancelled"})


def test_a_call_that_became_a_task_is_cancelled_with_the_apps_request() -> None:
    workshop = Workshop()

    @workshop.server.resource("ui://workshop/page", mime_type=APP_MIME_TYPE)
    def document() -> str:
        return "<p>"

    @workshop.server.tool(meta={"ui": {"resourceUri": "ui://workshop/page"}})
    def window() -> str:
        return "shown"

    with lab.connect(workshop.server, name="cancelling") as server:
        page = FrontEnd(server.app("window"))
        params = {"name": "hold", "arguments": {"n": 1}}
        page.send(kind="rpc", view="v1", call=99, payload={"method": "tools/call", "params": params})
        until(lambda: workshop.running == 1 and len(server.tasks))
        page.send(kind="rpc-cancel", view="v1", call=99)
        until(lambda: workshop.running == 0)
        until(lambda: server.tasks[0].status == "cancelled")
        assert page.of("rpc-result") == []


def test_of_two_calls_the_last_one_is_shown_whichever_is_over_first() -> None:
    gated = Gated()
    with lab.connect(gated.server, name="gated") as server:
        view = server.open_app("slow")
        page = FrontEnd(view)
        view.call(server.tool("slow"), {"number": 1})
        first = view.delivered
        assert gated.entered.wait(10)
        view.call(server.tool("slow"), {"number": 2})
        until(lambda: view._call["result"])
        runtime().call_soon(gated.gate.set)
        until(lambda: first.cancelled())
        shown = [call["result"]["structuredContent"] for call in page.updates("_call") if call["result"]]
        assert shown == [{"number": 2}]


def test_an_app_that_changed_is_read_again_once_for_all_news_of_it() -> None:
    html, reads = ["<p>saved first"], list[str]()
    saving: MCPServer[Any] = MCPServer("saving", log_level="CRITICAL")

    @saving.resource("ui://saving/page", mime_type=APP_MIME_TYPE)
    def document() -> str:
        reads.append(html[0])
        if not html[0]:
            raise ValueError("it is being written")
        return html[0]

    @saving.tool(meta={"ui": {"resourceUri": "ui://saving/page"}})
    def show() -> str:
        return "shown"

    @saving.tool()
    async def save(text: str, ctx: Context) -> None:
        html[0] = text
        for _ in range(5):
            await ctx.session.send_resource_updated("ui://saving/page")

    with lab.connect(saving, name="saving", mode="legacy") as server:
        view = server.app("show")
        page = FrontEnd(view)
        server.call("save", text="<p>saved second")
        until(lambda: [resource["html"] for resource in page.updates("_resource")][-1] == "<p>saved second")
        assert view.events[-1]["event"] == "reloaded"
        server.call("save", text="")
        until(lambda: view.events[-1]["event"] == "reload-failed")
        assert view._source.html == "<p>saved second"
        server.call("save", text="<p>saved third")
        until(lambda: view._source.html == "<p>saved third")
        assert 1 <= reads.count("<p>saved second") <= 3
        assert 1 <= reads.count("<p>saved third") <= 3


def test_a_view_that_is_closed_hears_nothing_more(demo: lab.Server, view: AppView, page: FrontEnd) -> None:
    changes = client_of(demo).list_changes
    runtime().call_soon(changes.changed, "notifications/tools/list_changed")
    page.wait("notify")
    view.close()
    runtime().call_soon(changes.changed, "notifications/tools/list_changed")
    other = FrontEnd(demo.app("wave"))
    runtime().call_soon(changes.changed, "notifications/tools/list_changed")
    other.wait("notify")
    assert len(page.of("notify")) == 1


def test_a_task_that_an_app_started_is_listed(demo: lab.Server, page: FrontEnd) -> None:
    before = len(demo.tasks)
    answer = rpc(page, "tools/call", name="train", arguments={"epochs": 1, "seconds": 0.01})
    assert answer["result"]["structuredContent"]["epochs"] == 1
    (task,) = demo.tasks[before:]
    assert task.tool == "train"
    assert task.status == "completed"


def test_arguments_can_come_in_pieces(demo: lab.Server) -> None:
    view = demo.open_app("wave")
    page = FrontEnd(view)
    assert page.opened["_call"]["arguments"] is None
    view.partial(frequency=3)
    assert page.updates("_call")[-1]["partial"] == {"frequency": 3}
    with pytest.raises(InvalidArguments):
        view.run(frequency="fast")
    view.run(frequency=3, damping=0)
    until(lambda: view._call["result"])
    assert view._call["arguments"] == {"frequency": 3, "damping": 0}
    assert view._call["result"]["structuredContent"]["damping"] == 0
    for late in (lambda: view.run(frequency=2), lambda: view.partial(frequency=2)):
        with pytest.raises(AppError, match="called already"):
            late()


def test_the_display_is_chosen_from_python(view: AppView, page: FrontEnd) -> None:
    view.display("fullscreen")
    assert page.wait("display")[-1]["payload"] == {"mode": "fullscreen"}


PROMPT = {"messages": [{"role": "user", "content": TEXT}], "maxTokens": 5}


BLOCKS = {
    "text": TEXT,
    "image": {"type": "image", "data": "aGk=", "mimeType": "image/png"},
    "audio": {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"},
    "resource": {"type": "resource", "resource": {"uri": "memo://a", "text": "a"}},
    "resourceLink": {"type": "resource_link", "uri": "memo://a", "name": "a"},
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_each_kind_of_content_that_is_offered_arrives(view: AppView, page: FrontEnd, kind: str) -> None:
    capabilities = page.opened["_host"]["capabilities"]
    assert capabilities["updateModelContext"] == {**{name: {} for name in BLOCKS}, "structuredContent": {}}
    assert capabilities["message"] == {name: {} for name in BLOCKS}
    heard: list[dict[str, Any]] = []
    view.on_context(heard.append)
    view.on_message(heard.append)
    more = {"content": [BLOCKS[kind]], "structuredContent": {"n": 1}}
    assert rpc(page, "ui/update-model-context", **more)["result"] == {}
    assert view.context == heard[0] == more
    assert rpc(page, "ui/message", role="user", content=[BLOCKS[kind]])["result"] == {}
    assert view.messages[-1]["content"] == heard[1]["content"] == [BLOCKS[kind]]


def test_without_a_callback_there_is_no_sampling(demo: lab.Server, page: FrontEnd) -> None:
    assert "sampling" not in page.opened["_host"]["capabilities"]
    refused = rpc(page, "sampling/createMessage", **PROMPT)["error"]
    assert refused["code"] == -32601
    assert "does not offer sampling" in refused["message"]


def test_a_callback_makes_completions_for_the_app(view: AppView, page: FrontEnd) -> None:
    def complete(messages: list[dict[str, Any]], params: dict[str, Any]) -> str:
        return f"{messages[0]['content']['text']} to you, in {params['maxTokens']}"

    view.on_sampling(complete)
    assert page.updates("_host")[-1]["capabilities"]["sampling"] == {}
    answer = rpc(page, "sampling/createMessage", **PROMPT)["result"]
    assert answer["content"] == {"type": "text", "text": "hello to you, in 5"}
    assert answer["role"] == "assistant"
    assert view.calls[-1]["method"] == "sampling/createMessage"
    # `sampling.tools` is not offered, so that they have to be refused.
    for more in ({"tools": [{"name": "a", "inputSchema": {"type": "object"}}]}, {"toolChoice": {"mode": "required"}}):
        refused = rpc(page, "sampling/createMessage", **PROMPT, **more)["error"]
        assert (refused["code"], refused["message"]) == (-32602, "this host makes completions without tools")
    view.on_sampling(lambda messages, params: 1 / 0)
    assert "ZeroDivisionError" in rpc(page, "sampling/createMessage", **PROMPT)["error"]["message"]
    view.on_sampling(None)
    assert "sampling" not in page.updates("_host")[-1]["capabilities"]


def test_the_servers_callback_serves_its_apps_too() -> None:
    with lab.connect("demo", name="sampled", on_sampling=lambda messages, params: "said") as server:
        page = FrontEnd(server.app("wave"))
        assert page.opened["_host"]["capabilities"]["sampling"] == {}
        assert rpc(page, "sampling/createMessage", **PROMPT)["result"]["content"]["text"] == "said"
