"""Demo pages made of recordings, opened from the disk: the real host, and a server that answers as it was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

import pmcp_lab as lab
from pmcp_lab.apps import RecordedCall, Recording
from pmcp_lab.apps.landing import landing_page
from pmcp_lab.client import client_of
from pmcp_lab.client.runtime import runtime

APP = (Path(__file__).parent / "app.html").read_text()
OLD = """<p id=out>waiting</p><script>
addEventListener("mcpBridgeReady", async () => {
  const {success, sum} = await mcpBridge.callTool("add", {a: 1, b: 2});
  document.querySelector("#out").textContent = `${success} ${sum}`;
});
</script>"""


def tool(name: str, uri: str | None = None, **more: Any) -> dict[str, Any]:
    ui = {"_meta": {"ui": {"resourceUri": uri, **more}}} if uri else {}
    return {"name": name, "inputSchema": {"type": "object"}, **ui}


def text(words: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}]}


def widget(uri: str, html: str, mime_type: str = "text/html;profile=mcp-app") -> dict[str, Any]:
    return {"uri": uri, "name": uri.rpartition("/")[2], "mimeType": mime_type, "text": html}


NASTY = "</script><script>window.owned = 1</script><!--\u2028"


def recording() -> Recording:
    calls = [
        RecordedCall(tool="show", arguments={"city": "Bern", "days": [1, 2]}, result=text("sunny"), ms=5),
        RecordedCall(tool="show", arguments={"city": "Basel"}, result=text("rainy"), ms=5),
        RecordedCall(tool="next", arguments={}, result=text("first"), ms=0),
        RecordedCall(tool="next", arguments={}, result=text("second"), ms=0),
        RecordedCall(tool="slow", arguments={"n": 1}, result=text("late"), ms=400),
        RecordedCall(tool="bad", arguments={}, error={"code": -32042, "message": "no", "data": {"why": 1}}, ms=0),
        RecordedCall(tool="bad", arguments={"how": "tool"}, result={**text("it failed"), "isError": True}, ms=0),
        RecordedCall(tool="login", arguments={"password": "[left out]"}, result=text("in"), ms=0),
        RecordedCall(tool="add", arguments={"a": 1, "b": 2}, result={"structuredContent": {"sum": 3}}, ms=0),
        RecordedCall(tool="nasty", arguments={}, result=text(NASTY), ms=0),
    ]
    secret = tool("hidden", "ui://demo/app", visibility=["model"])
    plain = [tool(name) for name in ("next", "slow", "bad", "login", "add", "nasty")]
    return Recording(
        server={"name": "demo", "title": f"<i>Weather</i>{NASTY}", "version": "2.1", "description": f"<b>d</b>{NASTY}"},
        tools=[tool("show", "ui://demo/app"), tool("old", "ui://demo/old"), secret, *plain],
        resources=[widget("ui://demo/app", APP), widget("ui://demo/old", OLD, "text/html")],
        calls=calls,
    )


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    file = tmp_path_factory.mktemp("landing") / "landing.html"
    file.write_text(landing_page(recording()), encoding="utf-8")
    context = browser.new_context(viewport={"width": 1000, "height": 900}, offline=True)
    page = context.new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    expect(page.locator(".pmcp-app[data-state=ready]")).to_have_count(2)
    yield page
    context.close()
    assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []
    assert errors == []


def frame(page: Page, number: int = 0) -> FrameLocator:
    return page.locator(".ld-widget").nth(number).frame_locator("iframe.pmcp-app-frame").frame_locator("iframe")


def asks(page: Page, name: str, **arguments: Any) -> dict[str, Any]:
    """What the app is answered when it calls a tool."""
    return (  # type: ignore[no-any-return]
        frame(page)
        .locator("body")
        .evaluate(
            """async (_, params) => { const began = performance.now();
               const said = await rpc("tools/call", params).then(
                 (result) => ({text: result.content[0].text, isError: !!result.isError}),
                 (error) => ({error}));
               return {...said, ms: performance.now() - began} }""",
            {"name": name, "arguments": arguments},
        )
    )


def test_the_server_says_who_it_is_and_nothing_it_says_is_markup(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_contain_text("<i>Weather</i></script>")
    expect(page.locator(".ld-header .ld-about")).to_contain_text("<b>d</b>")
    assert page.title().startswith("<i>Weather</i>")
    assert page.evaluate("() => [window.owned, document.querySelectorAll('i, b').length]") == [None, 0]
    assert asks(page, "nasty")["text"] == NASTY


def test_every_widget_is_shown_by_the_real_host(page: Page) -> None:
    expect(frame(page).locator("#state")).to_have_text("started")
    said = frame(page).locator("body").evaluate("() => log.filter((m) => m.method).map((m) => [m.method, m.params])")
    assert said[:2] == [
        ["ui/notifications/tool-input", {"arguments": {"city": "Bern", "days": [1, 2]}}],
        ["ui/notifications/tool-result", text("sunny")],
    ]


def test_a_widget_of_the_old_bridge_runs_too(page: Page) -> None:
    expect(frame(page, 1).locator("#out")).to_have_text("true 3")


def test_a_call_is_answered_by_its_arguments_in_any_order(page: Page) -> None:
    assert asks(page, "show", days=[1, 2], city="Bern")["text"] == "sunny"
    assert asks(page, "show", city="Basel")["text"] == "rainy"
    assert asks(page, "login", password="whatever")["text"] == "in"


def test_the_same_call_is_answered_as_it_was_one_time_after_the_other(page: Page) -> None:
    assert [asks(page, "next")["text"] for _ in range(3)] == ["first", "second", "second"]


def test_it_takes_as_long_as_it_took(page: Page) -> None:
    assert asks(page, "slow", n=1)["ms"] >= 390


def test_errors_are_errors(page: Page) -> None:
    assert asks(page, "bad")["error"] == {"code": -32042, "message": "no", "data": {"why": 1}}
    assert asks(page, "bad", how="tool")["isError"]
    assert "not visible to apps" in asks(page, "hidden")["error"]["message"]


def test_what_was_not_recorded_is_said_to_the_app_and_to_the_person(page: Page) -> None:
    assert "was not called with" in asks(page, "show", city="Paris")["error"]["message"]
    bar = page.locator(".ld-missed").first
    expect(bar).to_contain_text("not recorded")
    bar.get_by_role("button", name="Close").click()
    expect(bar).to_be_hidden()


def test_another_recorded_call_is_shown_in_the_same_app(page: Page) -> None:
    frame(page).locator("body").evaluate("() => { window.mine = 1 }")
    page.get_by_label("Shown call of app").select_option(index=1)
    page.wait_for_timeout(100)
    last = frame(page).locator("body").evaluate("() => [window.mine, log.at(-1).params.content[0].text]")
    assert last == [1, "rainy"]


def test_resources_and_tools_are_the_recorded_ones(page: Page) -> None:
    listed = (
        frame(page)
        .locator("body")
        .evaluate(
            """async () => [(await rpc("tools/list")).tools.map((tool) => tool.name),
                        (await rpc("resources/read", {uri: "ui://demo/old"})).contents[0].mimeType]"""
        )
    )
    assert "show" in listed[0]
    assert "hidden" not in listed[0]
    assert listed[1] == "text/html"


def test_the_demo_servers_app_on_a_page_of_its_own(browser: Browser, tmp_path: Path) -> None:
    demo = lab.connect("demo", name="landing-demo")
    with lab.record(server=demo) as recorder:
        for arguments in ({}, {"frequency": 5}):
            runtime().run(client_of(demo).pass_on("wave", arguments))
        runtime().run(client_of(demo).pass_on("wave_presets", {}))
    file = tmp_path / "wave.html"
    file.write_text(landing_page(recorder.recording(demo)), encoding="utf-8")
    demo.close()
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark", offline=True)
    page = context.new_page()
    page.goto(file.as_uri())
    expect(frame(page).get_by_role("button", name="Pendulum")).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    context.close()
