"""The colours that an app is given: text can be read on what it is for, in each of JupyterLab's themes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import FrameLocator, Page, expect

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]

THEMES = Path(sys.prefix) / "share/jupyter/lab/themes/@jupyterlab"
PLAIN = ("primary", "secondary", "tertiary", "ghost")
MEANT = ("info", "danger", "success", "warning")
#: Which text stands on which background.
PAIRS = [
    *((text, ground) for text in (*PLAIN, *MEANT) for ground in PLAIN),
    *((text, ground) for ground in MEANT for text in (ground, "primary", "secondary")),
    ("inverse", "inverse"),
    ("disabled", "disabled"),
]
ENOUGH = 4.5
"""https://www.w3.org/TR/WCAG22/#contrast-minimum"""

#: Painted and read back, one over the other: a theme's colours are translucent in places, and written in many ways.
PAINT = """(grounds) => {
  const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  return grounds.map((layers) => {
    for (const layer of layers) { context.fillStyle = layer; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  });
}"""


def luminance(colour: list[int]) -> float:
    parts = [each / 255 for each in colour]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: list[int], other: list[int]) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["none-light", "none-dark", "light", "dark", "dark-high-contrast"])
def test_text_can_be_read(bare: Page, open_app: Open, app: App, inner: Inner, theme: str) -> None:
    bare.evaluate("(light) => { document.body.dataset.jpThemeLight = light }", str(theme.endswith("light")).lower())
    if not theme.startswith("none"):
        css = (THEMES / f"theme-{theme}-extension" / "index.css").read_text()
        roots = re.findall(r":root\s*\{[^}]*\}", css)
        assert roots, "a theme says its colours in :root"
        # Material colours are JupyterLab's own; a theme names what each is where there are none.
        bare.add_style_tag(content="\n".join(roots))
    open_app(
        app(
            "const shown = setInterval(() => { if (window.host) { clearInterval(shown); "
            "document.body.dataset.said = JSON.stringify(host.hostContext.styles.variables) } }, 20)"
        )
    )
    expect(inner().locator("#state")).to_have_text("started")
    body = inner().locator("body")
    expect(body).to_have_attribute("data-said", re.compile("color"))
    given: dict[str, str] = body.evaluate("(node) => JSON.parse(node.dataset.said)")

    def text(name: str) -> str:
        return given[f"--color-text-{name}"]

    def ground(name: str) -> str:
        return given[f"--color-background-{name}"]

    # A ghost is seen through, to the app's own ground.
    grounds = [[ground("primary"), ground(on)] for _, on in PAIRS]
    painted = bare.evaluate(
        PAINT, [*grounds, *([*under, text(of)] for under, (of, _) in zip(grounds, PAIRS, strict=True))]
    )
    found = {
        f"{of} on {on}": round(contrast(under, over), 2)
        for (of, on), under, over in zip(PAIRS, painted[: len(PAIRS)], painted[len(PAIRS) :], strict=True)
    }
    assert {pair: ratio for pair, ratio in found.items() if ratio < ENOUGH} == {}
