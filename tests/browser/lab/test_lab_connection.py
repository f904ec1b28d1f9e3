"""The connection to the kernel breaks: views ask again by themselves, and say what is so while they wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.lab.conftest import Open

CONNECT = """
import asyncio
import pathlib
import pmcp_lab as lab
from mcp.server.mcpserver import MCPServer
from pmcp_lab.server import TaskContext, Tasks
from pydantic import BaseModel

class Sure(BaseModel):
    sure: bool

tasks = Tasks("memory://")

@tasks.tool()
async def publish(model: str, task: TaskContext) -> str:
    while not pathlib.Path(model).exists():
        await asyncio.sleep(0.02)
    answer = await task.elicit(f"Publish {model}?", Sure)
    return f"{model} is published: {answer.action}."

demo = lab.connect(MCPServer("demo", extensions=[tasks], middleware=[tasks]))
"""
KERNEL = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"


class Cable:
    """The websockets of the page to its kernels. `cut` is as a network that went away: nobody is told."""

    def __init__(self, page: Page) -> None:
        self.broken = False
        self.lost = 0
        self._open: list[WebSocketRoute] = []
        page.route_web_socket("**/api/kernels/*/channels*", self._opened)

    def _opened(self, page: WebSocketRoute) -> None:
        if self.broken:
            page.close()
            return
        server = page.connect_to_server()
        page.on_message(lambda message: self._carry(server, message))
        server.on_message(lambda message: self._carry(page, message))
        self._open.append(page)

    def _carry(self, to: WebSocketRoute, message: str | bytes) -> None:
        if self.broken:
            self.lost += 1
        else:
            to.send(message)

    def cut(self) -> None:
        self.broken = True

    def mend(self, *, reconnect: bool) -> None:
        """Put it together; those that were open stay so, or break, whereupon the page opens others."""
        self.broken = False
        if reconnect:
            for each in self._open:
                each.close()
            self._open.clear()


@pytest.mark.usefixtures("own_page")
def test_a_question_is_shown_and_answered_after_the_connection_broke(
    notebook: Open, lab_page: Page, picture: Callable[[str], Path]
) -> None:
    """Both ways that it may be: the page learns that it broke, or messages were lost and nobody knows."""
    cable = Cable(lab_page)
    book = notebook(CONNECT, "run = demo.task('publish', model='m')\nrun", "run = demo.task('publish', model='n')\nrun")
    book.run(0)
    for cell, reconnect in ((1, True), (2, False)):
        name = "mn"[cell - 1]
        book.run(cell)
        card = book.cell(cell)
        expect(card.locator(".pmcp-card")).to_be_visible()
        cable.cut()
        # The question is asked now, and does not come.
        (book.lab.root / name).touch()
        book.page.wait_for_timeout(1500)
        expect(card.get_by_role("group", name=f"Publish {name}?")).to_have_count(0)
        if not reconnect:
            expect(card.locator(".pmcp-link-state")).to_contain_text("no answer from the kernel")
            for theme in ("light", "dark"):
                book.theme(theme)
                card.scroll_into_view_if_needed()
                book.page.wait_for_timeout(1000)
                picture(f"no-answer-{theme}")
        cable.mend(reconnect=reconnect)
        began = time.monotonic()
        expect(card.get_by_role("group", name=f"Publish {name}?")).to_be_visible()
        print(f"\nhealed {time.monotonic() - began:.1f} s after the connection was there, reconnect={reconnect}")
        expect(card.locator(".pmcp-link-state")).to_be_hidden()
        card.get_by_label("Sure").check()
        cable.cut()
        card.get_by_role("button", name="Send").click()
        book.page.wait_for_timeout(500)
        cable.mend(reconnect=reconnect)
        expect(card.locator(".pmcp-badge")).to_have_text("completed")
        expect(card).to_contain_text(f"{name} is published: accept.")
    assert cable.lost > 0
