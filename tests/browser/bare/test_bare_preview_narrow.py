"""The preview where there is room for one thing alone."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.bare.test_bare_preview import Preview, preview  # noqa: F401 - a fixture


def test_what_one_came_to_see_is_first(preview: Preview) -> None:  # noqa: F811
    page = preview("demo", tool="wave", width=390)
    expect(page.locator(".pmcp-app[data-state=ready]")).to_be_visible()
    app, context, tools = (page.locator(part).bounding_box() for part in (".pv-stage", ".pmcp-ins-host", ".pv-side"))
    assert app
    assert context
    assert tools
    assert app["y"] < 200
    assert app["y"] + app["height"] <= context["y"] < tools["y"]
