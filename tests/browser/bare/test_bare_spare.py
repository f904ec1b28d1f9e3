"""The outer frame made ahead of its app: taken when it fits, and as tight as one made to measure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.bare.conftest import CSP

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]

SPARE = "body > [aria-hidden=true] > iframe.pmcp-app-frame"


def ready(page: Page) -> None:
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")


def test_it_is_moved_into_the_view_without_a_reload(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app(), options={"mount": False})
    spare = page.locator(SPARE)
    expect(spare).to_have_count(1)
    spare.evaluate("(frame) => { window.made = frame; }")
    page.wait_for_timeout(300)
    page.evaluate("() => mount()")
    ready(page)
    assert page.evaluate("() => document.querySelector('#cell iframe.pmcp-app-frame') === made")
    expect(inner().locator("#state")).to_have_text("started")
    # and the next app finds one too, a single one
    expect(spare).to_have_count(1)
    page.evaluate("() => mount()")
    page.wait_for_timeout(500)
    expect(spare).to_have_count(1)


def test_an_app_that_declares_something_gets_its_own(open_app: Open, app: App) -> None:
    policy = CSP.replace("connect-src 'none'", "connect-src https://api.example.org")
    page = open_app(app(), resource={"csp": policy})
    ready(page)
    used = page.frame_locator("#cell iframe.pmcp-app-frame").locator("meta[http-equiv]").get_attribute("content")
    assert used == policy
    expect(page.locator(SPARE)).to_have_count(1)


def test_the_spare_has_the_tight_policy_and_sandbox(open_app: Open, app: App) -> None:
    page = open_app(app(), options={"mount": False})
    spare = page.locator(SPARE)
    assert spare.get_attribute("sandbox") == "allow-scripts allow-forms"
    assert spare.get_attribute("allow") == ""
    meta = page.frame_locator(SPARE).locator("meta[http-equiv]")
    assert meta.get_attribute("content") == CSP


def test_without_a_way_to_move_it_there_is_none(bare: Page, open_app: Open, app: App) -> None:
    bare.evaluate("() => { delete Element.prototype.moveBefore; }")
    page = open_app(app())
    ready(page)
    expect(page.locator(SPARE)).to_have_count(0)


@pytest.mark.parametrize("theme", ["true", "false"])
def test_it_follows_the_theme_it_did_not_see_change(open_app: Open, app: App, theme: str) -> None:
    page = open_app(app(), options={"mount": False})
    page.wait_for_timeout(200)
    page.evaluate("(light) => { document.body.dataset.jpThemeLight = light; }", theme)
    page.evaluate("() => mount()")
    ready(page)
    scheme = "light" if theme == "true" else "dark"
    assert page.locator("#cell iframe.pmcp-app-frame").evaluate("(frame) => frame.style.colorScheme") == scheme
    outer = page.frame_locator("#cell iframe.pmcp-app-frame")
    expect(outer.locator("html")).to_have_css("color-scheme", scheme)
