"""What all widgets share: messages to and from their views while a cell runs.

`js/MESSAGES.md` is the contract. A widget's state is changed on the background thread only; what the
browser sends is handed to that thread at once, because it may arrive on any.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import anywidget
import traitlets as t

from pmcp_lab.client import runtime
from pmcp_lab.host import LiveModel

P = ParamSpec("P")
T = TypeVar("T")


class LiveWidget(LiveModel, anywidget.AnyWidget):
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
            runtime().call_soon(self.received, content)

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
        return self._origin.copy().run(function, *args, **named)


def _front_ends_choice(_data: Any, subshell: str | None) -> str | None:
    return subshell
