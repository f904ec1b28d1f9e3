"""A task's methods for code that runs in a worker thread, where nothing can be awaited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio.from_thread

if TYPE_CHECKING:
    from pmcp_lab.tasks.context import TaskContext

P = ParamSpec("P")
T = TypeVar("T")


def _waiting(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return anyio.from_thread.run(partial(method, *args, **kwargs))

    return call


class InThread:
    """Each method does what that of the task does, and returns when it is done.

    Raises:
        RuntimeError: Called on the event loop's own thread.
    """

    def __init__(self, task: TaskContext) -> None:
        self.refresh = _waiting(task.refresh)
        self.update = _waiting(task.update)
        self.elicit = _waiting(task.elicit)
        self.elicit_url = _waiting(task.elicit_url)
        self.sample = _waiting(task.sample)
        self.ask = _waiting(task.ask)
        self.require_input = _waiting(task.require_input)
        self.resume = _waiting(task.resume)
        self.complete = _waiting(task.complete)
        self.fail = _waiting(task.fail)
