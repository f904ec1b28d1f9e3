"""What a notebook holds after it was run and saved: the last state of what it shows, without a kernel and a page."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

CELLS = (
    "import pmcp_lab as lab\ndemo = lab.connect('demo')\nrun = demo.task('train', epochs=3, seconds=1)\nrun",
    "many = demo.map('train', [{'epochs': 2, 'seconds': 0.5}] * 3)\nmany",
    "run.result(), many.results()\nimport time\ntime.sleep(0.5)",
    "many",
    "demo.app('wave', frequency=3)",
)


@pytest.fixture(scope="module")
def saved() -> nbformat.NotebookNode:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    return NotebookClient(book, timeout=40, store_widget_state=False).execute()


def test_cards_and_tables_that_were_shown_while_tasks_ran_show_their_end(saved: nbformat.NotebookNode) -> None:
    for cell, ended in ((0, 1), (1, 3), (3, 3)):
        (output,) = saved.cells[cell].outputs
        html = output["data"]["text/html"]
        assert html.count("completed") >= ended, html
        assert "working" not in html
        assert "application/vnd.jupyter.widget-view+json" in output["data"]


def test_a_page_made_of_it_needs_no_widgets(saved: nbformat.NotebookNode) -> None:
    page, _ = HTMLExporter().from_notebook_node(saved)
    assert page.count("3 completed") >= 2


def test_an_app_is_a_statement_with_what_its_tool_said(saved: nbformat.NotebookNode) -> None:
    (output,) = saved.cells[4].outputs
    assert "application/vnd.jupyter.widget-view+json" not in output["data"], "nobody looks on"
    assert "3 Hz" in output["data"]["text/html"]
    page, _ = HTMLExporter().from_notebook_node(saved)
    assert "MCP App of <code>demo.wave</code>" in page
