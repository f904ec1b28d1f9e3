"""How far a plain call is, shown while its cell waits: a bar below it. What a terminal shows is the client's.

Only for calls that take a while and whose server says something; gone when the call is over.
"""

from __future__ import annotations

import asyncio
import html
import threading
import time
from typing import Any

from IPython.display import display

from pmcp_lab.client import Task
from pmcp_lab.notebook.live import Origin

SHOWN_AFTER = 0.5
"""Seconds a call may take before anything is shown."""
PAUSE = 0.1
"""Seconds between two changes."""
WIDTH = 24
"""Characters of the bar where there is no HTML."""


class CallProgress:
    """A context in which a call is waited for."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._origin = Origin()
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._due = False
        self._open = True
        self._shown: Any = None

    def __enter__(self) -> None:
        self._stop = self._task.subscribe(self._changed)

    def __exit__(self, *_: object) -> None:
        self._stop()
        with self._lock:
            self._open = False
            if self._shown is not None:
                self._erase()

    def _changed(self, _task: Task) -> None:
        """On the background thread."""
        if not self._due:
            self._due = True
            wait = max(PAUSE, self._began + SHOWN_AFTER - time.monotonic())
            asyncio.get_running_loop().call_later(wait, self._origin.run, self._show)

    def _show(self) -> None:
        self._due = False
        with self._lock:
            task = self._task
            if not self._open or task.done() or (task.progress is None and not task.message):
                return
            name = f"{task.server}.{task.tool}"
            bar = _Bar(name, task.progress, task.message or "")
            if self._shown is None:
                self._shown = display(bar, display_id=True)  # type: ignore[no-untyped-call]
            else:
                self._shown.update(bar)

    def _erase(self) -> None:
        self._shown.update({"text/plain": "", "text/html": ""}, raw=True)


def _line(name: str, progress: float | None, message: str) -> str:
    if progress is None:
        return f"{name} … {_plain(message)}"
    done = round(min(1.0, max(0.0, progress)) * WIDTH)
    return f"{name} [{'#' * done}{'.' * (WIDTH - done)}] {progress:.0%} {_plain(message)}"


def _plain(message: str) -> str:
    """One line without what a terminal would take for a command."""
    return " ".join("".join(char if char.isprintable() else " " for char in message).split())[:60]


class _Bar:
    def __init__(self, name: str, progress: float | None, message: str) -> None:
        self._name, self._progress, self._message = name, progress, message

    def __repr__(self) -> str:
        return _line(self._name, self._progress, self._message)

    def _repr_html_(self) -> str:
        name = html.escape(self._name, quote=True)
        value = "" if self._progress is None else f' value="{min(1.0, max(0.0, self._progress)):.3f}"'
        percent = "" if self._progress is None else f" {self._progress:.0%}"
        return (
            f'<div><code>{name}</code> <progress aria-label="{name}" max="1"{value}></progress>{percent} '
            f"{html.escape(self._message)}</div>"
        )
