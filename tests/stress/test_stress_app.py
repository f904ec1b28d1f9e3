"""Five hundred opens of one app in one page."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

from tests.browser.bare.conftest import api_hits, app, bare, open_app, site, static  # noqa: F401 - fixtures
from tests.browser.bare.test_bare_app_life import opened

OPENS = 500


def test_five_hundred_opens_lose_no_ready_message(
    open_app: Callable[..., Page],  # noqa: F811
    app: Callable[..., str],  # noqa: F811
) -> None:
    assert opened(open_app(app(), options={"mount": False}), OPENS) == []
