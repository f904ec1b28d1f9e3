"""The package's one background thread with its own event loop, on which every MCP connection lives.

Cells run on the kernel's main thread and block it; what must go on meanwhile (polling, app calls, table
updates) runs here. Never the kernel's loop, never nested loops.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar

from pmcp_lab.errors import LabError

T = TypeVar("T")

SLICE = 0.2
"""Seconds a wait may go without looking up. Interrupting a cell that awaits does not wake its event loop,
so awaits return to it this often; blocking waits use the same grain."""


class Runtime:
    """A daemon thread running an asyncio loop.

    Work is handed over with `start` (returns a `concurrent.futures.Future`) from any thread. `at_exit`
    registers what must be closed before the process ends.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._closers: dict[object, Callable[[], Awaitable[None]]] = {}
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="pmcp_lab", daemon=True)
        self._thread.start()
        threading.Thread(target=_warm, name="pmcp_lab-warm", daemon=True).start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    @property
    def here(self) -> bool:
        """Whether the caller is on the background thread."""
        return threading.current_thread() is self._thread

    @property
    def usable(self) -> bool:
        return self._pid == os.getpid() and self._thread.is_alive()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine on the background loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Run a plain function on the background loop; it must not block."""
        self._loop.call_soon_threadsafe(function, *args)

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine there and wait for it here. An interrupt cancels it.

        Args:
            timeout: Seconds; None waits for ever.

        Raises:
            TimeoutError: Not done in time; the coroutine is cancelled.
        """
        future = self.start(coroutine)
        try:
            return self.wait(future, timeout)
        except BaseException:
            future.cancel()
            raise

    def wait(self, future: concurrent.futures.Future[T], timeout: float | None = None) -> T:
        """The future's result, waiting in slices so that an interrupt lands."""
        if self.here:
            raise LabError("a callback of pmcp_lab can't wait for pmcp_lab: use `await` instead of the blocking form")
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = SLICE if deadline is None else min(SLICE, deadline - time.monotonic())
            done, _ = concurrent.futures.wait([future], timeout=max(0.0, left))
            if done:
                return future.result()
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"not done after {timeout:g} s")

    def at_exit(self, key: object, close: Callable[[], Awaitable[None]]) -> None:
        self._closers[key] = close

    def forget(self, key: object) -> None:
        self._closers.pop(key, None)

    def close(self, timeout: float = 4.5) -> None:
        """Close everything registered, all at once. Jupyter kills a kernel 5 s after it asked it to stop."""
        if not self.usable or self.here:
            return
        closers = list(self._closers.values())
        self._closers.clear()

        async def close_all() -> None:
            await asyncio.gather(*(close() for close in closers), return_exceptions=True)

        concurrent.futures.wait([self.start(close_all())], timeout=timeout)


def awaiting(future: concurrent.futures.Future[T]) -> Generator[Any, None, T]:
    """`yield from` this in `__await__`: waits for a background future on whatever loop the caller runs."""

    async def wait() -> T:
        inner = asyncio.wrap_future(future)
        while not inner.done():
            await asyncio.wait({inner}, timeout=SLICE)
        return inner.result()

    return wait().__await__()


_runtime: Runtime | None = None
_lock = threading.Lock()


def runtime() -> Runtime:
    """The process's runtime, started at first use (and afresh in a forked child)."""
    global _runtime
    with _lock:
        if _runtime is None or not _runtime.usable:
            if sys.platform == "emscripten":
                raise LabError("pmcp_lab can't connect to servers in a browser kernel yet: there are no threads")
            _runtime = Runtime()
            atexit.register(_runtime.close)
        return _runtime


def seen(future: asyncio.Future[Any]) -> None:
    """For a future of which only matters that it is done: asyncio complains of errors nobody looked at."""
    if not future.cancelled():
        future.exception()


WARM_UP_DELAY = 2.0
"""Seconds before slow imports start: right after a connection their hold on the interpreter would be felt."""


def _warm() -> None:
    """The first JSON-schema validation imports for a while: have it done before somebody waits for it."""
    time.sleep(WARM_UP_DELAY)
    from pmcp_lab.protocol.validation import Comparison

    Comparison({"type": "object"}).errors({})
