"""The demo's three apps in JupyterLab: in one notebook, over the server that `connect("demo")` starts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.lab.conftest import Open

CELLS = (
    "import pmcp_lab as lab\ndemo = lab.connect('demo')",
    "board = demo.app('chess', moves=['e4', 'e5', 'Nf3', 'Nc6', 'Bc4', 'Nf6', 'd3', 'Bc5', 'O-O', 'd6'])\nboard",
    "places = demo.app('map')\nplaces",
    "data = demo.app('dataviz')\ndata",
    """def last(view, tool):
    calls = [call for call in view.calls if call["method"] == "tools/call" and call["params"]["name"] == tool]
    return calls[-1]["result"]["structuredContent"]
(len(last(board, "chess_play")["moves"]), last(places, "map_place")["place"]["id"], last(data, "dataviz")["chart"]["kind"])""",
)


def test_three_apps_in_one_notebook(notebook: Open, lab_page: Page, picture: Callable[[str], Path]) -> None:
    book = notebook(*CELLS)
    for index in range(4):
        book.run(index)
    board, places, data = (book.app(index) for index in (1, 2, 3))

    book.cell(1).scroll_into_view_if_needed()
    expect(board.locator("#moves button")).to_have_count(10)
    board.locator('[data-square="c1"]').click()
    board.locator('[data-square="g5"]').click()
    expect(board.locator("#note")).to_contain_text(re.compile("^Black played"))

    book.cell(2).scroll_into_view_if_needed()
    places.get_by_role("searchbox").fill("lisbon")
    places.get_by_role("button", name="Lisbon").click()
    expect(places.get_by_role("region", name="Details")).to_contain_text("Portugal · Water")

    book.cell(3).scroll_into_view_if_needed()
    data.get_by_role("button", name="Hours of the day").click()
    expect(data.locator("path.curve")).to_have_count(2)

    [told] = book.run(4)
    assert told["data"]["text/plain"] == "(12, 'lisbon', 'line')"
    for theme in ("dark", "light"):
        book.theme(theme)
        for index, name in enumerate(("chess", "map", "dataviz"), 1):
            expect(book.app(index).locator("html")).to_have_css("color-scheme", theme)
            book.cell(index).scroll_into_view_if_needed()
            picture(f"demo-{name}-{theme}")
