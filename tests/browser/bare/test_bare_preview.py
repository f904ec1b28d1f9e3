"""The preview over the whole chain, without a mock: a server, the preview's process, its page, sandboxed frames."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect

from pmcp_lab.preview import PreviewServer, PreviewSession
from tests.browser.bare.test_bare_demo_apps import CHECK, axe  # noqa: F401 - a fixture
from tests.peers import Peer
from tests.servers.bridged import Bridged

ROOT = Path(__file__).parents[3]
APP = (Path(__file__).parent / "app.html").read_text()

INLINE = """<p id=out>waiting</p><script>
mcpBridge.callTool("plain").then((said) => { out.textContent = `${said.success} ${said.content[0].text}` });
</script>"""

OPENAI = """<p id=out>waiting</p><p id=input></p><script>
addEventListener("openai:set_globals", ({detail}) => {
  if (detail.globals.toolOutput) out.textContent = JSON.stringify(window.openai.toolOutput);
});
async function ask() {
  const said = await openai.callTool("strict_widget");
  input.textContent = `${JSON.stringify(openai.toolInput)} ${said.result}`;
}
</script><button onclick="ask()">ask</button><button onclick="window.mcpBridge">bridge</button>
<button onclick="parent.postMessage({jsonrpc: '2.0', id: 1, method: 'tools/list'}, '*')">standard</button>"""


def saying(html: str) -> Callable[[], str]:
    return lambda: html


def widgets(sdk: str) -> MCPServer[Any]:
    """A server whose widgets are of every style there is, and whose words are hostile."""
    server: MCPServer[Any] = MCPServer("<img src=x onerror='window.owned=1'>", log_level="CRITICAL")

    def shown(uri: str, **more: Any) -> dict[str, Any]:
        return {"ui": {"resourceUri": uri, **more}}

    @server.tool(title="Standard", meta=shown("ui://w/standard"), description="<script>window.owned=1</script>")
    def standard(city: str = "Bern", days: int = 1) -> dict[str, Any]:
        return {"city": city, "days": days}

    @server.tool(meta=shown("ui://w/inline"))
    def inline() -> str:
        return "inline"

    @server.tool(meta=shown("ui://w/sdk"))
    def bundled() -> str:
        return "bundled"

    @server.tool()
    def plain() -> str:
        return "<b>plain</b>"

    @server.tool()
    def refuse(why: str) -> str:
        raise ToolError(f"no, because {why}")

    strict = {"openai/outputTemplate": "ui://w/openai", "openai/widgetAccessible": True}

    @server.tool(meta=strict)
    def strict_widget(n: int = 1) -> dict[str, int]:
        return {"n": n}

    documents = {"standard": APP, "inline": INLINE, "sdk": sdk, "openai": OPENAI}
    for name, html in documents.items():
        kind = "text/html+skybridge" if name == "openai" else "text/html;profile=mcp-app"
        server.resource(f"ui://w/{name}", name=name, mime_type=kind, title=f"The {name} widget")(saying(html))
    return server


Preview = Callable[..., Page]


@pytest.fixture(scope="module")
def preview(browser: Browser) -> Iterator[Preview]:
    """Previews a target, and opens the page on it."""
    closing: list[Callable[[], object]] = []
    errors: list[str] = []

    def open_preview(target: object, *, width: int = 1200, **options: Any) -> Page:
        session = PreviewSession(target, **options)
        session.start()
        server = PreviewServer(session)
        server.start()
        context = browser.new_context(viewport={"width": width, "height": 900})
        page = context.new_page()
        # What an app throws is its own business.
        page.on("pageerror", lambda error: "/static/" in (error.stack or "") and errors.append(str(error)))
        page.goto(server.url)
        closing.append(lambda: (context.close(), server.close()))
        return page

    yield open_preview
    for close in reversed(closing):
        close()
    assert errors == []


def app(page: Page) -> FrameLocator:
    return page.frame_locator(".pv-stage iframe.pmcp-app-frame").frame_locator("iframe")


def ready(page: Page) -> None:
    # The bundled one calls a tool that is not there, and is seen to.
    expect(page.locator(".pmcp-app:is([data-state=ready], [data-state=trouble])")).to_be_visible()


def shown(page: Page, uri: str) -> FrameLocator:
    """The app of a resource, once it is there: what is asked of the frame of the one before is lost with it."""
    expect(page.locator(f'.pv-stage iframe.pmcp-app-frame[title="{uri}"]')).to_be_visible()
    ready(page)
    return app(page)


def state(page: Page) -> Locator:
    return page.locator(".pv-state-text")


def choose(page: Page, tool: str) -> None:
    page.get_by_role("region", name="Tools").locator(f'[data-tool="{tool}"]').click()


def run(page: Page, tool: str) -> Locator:
    """Chooses a tool and runs it; its line among the calls."""
    choose(page, tool)
    page.get_by_role("button", name="Run").click()
    return page.locator(".pv-call").first


def heard(page: Page) -> list[list[Any]]:
    """What the standard widget was told, with the parameters."""
    return app(page).locator("body").evaluate("() => log.filter((m) => m.method).map((m) => [m.method, m.params])")


@pytest.fixture(scope="module")
def page(preview: Preview, sdk_app: str) -> Page:
    return preview(widgets(sdk_app))


@pytest.fixture(scope="module")
def demo_page(preview: Preview) -> Page:
    return preview("demo", tool="chess")


class TestWidgets:
    def test_the_first_app_is_open_and_the_status_is_true(self, page: Page) -> None:
        ready(page)
        expect(state(page)).to_have_text("Connected")
        expect(app(page).locator("#state")).to_have_text("started")
        current = page.locator(".pv-item[aria-current=true]")
        expect(current).to_have_count(2)
        expect(current.first).to_contain_text("ui://w/standard")

    def test_nothing_a_server_says_is_markup(self, page: Page) -> None:
        expect(page.locator("h1")).to_contain_text("<img src=x")
        choose(page, "standard")
        expect(page.locator(".pv-tool-about")).to_have_text("<script>window.owned=1</script>")
        assert page.evaluate("() => window.owned") is None
        row = run(page, "plain")
        expect(row.locator(".pv-text")).to_have_text("<b>plain</b>")

    def test_running_a_tool_keeps_the_app_and_tells_it_the_standard_way(self, page: Page) -> None:
        ready(page)
        app(page).locator("body").evaluate("() => { window.mine = 7; log.length = 0 }")
        choose(page, "standard")
        page.get_by_label("City").fill("Oslo")
        row = run(page, "standard")
        expect(row).to_have_attribute("data-outcome", "done")
        run_again = run(page, "standard")
        expect(run_again).to_have_attribute("data-outcome", "done")
        page.wait_for_timeout(100)
        told = heard(page)
        assert [method for method, _ in told] == [
            "ui/notifications/tool-input",
            "ui/notifications/tool-result",
        ] * 2
        assert told[0][1] == {"arguments": {"city": "Oslo", "days": 1}}
        assert told[1][1]["structuredContent"] == {"city": "Oslo", "days": 1}
        assert app(page).locator("body").evaluate("() => window.mine") == 7

    def test_what_does_not_fit_is_said_at_its_field(self, page: Page) -> None:
        choose(page, "standard")
        page.get_by_label("Days").fill("many")
        page.get_by_role("button", name="Run").click()
        expect(page.get_by_text("A whole number.")).to_be_visible()
        choose(page, "refuse")
        page.get_by_role("button", name="Run").click()
        expect(page.get_by_text("Required.")).to_be_visible()

    def test_a_failing_tool_is_seen_to_fail(self, page: Page) -> None:
        choose(page, "refuse")
        page.get_by_label("Why").fill("it is late")
        row = run(page, "refuse")
        expect(row).to_have_attribute("data-outcome", "failed")
        expect(row.locator(".pv-text")).to_contain_text("no, because it is late")

    def test_an_inline_script_finds_its_bridge(self, page: Page) -> None:
        page.get_by_role("button", name="ui://w/inline").click()
        expect(shown(page, "ui://w/inline").locator("#out")).to_have_text("true <b>plain</b>")

    def test_a_bundled_app_hears_its_input_and_result(self, page: Page) -> None:
        row = run(page, "bundled")
        expect(row).to_have_attribute("data-outcome", "done")
        expect(shown(page, "ui://w/sdk").locator("#log")).to_contain_text("result")

    def test_the_host_context_is_in_our_hands(self, page: Page) -> None:
        page.get_by_role("button", name="ui://w/standard").click()
        expect(shown(page, "ui://w/standard").locator("#state")).to_have_text("started")
        host = page.get_by_role("region", name="Host context")
        host.get_by_label("Theme").select_option("dark")
        host.get_by_label("Locale").fill("de-CH")
        host.get_by_label("Locale").press("Tab")
        host.get_by_label("Size").select_option("phone")
        host.get_by_label("Max height").select_option("200")
        page.wait_for_timeout(300)
        known: dict[str, Any] = {}
        for method, params in heard(page):
            if method == "ui/notifications/host-context-changed":
                known |= params
        assert known["theme"] == "dark"
        assert known["locale"] == "de-CH"
        assert known["safeAreaInsets"] == {"top": 47, "right": 0, "bottom": 34, "left": 0}
        assert known["deviceCapabilities"] == {"touch": True, "hover": False}
        assert known["containerDimensions"] == {"maxHeight": 200, "width": 390}
        box = page.locator(".pv-stage iframe.pmcp-app-frame").bounding_box()
        assert box is not None
        assert (round(box["width"]), box["height"] <= 200) == (390, True)
        for label in ("Theme", "Size", "Max height"):
            host.get_by_label(label).select_option(index=0)

    def test_full_screen_is_left_by_escape(self, page: Page) -> None:
        mode = page.get_by_role("region", name="Host context").get_by_label("Display mode")
        mode.select_option("fullscreen")
        expect(page.locator(".pmcp-app[data-mode=fullscreen]")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator(".pmcp-app[data-mode=inline]")).to_be_visible()
        expect(mode).to_have_value("inline")

    def test_the_inspector_sees_every_message(self, page: Page) -> None:
        page.get_by_role("button", name="Inspector").click()
        panel = page.get_by_role("region", name="Inspector")
        expect(panel.locator(".pmcp-ins-steps li[data-done=true]").first).to_be_visible()
        expect(panel.get_by_text("ui/initialize").first).to_be_visible()
        expect(panel.get_by_role("heading", name="Host context")).to_have_count(0)
        page.get_by_role("button", name="Inspector").click()

    def test_the_page_reads_the_keyboard_alone(self, page: Page) -> None:
        page.locator("body").focus()
        seen: list[str] = []
        page.evaluate("() => document.activeElement?.blur()")
        for _ in range(14):
            page.keyboard.press("Tab")
            seen.append(page.evaluate("() => document.activeElement.textContent || document.activeElement.tagName"))
        assert any("Reconnect" in each for each in seen)
        choose(page, "standard")
        page.get_by_label("City").press("Enter")
        expect(page.locator(".pv-call").first).to_have_attribute("data-outcome", "done")

    def test_a_reload_keeps_what_was_entered(self, page: Page) -> None:
        choose(page, "standard")
        page.get_by_label("City").fill("Turin")
        expect(run(page, "standard")).to_have_attribute("data-outcome", "done")
        page.reload()
        ready(page)
        expect(page.get_by_label("City")).to_have_value("Turin")

    def test_chatgpt_gives_what_chatgpt_has(self, page: Page) -> None:
        page.get_by_label("Host", exact=True).select_option("chatgpt")
        row = run(page, "strict_widget")
        expect(row).to_have_attribute("data-outcome", "done")
        expect(shown(page, "ui://w/openai").locator("#out")).to_have_text('{"n":1}')
        app(page).get_by_role("button", name="ask").click()
        expect(app(page).locator("#input")).to_have_text('{"n":1} {\n  "n": 1\n}', use_inner_text=False)
        app(page).get_by_role("button", name="bridge").click()
        missing = page.locator(".pmcp-bar", has_text="ChatGPT does not offer")
        expect(missing).to_contain_text("window.mcpBridge")
        app(page).get_by_role("button", name="standard").click()
        expect(missing).to_contain_text("tools/list")

    def test_chatgpt_refuses_what_is_not_made_for_it(self, page: Page) -> None:
        page.get_by_role("button", name="ui://w/standard").click()
        expect(page.locator(".pv-notes")).to_contain_text("ChatGPT takes 'text/html+skybridge'")
        page.get_by_label("Host", exact=True).select_option("standard")

    def test_nobody_is_left_out(self, page: Page, axe: str) -> None:  # noqa: F811
        ready(page)
        for theme, width in (("light", 1200), ("dark", 380)):
            page.set_viewport_size({"width": width, "height": 900})
            page.get_by_label("Theme of the page").select_option(theme)
            page.wait_for_timeout(100)
            assert page.locator("html").evaluate(CHECK, axe) == [], theme
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        page.set_viewport_size({"width": 1200, "height": 900})


def demo(port: int) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "pmcp_lab", "demo", "--http", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_server_that_is_killed_and_comes_back(preview: Preview) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    first, url = demo(port)
    second = None
    try:
        page = preview(url, tool="wave")
        ready(page)
        expect(run(page, "wave")).to_have_attribute("data-outcome", "done")
        app(page).locator("body").evaluate("() => { window.mine = 7 }")
        first.kill()
        first.wait()
        expect(state(page)).to_contain_text("Connection lost")
        expect(page.locator(".pv-bars")).to_contain_text("Lost the connection")
        second, _ = demo(port)
        page.get_by_role("button", name="Reconnect").click()
        expect(state(page)).to_have_text("Connected", timeout=40_000)
        expect(run(page, "wave")).to_have_attribute("data-outcome", "done")
        assert app(page).locator("body").evaluate("() => window.mine") == 7, "the app stayed as it was"
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait()
                assert process.stdout is not None
                process.stdout.close()


def test_the_page_asks_the_server_itself_where_it_may(preview: Preview) -> None:
    server = Bridged(APP)
    with server.serving() as url:
        page = preview(url, tool="show")
        expect(app(page).locator("#state")).to_have_text("started")
        asked = (
            """async () => (await rpc("tools/call", {name: "add", arguments: {a: 1, b: 2}})).structuredContent.sum"""
        )
        wrong = """() => Promise.all([{arguments: [1, 2]}, {task: {}}, {_meta: {_task_id: "x"}}].map((more) =>
            rpc("tools/call", {name: "add", arguments: {a: 1, b: 2}, ...more}).catch((error) => error.code)))"""
        refused = [-32602] * 3
        assert app(page).locator("body").evaluate(asked) == 3
        assert app(page).locator("body").evaluate(wrong) == refused
        assert set(server.origins) == {None}
        page.get_by_label("Requests of the app").select_option("direct")
        for _ in range(100):
            assert app(page).locator("body").evaluate(asked) == 3
            if server.origins[-1] is not None:
                break
            page.wait_for_timeout(50)
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server.origins[-1] or "")
        assert app(page).locator("body").evaluate(wrong) == refused
        page.get_by_label("Requests of the app").select_option("kernel")


def test_a_page_that_may_not_ask_the_server_itself_says_why(page: Page) -> None:
    page.get_by_role("button", name="ui://w/standard").click()
    ready(page)
    page.get_by_label("Requests of the app").select_option("direct")
    expect(page.locator(".pv-notes")).to_contain_text("it lives in this process")
    expect(page.get_by_label("Requests of the app")).to_have_value("kernel")


def test_a_third_partys_app(preview: Preview, budget_allocator: Peer) -> None:
    page = preview(budget_allocator.stdio, tool="get-budget-data")
    ready(page)
    expect(run(page, "get-budget-data")).to_have_attribute("data-outcome", "done")
    expect(app(page).locator("canvas").first).to_be_visible()
    slider = app(page).locator("input[type=range]").first
    before = app(page).locator("body").inner_text()
    slider.focus()
    for _ in range(5):
        slider.press("ArrowRight")
    expect(app(page).locator("body")).not_to_have_text(before)


def test_the_preview_says_that_it_ended(preview: Preview, sdk_app: str) -> None:
    page = preview(widgets(sdk_app))
    ready(page)
    session = PreviewSession(widgets(sdk_app))
    session.start()
    server = PreviewServer(session)
    server.start()
    page.goto(server.url)
    ready(page)
    server.close()
    expect(state(page)).to_have_text("The preview was ended")
    expect(page.locator(".pmcp-app")).to_have_attribute("data-state", "static")
    expect(page.get_by_role("button", name="Reconnect")).to_be_disabled()


class TestExamples:
    """The reference's twenty checks of its three examples, on ours, with nothing in between that is not real."""

    def test_chess(self, demo_page: Page) -> None:
        ready(demo_page)
        expect(run(demo_page, "chess")).to_have_attribute("data-outcome", "done", timeout=30_000)
        board = shown(demo_page, "ui://demo/chess")
        expect(board.locator(".square")).to_have_count(64)
        expect(board.locator("#note")).to_contain_text("White")

        def square(name: str) -> Locator:
            return board.locator(f'.square[data-square="{name}"]')

        square("e2").click()
        expect(square("e2")).to_have_attribute("aria-selected", "true")
        expect(board.locator(".square.goal")).to_have_count(2)
        square("e4").click()
        expect(square("e4")).to_have_attribute("aria-label", re.compile("white pawn"))
        # What the server has not answered is not kept.
        expect(board.locator("#moves button")).to_have_count(2)
        demo_page.get_by_role("button", name="Reload the app").click()
        expect(square("e4")).to_have_attribute("aria-label", re.compile("white pawn"))
        board.get_by_role("button", name="New game").click()
        expect(square("e2")).to_have_attribute("aria-label", re.compile("white pawn"))

    def test_map(self, demo_page: Page) -> None:
        expect(run(demo_page, "map")).to_have_attribute("data-outcome", "done", timeout=30_000)
        atlas = shown(demo_page, "ui://demo/map")
        atlas.get_by_role("searchbox").fill("norway")
        expect(atlas.locator("#list button")).to_have_count(2)
        atlas.locator("#list button").first.click()
        expect(atlas.locator("#card")).to_be_visible()

    def test_dataviz(self, demo_page: Page) -> None:
        choose(demo_page, "dataviz")
        expect(run(demo_page, "dataviz")).to_have_attribute("data-outcome", "done", timeout=30_000)
        desk = shown(demo_page, "ui://demo/dataviz")
        desk.get_by_label("SQL").fill("SELECT 1 AS one, 2 AS two UNION SELECT 3, 4")
        desk.get_by_role("button", name="Run").click()
        desk.get_by_role("radio", name="Table").check()
        expect(desk.locator("tbody tr")).to_have_count(2)
        expect(desk.locator("thead")).to_contain_text("one")
        desk.get_by_label("SQL").fill("DELETE FROM trip")
        desk.get_by_role("button", name="Run").click()
        expect(desk.get_by_role("alert")).to_contain_text(re.compile("SELECT|read", re.IGNORECASE))
