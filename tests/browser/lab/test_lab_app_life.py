"""An app that is read before it is opened, one whose kernel is restarted, and one in Notebook 7."""

from __future__ import annotations

import sys

from playwright.sync_api import expect

from tests.browser.conftest import press
from tests.browser.lab.conftest import Open
from tests.servers import slow_app


def test_a_restarted_kernel_opens_the_app_again_on_request(notebook: Open) -> None:
    book = notebook(
        "import pmcp_lab as lab\nlab.connect('demo').app('wave', frequency=3)",
        "import pmcp_lab; 1",
        "import pmcp_lab as lab\ndemo = lab.connect('demo')",
    )
    book.run(0)
    app = book.app(0)
    expect(app.locator("#frequency-shown")).to_contain_text("3")
    book.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    book.ready()
    cell = book.cell(0)
    expect(cell.locator(".pmcp-app-state-text")).to_have_text("no live kernel: static snapshot")
    expect(app.locator("#frequency-shown")).to_contain_text("3")
    # A notebook's file is anybody's: what it says connects to nothing.
    cell.get_by_role("button", name="Reconnect").click()
    expect(cell).to_contain_text(
        "'demo' is not connected in this kernel: run the cell that connects it", timeout=45_000
    )
    book.run(2)
    cell.get_by_role("button", name="Reconnect").click()
    question = cell.locator(".pmcp-bar", has_text="Opening the app again calls its tool on demo:")
    expect(question).to_contain_text('wave({"frequency":3})')
    # One that was lured, or an impatient second click.
    question.get_by_role("button", name="Open", exact=True).click()
    expect(question).to_contain_text("too quick")
    question.get_by_role("button", name="Don’t open").click()
    expect(cell).to_contain_text("No kernel any more")
    cell.get_by_role("button", name="Reconnect").click()
    press(question.get_by_role("button", name="Open", exact=True))
    expect(cell.locator(".pmcp-app-state-text")).to_have_text("ready", timeout=45_000)
    expect(cell.locator(".pmcp-app")).to_have_count(1)
    said = app.locator("#said").inner_text()
    app.locator("#frequency").fill("8")
    expect(app.locator("#said")).not_to_have_text(said)
    assert book.page.evaluate("() => window.__runs") == {"0": "done", "2": "done"}, "the cell was not run again"


def test_notebook_7_shows_an_app(notebook: Open) -> None:
    book = notebook("import pmcp_lab as lab\nlab.connect('demo').app('wave', frequency=3)")
    book.page.goto(f"{book.lab.url}/notebooks/{book.name}")
    cell = book.page.locator(".jp-Notebook .jp-CodeCell").first
    cell.locator(".jp-InputArea-editor").click(timeout=60_000)
    expect(book.page.locator(".jp-NotebookKernelStatus, .jp-Notebook-ExecutionIndicator").first).to_be_visible()
    book.page.keyboard.press("Shift+Enter")
    expect(cell.locator(".pmcp-app-state-text")).to_have_text("ready", timeout=30_000)
    app = cell.frame_locator("iframe").frame_locator("iframe")
    said = app.locator("#said").inner_text()
    app.locator("#frequency").fill("9")
    expect(app.locator("#frequency-shown")).to_contain_text("9")
    expect(app.locator("#said")).not_to_have_text(said)


def test_an_app_is_read_before_somebody_opens_it(notebook: Open) -> None:
    book = notebook(
        f"import pmcp_lab as lab\ncommand = [{sys.executable!r}, '-m', 'tests.servers.slow_app']\n"
        "slow, other = lab.connect(command, name='slow'), lab.connect(command, name='other', read_ahead=False)",
        "print([each.call('asked').structured['reads'] for each in (slow, other)])",
        "view = slow.app('show')\nprint(slow.call('asked').structured['reads'])\nview",
    )
    book.run(0)
    book.page.wait_for_timeout(1000 * (slow_app.SECONDS + 1.5))
    assert book.run(1)[0]["text"] == "[1, 0]\n"
    assert book.run(2)[0]["text"] == "1\n"
    expect(book.cell(2).locator(".pmcp-app-state-text")).to_have_text("ready")
    expect(book.app(2).locator("p")).to_have_text("shown")


def test_an_app_asks_what_its_server_wants_to_know(notebook: Open) -> None:
    """The cell was run a moment ago, which makes an answer of the app's own nobody's."""
    book = notebook(
        f"import pmcp_lab as lab\ncommand = [{sys.executable!r}, '-m', 'tests.servers.asking_app']\n"
        "seats = lab.connect(command, name='seats', app_elicitation=True)",
        "task = seats.task('book')\ntask",
        "other = seats.task('book', manner='itself')\nother",
        "print(task.result(timeout=20).value, other.questions[0].app)",
    )
    book.run(0)
    book.run(1)
    frame = book.cell(1).frame_locator("iframe.pmcp-app-frame").frame_locator("iframe")
    expect(frame.locator("#asked")).to_have_text("Which seat do you want?", timeout=60_000)
    expect(book.cell(1)).to_contain_text("An app of seats asks this here.")
    frame.get_by_role("button", name="2A").click()
    expect(book.cell(1).locator(".pmcp-ask")).to_have_count(0)
    book.run(2)
    expect(book.cell(2)).to_contain_text("answered by itself", timeout=60_000)
    assert book.run(3)[0]["text"] == "{'seat': '2A', 'window': True} ui://seats/itself\n"
