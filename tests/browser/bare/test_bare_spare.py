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
    # Firefox tells no page which features there are.
    known = page.evaluate("() => document.featurePolicy?.features() ?? []")
    denied = [each for each in (spare.get_attribute("allow") or "").split("; ") if each]
    assert denied or not known
    assert all(each.endswith(" 'none'") for each in denied)
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


def load_ahead(page: Page, html: str | None) -> None:
    """Another widget's model, whose view the notebook has not made yet, after the page has shown an app.

    Args:
        html: None for a model that has no document yet.
    """
    ready(page)
    expect(page.locator(SPARE)).to_have_count(1)
    page.evaluate("() => views[0].close()")
    page.wait_for_timeout(300)
    page.evaluate(
        """(html) => {
            window.known = model.state._resource;
            const _resource = html === null ? {} : {...known, html};
            return open_widget('app-view', {...model.state, _resource}, {mount: false});
        }""",
        html,
    )


def test_an_app_begins_while_the_notebook_makes_its_view(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    load_ahead(page, app("window.width = innerWidth; window.mark = 'ahead'"))
    ahead = page.frame_locator(SPARE).frame_locator("iframe").locator("#state")
    # It asks who the host is, and nobody is there yet.
    page.wait_for_timeout(300)
    expect(ahead).to_have_text("starting")
    assert page.locator(SPARE).evaluate("(frame) => getComputedStyle(frame).visibility") == "hidden"
    ahead.evaluate("() => { window.mark += ' and still there'; }")
    page.evaluate("() => mount()")
    ready(page)
    state = inner().locator("#state")
    expect(state).to_have_text("started")
    assert state.evaluate("() => mark") == "ahead and still there"
    # As wide as what was there before, so that it need not do its drawing twice.
    assert state.evaluate("() => width === innerWidth")
    results = state.evaluate("() => log.filter(({method}) => method === 'ui/notifications/tool-result').length")
    assert results == 1


def test_the_spare_makes_no_page_wider(open_app: Open, app: App) -> None:
    page = open_app(app())
    ready(page)
    expect(page.locator(SPARE)).to_have_count(1)
    page.set_viewport_size({"width": 380, "height": 600})
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_what_was_loaded_ahead_for_another_is_not_shown(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    load_ahead(page, app("window.mark = 'ahead'"))
    page.wait_for_timeout(300)
    page.evaluate("(html) => { model.state._resource = {...model.state._resource, html}; }", app("window.mark = 'new'"))
    page.evaluate("() => mount()")
    ready(page)
    assert inner().locator("#state").evaluate("() => mark") == "new"


def test_an_app_that_nobody_shows_ends(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    load_ahead(page, app())
    expect(page.frame_locator(SPARE).frame_locator("iframe").locator("#state")).to_be_attached()
    expect(page.locator(SPARE)).to_have_count(0, timeout=5000)
    page.evaluate("() => mount()")
    ready(page)
    expect(inner().locator("#state")).to_have_text("started")


def test_a_document_that_comes_later_begins_before_its_view_too(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    load_ahead(page, None)
    page.evaluate("(html) => model.set('_resource', {...known, html})", app("window.mark = 'later'"))
    expect(page.frame_locator(SPARE).frame_locator("iframe").locator("#state")).to_have_text("starting")
    page.evaluate("() => mount()")
    ready(page)
    assert inner().locator("#state").evaluate("() => mark") == "later"
