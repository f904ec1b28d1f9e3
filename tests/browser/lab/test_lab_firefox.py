"""JupyterLab in Firefox: a card, a form, a table and an app, one path through each, and what an app may not reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.lab.jupyter import JupyterLab, Notebook, write_notebook

CELLS = (
    "import time\nimport pmcp_lab as lab\nfrom pmcp_lab.notebook import TaskTable\ndemo = lab.connect('demo')",
    "run = demo.task('publish', model='m')\nrun",
    "form = demo.tools['train'].form(epochs=3, seconds=0.5)\nform",
    "runs = [demo.task('train', epochs=epochs, seconds=4) for epochs in range(30, 0, -1)]\n"
    "table = TaskTable(runs)\ntable",
    "wave = demo.app('wave')\nwave",
    "time.sleep(60)",
)
CARD, FORM, TABLE, APP, SLEEP = range(1, 6)


@pytest.fixture(scope="module")
def browser(firefox: Browser) -> Browser:
    return firefox


@pytest.fixture(scope="module")
def book(lab: JupyterLab, browser: Browser) -> Iterator[Notebook]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    write_notebook(lab.root / "firefox.ipynb", CELLS)
    book = Notebook(lab, page, "firefox.ipynb")
    book.run(0)
    yield book
    context.close()
    assert errors == []


@pytest.fixture
def lab_page(book: Notebook) -> Page:
    return book.page


def line(table: Locator, index: int) -> Locator:
    return table.locator(f'.pmcp-body > .pmcp-row[aria-rowindex="{index + 2}"]:not([hidden])')


def in_both_themes(book: Notebook, index: int, picture: Callable[[str], Path], name: str) -> None:
    for theme in ("dark", "light"):
        book.theme(theme)
        book.cell(index).scroll_into_view_if_needed()
        picture(f"firefox-{name}-{theme}")


def test_a_card_is_answered_while_a_cell_sleeps(book: Notebook, picture: Callable[[str], Path]) -> None:
    book.run(CARD)
    card = book.cell(CARD)
    expect(card.get_by_role("group", name="Publish m?")).to_be_visible()
    in_both_themes(book, CARD, picture, "card")
    book.start(SLEEP)
    card.get_by_label("Publish it?").check()
    card.get_by_label("Who may use it").select_option(label="company")
    card.get_by_role("button", name="Send").click()
    expect(card.locator(".pmcp-badge")).to_have_text("completed")
    expect(card).to_contain_text("m is published for: company.")
    assert book.running(SLEEP), "and the cell slept all the while"
    book.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")
    book.finish(SLEEP)


def test_a_form_is_filled_in_and_run(book: Notebook, picture: Callable[[str], Path]) -> None:
    book.run(FORM)
    form = book.cell(FORM)
    epochs = form.get_by_label("epochs", exact=False)
    expect(epochs).to_have_value("3")
    epochs.fill("0")
    form.get_by_role("button", name="Run").click()
    expect(form.get_by_text("At least 1.")).to_be_visible()
    expect(epochs).to_be_focused()
    epochs.fill("2")
    form.get_by_role("button", name="Run").click()
    expect(form.locator(".pmcp-badge")).to_have_text("completed")
    expect(form).to_contain_text("epoch 2 of 2")
    in_both_themes(book, FORM, picture, "form")


def test_a_table_moves_is_filtered_and_opened(book: Notebook, picture: Callable[[str], Path]) -> None:
    book.run(TABLE)
    table = book.cell(TABLE)
    table.scroll_into_view_if_needed()
    expect(table.locator(".pmcp-footer")).to_contain_text("30 tasks")
    expect(line(table, 0)).to_contain_text("epoch")
    before = line(table, 0).inner_text()
    expect(line(table, 0)).not_to_have_text(before)
    table.get_by_label("Filter the tasks").fill('"epoch 30 of 30"')
    expect(table.locator(".pmcp-footer")).to_contain_text("1 of 30", timeout=30_000)
    line(table, 0).locator(".pmcp-toggle").click()
    expect(table.locator(".pmcp-life-log li")).not_to_have_count(0)
    expect(table.locator(".pmcp-detail")).to_contain_text("epoch 30 of 30")
    in_both_themes(book, TABLE, picture, "table")


def test_an_app_calls_a_tool(book: Notebook, picture: Callable[[str], Path]) -> None:
    book.run(APP)
    app = book.app(APP)
    expect(book.cell(APP).locator(".pmcp-app-state-text")).to_have_text("ready")
    expect(app.locator("svg path").first).to_be_visible()
    said = app.locator("#said").inner_text()
    app.locator("#frequency").fill("6")
    expect(app.locator("#said")).not_to_have_text(said)
    expect(app.locator("#frequency-shown")).to_contain_text("6")
    in_both_themes(book, APP, picture, "app")
