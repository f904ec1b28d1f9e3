"""What a page of the preview is told, and what comes of what it asks."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

import pmcp_lab as lab
from pmcp_lab.apps import Recording
from pmcp_lab.client.oauth import flow as auth
from pmcp_lab.errors import AppError, ConnectionFailed, InvalidArguments
from pmcp_lab.host import PROFILES, open_app
from pmcp_lab.notebook import AppView
from pmcp_lab.notebook.app_reopening import reopen
from pmcp_lab.preview import PreviewServer, PreviewSession
from tests.unit.guarded import Guard, guarded_server
from tests.unit.preview_page import FakePage

OPENAI = {"openai/outputTemplate": "ui://shop/old", "openai/widgetAccessible": True}


def shop() -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("shop", title="A <b>shop</b>", log_level="CRITICAL")

    @server.tool(meta={"ui": {"resourceUri": "ui://shop/new"}})
    def browse(number: int = 1) -> dict[str, int]:
        return {"number": number}

    @server.tool(meta={"ui": {"resourceUri": "ui://shop/new", "visibility": ["app"]}})
    def stock() -> int:
        return 7

    @server.tool(meta=OPENAI)
    def cart() -> dict[str, int]:
        return {"items": 2}

    @server.tool(meta={"openai/outputTemplate": "ui://shop/old"})
    def pay() -> str:
        return "paid"

    @server.tool(meta={"openai/outputTemplate": "ui://shop/old", "openai/widgetAccessible": False})
    def refund() -> str:
        return "refunded"

    @server.tool(meta={"ui": {"resourceUri": "ui://shop/old"}, **OPENAI})
    def both() -> str:
        return "for either host"

    @server.tool(meta={"openai/outputTemplate": "https://shop.example/widget"})
    def elsewhere() -> str:
        return "gone"

    @server.tool()
    def fail(how: str) -> str:
        raise ToolError(f"it failed: {how}")

    @server.resource("ui://shop/new", mime_type="text/html;profile=mcp-app", title="New widget")
    def new() -> str:
        return "<p>new"

    @server.resource("ui://shop/alone", mime_type="text/html;profile=mcp-app")
    def alone() -> str:
        return "<p>alone"

    csp = {"openai/widgetCSP": {"connect_domains": ["https://api.example"]}, "openai/widgetPrefersBorder": False}

    @server.resource("ui://shop/old", mime_type="text/html+skybridge", meta=csp)
    def old() -> str:
        return "<p>old"

    return server


class Opened:
    """Previews targets, and opens pages on them."""

    def __init__(self) -> None:
        self.servers: list[PreviewServer] = []
        self.pages: list[FakePage] = []

    def __call__(self, target: object = None, **options: Any) -> FakePage:
        session = PreviewSession(target or shop(), {"name": f"preview-{time.monotonic_ns()}"}, **options)
        session.start()
        self.servers.append(PreviewServer(session))
        self.servers[-1].start()
        return self._opened(FakePage(self.servers[-1]))

    def again(self, page: FakePage, name: str, after: int) -> FakePage:
        """A stream that says which event it had last."""
        return self._opened(FakePage(page._server, name, after))

    def _opened(self, page: FakePage) -> FakePage:
        self.pages.append(page)
        return page

    def close(self) -> None:
        for page in self.pages:
            page.close()
        for server in self.servers:
            server.close()


@pytest.fixture
def opened() -> Iterator[Opened]:
    opened = Opened()
    yield opened
    opened.close()


def trait(page: FakePage, name: str, fits: Callable[[Any], object] = bool) -> Any:
    """A trait of the app that is shown, once it fits."""
    return page.wait("traits", lambda message: name in message["traits"] and fits(message["traits"][name]))["traits"][
        name
    ]


def ran(page: FakePage, tool: str, call: int = 1, **content: Any) -> dict[str, Any]:
    page.send(kind="run", call=call, tool=tool, content=content)
    return page.wait("ran", lambda message: message["call"] == call)


def test_a_page_is_told_what_there_is(opened: Opened) -> None:
    page = opened()
    status = page.wait("status")
    assert status["status"] == "open"
    assert status["server"]["info"]["title"] == "A <b>shop</b>"
    assert status["server"]["transport"] == "in process"
    catalogue = page.wait("catalogue")
    tools = {tool["name"]: tool for tool in catalogue["tools"]}
    assert tools["browse"]["app"] == "ui://shop/new"
    assert tools["browse"]["fields"][0] | {"description": ""} == {
        "name": "number", "title": "Number", "description": "", "required": False, "kind": "integer", "default": 1,
    }  # fmt: skip
    assert tools["stock"]["appOnly"]
    assert tools["cart"]["app"] is None, "another host's key"
    assert [each["uri"] for each in catalogue["resources"]] == ["ui://shop/new", "ui://shop/alone", "ui://shop/old"]


def test_a_plain_tool_is_called_and_its_whole_result_comes(opened: Opened) -> None:
    page = opened()
    done = ran(page, "pay")
    assert done["result"]["content"] == [{"type": "text", "text": "paid"}]
    assert isinstance(done["ms"], int)
    failed = ran(page, "fail", 2, how="badly")
    assert failed["result"]["isError"] is True
    assert "badly" in failed["result"]["content"][0]["text"]
    missing = ran(page, "fial", 3)
    assert "Did you mean 'fail'" in missing["error"]["message"]


def test_what_does_not_fit_the_schema_is_said_by_field_and_not_sent(opened: Opened) -> None:
    page = opened()
    assert ran(page, "fail")["problems"] == {"how": "Required."}
    assert "integer" in ran(page, "browse", 2, number="first")["problems"]["number"]


def test_an_app_stays_open_from_call_to_call(opened: Opened) -> None:
    page = opened()
    assert ran(page, "browse", number=1)["result"]["structuredContent"] == {"number": 1}
    assert ran(page, "browse", 2, number=2)["result"]["structuredContent"] == {"number": 2}
    assert len(page.of("model")) == 1
    call = trait(page, "_call", lambda call: call["result"] and call["number"] == 2)
    assert call["arguments"] == {"number": 2}


def test_an_app_is_opened_before_any_call(opened: Opened) -> None:
    page = opened()
    page.send(kind="show", uri="ui://shop/new")
    assert trait(page, "_resource")["uri"] == "ui://shop/new"
    assert page.wait("model")["state"]["_call"]["arguments"] is None
    assert page.of("model")[0]["state"]["_call"]["tool"]["name"] == "browse"
    page.send(kind="show", uri="ui://shop/alone")
    assert trait(page, "_resource", lambda resource: resource["uri"] == "ui://shop/alone")
    assert page.of("model")[1]["state"]["_call"]["tool"] is None, "no tool refers to it"
    page.send(kind="show", uri="ui://shop/none")
    assert "ui://shop/none" in page.wait("failed")["text"]


class TestChatGpt:
    @pytest.fixture
    def strict(self, opened: Opened) -> FakePage:
        return opened(profile="chatgpt")

    def test_only_its_own_keys_make_an_app(self, strict: FakePage) -> None:
        tools = {tool["name"]: tool for tool in strict.wait("catalogue")["tools"]}
        assert tools["cart"]["app"] == "ui://shop/old"
        assert tools["browse"]["app"] is None
        assert tools["elsewhere"]["app"] is None, "a widget is a resource of the server"
        assert not tools["stock"]["appOnly"]

    def test_its_own_type_csp_and_border(self, strict: FakePage) -> None:
        ran(strict, "cart")
        resource = trait(strict, "_resource")
        assert resource["legacy"] == "ChatGPT"
        assert resource["wanted"] == {"connect": ["https://api.example"]}
        assert resource["prefersBorder"] is False
        assert strict.wait("model")["state"]["_host"]["only"] == "ChatGPT"

    def test_another_type_is_refused_with_the_reason(self, strict: FakePage) -> None:
        strict.send(kind="show", uri="ui://shop/new")
        text = strict.wait("failed")["text"]
        assert "served as 'text/html;profile=mcp-app'" in text
        assert "ChatGPT takes 'text/html+skybridge'" in text

    def test_a_widget_calls_only_what_is_accessible_to_widgets(self, strict: FakePage) -> None:
        ran(strict, "cart")
        number = strict.wait("model")["model"]

        def asked(call: int, name: str) -> dict[str, Any]:
            rpc = {"method": "tools/call", "params": {"name": name}}
            strict.send(kind="custom", model=number, content={"kind": "rpc", "view": "v", "call": call, "payload": rpc})
            said = strict.wait("custom", lambda message: message["content"].get("call") == call)
            return said["content"]["payload"]  # type: ignore[no-any-return]

        assert asked(1, "cart")["result"]["structuredContent"] == {"items": 2}
        assert "not visible to apps" in asked(2, "pay")["error"]["message"]
        assert "not visible to apps" in asked(3, "refund")["error"]["message"]


def test_the_host_is_changed_from_the_page(opened: Opened) -> None:
    page = opened()
    ran(page, "browse")
    page.send(kind="profile", profile="chatgpt")
    assert page.wait("status", lambda status: status["profile"] == "chatgpt")
    page.wait("catalogue", lambda told: any(tool["app"] == "ui://shop/old" for tool in told["tools"]))
    assert trait(page, "_closed") is True


def test_what_one_host_has_read_another_reads_for_itself() -> None:
    with lab.connect(shop(), name="hosts") as server:
        hosts = ("standard", "chatgpt", "standard")
        shown = [open_app(AppView, server, "both", {}, PROFILES[host])._resource["legacy"] for host in hosts]
    assert shown == [True, "ChatGPT", True]


def test_a_notebook_plays_chatgpt_too() -> None:
    with lab.connect(shop(), name="played") as server:
        with pytest.raises(AppError, match=r"has no app\. It has one for ChatGPT: app\('cart', host='chatgpt'\)"):
            server.app("cart")
        shown = server.app("cart", host="chatgpt")
        assert shown._host["only"] == "ChatGPT"
        assert server.open_app("cart", host="chatgpt")._resource["uri"] == "ui://shop/old"
        with pytest.raises(InvalidArguments, match=r"no host '10\.0\.0\.1'.* 'standard', 'chatgpt'.*goes into a dict"):
            server.app("cart", host="10.0.0.1")  # type: ignore[arg-type]
        request = {"server": "played", "tool": "cart", "arguments": {}, "host": "chatgpt"}
        assert len(reopen(json.dumps(request))) == 32, "the id of a model"


def test_a_stream_that_broke_goes_on_where_it_was(opened: Opened) -> None:
    page = opened()
    page.wait("catalogue")
    page.close()
    page.send(kind="run", call=1, tool="pay", content={})
    again = opened.again(page, page.name, page.last)
    assert again.wait("ran")["call"] == 1
    assert not again.of("catalogue"), "it had that"


def test_a_page_that_is_not_known_any_more_is_told_so(opened: Opened) -> None:
    page = opened()
    assert opened.again(page, "sleeper1", 7).wait("stale")


def test_reconnecting_makes_another_connection_and_keeps_the_app(opened: Opened) -> None:
    page = opened()
    ran(page, "browse")
    before = page._server.session.server
    page.send(kind="reconnect")
    deadline = time.monotonic() + 10
    while page._server.session.server is before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert ran(page, "browse", 2, number=3)["result"]["structuredContent"] == {"number": 3}
    assert len(page.of("model")) == 1


def test_pages_are_told_when_the_preview_ends(opened: Opened) -> None:
    page = opened()
    page.wait("catalogue")
    page._server.close()
    assert page.wait("ended")


def test_signing_in_is_done_from_the_page(opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(auth, "_providers", {})
    with guarded_server(Guard()) as url:
        page = opened(url)
        assert page.wait("status")["status"] == "failed"
        assert page.wait("status", lambda status: status["refused"])
        page.send(kind="sign-in")
        link = page.wait("status", lambda status: status["signIn"])["signIn"]
        assert link.startswith(url.removesuffix("/mcp") + "/authorize?")
        with urllib.request.urlopen(link, timeout=10):
            page.wait("status", lambda status: status["status"] == "open")
        assert page.of("status")[-1]["signIn"] is None
        assert ran(page, "add", a=1, b=2)["result"]["structuredContent"] == {"result": 3}
        opened.close()


def test_a_server_that_is_not_there(plain_http: str) -> None:
    with pytest.raises(ConnectionFailed):
        PreviewSession(plain_http).start()


def test_a_program_that_is_refused_is_no_persons_business(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard()
    guard.programs["robot"] = "x"
    monkeypatch.setenv("ROBOT", "yesterday's")
    with guarded_server(guard) as url:
        program = lab.ClientCredentials("robot", secret="$ROBOT", issuer=url.removesuffix("/mcp"))
        session = PreviewSession(url, {"auth": program})
        with pytest.raises(ConnectionFailed, match="as client 'robot'"):
            session.start()
        assert session.server is None


def test_what_is_called_in_a_preview_can_be_recorded(opened: Opened, tmp_path: Path) -> None:
    with lab.record() as recorder:
        page = opened()
        ran(page, "browse", number=4)
        file = recorder.save(tmp_path / "calls.json")
    (call,) = Recording.load(file).calls
    assert (call.tool, call.arguments) == ("browse", {"number": 4})
