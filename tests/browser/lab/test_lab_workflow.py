"""A workflow as a person leads it: its view's forms and buttons, while the kernel is busy with something else."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.lab.conftest import Open

SERVER = Path(__file__).parents[2] / "servers" / "releasing.py"


def test_a_workflow_is_led_to_its_end_while_a_cell_sleeps(notebook: Open, picture: Callable[[str], Path]) -> None:
    book = notebook(
        "%load_ext pmcp_lab\nimport pmcp_lab as lab, time\ndemo = lab.connect('demo')",
        "run = %mcp workflow demo sales_report region=north\nrun",
        "time.sleep(120)",
        "run.status, set(run.df.status)",
    )
    book.run(0)
    book.run(1)
    view = book.cell(1).locator(".jp-OutputArea-child").last
    steps = view.get_by_role("list", name="Steps").get_by_role("listitem")
    expect(steps).to_have_count(5)
    expect(steps.nth(1)).to_have_attribute("data-status", "completed")
    expect(steps.nth(2)).to_have_attribute("data-status", "waits")
    book.start(2)
    for theme in ("light", "dark"):
        book.theme(theme)
        view.scroll_into_view_if_needed()
        book.page.wait_for_timeout(300)
        picture(f"workflow-{theme}")
    view.get_by_label("text").fill("It went well.")
    view.get_by_role("button", name="Call save_summary").click()
    expect(steps.nth(2)).to_have_attribute("data-status", "completed")
    expect(view.get_by_text("Needs your input", exact=True)).to_be_visible()
    view.get_by_label("To whom?").select_option("board")
    picture("workflow-question")
    view.get_by_role("button", name="Send", exact=True).click()
    expect(steps.nth(4)).to_have_attribute("data-status", "completed")
    expect(view.get_by_role("button", name="Finish")).to_be_hidden()
    assert book.running(2), "the kernel's main thread slept all the while"
    book.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")
    book.finish(2, 20)
    assert book.run(3)[0]["data"]["text/plain"] == "('completed', {'completed'})"


def test_its_server_is_killed_at_every_turn(notebook: Open, tmp_path: Path, picture: Callable[[str], Path]) -> None:
    """While it builds, while it waits for a call, and while it waits for an answer."""
    book = notebook(
        "%load_ext pmcp_lab\nimport pmcp_lab as lab, sys",
        f"server = lab.connect([sys.executable, {str(SERVER)!r}, {str(tmp_path)!r}], name='releasing')",
        "run = server.workflow('release', version='1.2')\nrun",
        "run.status, len(run.df), set(run.df.status)",
    )
    for cell in range(3):
        book.run(cell)
    view = book.cell(2).locator(".jp-OutputArea-child").last
    steps = view.get_by_role("list", name="Steps").get_by_role("listitem")

    def did(what: str) -> int:
        return (tmp_path / "log").read_text().split().count(what)

    def kill() -> None:
        before = (tmp_path / "pid").read_text()
        os.kill(int(before), signal.SIGKILL)
        book.page.wait_for_timeout(500)

    expect(steps.nth(0)).to_have_attribute("data-status", "running")
    kill()
    expect(steps.nth(0)).to_have_attribute("data-status", "completed", timeout=30_000)
    assert did("build") == 2
    kill()
    view.get_by_label("bucket").fill("b2")
    view.get_by_role("button", name="Call put").click()
    expect(view.get_by_text("Publish 1.2?", exact=True)).to_be_visible(timeout=30_000)
    kill()
    picture("workflow-killed")
    view.get_by_label("ok").check()
    view.get_by_role("button", name="Send", exact=True).click()
    expect(steps.nth(4)).to_have_attribute("data-status", "completed", timeout=30_000)
    assert book.run(3)[0]["data"]["text/plain"] == "('completed', 5, {'completed'})"
    assert [did("put"), did("publish"), did("say")] == [1, 1, 1]
    picture("workflow-killed-done")
