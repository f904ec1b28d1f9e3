"""What shows tasks and follows them: what the card (`task_card`) and the table (`task_table`) share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import traitlets as t

from pmcp_lab.client import Task, call_of
from pmcp_lab.errors import LabError
from pmcp_lab.host import now
from pmcp_lab.notebook.live import LiveWidget
from pmcp_lab.notebook.saved_html import static_table

PAUSE = 0.1
"""Seconds between two deltas of a widget: jupyter_server drops what comes at more than 1,000 messages a second."""


def _present(_value: object, widget: TaskWidget) -> dict[str, Any]:
    """Serialises `_state` as it is now, whenever a page (re)loads the model."""
    return widget.snapshot()


class Followed(Protocol):
    """A call, or what drives a workflow."""

    def subscribe(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call `listener()` after every change; returns how to stop that."""


class TaskWidget(LiveWidget):
    """Shows tasks, and follows them: state at opening, then numbered deltas."""

    _state = t.Any().tag(sync=True, to_json=_present)

    def __init__(self, **traits: Any) -> None:
        self._lock = threading.RLock()
        self._dirty = False
        self._flushing = False
        self._stops: list[Callable[[], None]] = []
        super().__init__(**traits)

    def state(self) -> dict[str, Any]:
        raise NotImplementedError

    def delta(self) -> dict[str, Any]:
        """What the views were not told yet."""
        raise NotImplementedError

    def shown(self) -> list[Task]:
        raise NotImplementedError

    def snapshot(self) -> dict[str, Any]:
        with self._lock:
            return {"seq": self._seq, "now": now(), "state": self.state()}

    def follow(self, what: Followed, *rows: int) -> None:
        """Send what changes in it, shown in these rows, from now on."""
        self._stops.append(what.subscribe(partial(self._changed, *rows)))

    def _changed(self, *_rows: int) -> None:
        """On the background thread: at most one delta every `PAUSE` seconds, the first at once."""
        self._dirty = True
        self.keep(soon=self.settled())
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if not self._dirty:
            self._flushing = False
            return
        with self._lock:
            self._dirty = False
            self._seq += 1
            self.post({"kind": "delta", "seq": self._seq, "now": now(), **self.delta()})
        asyncio.get_running_loop().call_later(PAUSE, self._flush)

    def greet(self, view: str, seq: object) -> None:
        with self._lock:
            if seq == self._seq:
                self.post({"kind": "welcome", "to": view, "seq": self._seq, "now": now()})
            else:
                self.post({"kind": "state", "to": view, **self.snapshot()})

    def receive(self, kind: str, view: str, content: dict[str, Any]) -> None:
        if kind == "action" and content.get("action") == "cancel":
            for task in self.shown():
                if call_of(task).key == content.get("key") and not task.done():
                    asyncio.get_running_loop().create_task(self._cancel(view, task))

    async def _cancel(self, view: str, task: Task) -> None:
        """Cancel it; where that fails, its row says why, and the view hears that it can be tried again."""
        call = call_of(task)
        try:
            await call.stop()
        except LabError as error:
            call.refusal = f"could not be cancelled: {error.message}"
            call.touch()
            self.reply(view, {"kind": "refused", "action": "cancel", "key": call.key})

    def close(self) -> None:
        for stop in self._stops:
            stop()
        self._stops.clear()
        super().close()

    def settled(self) -> bool:
        return all(task.done() for task in self.shown())

    def saved(self) -> str:
        return static_table(self.shown())
