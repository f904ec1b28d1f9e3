"""Writing an app in JupyterLab: a file is saved and the cell's view follows, while another cell runs; `%%mcp_app`."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.lab.conftest import Open

WIDGET = """<!doctype html><h1>first</h1><p id=out></p><p id=kept></p>
<script>
  const app = new McpApps.App({name: "w", version: "1"});
  app.ontoolresult = ({structuredContent}) => { out.textContent = `at ${structuredContent.at}` };
  kept.textContent = localStorage.getItem("kept") ?? "nothing";
  localStorage.setItem("kept", "something");
  app.connect();
</script>"""

SERVER = """
%load_ext pmcp_lab
import pmcp_lab as lab
from mcp.server.mcpserver import MCPServer
from pmcp_lab.apps import Apps, WidgetDir
apps = Apps(WidgetDir({folder!r}, app="demo", watch=True))
@apps.tool("page")
def show(at: int) -> dict[str, int]:
    return {{"at": at}}
server = lab.connect(MCPServer("demo", extensions=[apps], middleware=[apps], log_level="ERROR"), name="authoring")
"""

CELL = """%%mcp_app dice --tools roll
<button>Roll</button><output></output>
<script>
  const app = new McpApps.App({name: "dice", version: "1"});
  document.querySelector("button").onclick = async () => {
    const {structuredContent} = await app.callServerTool({name: "roll", arguments: {sides: 6}});
    document.querySelector("output").textContent = `rolled ${structuredContent.result}`;
  };
  app.connect();
</script>"""


def test_the_view_follows_the_file_and_the_cell(notebook: Open, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(WIDGET)
    book = notebook(
        SERVER.format(folder=str(tmp_path)),
        "server.app('show', at=7)",
        "import time\nfor _ in range(400): time.sleep(0.05)",
        "def roll(sides: int): return sides",
        CELL,
    )
    for index in (0, 1):
        book.run(index)
    app = book.app(1)
    expect(app.locator("#out")).to_have_text("at 7")
    expect(app.locator("#kept")).to_have_text("nothing")

    book.run(3)
    book.run(4)
    dice = book.app(4)
    dice.locator("button").click()
    expect(dice.locator("output")).to_have_text("rolled 6")
    book.page.evaluate(
        """([index, source]) => {
            window.jupyterapp.shell.currentWidget.content.model.cells.get(index).sharedModel.setSource(source);
        }""",
        [4, CELL.replace("rolled", "threw")],
    )
    book.run(4)
    dice.locator("button").click()
    expect(dice.locator("output")).to_have_text("threw 6")

    # The kernel is busy with a cell, and the view follows all the same.
    book.start(2)
    file.write_text(WIDGET.replace("first", "second"))
    expect(app.locator("h1")).to_have_text("second")
    expect(app.locator("#out")).to_have_text("at 7")
    expect(app.locator("#kept")).to_have_text("something")
    assert book.running(2)
    book.page.evaluate("() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
