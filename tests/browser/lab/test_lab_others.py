"""Notebook 7 and Voilà, which the same server serves: a question answered, a table that moves, an app that calls."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab.jupyter import JupyterLab, write_notebook

CELLS = (
    "import pmcp_lab as lab\nfrom pmcp_lab.notebook import TaskTable\ndemo = lab.connect('demo')",
    "run = demo.task('publish', model='m')\nrun",
    "runs = [demo.task('train', epochs=400, seconds=60) for _ in range(3)]\ntable = TaskTable(runs)\ntable",
    "wave = demo.app('wave')\nwave",
)


def notebook_7(lab: JupyterLab, page: Page) -> None:
    page.goto(f"{lab.url}/notebooks/others.ipynb")
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    cells.first.locator(".jp-InputArea-editor").click(timeout=60_000)
    for index in range(len(CELLS)):
        page.keyboard.press("Shift+Enter")
        expect(cells.nth(index).locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]:"), timeout=60_000)


def voila(lab: JupyterLab, page: Page) -> None:
    page.goto(f"{lab.url}/voila/render/others.ipynb", timeout=60_000)


@pytest.mark.usefixtures("own_page")
@pytest.mark.parametrize("opened", [notebook_7, voila], ids=lambda opened: opened.__name__)
def test_a_card_a_table_and_an_app(
    lab: JupyterLab, lab_page: Page, picture: Callable[[str], Path], opened: Callable[[JupyterLab, Page], None]
) -> None:
    write_notebook(lab.root / "others.ipynb", CELLS)
    opened(lab, lab_page)

    form = lab_page.get_by_role("group", name="Publish m?")
    expect(form).to_be_visible(timeout=60_000)
    form.get_by_label("Publish it?").check()
    form.get_by_label("Who may use it").select_option(label="company")
    picture(f"{opened.__name__}-card")
    form.get_by_role("button", name="Send").click()
    card = lab_page.locator(".pmcp-card")
    expect(card.locator(".pmcp-badge")).to_have_text("completed")
    expect(card).to_contain_text("m is published for: company.")

    first = lab_page.locator('.pmcp-body > .pmcp-row[aria-rowindex="2"]')
    expect(first).to_contain_text("epoch")
    before = first.inner_text()
    expect(first).not_to_have_text(before)
    first.locator(".pmcp-toggle").click()
    expect(lab_page.locator(".pmcp-life-log li")).not_to_have_count(0)
    picture(f"{opened.__name__}-table")

    app = lab_page.frame_locator("iframe[title='ui://demo/wave']").frame_locator("iframe")
    expect(app.locator("svg path").first).to_be_visible()
    said = app.locator("#said").inner_text()
    app.locator("#frequency").fill("6")
    expect(app.locator("#said")).not_to_have_text(said)
    expect(app.locator("#frequency-shown")).to_contain_text("6")
    picture(f"{opened.__name__}-app")
