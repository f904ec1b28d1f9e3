"""Views move, and apps are answered, while a cell keeps the kernel busy."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.lab.conftest import Open

CONNECT = "import time\nimport pmcp_lab as lab\ndemo = lab.connect('demo')"

BUSY = {
    "loop": "end = time.monotonic() + 20\nwhile time.monotonic() < end:\n    pass",
    "await": "import asyncio\nawait asyncio.sleep(20)",
}


@pytest.mark.parametrize("busy", BUSY)
def test_while_a_cell_is_busy(notebook: Open, busy: str) -> None:
    book = notebook(CONNECT, "lab.connect('demo').app('wave')", "%load_ext pmcp_lab\n%mcp tasks", "pass", BUSY[busy])
    book.run(0)
    book.run(1)
    book.run(2)
    app = book.app(1)
    expect(app.locator("svg path").first).to_be_visible()
    book.page.evaluate(
        """(source) => {
            const model = window.jupyterapp.shell.currentWidget.content.model;
            model.cells.get(4).sharedModel.setSource(source);
        }""",
        f"run = demo.task('train', epochs=5, seconds=2.5)\n{BUSY[busy]}",
    )
    book.start(4)

    row = book.cell(2).get_by_role("row").filter(has_text="train")
    expect(row).to_have_attribute("data-status", "working")
    expect(row).to_contain_text(re.compile("epoch [1-4]"))
    assert book.running(4)

    said = app.locator("#said").inner_text()
    app.locator("#frequency").fill("6")
    expect(app.locator("#said")).not_to_have_text(said)
    expect(app.locator("#frequency-shown")).to_contain_text("6")

    expect(row).to_have_attribute("data-status", "completed")
    assert book.running(4), "and the cell was busy all the while"
