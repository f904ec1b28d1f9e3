"""What becomes of views when pages reload, cells move, servers die and kernels restart."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.lab.conftest import Open
from tests.browser.lab.jupyter import ROOT, Notebook

CONNECT = "import time\nimport pmcp_lab as lab\ndemo = lab.connect('demo')"


def command(book: Notebook, name: str) -> None:
    book.page.evaluate("(name) => window.jupyterapp.commands.execute(name)", name)


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_page_that_is_reloaded_shows_the_present(notebook: Open) -> None:
    book = notebook(CONNECT, "run = demo.task('train', epochs=8, seconds=6)\nrun", "demo.app('wave', frequency=3)")
    for index in range(3):
        book.run(index)
    expect(book.app(2).locator("svg path").first).to_be_visible()
    command(book, "docmanager:save")
    book.page.wait_for_timeout(500)
    book.open()
    card = book.cell(1)
    expect(card.get_by_text("completed", exact=True).first).to_be_visible()
    expect(card).to_contain_text("epoch 8 of 8")
    app = book.app(2)
    expect(app.locator("svg path").first).to_be_visible()
    expect(app.locator("#frequency-shown")).to_contain_text("3")
    said = app.locator("#said").inner_text()
    app.locator("#frequency").fill("8")
    expect(app.locator("#said")).not_to_have_text(said)


def test_a_cell_that_is_moved_or_folded_keeps_its_view(notebook: Open) -> None:
    book = notebook(CONNECT, "demo.app('wave', frequency=3)", "demo.task('train', epochs=2, seconds=0.5)")
    for index in range(3):
        book.run(index)
    expect(book.app(1).locator("svg path").first).to_be_visible()
    book.page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1; }")
    command(book, "notebook:move-cell-down")
    expect(book.app(2).locator("svg path").first).to_be_visible()
    expect(book.cell(1).get_by_text("completed", exact=True).first).to_be_visible()
    command(book, "notebook:hide-cell-outputs")
    expect(book.cell(2).locator("iframe")).to_have_count(0)
    command(book, "notebook:show-cell-outputs")
    app = book.app(2)
    expect(app.locator("svg path").first).to_be_visible()
    app.locator("#frequency").fill("9")
    expect(app.locator("#frequency-shown")).to_contain_text("9")


def test_a_server_that_dies_says_so_on_its_row_only(notebook: Open) -> None:
    fragile = json.dumps([str(ROOT / "tests" / "servers" / "fragile.py")])
    book = notebook(
        CONNECT,
        f"import sys\nfragile = lab.connect([sys.executable, *{fragile}], env={{'PYTHONPATH': {str(ROOT)!r}}})",
        "lab.notebook.TaskTable()",
        "fall = fragile.task('collapse', after=1.0)\nrun = demo.task('train', epochs=6, seconds=3)\ntime.sleep(5)",
    )
    for index in range(4):
        book.run(index)
    grid = book.cell(2).get_by_role("treegrid")
    trouble = "Server 'fragile' stopped. out of cheese. It is back, but does not know this task any more."
    fallen = grid.get_by_role("row").filter(has_text="collapse")
    expect(fallen.get_by_role("img", name=trouble)).to_be_visible()
    expect(grid.get_by_role("row").filter(has_text="train")).to_have_attribute("data-status", "completed")


def test_an_app_that_never_initialises_says_so(notebook: Open) -> None:
    book = notebook(
        """
import pmcp_lab as lab
from mcp.server.apps import Apps
from mcp.server.mcpserver import MCPServer

apps = Apps()
apps.add_html_resource("ui://mute/page", "<h1>A page that knows no bridge</h1>")

@apps.tool(resource_uri="ui://mute/page")
def mute() -> str:
    return "said"

import pmcp_lab.notebook.app_view as app_view
app_view.INIT_TIMEOUT = 1_000
lab.connect(MCPServer("mute", extensions=[apps])).app("mute")
"""
    )
    book.run(0)
    expect(book.app(0).get_by_text("A page that knows no bridge")).to_be_visible()
    expect(book.cell(0).get_by_text("app does not answer")).to_be_visible()
    expect(book.cell(0).get_by_role("button", name="Reload").first).to_be_visible()


def test_mistakes_are_one_readable_block(notebook: Open) -> None:
    book = notebook(
        "%load_ext pmcp_lab\n%mcp connect demo",
        "%mcp call demo ad a=1",
        "%mcp connect python -c 'import sys; sys.exit(\"no license key\")'",
        "%mcp call demo add a=one b=2",
    )
    book.run(0)
    for index, said in ((1, "Did you mean 'add'"), (2, "no license key"), (3, "wants integer here")):
        book.start(index)
        (output,) = book.finish(index)
        assert output["output_type"] == "error"
        text = "\n".join(output["traceback"])
        assert said in text
        assert len(text.splitlines()) <= 6, text
        assert "Traceback" not in text


@pytest.mark.parametrize("wait", ["await run", "demo.call('train', epochs=100, seconds=60)"])
def test_a_wait_can_be_interrupted(notebook: Open, wait: str) -> None:
    book = notebook(CONNECT, f"run = demo.task('train', epochs=100, seconds=60)\n{wait}", "demo.call('add', a=1, b=2)")
    book.run(0)
    book.start(1)
    book.page.wait_for_timeout(1_500)
    assert book.running(1)
    book.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")
    *shown, error = book.finish(1, timeout=5)
    assert error["ename"] in ("KeyboardInterrupt", "CancelledError")
    assert len(shown) <= 1, "a call shows its progress once it takes long"
    assert book.run(2)[0]["data"]["text/plain"] == "3"


def test_a_restarted_kernel_leaves_no_server_behind(notebook: Open) -> None:
    stubborn = str(ROOT / "tests" / "servers" / "stubborn.py")
    book = notebook(
        f"{CONNECT}\nimport os, sys\nlab.connect([sys.executable, {stubborn!r}], mode='legacy')\nos.getpid()"
    )
    pid = int(book.run(0)[0]["data"]["text/plain"])
    servers = children_of(pid)
    assert len(servers) == 2
    assert os.getpid() not in servers
    book.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    book.ready()
    assert not [server for server in servers if alive(server)]
    assert int(book.run(0)[0]["data"]["text/plain"]) != pid
