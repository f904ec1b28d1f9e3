"""Widgets of one page have their stylesheets in common; none may change how another looks, whichever came last."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.bare.test_bare_axe import cases
from tests.browser.bare.test_bare_card import card  # noqa: F401 - a fixture
from tests.browser.bare.test_bare_table import DETAIL, many, table  # noqa: F401 - a fixture

BUNDLES = ("app-view", "views", "inspector")

# The inspector's place is the app's, and its stylesheet comes when it is opened. Compared in the page: it is much.
LOOKS = """() => { window.looks = () => [...document.querySelectorAll(".view :not(.pmcp-inspector)")].map((node) => {
    const style = getComputedStyle(node);
    // A variable that nothing of it uses changes no look, and one that is used shows in what uses it.
    // A stretch of a life is as long as its time, which goes on.
    const passes = (name) => name === "flex-grow" && node.matches(".pmcp-life-part");
    const names = [...style].filter((name) => !name.startsWith("--") && !passes(name));
    return [node.className, names.map((name) => `${name} ${style[name]}`)];
  });
  window.before = looks(); }"""
DIFFERENCES = """() => looks().flatMap(([name, lines], at) => lines.flatMap((line, n) =>
  line === before[at]?.[1][n] ? [] : [`${name}: ${before[at]?.[1][n]} -> ${line}`]))"""
LINK = """(name) => new Promise((resolve) => document.head.append(Object.assign(document.createElement("link"),
  {rel: "stylesheet", href: `/static/${name}.css`, onload: resolve})))"""


def test_of_each_card(bare: Page) -> None:
    for bundle, state in cases().values():
        bare.reload()
        bare.evaluate(f"async () => {{ await open_widget({bundle!r}, {state}) }}")
        check(bare)


def test_of_a_card_with_a_result(bare: Page, card: Callable[..., Page]) -> None:  # noqa: F811
    row = "{status: 'completed', ended: 1, result: '{}', variables: {a: 1}}"
    check(card(row, "[{time: 1, status: 'working', message: 'a'}]"))


@pytest.mark.parametrize("questions", ["[]", "[{key: 'q', message: 'Publish it?'}]"])
def test_of_an_expanded_row(bare: Page, table: Callable[..., Page], questions: str) -> None:  # noqa: F811
    rows = f"[task('a', {{questions: {questions}}}), ...{many(2)}]"
    check(table(rows, {"details": [DETAIL | {"row": 0}]}, _expanded=[0]))


def test_of_an_app(open_app: Callable[..., Page]) -> None:
    page = open_app("<p>app", resource={"wanted": {"connect": ["https://api.example"]}})
    expect(page.get_by_role("button", name="Allow", exact=True)).to_be_visible()
    check(page)


def check(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    expect(page.locator(".view .pmcp").first).to_be_visible()
    page.wait_for_timeout(300)
    page.evaluate(LOOKS)
    for name in BUNDLES:
        page.evaluate(LINK, name)
        assert page.evaluate(DIFFERENCES) == [], f"{name}.css changes them"
