"""The MCP Apps host of a cell: the widget that shows a tool's UI resource. What it does is in `pmcp_lab.host`."""

from __future__ import annotations

import concurrent.futures
from functools import partial
from typing import Any

from pmcp_lab.client import Server, Task, Tool, call_of, runtime
from pmcp_lab.host import STANDARD, Profile
from pmcp_lab.notebook.app_questions import AppQuestions
from pmcp_lab.notebook.app_snapshot import snapshot
from pmcp_lab.notebook.app_widget import AppWidget
from pmcp_lab.notebook.live import in_batch

BATCH_TIMEOUT = 60.0
"""Seconds for the result where nobody looks on, so that it is in what is saved."""


class AppView(AppWidget):
    """An MCP App in a cell. Made by `Server.app`, or by `Server.open_app` without a call yet; see `HostedApp`."""

    tool: Tool

    def __init__(
        self, server: Server, tool: Tool, arguments: dict[str, Any] | None, profile: Profile = STANDARD
    ) -> None:
        self.profile = profile
        self._questions = AppQuestions(self)
        self._alone = in_batch()
        super().__init__(server, tool, arguments)

    @property
    def asking(self) -> list[Task]:
        """The app's calls that ask their user something; `.answer({…})` of each does what its form does."""
        return self._questions.asking

    def attend(self, task: Task) -> None:
        """Show what a call of this app asks beneath it, where anybody looks on."""
        call_of(task).attended = not self._alone
        self._questions.attend(task)

    def attend_page(self, task: Task) -> None:
        """Show what the server asks within a call that the page itself made."""
        self._questions.attend(task)

    async def relay(self, tool: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return await self.client.relay(tool, method, params, attend=self.attend_page)

    def assign(self, **traits: Any) -> None:
        super().assign(**traits)
        runtime().call_soon(partial(self.keep, soon="_call" in traits))

    def receive(self, kind: str, view: str, content: dict[str, Any]) -> None:
        super().receive(kind, view, content)
        self.keep()

    def settled(self) -> bool:
        return self.delivered is None or self.delivered.done()

    def saved(self) -> str:
        return snapshot(self.server.name, self.tool.name, self._call, self.context)

    def _ipython_display_(self) -> None:
        if in_batch() and self.delivered is not None:
            concurrent.futures.wait([self.delivered], timeout=BATCH_TIMEOUT)
        super()._ipython_display_()
