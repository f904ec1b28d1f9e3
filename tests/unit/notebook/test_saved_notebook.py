"""What a notebook holds after it was run and saved: the last state of what it shows, without a kernel and a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import ipywidgets
import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter, MarkdownExporter

import pmcp_lab as lab
from pmcp_lab.client import Task
from pmcp_lab.notebook import TaskCard, TaskTable

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
CELLS = (
    "import pmcp_lab as lab, time\ndemo = lab.connect('demo')",
    "run = demo.task('train', epochs=3, seconds=1)\nrun",
    "many = demo.map('train', [{'epochs': 2, 'seconds': 0.5}] * 3)\nmany",
    "everything = lab.notebook.TaskTable(); everything",
    "asks = demo.task('publish', model='m'); asks",
    "demo.app('wave', frequency=3)",
    "demo.tools",
    "demo.tools['train'].form(epochs=5)",
    "import ipywidgets; ipywidgets.HBox([ipywidgets.IntSlider(7), lab.notebook.TaskCard(run)])",
    "run.result(), many.results(); None",
)
RUN, MANY, EVERYTHING, ASKS, APP, TOOLS, FORM, BOX = range(1, 9)


@pytest.fixture(scope="module")
def saved() -> nbformat.NotebookNode:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    return NotebookClient(book, timeout=40).execute()


def html_in(saved: nbformat.NotebookNode, cell: int) -> str:
    (output,) = saved.cells[cell].outputs
    return str(output["data"]["text/html"])


def test_what_was_shown_while_tasks_ran_shows_the_end_of_the_last_cell(saved: nbformat.NotebookNode) -> None:
    assert re.search(r"status</td><td[^>]*><span[^>]*>✓</span>&nbsp;completed", html_in(saved, RUN))
    assert "epoch 3 of 3" in html_in(saved, RUN)
    assert "3 completed" in html_in(saved, MANY)
    assert html_in(saved, MANY).count("✓") == 3
    assert "1 needs input, 4 completed" in html_in(saved, EVERYTHING), "those that came after it was shown, too"
    for done in (RUN, MANY):
        assert "As of" not in html_in(saved, done)
    for open_still in (EVERYTHING, ASKS):
        assert re.search(r"As of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", html_in(saved, open_still))


def test_the_others_are_there_too(saved: nbformat.NotebookNode) -> None:
    assert "3 Hz" in html_in(saved, APP)
    assert "MCP App of <code>demo.wave</code>" in html_in(saved, APP)
    assert "16 tools" in html_in(saved, TOOLS)
    assert "epochs=5" in html_in(saved, FORM)


def test_converters_are_given_no_widget_but_those_of_others(saved: nbformat.NotebookNode) -> None:
    for cell in range(RUN, BOX):
        assert VIEW not in saved.cells[cell].outputs[0]["data"]
    models = saved.metadata["widgets"][STATE]["state"].values()
    assert [each["model_name"] for each in models].count("AnyModel") == 1, "the one that was put into a box"
    assert saved.cells[BOX].outputs[0]["data"][VIEW]["model_id"] in saved.metadata["widgets"][STATE]["state"]
    page, _ = HTMLExporter().from_notebook_node(saved)
    assert page.count(f'<script type="{VIEW}">') == 1
    for words in ("3 completed", "epoch 3 of 3", "MCP App of", "16 tools", "Form"):
        assert words in page


def test_markdown_has_it_too_and_nothing_in_it_is_read_as_markdown(saved: nbformat.NotebookNode) -> None:
    page, _ = MarkdownExporter().from_notebook_node(saved)
    for part in re.findall(r'^<div class="pmcp-saved.*$', page, re.MULTILINE):
        assert part.endswith("</div>"), "a line of its own, which an empty one would end"
    assert len(re.findall(r'^<div class="pmcp-saved', page, re.MULTILINE)) == 7


@pytest.fixture(scope="module")
def demo() -> Iterator[lab.Server]:
    with lab.connect("demo", name="saved") as server:
        yield server


def test_ten_thousand_rows_are_some_kilobytes(demo: lab.Server) -> None:
    run = demo.task("train", epochs=1, seconds=0.05)
    run.result(10)
    table = TaskTable([run])
    table._tasks = [run] * 10_000
    html = table._repr_mimebundle_()[0]["text/html"]
    assert "the first 200 of 10,000 are listed" in html
    assert html.count("<tr>") == 201
    assert len(html) < 150_000
    assert "As of" not in html


def test_what_a_server_says_at_length_is_cut(demo: lab.Server) -> None:
    run: Task = demo.task("publish", model="<b>\n\n# no heading\n" + "x" * 100_000)
    html = TaskCard(run)._repr_mimebundle_()[0]["text/html"]
    assert len(html) < 10_000
    assert "\n" not in html
    assert "<b>\n" not in html
    run.cancel()


def test_a_widget_is_opened_when_something_wants_its_model() -> None:
    """Outside a kernel nobody is known to look away, so this is what `test_converters…` shows from within."""
    inner: Any = TaskTable([])
    assert ipywidgets.HBox([inner]).get_state()["children"] == [f"IPY_MODEL_{inner.model_id}"]
    inner.close()
