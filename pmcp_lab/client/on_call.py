"""Who is told of every call of a tool and its end: recorders. Nothing is kept here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

Ending = Mapping[str, Any] | BaseException
"""The raw `CallToolResult`, or what the call ended with instead."""


class Called(Protocol):
    """A call, as far as it is told of."""

    @property
    def origin(self) -> Any:
        """Its server."""

    @property
    def tool(self) -> str: ...

    @property
    def arguments(self) -> Mapping[str, Any]: ...


Listener = Callable[[Called, Ending, float], object]
"""Gets the call, what it ended with, and the milliseconds it took."""

_listeners: list[Listener] = []


def on_call(listener: Listener) -> Callable[[], None]:
    """Call `listener(call, ending, ms)` at the end of every call that is made from now on; returns how to stop that."""
    _listeners.append(listener)

    def stop() -> None:
        if listener in _listeners:
            _listeners.remove(listener)

    return stop


def begun(call: Called) -> Callable[[Ending], None]:
    """A call is made now; returns how to say that it ended."""
    began = time.perf_counter()

    def ended(ending: Ending) -> None:
        for listener in tuple(_listeners):
            listener(call, ending, (time.perf_counter() - began) * 1000)

    return ended
