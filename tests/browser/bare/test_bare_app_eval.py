"""Code from text, which no app may make unasked: said of those that miss it, and of no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import FrameLocator, Page, expect

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]

EVAL = "setTimeout(() => { try { new Function('1') } catch {} })"


def test_eval_is_named_without_the_inspector(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    inner().locator("body").evaluate(f"() => {{ {EVAL} }}")
    bar = page.locator(".pmcp-bar", has_text="unsafe-eval")
    expect(bar).to_contain_text('lab.connected("demo").allow_apps(unsafe_eval=True)')


def test_a_library_that_only_tries_eval_is_left_in_peace(open_app: Open, app: App) -> None:
    page = open_app(f"<script>{EVAL}</script>{app()}")
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    page.wait_for_function("() => model.kinds('event').some((e) => e.event === 'csp-violation')")
    expect(page.locator(".pmcp-bar")).to_have_count(0)
    expect(page.get_by_role("button", name="Inspector", exact=True)).to_be_visible()


HASTY = {"info": {"name": "pmcp_lab", "version": "1"}, "capabilities": {}, "initTimeout": 300, "server": "demo"}


def test_an_app_that_eval_kept_from_starting(open_app: Open) -> None:
    page = open_app("<script>new Function('1')</script>", _host=HASTY)
    expect(page.locator(".pmcp-bar", has_text="unsafe-eval")).to_have_count(1)


def test_an_app_that_starts_late_without_eval(open_app: Open, app: App) -> None:
    """What libraries try in vain is no reason to wait for them, and what an app does without is none to allow it."""
    html = app().replace("  start();", "  setTimeout(start, 2000);")
    page = open_app(f"<script>try {{ new Function('1') }} catch {{}}</script>{html}", _host=HASTY)
    bar = page.locator(".pmcp-bar", has_text="unsafe-eval")
    expect(bar).to_have_count(1)
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    expect(bar).to_have_count(0)
    expect(page.locator(".pmcp-bar")).to_have_count(0)


@pytest.mark.parametrize(
    "tried", ["new Function('')", "Function('return this')()", "new (async () => {}).constructor('')"]
)
@pytest.mark.parametrize("after", [0, 1000], ids=["at the start", "later"])
def test_a_library_that_only_tries_whether_it_may(open_app: Open, app: App, tried: str, after: int) -> None:
    """As zod does, whenever it is used first."""
    page = open_app(
        app(f"setTimeout(() => {{ try {{ {tried} }} catch {{}} }}, {after})"), _host=HASTY | {"initTimeout": 9000}
    )
    page.wait_for_function("() => model.kinds('event').some((e) => e.event === 'csp-violation')")
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    page.wait_for_timeout(200)
    expect(page.locator(".pmcp-bar")).to_have_count(0)
    assert page.evaluate("() => model.kinds('code')") == []


def test_an_error_by_eval_is_none_that_was_tried(open_app: Open, app: App) -> None:
    page = open_app(app("setTimeout(() => { new Function('') }, 300)"))
    expect(page.locator(".pmcp-bar", has_text="unsafe-eval")).to_be_visible()
