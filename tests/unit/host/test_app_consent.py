"""What an app gets beyond what every app gets: only what somebody allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import comm
import pytest
from mcp.server.apps import APP_MIME_TYPE
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.resources import TextResource

import pmcp_lab as lab
import pmcp_lab.notebook
from pmcp_lab.errors import InvalidArguments
from tests.unit.front_end import Comm, FrontEnd, until

UI = {
    "csp": {
        "connectDomains": ["https://api.example", "http://localhost:8888"],
        "resourceDomains": ["https://cdn.example"],
    },
    "permissions": {"camera": {}, "clipboardWrite": {}},
}


@pytest.fixture(autouse=True)
def comms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", Comm)


@pytest.fixture
def server() -> Iterator[lab.Server]:
    source = MCPServer("wishful")
    source.add_resource(
        TextResource(uri="ui://wishful/page", name="page", mime_type=APP_MIME_TYPE, text="<p>", meta={"ui": UI})
    )
    source.tool(name="show", meta={"ui": {"resourceUri": "ui://wishful/page"}})(lambda: "done")
    with lab.connect(source) as connected:
        yield connected


def resource(server: lab.Server) -> dict[str, Any]:
    found: dict[str, Any] = server.app("show")._resource
    return found


def test_nothing_is_given_unasked(server: lab.Server) -> None:
    shown = resource(server)
    assert "example" not in shown["csp"]
    assert shown["allow"] == ""
    assert shown["wanted"] == {
        "connect": ["https://api.example"],
        "load": ["https://cdn.example"],
        "permissions": ["camera", "clipboardWrite"],
        "refused": ["http://localhost:8888"],
    }


def test_a_click_gives_what_was_shown_and_holds(server: lab.Server) -> None:
    view = server.app("show")
    FrontEnd(view).send(kind="consent", view="v1", payload=view._resource["wanted"])
    until(lambda: view._resource["allow"])
    for shown in (view._resource, resource(server)):
        assert "connect-src https://api.example;" in shown["csp"]
        assert "script-src 'report-sample' 'unsafe-inline' blob: data: https://cdn.example;" in shown["csp"]
        assert shown["allow"] == "camera; clipboard-write"
        assert shown["wanted"] == {"refused": ["http://localhost:8888"]}


def test_each_kind_is_allowed_by_itself(server: lab.Server) -> None:
    view = server.app("show")
    FrontEnd(view).send(kind="consent", view="v1", payload={"load": ["https://cdn.example"]})
    until(lambda: "cdn.example" in view._resource["csp"])
    assert "connect-src 'none'" in view._resource["csp"]
    assert view._resource["allow"] == ""
    assert view._resource["wanted"]["connect"] == ["https://api.example"]


def test_one_origin_for_one_thing_is_not_for_another() -> None:
    cdn = ["https://cdn.example"]
    ui = {"csp": {"connectDomains": cdn, "resourceDomains": cdn, "frameDomains": cdn}}
    source = MCPServer("greedy")
    source.add_resource(
        TextResource(uri="ui://greedy/page", name="p", mime_type=APP_MIME_TYPE, text="<p>", meta={"ui": ui})
    )
    source.tool(name="show", meta={"ui": {"resourceUri": "ui://greedy/page"}})(lambda: "done")
    with lab.connect(source) as server:
        view = server.app("show")
        FrontEnd(view).send(kind="consent", view="v1", payload={"load": cdn})
        until(lambda: "load" not in view._resource["wanted"])
        assert view._resource["wanted"] == {"connect": cdn, "embed": cdn}


def test_a_base_is_where_the_app_may_go_anyway() -> None:
    cdn, api = "https://cdn.example", "https://api.example"
    ui = {"csp": {"connectDomains": [api], "resourceDomains": [cdn], "baseUriDomains": [cdn, "https://other.example"]}}
    source = MCPServer("based")
    source.add_resource(
        TextResource(uri="ui://based/page", name="p", mime_type=APP_MIME_TYPE, text="<p>", meta={"ui": ui})
    )
    source.tool(name="show", meta={"ui": {"resourceUri": "ui://based/page"}})(lambda: "done")
    with lab.connect(source) as server:
        view = server.app("show")

        def base() -> Any:
            return view._host["capabilities"]["sandbox"]["csp"]["baseUriDomains"]

        page = FrontEnd(view)
        assert base() == []
        assert "base-uri 'none'" in view._resource["csp"]
        page.send(kind="consent", view="v1", payload={"connect": [api]})
        until(lambda: api in view._resource["csp"])
        assert "base-uri 'none'" in view._resource["csp"]
        page.send(kind="consent", view="v1", payload={"load": [cdn]})
        until(base)
        assert base() == [cdn]
        assert "base-uri https://cdn.example;" in view._resource["csp"]
        assert view._resource["wanted"] == {}


def test_a_click_gives_nothing_that_was_not_shown_or_is_not_asked_for(server: lab.Server) -> None:
    view = server.app("show")
    shown = {"connect": ["https://elsewhere.example"], "permissions": ["camera", "microphone"]}
    FrontEnd(view).send(kind="consent", view="v1", payload=shown)
    until(lambda: view._resource["allow"])
    assert view._resource["allow"] == "camera"
    assert "elsewhere" not in view._resource["csp"]


def test_an_app_is_told_what_it_was_granted(server: lab.Server) -> None:
    def told(page: FrontEnd) -> dict[str, Any]:
        found: dict[str, Any] = [page.opened["_host"], *page.updates("_host")][-1]["capabilities"]["sandbox"]
        return found

    view = server.app("show")
    page = FrontEnd(view)
    nothing = {"connectDomains": [], "resourceDomains": [], "frameDomains": [], "baseUriDomains": []}
    assert told(page) == {"permissions": {}, "csp": nothing}
    page.send(kind="consent", view="v1", payload=view._resource["wanted"])
    until(lambda: view._resource["allow"])
    granted = {
        "permissions": {"camera": {}, "clipboardWrite": {}},
        "csp": {**nothing, "connectDomains": ["https://api.example"], "resourceDomains": ["https://cdn.example"]},
    }
    assert told(page) == granted
    # It comes with the policy it tells of: an app that starts anew is told before it asks.
    sent = [each["data"].get("state", {}) for each in page.comm.sent]
    anew = [state for state in sent if state.get("_resource", {}).get("allow")]
    assert [state["_host"]["capabilities"]["sandbox"] for state in anew] == [granted]
    view.on_sampling(lambda messages, params: "said")
    assert told(page) == granted
    assert told(FrontEnd(server.app("show"))) == granted


def test_code_gives_it_for_a_server(server: lab.Server) -> None:
    server.allow_apps(domains=["https://cdn.example"], permissions=["camera"], unsafe_eval=True)
    shown = resource(server)
    assert "'unsafe-eval' blob: data: https://cdn.example" in shown["csp"]
    assert "connect-src 'none'" in shown["csp"]
    assert shown["allow"] == "camera"
    assert shown["wanted"]["connect"] == ["https://api.example"]
    server.allow_apps(domains=True)
    assert "api.example" in resource(server)["csp"]
    assert "localhost" not in resource(server)["csp"], "never"
    server.allow_apps()
    assert resource(server)["wanted"]["load"]


def test_a_sandbox_of_its_own_origin(server: lab.Server) -> None:
    assert resource(server)["proxy"] is None
    server.allow_apps(domains=True, sandbox_origin="https://sandbox.example/proxy")
    proxy = resource(server)["proxy"]
    assert proxy["url"] == "https://sandbox.example/proxy"
    assert proxy["csp"]["connectDomains"] == ["https://api.example"]
    assert proxy["csp"] == server.app("show")._host["capabilities"]["sandbox"]["csp"]


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"domains": ["cdn.example"]}, "is no origin"),
        ({"domains": ["https://a.example; script-src *"]}, "is no origin"),
        ({"permissions": ["usb"]}, "is no permission"),
        ({"sandbox_origin": "javascript:alert(1)"}, "is no http"),
    ],
)
def test_what_makes_no_sense_is_refused(server: lab.Server, wish: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArguments, match=said):
        server.allow_apps(**wish)


def test_a_document_is_sent_to_a_page_once(server: lab.Server) -> None:
    first, second = server.app("show"), server.app("show")
    assert second._resource["html"] is None
    assert second._resource["hash"] == first._resource["hash"]
    page = FrontEnd(second)
    page.send(kind="document", view="v1")
    (sent,) = page.wait("document")
    assert sent["to"] == "v1"
    assert sent["payload"] == {"hash": first._resource["hash"], "html": "<p>"}
