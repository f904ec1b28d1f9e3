"""The ways in which widgets are written: each gets what its tool was called with, and what came of it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import FrameLocator, Page, expect

Open = Callable[..., Page]
Inner = Callable[[], FrameLocator]

#: Written for `window.mcpBridge`; it uses it while the document is still being read.
CLASSIC = """<!doctype html><p id=log></p><script>
  const show = () => document.querySelector("#log").textContent =
    `input ${JSON.stringify(mcpBridge.toolInput)};result ${mcpBridge.toolOutput};`;
  addEventListener("openai:set_globals", show);
  mcpBridge.theme.length;
</script>"""


@pytest.fixture
def styles(sdk_app: str) -> dict[str, str]:
    script = re.search(r"<script type=module>(.*)</script>", sdk_app, re.DOTALL)
    assert script is not None
    encoded = base64.b64encode(script[1].encode()).decode()
    by_url = f"<!doctype html><p id=log></p><script type=module src='data:text/javascript;base64,{encoded}'></script>"
    return {"classic": CLASSIC, "bundled": sdk_app, "by-url": by_url}


@pytest.mark.parametrize("style", ["classic", "bundled", "by-url"])
def test_each_gets_input_and_result(open_app: Open, inner: Inner, styles: dict[str, str], style: str) -> None:
    open_app(styles[style], resource={"legacy": style == "classic"})
    expect(inner().locator("#log")).to_contain_text('input {"city":"Bern"};result sunny;')
