"""What an app may do beyond its frame: other display modes, files, and tools of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.conftest import press

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]


@pytest.fixture
def able(app: App) -> str:
    """The test app, saying that it can be shown in every mode and has tools."""
    capabilities = 'appCapabilities: {availableDisplayModes: ["inline", "fullscreen", "pip"], tools: {}}'
    return app().replace("appCapabilities: {}", capabilities)


def ask(inner: Inner, method: str, params: dict[str, Any]) -> Any:
    """A request of the app, and what the host answered."""
    script = "(_, [method, params]) => rpc(method, params).catch((error) => ({error}))"
    return inner().locator("body").evaluate(script, [method, params])


def ready(page: Page) -> None:
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")


def contexts(inner: Inner) -> list[dict[str, Any]]:
    script = "() => log.filter((m) => m.method === 'ui/notifications/host-context-changed').map((m) => m.params)"
    found: list[dict[str, Any]] = inner().locator("body").evaluate(script)
    return found


def test_full_screen_and_back(open_app: Open, able: str, inner: Inner) -> None:
    page = open_app(able)
    ready(page)
    inner().locator("body").evaluate("() => { window.mark = 7 }")
    assert ask(inner, "ui/request-display-mode", {"mode": "fullscreen"}) == {"mode": "fullscreen"}
    box = page.locator(".pmcp-app").bounding_box()
    assert box == {"x": 0, "y": 0, "width": 1000, "height": 800}
    told = contexts(inner)[-1]
    assert told["displayMode"] == "fullscreen"
    assert told["containerDimensions"]["width"] == 1000
    assert 700 < told["containerDimensions"]["height"] < 800
    expect(page.locator(".pmcp-app-elsewhere")).to_contain_text("in full screen")
    page.keyboard.press("Escape")
    expect(page.locator(".pmcp-app-elsewhere")).to_have_count(0)
    assert page.locator(".pmcp-app").bounding_box()["width"] < 1000
    inner().locator("body").evaluate("() => new Promise((done) => setTimeout(done, 50))")
    assert contexts(inner)[-1]["displayMode"] == "inline"
    assert inner().locator("body").evaluate("() => window.mark") == 7, "the app was not loaded anew"
    modes = page.evaluate("() => model.kinds('event').filter((e) => e.event === 'display').map((e) => e.payload.mode)")
    assert modes == ["fullscreen", "inline"]


def test_full_screen_is_left_also_while_the_app_starts_over(open_app: Open, able: str, inner: Inner) -> None:
    page = open_app(able)
    ready(page)
    assert ask(inner, "ui/request-display-mode", {"mode": "fullscreen"}) == {"mode": "fullscreen"}
    page.evaluate("() => model.set('_resource', {...model.state._resource, html: '<p>says nothing'})")
    expect(inner().locator("p")).to_have_text("says nothing")
    page.get_by_role("button", name="Back into the cell").click()
    expect(page.locator(".pmcp-app-elsewhere")).to_have_count(0)


def test_a_window_of_its_own(open_app: Open, able: str, inner: Inner) -> None:
    page = open_app(able)
    ready(page)
    page.get_by_role("button", name="Own window").click()
    box = page.locator(".pmcp-app").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] == pytest.approx(984, abs=2)
    assert box["y"] + box["height"] == pytest.approx(784, abs=2)
    assert ask(inner, "ui/request-display-mode", {"mode": "fullscreen"}) == {"mode": "fullscreen"}
    page.get_by_role("button", name="Back into the cell").click()
    expect(page.locator(".pmcp-app")).to_have_attribute("data-mode", "inline")


def test_no_mode_that_the_app_did_not_name(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    ready(page)
    assert ask(inner, "ui/request-display-mode", {"mode": "fullscreen"}) == {"mode": "inline"}
    assert ask(inner, "ui/request-display-mode", {"mode": "cinema"})["error"]["code"] == -32602
    expect(page.get_by_role("button", name="Full screen")).to_have_count(0)


def test_a_view_that_goes_away_in_full_screen(open_app: Open, able: str, inner: Inner) -> None:
    page = open_app(able)
    ready(page)
    ask(inner, "ui/request-display-mode", {"mode": "fullscreen"})
    page.evaluate("() => views[0].close()")
    expect(page.locator(".pmcp-app-elsewhere")).to_have_count(0)
    expect(page.locator(".pmcp-app")).to_have_count(0)


FILE = {"type": "resource", "resource": {"uri": "file:///folder/../a%2Fb.csv", "mimeType": "text/csv", "text": "a,b"}}


def test_a_file_is_saved_when_the_person_says_so(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    ready(page)
    inner().locator("body").evaluate("(_, file) => { window.done = rpc('ui/download-file', {contents: [file]}) }", FILE)
    bar = page.locator(".pmcp-bar", has_text="save a file")
    expect(bar).to_contain_text("b.csv")
    with page.expect_download() as saving:
        press(bar.get_by_role("button", name="Save", exact=True))
    assert saving.value.suggested_filename == "a_b.csv"
    assert saving.value.path().read_text() == "a,b"
    assert inner().locator("body").evaluate("() => window.done") == {}


def test_a_file_the_person_does_not_want(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    ready(page)
    inner().locator("body").evaluate("(_, file) => { window.done = rpc('ui/download-file', {contents: [file]}) }", FILE)
    page.get_by_role("button", name="Don’t save").click()
    assert inner().locator("body").evaluate("() => window.done") == {"isError": True}
    assert ask(inner, "ui/download-file", {"contents": []})["error"]["code"] == -32602
    assert ask(inner, "ui/download-file", {"contents": [{"type": "text", "text": "x"}]}) == {"isError": True}


def test_a_linked_file_is_read_from_the_server(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(
        app(),
        onrpc="""({kind, view, call, payload}) => kind === "rpc" && model.say({
             kind: "rpc-result", to: view, call,
             payload: {result: {contents: [{uri: payload.params.uri, mimeType: "text/html", blob: btoa("<b>")}]}}})""",
    )
    ready(page)
    link = {"type": "resource_link", "uri": "data://report", "name": "report.html"}
    inner().locator("body").evaluate("(_, link) => { rpc('ui/download-file', {contents: [link]}) }", link)
    with page.expect_download() as saving:
        press(page.get_by_role("button", name="Save", exact=True))
    assert saving.value.suggested_filename == "report.html"
    assert saving.value.path().read_text() == "<b>"


def test_an_app_asks_to_be_taken_away(open_app: Open, able: str, inner: Inner) -> None:
    page = open_app(able)
    ready(page)
    inner().locator("body").evaluate("() => note('ui/notifications/request-teardown')")
    expect(page.locator(".pmcp-app-closed")).to_be_visible()
    assert page.evaluate("() => model.kinds('event').at(-1).event") == "closed"


def test_python_asks_the_app(open_app: Open, able: str, inner: Inner) -> None:
    page = open_app(
        able
        + """<script>addEventListener("message", ({data}) => {
               if (data.method === "tools/list") say({id: data.id, result: {tools: [{name: "zoom"}]}});
               if (data.method === "tools/call") say({id: data.id, error: {code: -32000, message: "no"}}) })</script>"""
    )
    ready(page)
    view = page.evaluate("() => model.kinds('event')[0].view")
    for call, method in ((1, "tools/list"), (2, "tools/call")):
        page.evaluate(
            "([to, call, method]) => model.say({kind: 'ask', to, call, payload: {method, params: {}}})",
            [view, call, method],
        )
    page.wait_for_function("() => model.kinds('answer').length === 2")
    first, second = page.evaluate("() => model.kinds('answer')")
    assert first["payload"]["result"] == {"tools": [{"name": "zoom"}]}
    assert second["payload"]["error"]["message"] == "no"


def test_arguments_that_are_still_coming(open_app: Open, app: App, inner: Inner) -> None:
    call = {"tool": {"name": "show"}, "arguments": None, "partial": {"a": 1}, "result": None}
    page = open_app(app(), _call=call)
    ready(page)
    page.evaluate("c => model.set('_call', {...c, partial: {a: 1, b: 2}})", call)
    page.evaluate("c => model.set('_call', {...c, arguments: {a: 1, b: 2, c: 3}})", call)
    page.evaluate("c => model.set('_call', {...c, arguments: {a: 1, b: 2, c: 3}, result: {content: []}})", call)
    inner().locator("body").evaluate(
        """async () => { while (!log.some((m) => m.method === "ui/notifications/tool-result"))
             await new Promise((next) => setTimeout(next, 10)) }"""
    )
    said = (
        inner()
        .locator("body")
        .evaluate("() => log.filter((m) => m.method).map((m) => [m.method.split('/').at(-1), m.params.arguments])")
    )
    assert said == [
        ["tool-input-partial", {"a": 1}],
        ["tool-input-partial", {"a": 1, "b": 2}],
        ["tool-input", {"a": 1, "b": 2, "c": 3}],
        ["tool-result", None],
    ]
