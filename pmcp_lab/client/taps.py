"""Who is told of every call of a tool and its end: recorders. Nothing is kept here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmcp_lab.client.server import Server

Tap = Callable[["Server", str, Mapping[str, Any], dict[str, Any] | BaseException, float], None]
"""Gets the server, the tool, its arguments, the raw result or what it ended with, and the milliseconds it took."""

taps: list[Tap] = []


def tell(
    server: Server, tool: str, arguments: Mapping[str, Any], ending: dict[str, Any] | BaseException, began: float
) -> None:
    """A call has ended.

    Args:
        began: `time.perf_counter()` at its start.
    """
    for tap in tuple(taps):
        tap(server, tool, arguments, ending, (time.perf_counter() - began) * 1000)
