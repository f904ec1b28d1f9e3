"""The tour as a person runs it: every cell, then a look at what it shows, in both themes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.lab.conftest import Open
from tests.browser.lab.jupyter import ROOT

TOUR = ROOT / "notebooks" / "01-tour.ipynb"


def cells() -> dict[str, int]:
    """Index of each cell of the tour, by its id."""
    return {cell["id"]: index for index, cell in enumerate(json.loads(TOUR.read_text())["cells"])}


def test_the_tour_runs_from_top_to_bottom(notebook: Open, picture: Callable[[str], Path]) -> None:
    tour = notebook(file=TOUR)
    at = cells()
    model = json.loads(TOUR.read_text())["cells"]
    for index, cell in enumerate(model):
        if cell["cell_type"] == "code":
            tour.run(index)

    card = tour.cell(at["task"])
    card.scroll_into_view_if_needed()
    expect(card.get_by_text("completed", exact=True).first).to_be_visible()

    table = tour.cell(at["table"])
    table.scroll_into_view_if_needed()
    expect(table.get_by_role("treegrid")).to_be_visible()
    # train from the card, three more, and the question; what is started later joins by itself
    expect(table.locator('[role=row][data-status="completed"]')).to_have_count(5)
    expect(table.locator('[role=row][data-status="failed"]')).to_have_count(1)
    expect(table.get_by_role("row").filter(has_text="flaky")).to_contain_text("went away")

    tour.cell(at["app"]).scroll_into_view_if_needed()
    app = tour.app(at["app"])
    expect(app.locator("svg path").first).to_be_visible()
    before = app.locator("#said").inner_text()
    app.locator("#frequency").fill("7")
    expect(app.locator("#frequency-shown")).to_contain_text("7")
    expect(app.locator("#said")).not_to_have_text(before)

    for theme in ("light", "dark"):
        tour.theme(theme)
        for name in ("task", "table", "app"):
            tour.cell(at[name]).scroll_into_view_if_needed()
            tour.page.wait_for_timeout(600)
            picture(f"tour-{name}-{theme}")
        light = theme == "light"
        color = app.locator("body").evaluate("(body) => getComputedStyle(body).color")
        red = int(re.findall(r"\d+", color)[0])
        assert (red < 128) is light, f"the app's text is {color} in the {theme} theme"


def test_what_an_app_asks_arrives_at_the_server(notebook: Open) -> None:
    book = notebook(
        "import pmcp_lab as lab\ndemo = lab.connect('demo')\nview = demo.app('wave')\nview",
        "[call['params']['arguments'] for call in view.calls]",
    )
    book.run(0)
    app = book.app(0)
    expect(app.locator("svg path").first).to_be_visible()
    app.locator("#damping").fill("1.5")
    expect(app.locator("#damping-shown")).to_contain_text("1.5")
    book.page.wait_for_timeout(500)
    said = book.run(1)[0]["data"]["text/plain"]
    assert "'damping': 1.5" in said
