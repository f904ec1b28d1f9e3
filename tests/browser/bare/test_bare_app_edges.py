"""Text of an app that leaves the space around it to its host does not touch the edge; what is drawn to it stays there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import FrameLocator, Page

Open = Callable[..., Page]
Inner = Callable[[], FrameLocator]

BARE = "<!doctype html><style>body { margin: 0 }</style>"

PAGES = {
    "text": (BARE + "<p id=text>Sales</p>", 10),
    "late": (BARE + "<p id=text></p><script>setTimeout(() => { text.textContent = 'Sales' }, 900)</script>", 10),
    "a table": (BARE + "<table style='width: 100%'><tr><td id=text style='padding: 0'>Sales</table>", 10),
    "a margin of its own": ("<!doctype html><p id=text>Sales</p>", 8),
    "a bar with a colour": (BARE + "<div id=bar style='background: #246'><span id=text>Sales</span></div>", 10),
    "over a map": (BARE + "<div style='position: absolute; left: 0'><span id=text>Sales</span></div>", 0),
    "cut off in what hides it": (
        BARE + "<div style='background: #eee; overflow: hidden'><p id=text style='width: 100vw'>Sales</p></div>",
        0,
    ),
    "as wide as the frame": (BARE + "<p id=text style='width: 100vw'>Sales</p>", 0),
}


@pytest.mark.parametrize("page_of", PAGES)
def test_text_at_the_edge(open_app: Open, inner: Inner, page_of: str) -> None:
    html, left = PAGES[page_of]
    page = open_app(html)
    text = inner().locator("#text")
    text.wait_for(state="attached")
    page.wait_for_timeout(2000)
    seen = """(node) => {
      const range = document.createRange();
      range.selectNodeContents(node);
      const {scrollWidth, clientWidth} = document.documentElement;
      return [Math.round(range.getBoundingClientRect().left * 10) / 10, scrollWidth - clientWidth];
    }"""
    at, beyond = text.evaluate(seen)
    # A table has a spacing of its own.
    assert left <= at <= left + 3
    assert beyond == 0
    bar = inner().locator("#bar")
    if bar.count():
        assert bar.evaluate("(node) => node.getBoundingClientRect().left") == 0
