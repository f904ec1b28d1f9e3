"""How servers, tasks and apps are shown: filled in by `pmcp_lab.notebook`, which this room does not import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pmcp_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pmcp_lab.client.catalogue import Tool
    from pmcp_lab.client.listing import Listing
    from pmcp_lab.client.server import Server
    from pmcp_lab.client.task import Task
    from pmcp_lab.client.workflow import WorkflowRun


class Views(Protocol):
    """What a front end offers."""

    def connected(self, server: Server) -> None:
        """A connection was asked for; it may not stand yet."""

    def app(
        self, server: Server, tool: str, arguments: dict[str, Any] | None, *, bridge: Literal["kernel", "direct"]
    ) -> Any:
        """The widget that shows the app of a tool; without arguments, before the tool is called."""

    def task(self, task: Task) -> Any:
        """The card of one task."""

    def tasks(self, tasks: Sequence[Task]) -> Any:
        """A live table of these tasks."""

    def workflow(self, run: WorkflowRun) -> Any:
        """The view of a workflow."""

    @property
    def attended(self) -> bool:
        """Whether a person sits before the cell that runs, who can answer a question."""

    def ask(self, task: Task) -> None:
        """Show the card of a call that asks, below the cell that runs."""

    def form(self, tool: Tool, values: Mapping[str, Any]) -> Any:
        """The form of a tool's arguments."""

    def catalogue(self, listing: Listing[Any]) -> Any:
        """The tools, resources or prompts of a server, to be searched."""

    def waiting(self, task: Task) -> AbstractContextManager[object]:
        """Show how far a call is, as long as the block is open."""

    def sign_in(self, server: str, url: str) -> Callable[[], object]:
        """Show a link to sign in at, below the cell that runs. Returns how to take it away."""


_views: Views | None = None


def register(views: Views | None) -> None:
    global _views
    _views = views


def installed() -> Views | None:
    return _views


def show_sign_in(server: str, url: str) -> Callable[[], object]:
    """Say where to sign in: as a link below the cell, or in a terminal. Returns how to take the link away."""
    if _views is not None:
        return _views.sign_in(server, url)
    print(f"Sign in to {server}:\n{url}")  # noqa: T201 - there is nothing else here to say it with
    return int


def waiting(task: Task) -> AbstractContextManager[object]:
    """Show how far a call is while the cell waits for it, where there is something to show it with."""
    return nullcontext() if _views is None else _views.waiting(task)


def required() -> Views:
    """Raise `LabError` unless something can show widgets here."""
    if _views is None:
        raise LabError(
            "Widgets need a notebook: run `%load_ext pmcp_lab` in a cell (pip install 'pmcp_lab[notebook]')."
        )
    return _views
