"""Work in this process, on the event loop that submitted it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from weakref import WeakKeyDictionary

from pmcp_lab.errors import LabError
from pmcp_lab.execution.executor import Runner, TaskKey

logger = logging.getLogger(__name__)


class _Work:
    def __init__(self, key: TaskKey) -> None:
        self.key = key
        self.cancelled = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class _Loop:
    """What one event loop runs and has still to run."""

    def __init__(self) -> None:
        self.work: dict[TaskKey, _Work] = {}
        self.waiting: deque[_Work] = deque()
        self.running = 0


class AsyncioExecutor:
    """Runs tasks as asyncio tasks of their own, never inside a request's scope: a dropped call stops nothing.

    Args:
        concurrency: Tasks that run at the same time; the others wait in order.
        grace: Seconds between asking a task to stop and cancelling it. Code in a worker thread can only be asked.
    """

    def __init__(self, *, concurrency: int = 256, grace: float = 2.0) -> None:
        if concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        self._concurrency = concurrency
        self._grace = grace
        self._run: Runner | None = None
        self._closed = False
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()

    def bind(self, run: Runner) -> None:
        self._run = run

    async def submit(self, key: TaskKey) -> None:
        if self._closed or self._run is None:
            raise LabError("the server is shutting down and takes no more tasks")
        here = self._here()
        work = _Work(key)
        here.work[key] = work
        here.waiting.append(work)
        self._fill(here)

    async def cancel(self, key: TaskKey) -> None:
        here = self._here()
        work = here.work.get(key)
        if work is None:
            return
        work.cancelled.set()
        # What still waits gets its turn, finds its record cancelled and is done.
        if work.task is not None:
            asyncio.get_running_loop().call_later(self._grace, work.task.cancel)

    async def close(self, timeout: float = 5.0) -> None:
        self._closed = True
        here = self._here()
        here.waiting.clear()
        tasks = [work.task for work in here.work.values() if work.task is not None]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout)
        for work in tuple(here.work.values()):
            work.cancelled.set()
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=self._grace)

    def _here(self) -> _Loop:
        return self._loops.setdefault(asyncio.get_running_loop(), _Loop())

    def _fill(self, here: _Loop) -> None:
        while here.waiting and here.running < self._concurrency:
            work = here.waiting.popleft()
            here.running += 1
            work.task = asyncio.create_task(self._work(work), name=f"task {work.key[1]}")
            # A callback and not `finally`: a task that is cancelled before its first step never gets there.
            work.task.add_done_callback(partial(self._done, here, work))

    async def _work(self, work: _Work) -> None:
        assert self._run is not None
        try:
            await self._run(work.key, work.cancelled)
        except Exception:
            logger.exception("the runner of task %s raised", work.key[1])

    def _done(self, here: _Loop, work: _Work, _: asyncio.Task[None]) -> None:
        here.running -= 1
        del here.work[work.key]
        self._fill(here)
