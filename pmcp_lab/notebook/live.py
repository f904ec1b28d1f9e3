"""What all widgets share: messages to and from their views while a cell runs.

`js/MESSAGES.md` is the contract. A widget's state is changed on the background thread only; what the
browser sends is handed to that thread at once, because it may arrive on any.
"""

from __future__ import annotations

import contextvars
import time
from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

from pmcp_lab.client.runtime import runtime
from pmcp_lab.errors import LabError

STATIC = Path(__file__).parent.parent / "static"


def built(name: str) -> Path:
    """A file of the built front end.

    Raises:
        LabError: It was never built.
    """
    file = STATIC / name
    if not file.is_file():
        raise LabError(f"The front end is not built ({name} is missing): run `make front-end` in the source tree.")
    return file


class LiveWidget(anywidget.AnyWidget):
    """An anywidget that talks with its views from the background thread."""

    def __init__(self, **traits: Any) -> None:
        # ipykernel finds the cell a message belongs to through context variables, which threads don't inherit.
        self._origin = contextvars.copy_context()
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
            runtime().call_soon(self._received, content)

    def _received(self, content: dict[str, Any]) -> None:
        kind, view = content.get("kind"), content.get("view")
        if not isinstance(view, str):
            return
        if kind == "ping":
            self.post({"kind": "pong", "to": view, "n": content.get("n")})
        elif kind == "hello":
            self.greet(view, content.get("seq"))
        else:
            self.receive(str(kind), view, content)

    def greet(self, view: str, seq: object) -> None:
        """Answer a view that has just been mounted, or has missed something."""
        self.post({"kind": "welcome", "to": view, "seq": seq if isinstance(seq, int) else 0, "now": now()})

    def receive(self, kind: str, view: str, content: dict[str, Any]) -> None:
        """Take in any other message of a view. Runs on the background thread."""

    def post(self, content: dict[str, Any]) -> None:
        """Send to the views, from any thread."""
        self._origin.copy().run(self.send, content)

    def assign(self, **traits: Any) -> None:
        """Set traits from any thread; the views hear of all of them at once."""

        def change() -> None:
            with self.hold_sync():
                for name, value in traits.items():
                    setattr(self, name, value)

        self._origin.copy().run(change)


def _front_ends_choice(_data: Any, subshell: str | None) -> str | None:
    return subshell


def now() -> int:
    """Milliseconds since the epoch, by the kernel's clock."""
    return time.time_ns() // 1_000_000
