"""An app that nobody can see, one that is opened again and again, and one whose page can't reach its server."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.bare.test_bare_app_bridge import started, until

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]

OPENS = 40
"""In the suite; the stress tests open more."""


def call(inner: Inner, name: str) -> None:
    inner().locator("body").evaluate("(_, name) => void rpc('tools/call', {name}).catch(() => {})", name)


def events(page: Page) -> list[str]:
    found: list[str] = page.evaluate("() => model.kinds('event').map((each) => each.event)")
    return found


def test_a_hidden_app_waits_with_what_it_asks(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    started(inner)
    page.evaluate("() => { document.querySelector('#cell').style.display = 'none' }")
    # What a click began goes on.
    call(inner, "at once")
    until(page, "model.kinds('rpc').length === 1")
    until(page, "model.kinds('event').some((each) => each.event === 'paused')")
    call(inner, "later")
    call(inner, "last")
    page.wait_for_timeout(200)
    assert page.evaluate("() => model.kinds('rpc').length") == 1
    page.evaluate("() => { document.querySelector('#cell').style.display = '' }")
    until(page, "model.kinds('rpc').length === 3")
    asked = page.evaluate("() => model.kinds('rpc').map((each) => each.payload.params.name)")
    assert asked == ["at once", "later", "last"]
    assert events(page)[-2:] == ["paused", "resumed"]


def test_a_page_in_the_background_pauses_it_too(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    started(inner)
    page.evaluate(
        """() => { Object.defineProperty(document, "hidden", {value: true, configurable: true});
                   document.dispatchEvent(new Event("visibilitychange")) }"""
    )
    until(page, "model.kinds('event').some((each) => each.event === 'paused')")
    call(inner, "later")
    page.evaluate("() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')) }")
    until(page, "model.kinds('rpc').length === 1")


def test_what_waits_may_be_cancelled(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    started(inner)
    page.evaluate("() => { document.querySelector('#cell').style.display = 'none' }")
    until(page, "model.kinds('event').some((each) => each.event === 'paused')")
    inner().locator("body").evaluate("() => { rpc('tools/call', {name: 'x'}, 'gone').catch(() => {}) }")
    inner().locator("body").evaluate("() => note('notifications/cancelled', {requestId: 'gone'})")
    call(inner, "kept")
    page.evaluate("() => { document.querySelector('#cell').style.display = '' }")
    until(page, "model.kinds('rpc').length === 1")
    assert page.evaluate("() => model.kinds('rpc')[0].payload.params.name") == "kept"


def test_no_ready_message_is_lost_however_often_it_is_opened(open_app: Open, app: App) -> None:
    lost = opened(open_app(app(), options={"mount": False}), OPENS)
    assert lost == []


def opened(page: Page, times: int) -> list[int]:
    """Which of so many opens, four at a time, did not shake hands and get what they were opened for."""
    found: list[int] = page.evaluate(
        """async (times) => {
          const lost = [];
          const ready = (view) => view.el.querySelector(".pmcp-app-state-text")?.textContent === "ready";
          for (let from = 0; from < times; from += 4) {
            const round = [...Array(Math.min(4, times - from))].map(() => mount());
            const end = performance.now() + 15000;
            while (!round.every(ready) && performance.now() < end)
              await new Promise((next) => setTimeout(next, 5));
            round.forEach((view, n) => { if (!ready(view)) lost.push(from + n); view.close(); });
          }
          // What may be lost is said again before the bye.
          const events = model.kinds("event").filter((each) => each.event === "initialized");
          const started = new Set(events.map((each) => each.view)).size;
          return started === times - lost.length ? lost : [...lost, -1];
        }""",
        times,
    )
    return found


def test_a_page_that_cannot_reach_the_server_says_so(open_app: Open, app: App, inner: Inner) -> None:
    target = {
        "mode": "direct",
        "url": "http://127.0.0.1:9/mcp",
        "version": "2026-07-28",
        "info": {"name": "pmcp_lab", "version": "1"},
        "capabilities": {},
    }
    page = open_app(app(), _bridge=target)
    started(inner)
    bar = page.locator(".pmcp-bar")
    expect(bar).to_contain_text("This page can’t speak to the server itself; the kernel goes on doing it.")
    expect(bar).to_contain_text("CORS")
    call(inner, "anyway")
    until(page, "model.kinds('rpc').length === 1")
    (told,) = page.evaluate("() => model.kinds('event').filter((e) => e.event === 'bridge').map((e) => e.payload)")
    assert told["mode"] == "kernel"
    assert "127.0.0.1:9" in told["why"]


def test_no_code_for_it_is_loaded_before(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    started(inner)
    assert page.evaluate("() => model.kinds('code')") == []


def test_calls_end_with_the_kernel(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    started(inner)
    inner().locator("body").evaluate(
        "() => { window.why = null; rpc('tools/call', {name: 'x'}).catch((error) => { why = error }) }"
    )
    until(page, "model.kinds('rpc').length === 1")
    page.evaluate("() => model.setLive(false)")
    expect(page.locator(".pmcp-bar")).to_contain_text("Run its cell again")
    until_inner = "async () => { while (!why) await new Promise((next) => setTimeout(next, 10)); return why.code }"
    assert inner().locator("body").evaluate(until_inner) == -32000


def test_a_page_has_the_code_of_a_widget_once(bare: Page) -> None:
    """Every model imports its own copy of the text; what a second one would compile and keep anew is already there."""
    same = """async (name) => {
        const text = await (await fetch(`/static/${name}.js`)).text();
        const load = () => import(URL.createObjectURL(new Blob([text], {type: "text/javascript"})));
        const [first, second] = [await load(), await load()];
        return first !== second && first.default === second.default;
    }"""
    for name in ("app-view", "task-table", "cards"):
        assert bare.evaluate(same, name), name
    kept = "() => Object.getOwnPropertySymbols(window).filter((each) => /^pmcp_lab/.test(each.description)).length"
    assert bare.evaluate(kept) == 4, "three widgets, and the parts of which two are made"


def test_a_change_that_was_lost_before_there_is_a_view(open_app: Open, app: App) -> None:
    """The model is made, loses the change with the resource, gets the next, and is shown then."""
    page = open_app(app(), options={"mount": False}, _seq=0)
    page.evaluate(
        """() => {
          window.lost = model.state._resource;
          model.assign({_resource: {}, _seq: 0});
          model.assign({_seq: 2});
          mount();
        }"""
    )
    page.wait_for_function("() => model.kinds('hello').length > 0")
    assert page.evaluate("() => model.kinds('hello')[0].seq") == -1
    page.evaluate("() => model.assign({_resource: lost, _whole: 2})")
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
