"""Who wants to hear of tasks that are started in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pmcp_lab.client.tasks.task import Task

_listeners: dict[int, Callable[[Task], object]] = {}
_lock = threading.Lock()


def on_task(listener: Callable[[Task], object]) -> Callable[[], None]:
    """Call `listener(task)` for every task started from now on, on the starting thread. Returns how to stop."""
    key = id(listener)
    with _lock:
        _listeners[key] = listener

    def stop() -> None:
        with _lock:
            _listeners.pop(key, None)

    return stop


def announce(task: Task) -> None:
    with _lock:
        listeners = list(_listeners.values())
    for listener in listeners:
        listener(task)
