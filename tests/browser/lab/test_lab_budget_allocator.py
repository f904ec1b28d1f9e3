"""A third party's app: server-budget-allocator, unchanged, in a cell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.lab.conftest import Open
from tests.peers import Peer


def test_the_budget_allocator(notebook: Open, budget_allocator: Peer, picture: Callable[[str], Path]) -> None:
    book = notebook(
        f"import pmcp_lab as lab\nbudget = lab.connect({json.dumps(budget_allocator.stdio)}, name='budget')",
        "%load_ext pmcp_lab\nview = %mcp app budget get-budget-data\nview",
        "[event['event'] for event in view.events]",
    )
    book.run(0)
    book.run(1)
    app = book.app(1)
    expect(app.locator("canvas").first).to_be_visible()
    slider = app.locator("input[type=range]").first
    expect(slider).to_be_visible()
    amounts = app.locator("body").inner_text()
    slider.focus()
    for _ in range(5):
        slider.press("ArrowRight")
    expect(app.locator("body")).not_to_have_text(amounts)
    assert "initialized" in book.run(2)[0]["data"]["text/plain"]
    for theme in ("light", "dark"):
        book.theme(theme)
        book.cell(1).scroll_into_view_if_needed()
        book.page.wait_for_timeout(600)
        picture(f"budget-allocator-{theme}")
