"""What a saved notebook shows, and any page whose kernel is gone before a view is made."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.bare.test_bare_axe import cases

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]

GONE = {"live": False}


@pytest.mark.parametrize("name", [name for name in cases() if name != "catalogue"])
def test_every_live_widget_is_shown_as_it_was(bare: Page, name: str) -> None:
    bundle, state = cases()[name]
    bare.evaluate(f"async () => {{ await open_widget({bundle!r}, {state}, {{live: false}}) }}")
    expect(bare.locator(".view")).to_contain_text("no live kernel: static snapshot")
    assert bare.evaluate("() => model.sent") == []


def test_an_app_of_an_old_widget_is_shown(open_app: Open, app: App, inner: Inner) -> None:
    open_app(app(), resource={"legacy": True}, options=GONE)
    expect(inner().locator("#state")).to_have_text("started")


def test_an_app_that_spoke_to_its_server_itself_gets_an_answer(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app(), _bridge={"mode": "direct", "url": "http://127.0.0.1:9/mcp", "headers": {}}, options=GONE)
    expect(inner().locator("#state")).to_have_text("started")
    code = inner().locator("body").evaluate("() => rpc('tools/call', {name: 'x'}).catch((e) => e.code)")
    assert code == -32000
    expect(page.locator(".pmcp-bar")).to_have_count(1)
