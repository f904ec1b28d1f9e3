"""The notebook for marimo, on its two kinds of page: what it shows moves, is answered, and calls tools."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from tests.browser.lab.jupyter import ROOT
from tests.browser.marimo.server import marimo

pytestmark = pytest.mark.timeout(400)

NOTEBOOK = ROOT / "notebooks" / "08-marimo.py"
ENDED = re.compile(r"3\s*completed")
FIRST = 120_000
"""Milliseconds until a kernel has started and run its first cells."""


@pytest.fixture
def page(headless_shell: Browser) -> Iterator[Page]:
    context = headless_shell.new_context(viewport={"width": 1200, "height": 2800}, color_scheme="light")
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def picture(page: Page, name: str) -> None:
    """A screenshot among the artefacts of the run."""
    folder = Path(os.environ.get("PMCP_LAB_PICTURES", "test-results/pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"marimo-{name}.png", full_page=True)


@contextmanager
def shown(
    page: Page, mode: Literal["edit", "run"], home: Path, notebook: Path = NOTEBOOK, **settings: Any
) -> Iterator[None]:
    with marimo(notebook, mode, home, **settings) as url:
        page.goto(url)
        yield
        page.goto("about:blank")  # it would complain of a server that has ended


def app(page: Page) -> FrameLocator:
    """Inside its two frames."""
    return page.frame_locator("marimo-anywidget iframe").frame_locator("iframe")


def a_card_is_answered(page: Page) -> None:
    page.get_by_role("button", name="Publish model-1").click()
    card = page.locator(".pmcp-card", has_text="publish")
    card.get_by_label("Publish it?").check()
    card.get_by_label("Who may use it").select_option(label="company")
    card.get_by_role("button", name="Send").click()
    expect(card.locator(".pmcp-badge")).to_have_text("completed")
    expect(card).to_contain_text("model-1 is published for: company.")


def an_app_calls_a_tool(page: Page) -> None:
    shown = app(page)
    expect(shown.locator("#frequency-shown")).to_contain_text("2.0")
    shown.get_by_role("button", name="Pendulum").click()
    expect(shown.locator("#frequency-shown")).not_to_contain_text("2.0")
    expect(shown.locator("#said")).to_contain_text("samples")


def test_in_the_editor(page: Page, tmp_path: Path) -> None:
    with shown(page, "edit", tmp_path):
        table = page.locator(".pmcp-table")
        expect(table).to_contain_text(ENDED, timeout=FIRST)
        expect(page.locator("marimo-table")).to_contain_text("completed")

        a_card_is_answered(page)
        an_app_calls_a_tool(page)
        picture(page, "edit-light")

        # The page comes back to a kernel that went on.
        page.reload()
        expect(page.locator(".pmcp-card", has_text="publish").first).to_contain_text(
            "model-1 is published for: company.", timeout=FIRST
        )
        expect(page.locator(".pmcp-table").first).to_contain_text(ENDED)
        an_app_calls_a_tool(page)


def test_as_an_app_in_the_dark(page: Page, tmp_path: Path) -> None:
    with shown(page, "run", tmp_path, theme="dark"):  # which counts more than what the system likes
        expect(page.locator(".pmcp-table")).to_contain_text(ENDED, timeout=FIRST)
        expect(page.locator(".pmcp-table[data-theme]").first).to_have_attribute("data-theme", "dark")
        an_app_calls_a_tool(page)
        expect(app(page).locator("html")).to_have_css("color-scheme", "dark")
        a_card_is_answered(page)
        picture(page, "run-dark")


ASKING = """
import marimo

app = marimo.App()


@app.cell
def _():
    import pmcp_lab as lab

    demo = lab.connect("demo")
    demo.map("publish", [{"model": "one"}, {"model": "two"}])
    return (demo,)


@app.cell
def _(demo):
    slow = demo.map("train", [{"epochs": 1000}], seconds=100)
    slow
    return


if __name__ == "__main__":
    app.run()
"""


def test_a_table_moves_and_what_the_kernel_makes_later_belongs_to_its_cell(page: Page, tmp_path: Path) -> None:
    """The form in an opened row is filled by another thread, which marimo knows nothing of."""
    (tmp_path / "source.py").write_text(ASKING)
    with shown(page, "run", tmp_path / "home", tmp_path / "source.py"):
        table, moving = page.locator(".pmcp-table").first, page.locator(".pmcp-table").last
        expect(moving).to_contain_text("of 1000", timeout=FIRST)
        before = moving.inner_text()
        expect(moving).not_to_have_text(before)
        expect(table).to_contain_text(re.compile(r"2\s*needs? input"), timeout=FIRST)
        table.locator(".pmcp-body > .pmcp-row:not([hidden]) .pmcp-toggle").first.click()
        opened = table.locator(".pmcp-detail")
        opened.get_by_label("Publish it?").check()
        opened.get_by_role("button", name="Send").click()
        expect(table).to_contain_text(re.compile(r"1\s*completed"))
