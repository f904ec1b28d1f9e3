"""What JupyterLab saves of a view while it lives, and shows of it when the kernel is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from tests.browser.lab.conftest import Open
from tests.browser.lab.jupyter import Notebook

CONNECT = "import pmcp_lab as lab\ndemo = lab.connect('demo')"
WIDGET = "application/vnd.jupyter.widget-view+json"


def save(book: Notebook) -> nbformat.NotebookNode:
    book.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    return nbformat.read(book.lab.root / book.name, as_version=4)


def html_of(book: Notebook, index: int) -> str:
    return str(book.outputs(index)[0]["data"]["text/html"])


def until_saved(book: Notebook, index: int, words: str) -> None:
    book.page.wait_for_function(
        """([index, words]) => window.jupyterapp.shell.currentWidget.content.model.toJSON()
            .cells[index].outputs[0].data['text/html'].includes(words)""",
        arg=[index, words],
    )


def test_the_end_comes_to_the_file_and_leaves_the_live_view_alone(
    notebook: Open, picture: Callable[[str], Path]
) -> None:
    book = notebook(
        CONNECT,
        "many = demo.map('train', [{'epochs': epochs, 'seconds': 8} for epochs in (20, 30, 40)])\nmany",
        "demo.app('wave', frequency=3)",
        "demo.tools",
    )
    book.run(0)
    book.run(1)
    until_saved(book, 1, "As of ")
    book.run(2)
    book.run(3)
    for index in (1, 2, 3):
        saved, live = book.outputs(index)
        assert WIDGET not in saved["data"]
        assert WIDGET in live["data"]
    row = book.cell(1).get_by_role("row").nth(2)
    row.focus()
    row.press("Enter")
    expect(row).to_have_attribute("aria-expanded", "true")
    roots = book.page.locator(".jp-Notebook .pmcp")
    roots.evaluate_all("(all) => { for (const each of all) each.dataset.mark = 'drawn once'; }")
    expect(book.app(2).locator("svg path").first).to_be_visible()
    book.app(2).locator("body").evaluate("(body) => { body.dataset.mark = 'runs on'; }")
    until_saved(book, 1, "3 completed")
    until_saved(book, 2, "3 Hz")
    until_saved(book, 3, "16 tools")
    expect(book.page.locator(".pmcp-saved")).to_have_count(3)
    for shown in book.page.locator(".pmcp-saved").all():
        expect(shown).to_be_hidden()
    expect(book.page.locator(".pmcp[data-mark='drawn once']")).to_have_count(3)
    expect(row).to_have_attribute("aria-expanded", "true")
    expect(row).to_be_focused()
    assert book.app(2).locator("body").get_attribute("data-mark") == "runs on"
    picture("saved-live")
    page, _ = HTMLExporter().from_notebook_node(save(book))
    assert "3 completed" in page
    assert "As of" not in page


def test_what_was_saved_is_shown_when_the_kernel_is_gone(notebook: Open, picture: Callable[[str], Path]) -> None:
    book = notebook(CONNECT, "run = demo.task('train', epochs=2, seconds=0.5)\nrun")
    book.run(0)
    book.run(1)
    until_saved(book, 1, "completed")
    save(book)
    book.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    book.open()
    shown = book.cell(1).locator(".pmcp-saved")
    expect(shown).to_be_visible()
    expect(shown).to_contain_text("epoch 2 of 2")
    expect(book.cell(1)).to_contain_text("model not found")
    for theme in ("light", "dark"):
        book.theme(theme)
        picture(f"saved-without-a-kernel-{theme}")
