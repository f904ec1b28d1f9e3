"""What goes wrong in an app is seen in its header, in the inspector and by the kernel; "ready" is said of no broken one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.bare.test_bare_app_bridge import started, until

HELLO = """
const ask = (method, params) => parent.postMessage({jsonrpc: "2.0", id: 1, method, params}, "*");
addEventListener("message", ({data}) => {
  if (data.id === 1) parent.postMessage({jsonrpc: "2.0", method: "ui/notifications/initialized"}, "*");
});
ask("ui/initialize", {protocolVersion: "2026-01-26", appInfo: {name: "a", version: "1"}, appCapabilities: {}});
"""


def told(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(
        "() => model.kinds('event').filter(({event}) => event === 'app-error').map(({payload}) => payload)"
    )
    return found


@pytest.mark.parametrize(
    ("script", "said", "line"),
    [
        ("\n\nnowhere.to.be()", "Uncaught ReferenceError: nowhere is not defined", 3),
        ("\nsetTimeout(() => { throw new TypeError('late') }, 50)", "Uncaught TypeError: late", 2),
        ("\n\n\nPromise.reject(new Error('dropped'))", "Unhandled: Error: dropped", 4),
        ("\nPromise.reject({code: 7})", "Unhandled: [object Object]", None),
        ("\nlet = 5 +", "Uncaught SyntaxError: Unexpected token '+'", 2),
    ],
    ids=["throws", "throws-later", "rejects", "rejects-with-an-object", "does-not-parse"],
)
def test_an_error_turns_the_header_amber(
    open_app: Callable[..., Page], script: str, said: str, line: int | None
) -> None:
    page = open_app(f"<script>{script}</script><script>{HELLO}</script>")
    state = page.locator(".pmcp-app-state-text")
    expect(page.locator(".pmcp-app")).to_have_attribute("data-state", "trouble")
    until(page, "model.kinds('event').some((each) => each.event === 'initialized')")
    told_first = told(page)[0]
    if "SyntaxError" in said:
        assert told_first["message"].startswith("Uncaught SyntaxError: ")
    else:
        assert told_first["message"] == said
    assert told_first.get("line") == line
    # Also when the app has shaken hands.
    assert state.inner_text() == f"error: {told_first['message']}" + (f" (line {line})" if line else "")
    expect(page.get_by_role("button", name="Inspector (1 problem)")).to_be_visible()


def test_an_app_that_ends_before_it_begins_is_not_loading(open_app: Callable[..., Page]) -> None:
    page = open_app("<script>boom()</script>")
    expect(page.locator(".pmcp-app-state-text")).to_have_text(
        "error: Uncaught ReferenceError: boom is not defined (line 1)"
    )


def test_an_app_can_not_write_what_it_likes_into_the_header(open_app: Callable[..., Page]) -> None:
    page = open_app(
        """<script>parent.postMessage({jsonrpc: "2.0", method: "run.pmcp/notifications/app-error",
             params: {message: "ready" + "!".repeat(9000), line: "<b>"}}, "*")</script>"""
    )
    expect(page.locator(".pmcp-app")).to_have_attribute("data-state", "trouble")
    assert page.locator(".pmcp-app-state-text").inner_text() == "error: ready" + "!" * 188


def test_what_an_app_deals_with_is_none(
    open_app: Callable[..., Page], app: Callable[..., str], inner: Callable[[], Any]
) -> None:
    page = open_app(
        app(
            """
            addEventListener("unhandledrejection", (event) => event.preventDefault());
            addEventListener("error", (event) => event.preventDefault());
            Promise.reject(new Error("known"));
            setTimeout(() => { throw new Error("known, too") });
            dispatchEvent(new ErrorEvent("error", {message: "made up"}));
            """
        )
    )
    started(inner)
    page.wait_for_timeout(300)
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    assert told(page) == []


def test_a_page_that_measures_itself_is_well(
    open_app: Callable[..., Page], app: Callable[..., str], inner: Callable[[], Any]
) -> None:
    page = open_app(
        app(
            """
            let complaints = 0;
            addEventListener("error", () => { complaints += 1 });
            const box = document.body.appendChild(document.createElement("div"));
            new ResizeObserver(([{contentRect}]) => {
              if (contentRect.height < 100) box.style.height = `${contentRect.height + 20}px`;
            }).observe(box);
            """
        )
    )
    started(inner)
    inner().locator("body").evaluate(
        "async () => { for (let n = 0; n < 50 && !complaints; n += 1) await new Promise((next) => setTimeout(next, 100)) }"
    )
    assert inner().locator("body").evaluate("() => complaints") > 0, "the browser complains"
    page.wait_for_timeout(300)
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    assert told(page) == []


def test_a_flood_of_errors_hides_nothing_that_was_blocked(
    open_app: Callable[..., Page], app: Callable[..., str], inner: Callable[[], Any]
) -> None:
    page = open_app(app())
    started(inner)
    inner().locator("body").evaluate(
        """() => { for (let n = 0; n < 300; n += 1) parent.postMessage(
             {jsonrpc: "2.0", method: "run.pmcp/notifications/app-error", params: {message: n}}, "*") }"""
    )
    page.wait_for_function("() => model.kinds('event').filter(({event}) => event === 'app-error').length === 100")
    inner().locator("body").evaluate("() => { new Image().src = 'https://elsewhere.example/x.png' }")
    until(page, "model.kinds('event').some((each) => each.event === 'csp-violation')")
    assert len(told(page)) == 100


def test_what_does_not_load_is_told_once(
    open_app: Callable[..., Page], app: Callable[..., str], inner: Callable[[], Any], site: str
) -> None:
    """Once: what the policy blocks does not load either, and is not told again as that."""
    from tests.browser.bare.conftest import CSP

    policy = CSP.replace("img-src data: blob:", f"img-src data: blob: {site}")
    images = f'<img src="{site}/gone.png"><img src="https://elsewhere.example/x.png">'
    page = open_app(images + app(), resource={"csp": policy})
    started(inner)
    until(page, "model.kinds('event').some((each) => each.event === 'csp-violation')")
    until(page, "model.kinds('event').some((each) => each.event === 'app-error')")
    page.wait_for_timeout(300)
    assert [each["message"] for each in told(page)] == [f"img {site}/gone.png did not load"]
    expect(page.get_by_role("button", name="Inspector (2 problems)")).to_be_visible()


def test_errors_have_an_end(open_app: Callable[..., Page], app: Callable[..., str], inner: Callable[[], Any]) -> None:
    page = open_app(app("for (let n = 0; n < 500; n += 1) setTimeout(() => { throw new Error(n) })"))
    started(inner)
    until(page, "model.kinds('event').some((each) => each.event === 'app-error')")
    page.wait_for_timeout(500)
    assert len(told(page)) == 50


def test_a_reload_begins_anew(open_app: Callable[..., Page], app: Callable[..., str], inner: Callable[[], Any]) -> None:
    page = open_app("<script>boom()</script>")
    expect(page.locator(".pmcp-app")).to_have_attribute("data-state", "trouble")
    page.evaluate("(html) => model.set('_resource', {...model.state._resource, html, hash: 'b'})", app())
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")


def test_the_inspector_lists_all(open_app: Callable[..., Page], app: Callable[..., str]) -> None:
    page = open_app(
        app("\nsetTimeout(() => { throw new Error('one') });\nsetTimeout(() => { throw new Error('two') })")
    )
    page.get_by_role("button", name="Inspector (2 problems)").click()
    listed = page.locator(".pmcp-ins-blocked li")
    expect(listed).to_have_count(2)
    expect(listed.nth(0)).to_contain_text("Uncaught Error: one")
    expect(listed.nth(1)).to_contain_text("line ")


def test_an_app_that_can_not_be_read_again_says_so(
    open_app: Callable[..., Page], app: Callable[..., str], inner: Callable[[], Any]
) -> None:
    page = open_app(app())
    started(inner)
    page.evaluate("() => model.set('_host', {...model.state._host, stale: 'page.html is gone'})")
    bar = page.locator(".pmcp-bar")
    expect(bar).to_contain_text("The app changed and can’t be read; this is what it was.")
    expect(bar).to_contain_text("page.html is gone")
    page.evaluate("() => model.set('_host', {...model.state._host, stale: null})")
    expect(bar).to_have_count(0)
