"""From a widget's file being saved to the paint of what it says now, in one notebook of one JupyterLab.

The server is a process of its own, as in an author's daily work: disk, server, connection, kernel, comm, frame. The
clocks are one: the test, the kernel and the browser run on the same machine.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Error, expect

from tests.benchmarks.test_first_paint import PAINTED, innermost
from tests.browser.lab.conftest import Open, lab, lab_page, notebook, own_page, tab  # noqa: F401 - fixtures
from tests.browser.lab.jupyter import Notebook

pytestmark = pytest.mark.usefixtures("own_page")

ROUNDS = 15
LIMIT = 500
"""Milliseconds, the median."""

WIDGET = """<!doctype html><h1>round {n}</h1><p id=out></p>
<script>
  const app = new McpApps.App({{name: "w", version: "1"}});
  app.ontoolresult = ({{structuredContent}}) => {{ out.textContent = `at ${{structuredContent.at}}` }};
  app.connect();
</script>"""

SERVER = """
from mcp.server.mcpserver import MCPServer
from pmcp_lab.apps import Apps, WidgetDir
apps = Apps(WidgetDir({folder!r}, app="demo", watch=True))
@apps.tool("page")
def show(at: int) -> dict[str, int]:
    return {{"at": at}}
MCPServer("demo", extensions=[apps], middleware=[apps], log_level="ERROR").run()
"""


def until_paint(book: Notebook, file: Path, n: int) -> float:
    """Save the nth version; milliseconds until a frame that shows it has painted."""
    began = time.time() * 1000
    file.write_text(WIDGET.format(n=n))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for frame in innermost(book.page):
            with suppress(Error):  # a frame that goes while it is asked
                shown = frame.evaluate("() => document.querySelector('h1')?.textContent")
                painted = frame.evaluate(PAINTED) if shown == f"round {n}" else None
                if painted is not None:
                    return float(painted) - began
        book.page.wait_for_timeout(20)
    raise AssertionError("nothing was painted")


def test_saved_to_painted(notebook: Open, tmp_path: Path) -> None:  # noqa: F811
    widgets = tmp_path / "widgets"
    widgets.mkdir()
    file = widgets / "page.html"
    file.write_text(WIDGET.format(n=0))
    script = tmp_path / "server.py"
    script.write_text(SERVER.format(folder=str(widgets)))
    book = notebook(
        f"""import os, pmcp_lab as lab
path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH")]))
server = lab.connect([{sys.executable!r}, {str(script)!r}], name="hot", env={{"PYTHONPATH": path}})""",
        "server.app('show', at=7)",
    )
    book.run(0)
    book.run(1)
    app = book.app(1)
    expect(app.locator("#out")).to_have_text("at 7")
    times = []
    for n in range(1, ROUNDS + 1):
        times.append(until_paint(book, file, n))
        expect(app.locator("#out")).to_have_text("at 7")
    median = statistics.median(times)
    print(f"\nsaved to painted: median {median:.0f} ms, {min(times):.0f} to {max(times):.0f} ms, {ROUNDS} rounds")
    assert median <= LIMIT
