"""Questions answered in the page: of tasks and plain calls, while cells keep the kernel busy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.lab.conftest import Open

CONNECT = "import time\nimport pmcp_lab as lab\ndemo = lab.connect('demo', mode={mode!r})"


def test_a_form_is_answered_while_a_cell_sleeps(notebook: Open) -> None:
    book = notebook(CONNECT.format(mode="2026-07-28"), "run = demo.task('publish', model='m')\nrun", "time.sleep(60)")
    book.run(0)
    book.run(1)
    book.start(2)
    card = book.cell(1)
    form = card.get_by_role("group", name="Publish m?")
    expect(form).to_be_visible()
    assert book.running(2)
    card.get_by_label("Publish it?").check()
    card.get_by_label("Who may use it").select_option(label="company")
    card.get_by_role("button", name="Send").click()
    expect(card.locator(".pmcp-badge")).to_have_text("completed")
    expect(card).to_contain_text("m is published for: company.")
    assert book.running(2), "and the cell slept all the while"
    book.page.wait_for_function(
        """() => window.jupyterapp.shell.currentWidget.content.model.toJSON()
            .cells[1].outputs[0].data["text/html"].includes("m is published for: company.")"""
    )
    book.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")
    book.finish(2)


def test_a_plain_call_asks_below_its_cell_and_goes_on(notebook: Open) -> None:
    book = notebook(CONNECT.format(mode="legacy"), "demo.call('publish', model='m').value['note']")
    book.run(0)
    book.start(1)
    card = book.cell(1)
    expect(card.get_by_role("group", name="Publish m?")).to_be_visible()
    assert book.running(1)
    card.get_by_label("Publish it?").check()
    card.get_by_role("button", name="Send").click()
    outputs = book.finish(1, timeout=10)
    assert outputs[-1]["data"]["text/plain"] == "'m is published for: team.'"
    expect(card.locator(".pmcp-badge")).to_have_text("completed")


def test_a_tool_is_filled_in_run_and_copied(notebook: Open) -> None:
    book = notebook(
        CONNECT.format(mode="auto"),
        "form = demo.tools['train'].form(epochs=3, seconds=0.5)\nform",
        "form.to_cell()",
        "print(form.values)",
    )
    book.run(0)
    book.run(1)
    form = book.cell(1)
    epochs = form.get_by_label("epochs", exact=False)
    expect(epochs).to_have_value("3")
    epochs.fill("0")
    form.get_by_role("button", name="Run").click()
    expect(form.get_by_text("At least 1.")).to_be_visible()
    expect(epochs).to_be_focused()
    epochs.fill("2")
    form.get_by_role("button", name="Run").click()
    expect(form.locator(".pmcp-badge")).to_have_text("completed")
    expect(form).to_contain_text("epoch 2 of 2")
    form.get_by_role("button", name="Copy as cell").click()
    expect(form.locator(".pmcp-tool pre").first).to_contain_text("lab.connected('demo').call('train', epochs=2")
    book.run(2)
    source = book.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells[3].source")
    assert "epochs=2" in source


def test_pictures(notebook: Open, picture: Callable[[str], Path]) -> None:
    book = notebook(
        CONNECT.format(mode="auto"),
        "run = demo.task('publish', model='a model with a rather long name')\nrun",
        "demo.tools['train'].form()",
        "demo.task('train', epochs=4, seconds=1)",
    )
    for index in range(4):
        book.run(index)
    expect(book.cell(3).locator(".pmcp-badge")).to_have_text("completed")
    for theme in ("light", "dark"):
        book.theme(theme)
        for width in (1280, 620):
            book.page.set_viewport_size({"width": width, "height": 1000})
            book.page.wait_for_timeout(500)
            for index in (1, 2, 3):
                book.cell(index).scroll_into_view_if_needed()
                book.page.wait_for_timeout(200)
            picture(f"forms-{theme}-{width}")
            book.cell(1).scroll_into_view_if_needed()
            book.page.wait_for_timeout(300)
            picture(f"question-{theme}-{width}")
