"""How what a cell holds is shown: filled in by `pmcp_lab.notebook`, which this room does not import.

It stands below everything that is shown, and so knows nothing of it: servers, tasks and tools are objects here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Protocol

from pmcp_lab.errors import LabError


class AppWidget(Protocol):
    """An MCP App in a cell, as `Server.app` returns it; `pmcp_lab.notebook.AppView` says all of it."""

    bridge: Literal["kernel", "direct"]

    @property
    def arguments(self) -> dict[str, Any] | None: ...

    @property
    def calls(self) -> Any:
        """What the app asked of the server, oldest first; `calls.df` is a table of it."""

    @property
    def events(self) -> Any:
        """What it reported, oldest first."""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What it wanted to be said in the conversation."""

    @property
    def context(self) -> dict[str, Any]:
        """What it last wanted a model to know."""

    @property
    def app_tools(self) -> Any:
        """The tools that it offers."""

    @property
    def asking(self) -> Sequence[Any]:
        """Its calls that ask their user something."""

    @property
    def closed(self) -> bool: ...

    def partial(self, **arguments: Any) -> None:
        """Show it arguments that are still coming."""

    def run(self, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
        """Call its tool, where it was opened without a call."""

    def display(self, mode: Literal["inline", "fullscreen", "pip"]) -> None: ...

    def reload(self) -> None:
        """Read it again, and show what it is now."""

    def on_message(self, callback: Callable[[dict[str, Any]], object] | None) -> None: ...

    def on_context(self, callback: Callable[[dict[str, Any]], object] | None) -> None: ...

    def close(self) -> None:
        """Tell it that it ends, and show that it did."""


class Views(Protocol):
    """What a front end offers."""

    def connected(self, server: Any) -> None:
        """A connection was asked for (a `Server`); it may not stand yet."""

    def show(self, thing: Any) -> Any:
        """The widget for what a cell holds: a card for a `Task`, a live table for a `TaskSet` or several tasks, the
        view of a `WorkflowRun`, a list to be searched for a `Listing`."""

    def app(
        self,
        server: Any,
        tool: str,
        arguments: dict[str, Any] | None,
        *,
        bridge: Literal["kernel", "direct"] = "kernel",
        host: str = "standard",
    ) -> AppWidget:
        """The widget that shows the app of a `Server`'s tool; without arguments, before the tool is called."""

    def form(self, tool: Any, values: Mapping[str, Any]) -> Any:
        """The form of a `Tool`'s arguments."""

    @property
    def attended(self) -> bool:
        """Whether a person sits before the cell that runs, who can answer a question."""

    def ask(self, task: Any) -> None:
        """Show the card of a call (a `Task`) that asks, below the cell that runs."""

    def waiting(self, task: Any) -> AbstractContextManager[object]:
        """Show how far a call (a `Task`) is, as long as the block is open."""

    def sign_in(self, server: str, url: str) -> Callable[[], object]:
        """Show a link to sign in at, below the cell that runs. Returns how to take it away."""


_views: Views | None = None


def register(views: Views | None) -> None:
    global _views
    _views = views


def installed() -> Views | None:
    return _views


def display(thing: Any) -> None:
    """Show it, as `_ipython_display_` does: with its widget, or else as text."""
    if _views is None:
        print(repr(thing))  # noqa: T201 - what IPython does with an object that has no view
    else:
        _views.show(thing)._ipython_display_()


def shown(thing: Any) -> Any:
    """What stands for it, as `_display_` hands it to marimo: its widget, or else a text."""
    return repr(thing) if _views is None else _views.show(thing)


def show_sign_in(server: str, url: str) -> Callable[[], object]:
    """Say where to sign in: as a link below the cell, or in a terminal. Returns how to take the link away."""
    if _views is not None:
        return _views.sign_in(server, url)
    print(f"Sign in to {server}:\n{url}")  # noqa: T201 - there is nothing else here to say it with
    return int


def waiting(task: Any) -> AbstractContextManager[object]:
    """Show how far a call is while the cell waits for it, where there is something to show it with."""
    return nullcontext() if _views is None else _views.waiting(task)


def attended() -> bool:
    """Whether a person sits before the cell that runs."""
    return _views is not None and _views.attended


def required() -> Views:
    """Raise `LabError` unless something can show widgets here."""
    if _views is None:
        raise LabError(
            "Widgets need a notebook: run `%load_ext pmcp_lab` in a cell (pip install 'pmcp_lab[notebook]')."
        )
    return _views
