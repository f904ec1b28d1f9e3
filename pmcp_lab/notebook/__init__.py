"""What a cell shows: the app view, the table of tasks and the card of one, the form of a tool, and the `%mcp` magics.

Importing this room makes servers and tasks show themselves as widgets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from IPython.core.getipython import get_ipython
from IPython.display import display

from pmcp_lab.client import Listing, Server, Task, Tool, WorkflowRun, client_of, connected, runtime, session, views
from pmcp_lab.host import open_app, profile_of, read_ahead
from pmcp_lab.notebook.app_view import AppView
from pmcp_lab.notebook.call_progress import CallProgress
from pmcp_lab.notebook.catalogue_views import Catalogue
from pmcp_lab.notebook.in_marimo import in_marimo, on_page
from pmcp_lab.notebook.sign_in import show_link
from pmcp_lab.notebook.task_card import TaskCard
from pmcp_lab.notebook.task_table import TaskTable
from pmcp_lab.notebook.tool_form import ToolForm
from pmcp_lab.notebook.workflow_view import WorkflowView

__all__ = ["AppView", "Catalogue", "TaskCard", "TaskTable", "ToolForm", "WorkflowView", "load_ipython_extension"]


class _Widgets:
    def connected(self, server: Server) -> None:
        if self.attended:
            runtime().start(read_ahead(client_of(server)))

    def app(
        self,
        server: Server,
        tool: str,
        arguments: dict[str, Any] | None,
        *,
        bridge: Literal["kernel", "direct"] = "kernel",
        host: str = "standard",
    ) -> AppView:
        return open_app(AppView, server, tool, arguments, profile_of(host), bridge)

    def show(self, thing: Any) -> Any:
        match thing:
            case Task():
                return TaskCard(thing)
            case WorkflowRun():
                return WorkflowView(thing)
            case Listing():
                return Catalogue(thing)
            case _:
                return TaskTable(thing)

    @property
    def attended(self) -> bool:
        """A front end that lets a cell ask for input has a person before it; nbconvert and papermill don't."""
        kernel = getattr(get_ipython(), "kernel", None)
        parent = kernel.get_parent("shell") if kernel is not None else {}
        return bool((parent.get("content") or {}).get("allow_stdin"))

    def ask(self, task: Task) -> None:
        display(TaskCard(task))  # type: ignore[no-untyped-call]

    def form(self, tool: Tool, values: Mapping[str, Any]) -> ToolForm:
        return ToolForm(connected(tool.server), tool, values)

    def waiting(self, task: Task) -> AbstractContextManager[object]:
        return CallProgress(task) if hasattr(get_ipython(), "kernel") else nullcontext()

    def sign_in(self, server: str, url: str) -> Callable[[], object]:
        return show_link(server, url)


class _MarimoWidgets(_Widgets):
    def connected(self, server: Server) -> None:
        if on_page():
            runtime().start(read_ahead(client_of(server)))

    @property
    def attended(self) -> bool:
        """Nobody: while a cell runs, marimo's kernel hears no answer."""
        return False


views.register(_MarimoWidgets() if in_marimo() else _Widgets())
if on_page():
    session.progress = False  # stderr may be the terminal of the server


def load_ipython_extension(shell: Any) -> None:
    """Register the magics and their completion; loading twice is fine."""
    from pmcp_lab.notebook.app_magic import AppMagics
    from pmcp_lab.notebook.call_completion import install_matcher
    from pmcp_lab.notebook.completion import completer
    from pmcp_lab.notebook.magics import McpMagics

    runtime()  # what is slow to import is imported behind the user's back
    shell.register_magics(McpMagics, AppMagics)
    shell.set_hook("complete_command", completer, re_key=r"^\s*(?:\w+\s*=\s*)?%{0,2}mcp\b")
    install_matcher(shell)
