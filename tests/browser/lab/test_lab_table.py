"""The table as a person meets it: a thousand tasks on servers of both generations, reloads, restarts, themes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.browser.lab.conftest import Open
from tests.peers import Peer

TWO_SERVERS = """
import time
import pmcp_lab as lab
from pmcp_lab.demo.server import _add_tools
from mcp.server.mcpserver import MCPServer
from pmcp_lab.server import Tasks
from pmcp_lab.tasks import Limits
def build():
    tasks = Tasks("memory://", limits=Limits(tasks_per_owner=None))
    _add_tools(tasks)
    return MCPServer("demo", extensions=[tasks], middleware=[tasks], log_level="WARNING")
from pmcp_lab.notebook import TaskTable
modern = lab.connect(build(), name="modern", mode="2026-07-28")
legacy = lab.connect(build(), name="legacy", mode="legacy")
"""


def line(table: Locator, index: int) -> Locator:
    return table.locator(f'.pmcp-body > .pmcp-row[aria-rowindex="{index + 2}"]:not([hidden])')


def test_a_thousand_tasks_of_three_servers_while_a_cell_sleeps(
    notebook: Open, everything: Peer, picture: Callable[[str], Path]
) -> None:
    book = notebook(
        f"{TWO_SERVERS}everything = lab.connect({everything.stdio!r}, name='everything')",
        "table = TaskTable()\ntable",
        """
asking = [server.task("publish", model=f"model-{n}") for n in range(3) for server in (modern, legacy)]
failing = [server.task("flaky", after=n) for n in range(3) for server in (modern, legacy)]
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(16) as pool:
    for n in range(500):
        for server in (modern, legacy):
            pool.submit(server.task, "train", epochs=10, seconds=60 + n % 60)
foreign = [everything.task("simulate-research-query", topic=f"tides {n}") for n in range(20)]
time.sleep(300)
""",
        "len(table.selected), len(table.df), sorted(set(table.df['server']))",
    )
    book.run(0)
    book.run(1)
    book.start(2)
    table = book.cell(1)
    expect(table.locator(".pmcp-footer")).to_contain_text("1,032 tasks", timeout=60_000)
    first = line(table, 12)
    expect(first).to_contain_text("epoch", timeout=30_000)
    before = first.inner_text()
    expect(first).not_to_have_text(before)
    assert book.running(2), "the kernel's main thread sleeps all the while"

    table.get_by_label("Filter the tasks").fill("status:input_required")
    expect(table.locator(".pmcp-footer")).to_contain_text("6 of 1,032")
    line(table, 0).locator(".pmcp-toggle").click()
    expect(table.locator(".pmcp-detail .pmcp-question")).to_contain_text("Publish model-")
    expect(table.locator(".pmcp-detail").get_by_role("button", name="Decline")).to_be_visible()
    assert book.running(2)
    picture("table-question")
    line(table, 0).locator(".pmcp-toggle").click()

    table.get_by_label("Filter the tasks").fill("")
    table.get_by_label("Group by").select_option("server")
    expect(line(table, 0)).to_contain_text("everything")
    expect(line(table, 1)).to_contain_text("completed")
    line(table, 0).locator(".pmcp-toggle").click()
    expect(line(table, 1)).to_contain_text("legacy")
    line(table, 0).locator(".pmcp-toggle").click()
    line(table, 1).locator(".pmcp-toggle").click()
    expect(table.locator(".pmcp-life-log li")).not_to_have_count(0)
    line(table, 3).locator(".pmcp-cell-tool").click()
    line(table, 5).locator(".pmcp-cell-tool").click(modifiers=["Shift"])
    expect(table.locator(".pmcp-footer")).to_contain_text("selected")
    for theme in ("light", "dark"):
        book.theme(theme)
        table.scroll_into_view_if_needed()
        book.page.wait_for_timeout(500)
        picture(f"table-{theme}")
        assert table.locator(".pmcp-table").get_attribute("data-theme") == theme
    book.page.set_viewport_size({"width": 560, "height": 900})
    book.page.wait_for_timeout(500)
    picture("table-narrow")
    book.page.set_viewport_size({"width": 1280, "height": 900})
    book.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")
    book.finish(2, 20)
    said = book.run(3)[0]["data"]["text/plain"]
    assert "1032" in said
    assert "['everything', 'legacy', 'modern']" in said
    assert not said.startswith("(0")


def test_a_reloaded_page_keeps_the_view(notebook: Open) -> None:
    book = notebook(
        TWO_SERVERS,
        "runs = [server.task('train', epochs=2, seconds=0.2) for server in (modern, legacy) for _ in range(3)]\n"
        "[run.result(20) for run in runs]\ntable = TaskTable()\ntable",
        "table.filter, table.sort, table.group_by, len(table.selected)",
    )
    book.run(0)
    book.run(1)
    table = book.cell(1)
    table.get_by_label("Filter the tasks").fill("status:completed")
    table.get_by_label("Group by").select_option("server")
    table.get_by_role("columnheader", name="Duration").get_by_role("button").click()
    expect(line(table, 4)).to_contain_text("modern")
    line(table, 4).click()
    line(table, 1).locator(".pmcp-toggle").click()
    line(table, 3).locator(".pmcp-check").click()  # the panel is a line, too
    expect(table.locator(".pmcp-detail")).to_contain_text("epoch 2 of 2")
    book.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    book.page.wait_for_timeout(500)
    book.open()
    table = book.cell(1)
    expect(table.locator(".pmcp-footer")).to_contain_text("1 selected")
    expect(table.get_by_label("Filter the tasks")).to_have_value("status:completed")
    expect(table.get_by_label("Group by")).to_have_value("server")
    expect(table.get_by_role("columnheader", name="Duration")).to_have_attribute("aria-sort", "ascending")
    expect(table.locator(".pmcp-detail")).to_contain_text("epoch 2 of 2")
    expect(table.locator(".pmcp-group").last).to_have_attribute("aria-expanded", "false")
    assert book.run(2)[0]["data"]["text/plain"] == "('status:completed', 'duration', 'server', 1)"


def test_a_restarted_kernel_leaves_the_last_rows(notebook: Open) -> None:
    book = notebook(
        TWO_SERVERS,
        "run = modern.task('train', epochs=2, seconds=0.2)\nrun.result(20)\ntable = TaskTable()\ntable",
    )
    book.run(0)
    book.run(1)
    table = book.cell(1)
    expect(line(table, 0)).to_contain_text("epoch 2 of 2")
    book.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(table.locator(".pmcp-link-state")).to_contain_text("no live kernel")
    expect(line(table, 0)).to_contain_text("epoch 2 of 2")


def test_code_changes_the_view(notebook: Open) -> None:
    book = notebook(
        TWO_SERVERS,
        "runs = [server.task('train', epochs=2, seconds=0.2) for server in (modern, legacy) for _ in range(3)]\n"
        "[run.result(20) for run in runs]\ntable = TaskTable(runs)\ntable",
        "table.filter = 'server:legacy'\ntable.columns = ['tool', 'status', 'variables.loss']\n"
        "table.sort = '-variables.loss'\ntable.selected = runs[-1:]",
    )
    for index in range(3):
        book.run(index)
    table = book.cell(1)
    expect(table.locator(".pmcp-footer")).to_contain_text("3 of 6 tasks")
    expect(table.locator(".pmcp-footer")).to_contain_text("1 selected")
    expect(table.get_by_role("columnheader", name="loss")).to_have_attribute("aria-sort", "descending")


def test_in_notebook_7(notebook: Open, picture: Callable[[str], Path]) -> None:
    book = notebook(
        TWO_SERVERS + "runs = [server.task('train', epochs=60, seconds=60) for server in (modern, legacy)]",
        "table = TaskTable()\ntable",
        "time.sleep(60)",
    )
    book.run(0)
    book.page.goto(f"{book.lab.url}/notebooks/{book.name}")
    cells = book.page.locator(".jp-Notebook .jp-CodeCell")
    cells.nth(1).locator(".jp-InputArea-editor").click(timeout=60_000)
    expect(book.page.locator(".jp-NotebookKernelStatus, .jp-Notebook-ExecutionIndicator").first).to_be_visible()
    book.page.keyboard.press("Shift+Enter")
    table = cells.nth(1)
    expect(line(table, 0)).to_contain_text("epoch")
    book.page.keyboard.press("Shift+Enter")
    expect(cells.nth(2).locator(".jp-InputPrompt")).to_have_text("[*]:")
    before = line(table, 0).inner_text()
    expect(line(table, 0)).not_to_have_text(before)
    line(table, 1).locator(".pmcp-toggle").click()
    expect(table.locator(".pmcp-life-log li")).not_to_have_count(0)
    expect(cells.nth(2).locator(".jp-InputPrompt")).to_have_text("[*]:")
    picture("table-notebook-7")
