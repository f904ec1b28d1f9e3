"""A call as the standard library sees it: what `concurrent.futures` and `asyncio` read of a future, and ask of it.

A handle has no state of its own. That of its call, and the lock that guards it, are those of every handle.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, RUNNING
from typing import Any, NoReturn, Self, SupportsIndex

from pmcp_lab.client.catalogue import ToolResult
from pmcp_lab.client.tasks.call import Call
from pmcp_lab.errors import LabError, TaskCancelled

_ENDED_BY_OTHERS = ("set_result", "set_exception", "set_running_or_notify_cancel")


class CallFuture(concurrent.futures.Future[ToolResult]):
    """A `concurrent.futures.Future` of a call's result. `concurrent.futures.wait` and `as_completed`, `asyncio.wait`,
    `gather` and `as_completed` take it for what it is.

    A call that ended `cancelled` is a cancelled future: no failure to `FIRST_EXCEPTION`.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._entries: list[tuple[Callable[[Self], object], Callable[[Any], None]]] = []

    # --- what the library reads: the same in all of Python 3.11 to 3.14 ---

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        return self._call.result._condition  # noqa: SLF001 - the one lock

    @property
    def _state(self) -> str:  # type: ignore[override]
        if not self._call.result.done():
            return RUNNING
        return CANCELLED_AND_NOTIFIED if isinstance(self._call.failure, TaskCancelled) else FINISHED

    @property
    def _result(self) -> ToolResult | None:  # type: ignore[override]
        return self._call.outcome

    @property
    def _exception(self) -> BaseException | None:  # type: ignore[override]
        return self._call.failure

    @property
    def _waiters(self) -> Waiters:  # type: ignore[override]
        return Waiters(self, self._call.result._waiters)  # noqa: SLF001 - its own

    # --- what is registered with it ---

    def add_done_callback(self, function: Callable[[Self], object]) -> None:
        """Call `function(task)` when it ends, or at once if it has.

        Where a loop runs, it is called on that loop: in a coroutine, and in a notebook's cell, whose loop comes to it
        after the cell. Otherwise on the background thread.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None

        def now() -> None:
            with self._condition:
                if entry not in self._entries:
                    return
                self._entries.remove(entry)
            function(self)

        def deliver(_: object) -> None:
            if loop is None:
                now()
            elif not loop.is_closed():
                loop.call_soon_threadsafe(now)

        entry = (function, deliver)
        self._entries.append(entry)
        self._call.result.add_done_callback(deliver)

    def remove_done_callback(self, function: Callable[[Self], object]) -> int:
        """Call `function` no more; how many times it was registered."""
        removed = 0
        with self._condition:
            for entry in [each for each in self._entries if each[0] == function]:
                self._entries.remove(entry)
                removed += 1
                if not self._call.result.done():  # else they are being called
                    vars(self._call.result)["_done_callbacks"].remove(entry[1])
        return removed

    # --- what only its server may do ---

    def set_result(self, _result: object) -> NoReturn:
        raise self._not_ours()

    def set_exception(self, _exception: object) -> NoReturn:
        raise self._not_ours()

    def set_running_or_notify_cancel(self) -> NoReturn:
        raise self._not_ours()

    def _not_ours(self) -> LabError:
        return LabError(f"how {self._call.where} ends is its server's to say; cancel() asks it to stop")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        known = f"server.attach({self._call.id!r})" if self._call.id else "server.attach(task.id)"
        raise TypeError(
            f"the task of {self._call.where} can't be pickled or copied: it lives with this process's connection. "
            f"Take its result(), which can be, or its id, by which {known} finds it"
        )

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in _ENDED_BY_OTHERS]


class Waiters:
    """Who waits for a handle, in `concurrent.futures`: told of the handle, not of the future behind it."""

    def __init__(self, handle: CallFuture, waiting: list[Any]) -> None:
        self._handle = handle
        self._waiting = waiting

    def append(self, waiter: Any) -> None:
        self._waiting.append(_Told(self._handle, waiter))

    def remove(self, waiter: Any) -> None:
        self._waiting.remove(_Told(self._handle, waiter))


class _Told:
    """One of them, as the call's future sees it."""

    def __init__(self, handle: CallFuture, waiter: Any) -> None:
        self.handle = handle
        self.waiter = waiter

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Told) and other.handle is self.handle and other.waiter is self.waiter

    def __hash__(self) -> int:
        return hash((id(self.handle), id(self.waiter)))

    def add_result(self, _future: object) -> None:
        self.waiter.add_result(self.handle)

    def add_exception(self, _future: object) -> None:
        if self.handle.cancelled():
            self.waiter.add_cancelled(self.handle)
        else:
            self.waiter.add_exception(self.handle)
