"""What the person sees around an app, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.conftest import press

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]

MUTE = "<!doctype html><h1>plain page</h1>"


def host(**changes: Any) -> dict[str, Any]:
    """The `_host` trait with changes."""
    return {
        "info": {"name": "pmcp_lab", "version": "1"},
        "capabilities": {},
        "initTimeout": 10_000,
        "server": "demo",
        **changes,
    }


def test_mute_app_gets_a_bar_and_stays_visible(open_app: Open, inner: Inner) -> None:
    page = open_app(MUTE, _host=host(initTimeout=1500))
    expect(page.locator(".pmcp-app-state-text")).to_have_text("loading")
    bar = page.locator(".pmcp-bar")
    expect(bar).to_contain_text("ui/notifications/initialized within 1.5 s")
    expect(page.locator(".pmcp-app-state-text")).to_have_text("app does not answer")
    expect(inner().locator("h1")).to_be_visible()
    assert page.evaluate("() => model.kinds('event').map((e) => e.event)") == ["init-timeout"]
    bar.get_by_role("button", name="Reload").click()
    expect(page.locator(".pmcp-app-state-text")).to_have_text("loading")
    expect(bar).to_have_count(0)


def test_no_button_around_the_app_sends_a_form(open_app: Open, app: App) -> None:
    page = open_app(app())
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    types = page.eval_on_selector_all(".pmcp-app button", "(nodes) => nodes.map((node) => node.type)")
    assert types == ["button", "button"]


def test_call_error_is_readable(open_app: Open, app: App) -> None:
    call = {"tool": {"name": "show"}, "arguments": {}, "result": None, "cancelled": None, "error": "no such city"}
    page = open_app(app(), _call=call)
    expect(page.get_by_role("alert")).to_contain_text("no such city")


def test_busy_kernel_is_shown_and_goes_away(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    expect(inner().locator("#state")).to_have_text("started")
    page.wait_for_function("() => model.kinds('hello').length === 1")
    page.wait_for_timeout(100)
    page.evaluate("() => { model.answers = false }")
    inner().locator("body").evaluate("() => void rpc('tools/call', {name: 'x'})")
    expect(page.locator(".pmcp-app-state-text")).to_have_text("no answer from the kernel for over 1 s, asking again")
    ping = page.evaluate("() => model.kinds('ping').at(-1)")
    page.evaluate("({n, view}) => model.say({kind: 'pong', to: view, n})", ping)
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")


def test_no_kernel_is_a_snapshot(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app(), options={"live": False})
    expect(page.locator(".pmcp-app-state-text")).to_have_text("no live kernel: static snapshot")
    expect(page.locator(".pmcp-bar")).to_contain_text("Run its cell again")
    expect(inner().locator("#state")).to_have_text("started")
    code = inner().locator("body").evaluate("() => rpc('tools/call', {}).catch((e) => e.code)")
    assert code == -32000
    assert page.evaluate("() => model.sent") == []


def test_a_kernel_that_goes_and_comes_back(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    expect(inner().locator("#state")).to_have_text("started")
    inner().locator("body").evaluate("() => { window.mark = 7 }")
    page.evaluate("() => model.setLive(false)")
    expect(page.locator(".pmcp-bar")).to_contain_text("shows its last state")
    page.evaluate("() => model.setLive(true)")
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    expect(page.locator(".pmcp-bar")).to_have_count(0)
    assert inner().locator("body").evaluate("() => window.mark") == 7, "the app was left alone all the while"


def test_closed_before_it_was_mounted(open_app: Open, app: App) -> None:
    page = open_app(app(), _closed=True)
    expect(page.locator(".pmcp-app-state-text")).to_have_text("closed")
    expect(page.locator("#cell iframe")).to_have_count(0)


@pytest.mark.parametrize(("button", "opened"), [("Open", True), ("Don’t open", False)])
def test_link_asks_first(open_app: Open, app: App, inner: Inner, button: str, opened: bool) -> None:
    page = open_app(app())
    page.evaluate(
        """() => {
          window.opened = [];
          addEventListener("click", (event) => {
            const {tagName, href, target, rel} = event.target;
            if (tagName !== "A") return;
            opened.push([href, target, rel]);
            event.preventDefault();
          });
        }"""
    )
    expect(inner().locator("#state")).to_have_text("started")
    inner().locator("body").evaluate(
        "() => { rpc('ui/open-link', {url: 'https://example.org/x'}).then((r) => { window.answer = r });"
        "        rpc('ui/open-link', {url: 'https://evil.example'}).then((r) => { window.second = r }) }"
    )
    bar = page.locator(".pmcp-bar")
    expect(bar).to_contain_text("https://example.org/x")
    press(bar.get_by_role("button", name=button, exact=True))
    expect(bar).to_have_count(0)
    answers = inner().locator("body").evaluate("() => [window.answer, window.second]")
    assert answers == [{} if opened else {"isError": True}, {"isError": True}]
    expected = [["https://example.org/x", "_blank", "noreferrer"]] if opened else []
    assert page.evaluate("() => opened") == expected


def test_bars_take_one_line(open_app: Open, app: App, inner: Inner) -> None:
    call = {"tool": {"name": "show"}, "arguments": {}, "result": None, "cancelled": None, "error": "no such city " * 40}
    page = open_app(app(), _call=call)
    bars = page.locator(".pmcp-bar")
    expect(bars).to_have_count(1)
    assert bars.evaluate("(node) => node.offsetHeight") <= 36
    page.get_by_role("button", name="More", exact=True).click()
    assert bars.evaluate("(node) => node.offsetHeight") > 60, "all of it is to be read"
    page.get_by_role("button", name="Less").click()
    expect(inner().locator("#state")).to_have_text("started")
    page.evaluate("() => model.set('_host', {...model.state._host, stale: 'page.html is gone'})")
    newest = page.locator(".pmcp-bar", has_text="page.html is gone")
    expect(newest).to_be_visible()
    expect(page.locator(".pmcp-bar:visible")).to_have_count(1)
    others = page.get_by_role("button", name="1 more")
    expect(others).to_have_attribute("aria-expanded", "false")
    others.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".pmcp-bar:visible")).to_have_count(2)
    expect(page.locator("button:focus"), "the focus stays").to_have_text("Less")
    page.keyboard.press("Enter")
    page.evaluate("() => model.set('_host', {...model.state._host, stale: null})")
    expect(page.locator(".pmcp-bar:visible")).to_contain_text("The call failed.")


def test_app_that_left_its_page(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    expect(inner().locator("#state")).to_have_text("started")
    page.wait_for_timeout(1100)
    inner().locator("body").evaluate("() => { location = 'https://example.org/' }")
    expect(page.locator(".pmcp-bar")).to_contain_text("The app left its page")
    page.locator(".pmcp-bar").get_by_role("button", name="Reload").click()
    expect(inner().locator("#state")).to_have_text("started")


def test_border_as_the_resource_prefers(open_app: Open, app: App) -> None:
    page = open_app(app(), resource={"prefersBorder": False})
    expect(page.locator(".pmcp-app")).to_have_css("border-top-width", "0px")


def test_transparent_app_blends_in(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app("document.body.style.background = 'transparent'"))
    expect(inner().locator("#state")).to_have_text("started")
    page.evaluate(
        """() => { document.body.dataset.jpThemeLight = "false";
                   document.documentElement.style.setProperty("--jp-layout-color1", "rgb(10, 60, 20)") }"""
    )
    box = page.locator("#cell iframe.pmcp-app-frame").bounding_box()
    assert box
    clip = {"x": box["x"] + box["width"] - 20, "y": box["y"] + box["height"] - 20, "width": 4, "height": 4}
    frame = page.locator("#cell iframe.pmcp-app-frame")

    def with_and_without() -> tuple[bytes, bytes]:
        shots = []
        for visibility in ("visible", "hidden"):
            frame.evaluate("(frame, value) => { frame.style.visibility = value }", visibility)
            shots.append(page.screenshot(clip=clip, type="png"))
        return shots[0], shots[1]

    # The page takes the new theme in a few frames, on a slow machine in many.
    for _ in range(20):
        shown, hidden = with_and_without()
        if shown == hidden:
            return
        page.wait_for_timeout(100)
    assert shown == hidden
