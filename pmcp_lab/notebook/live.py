"""What all widgets share: messages to and from their views while a cell runs, and what they leave in the notebook file.

`js/MESSAGES.md` is the contract of the messages. A widget's state is changed on the background thread only; what the
browser sends is handed to that thread at once, because it may arrive on any.

A file is read in many places where no widget runs: converters, GitHub, JupyterLab after a restart of the kernel. So
whatever is displayed has two outputs. The first is HTML that needs no kernel, script or network: how it looked last.
The second is the live view, whose stylesheet hides the first (`js/src/shared/tokens.css`). Being an output of its own,
the first is brought up to date without the live view being drawn anew, which would lose what a person does in it.

Where nobody looks on there is no second one, and no model either: converters would take its state, which is stored in
the file, for what is to be shown, and would want the code that shows it from the network.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import anywidget
import traitlets as t
from IPython.core.getipython import get_ipython
from IPython.display import DisplayHandle, display

from pmcp_lab.client import runtime
from pmcp_lab.host import LiveModel, built

P = ParamSpec("P")
T = TypeVar("T")

WIDGET = "application/vnd.jupyter.widget-view+json"
CLASSES = "pmcp-saved tex2jax_ignore mathjax_ignore"
"""The others are MathJax's: what a server says in dollars is no formula."""
KEPT = 8
"""Displays of one widget that are kept up to date; of more, the newest."""
UNSEEN = 2.0
"""Seconds that a live view has to come up, so that the page never shows both."""
SOON = 0.3
LEAST = 10.0
"""Seconds between two updates, at least; later an eighth of the time since it was displayed, so that hours of changes
come to a few dozen updates and what is saved is never much behind."""


def script(name: str) -> str | Path:
    """The module of a widget that is made of the same parts as others, with those parts before it."""
    parts, own = built("views.js").read_text(encoding="utf-8"), built(f"{name}.js")
    # The watcher of `make dev` leaves no parts: each file is whole, and anywidget looks at it.
    return f"{parts}\n{own.read_text(encoding='utf-8')}" if parts else own


def in_batch() -> bool:
    """Whether the cell runs where nobody looks on (nbconvert, papermill): a widget would be shown by nothing later.

    Voilà runs cells so, too, and shows their widgets to people afterwards.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None or os.environ.get("SERVER_SOFTWARE", "").startswith("voila"):
        return False
    return not (kernel.get_parent("shell").get("content") or {}).get("allow_stdin")


class _Place:
    """One display."""

    def __init__(self, handle: DisplayHandle, shown: object) -> None:
        self.handle = handle
        self.shown = shown


class SavedWidget(anywidget.AnyWidget):
    """A widget that is read in the notebook file, too."""

    def __init__(self, **traits: Any) -> None:
        self._displays: deque[_Place] = deque(maxlen=KEPT)
        self._due: asyncio.TimerHandle | None = None
        self._displayed = 0.0
        self._touched = False
        self._gone = False
        super().__init__(**traits)

    def saved(self) -> str:
        """The HTML, as of now. Everything from a server is escaped, and there is not too much of it."""
        raise NotImplementedError

    def settled(self) -> bool:
        """Whether nothing of it changes any more by itself."""
        return True

    def keep(self, *, soon: bool = False) -> None:
        """What is shown changed, so the file is to follow. On the background thread.

        Args:
            soon: For something that a person would not want to miss in the file, such as the end.
        """
        self._touched = True
        if not self._displays or (self._due is not None and not soon):
            return
        loop = asyncio.get_running_loop()
        wait = SOON if soon else max(LEAST, (time.monotonic() - self._displayed) / 8)
        if self._due is not None:
            if self._due.when() <= loop.time() + wait:
                return
            self._due.cancel()
        self._due = loop.call_later(wait, self._write)

    def seen(self) -> None:
        """A view is there, which hides what is written. On the background thread."""
        if any(place.shown is None for place in self._displays):
            self._write()

    def catch_up(self) -> None:
        """Have the file know all that there is to know."""
        if self._touched or not self.settled():
            self._write()

    def _write(self) -> None:
        self._due, self._touched = None, False
        shown = self._now()
        bundle = self._file(*shown)
        for place in list(self._displays):
            if place.shown != shown:
                place.shown = shown
                # An empty context makes it a message of the cell that runs now: nbclient hears no other's.
                contextvars.Context().run(place.handle.update, bundle, raw=True)

    def _now(self) -> tuple[str, bool]:
        settled = self.settled()  # first: it may end in between
        return self.saved(), settled

    def _file(self, html: str, settled: bool) -> dict[str, str]:
        when = "" if settled else f"<p><i>As of {datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}.</i></p>"
        return {"text/html": f'<div class="{CLASSES}">{html}{when}</div>', "text/plain": repr(self)}

    def _ipython_display_(self) -> None:
        shell = get_ipython()
        if shell is None or self._gone or not hasattr(shell, "kernel"):
            display(self._file(self.saved(), True), raw=True)  # type: ignore[no-untyped-call]
        elif in_batch():
            shown = self._now()
            handle = display(self._file(*shown), raw=True, display_id=True)  # type: ignore[no-untyped-call]
            self._displays.append(_Place(handle, shown))
            _follow_cells(self)
        else:
            empty = {"text/html": f'<div class="{CLASSES}"></div>', "text/plain": repr(self)}
            handle = display(empty, raw=True, display_id=True)  # type: ignore[no-untyped-call]
            self._displays.append(_Place(handle, None))
            view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
            display({WIDGET: view, "text/plain": ""}, raw=True)  # type: ignore[no-untyped-call]
            self._displayed = time.monotonic()
            runtime().call_soon(self._expect)

    def _expect(self) -> None:
        asyncio.get_running_loop().call_later(UNSEEN, self.seen)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """All in one output, for a front end that asks for it."""
        file = self._file(*self._now())
        if in_batch():
            return file, {}
        bundled = super()._repr_mimebundle_(**kwargs)
        return None if bundled is None else ({**bundled[0], **file}, bundled[1])

    def open(self) -> None:
        """Not where nobody looks on, unless something asks for the `model_id`, as a widget does that it is put into."""
        if not in_batch():
            super().open()

    @property
    def model_id(self) -> str:
        if self.comm is None and not self._gone:
            super().open()
        model: str = super().model_id
        return model

    def close(self) -> None:
        self._gone = True
        super().close()


_displayed: list[SavedWidget] = []
"""Where nobody looks on."""


def _follow_cells(widget: SavedWidget) -> None:
    """Bring it up to date at the end of each cell: whoever runs a notebook hears nothing between two."""
    shell = get_ipython()
    if shell is not None and widget not in _displayed:
        if not _displayed:
            shell.events.register("post_run_cell", _cell_ended)
        _displayed.append(widget)


def _cell_ended(_result: object) -> None:
    runtime().run(asyncio.sleep(0))  # what was handed to the loop before is done then
    for widget in _displayed:
        widget.catch_up()


class Origin:
    """The cell that something is made in: what is done on behalf of it later, on another thread, belongs to that cell.

    ipykernel finds it through context variables, which threads don't inherit, and marimo through a context of its own.
    """

    def __init__(self) -> None:
        self._variables = contextvars.copy_context()
        self._marimo: Any = None
        if "marimo" in sys.modules:
            # `mo.Thread`, which does the same, is a thread for each widget.
            from marimo._runtime.context import safe_get_context

            # A copy, for the original tells which cell runs now, whenever that is.
            self._marimo = copy.copy(safe_get_context())

    def run(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Call it as if that cell did, on any thread."""
        with nullcontext() if self._marimo is None else self._marimo.install():
            return self._variables.copy().run(function, *args, **named)


class LiveWidget(LiveModel, SavedWidget):
    """An anywidget that talks with its views from the background thread."""

    def __init__(self, **traits: Any) -> None:
        self._origin = Origin()
        super().__init__(**traits)
        self.on_msg(self._arrived)

    @t.observe("comm")
    def _keep_subshell_routing(self, change: Any) -> None:
        """ipykernel 7.4 sends a comm's incoming messages to the shell its last outgoing one came from.

        For a widget that a cell made that is the main shell, so a click would queue behind the running cell.
        The front end's own choice of subshell is restored.
        """
        if hasattr(change["new"], "_reply_subshell_for"):
            change["new"]._reply_subshell_for = _front_ends_choice  # noqa: SLF001 - there is no public switch

    def _arrived(self, _widget: object, content: Any, _buffers: object) -> None:
        if isinstance(content, dict):
            runtime().call_soon(self.received, content)

    def received(self, content: dict[str, Any]) -> None:
        super().received(content)
        if content.get("kind") == "hello":
            self.seen()

    def post(self, content: dict[str, Any]) -> None:
        self.within(self.send, content)

    def hand_over(self, **traits: Any) -> None:
        def change() -> None:
            with self.hold_sync():
                for name, value in traits.items():
                    setattr(self, name, value)

        self.within(change)

    def hand_over_again(self, names: Iterable[str]) -> None:
        self.within(self.send_state, {*names, "_whole"})

    def within(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Do what talks to the page, such as making another widget, from any thread."""
        return self._origin.run(function, *args, **named)


def _front_ends_choice(_data: Any, subshell: str | None) -> str | None:
    return subshell
