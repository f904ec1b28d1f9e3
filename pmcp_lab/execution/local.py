"""Work in this process, on the event loop that submitted it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context, ContextVar, copy_context
from functools import partial
from weakref import WeakKeyDictionary

from pmcp_lab.errors import LabError
from pmcp_lab.execution.executor import Runner, TaskKey

logger = logging.getLogger(__name__)


class _Work:
    def __init__(self, key: TaskKey, context: Context) -> None:
        self.key = key
        self.context = context
        self.cancelled = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.away = 0
        self.has_slot = False


class _LoopState:
    """What one event loop runs and has still to run."""

    def __init__(self) -> None:
        self.work: dict[TaskKey, _Work] = {}
        self.waiting: deque[_Work | asyncio.Future[None]] = deque()
        self.running = 0


_CURRENT: ContextVar[tuple[AsyncioExecutor, _LoopState, _Work] | None] = ContextVar(
    "pmcp_lab_current_work", default=None
)


class AsyncioExecutor:
    """Runs tasks as asyncio tasks of their own, never inside a request's scope: a dropped call stops nothing.

    Each runs in the context (`contextvars`) of whoever submitted it, however long it had to wait.

    Args:
        concurrency: Tasks that run at the same time; the others wait in order. Who waits for an answer does not count.
        grace: Seconds between asking a task to stop and cancelling it. Code in a worker thread can only be asked.
    """

    in_process = True

    def __init__(self, *, concurrency: int = 256, grace: float = 2.0) -> None:
        if concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        self.grace = grace
        self._concurrency = concurrency
        self._run: Runner | None = None
        self._closed = False
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopState] = WeakKeyDictionary()

    def bind(self, run: Runner) -> None:
        self._run = run

    @property
    def has_room(self) -> bool:
        """Whether what is submitted now starts at once."""
        state = self._loop_state()
        return not state.waiting and state.running < self._concurrency

    async def submit(self, key: TaskKey) -> None:
        if self._closed or self._run is None:
            raise LabError("the server is shutting down and takes no more tasks")
        state = self._loop_state()
        work = _Work(key, copy_context())
        state.work[key] = work
        state.waiting.append(work)
        self._fill(state)

    async def cancel(self, key: TaskKey) -> None:
        state = self._loop_state()
        work = state.work.get(key)
        if work is None or work.cancelled.is_set():
            return
        work.cancelled.set()
        # What still waits gets its turn, finds its record cancelled and is done.
        if work.task is not None:
            asyncio.get_running_loop().call_later(self.grace, work.task.cancel)

    async def close(self, timeout: float = 5.0) -> None:
        self._closed = True
        state = self._loop_state()
        waiting, state.waiting = state.waiting, deque(one for one in state.waiting if not isinstance(one, _Work))
        for work in waiting:
            if isinstance(work, _Work):
                state.work.pop(work.key, None)
        tasks = [work.task for work in state.work.values() if work.task is not None]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout)
        for task in late:
            task.cancel()
        # After that: a tool that stops tidily now would look as if it had done its work. A thread still hears of it.
        for work in tuple(state.work.values()):
            work.cancelled.set()
        if late:
            await asyncio.wait(late, timeout=self.grace)

    def _loop_state(self) -> _LoopState:
        loop = asyncio.get_running_loop()
        state = self._loops.get(loop)
        if state is None:
            state = self._loops[loop] = _LoopState()
        return state

    def _fill(self, state: _LoopState) -> None:
        while state.waiting and state.running < self._concurrency:
            next_one = state.waiting.popleft()
            if isinstance(next_one, asyncio.Future):
                if not next_one.done():
                    state.running += 1
                    next_one.set_result(None)
                continue
            state.running += 1
            next_one.has_slot = True
            next_one.task = asyncio.create_task(
                self._work(state, next_one), name=f"task {next_one.key[1]}", context=next_one.context
            )
            # A callback and not `finally`: a task that is cancelled before its first step never gets there.
            next_one.task.add_done_callback(partial(self._done, state, next_one))

    async def _work(self, state: _LoopState, work: _Work) -> None:
        assert self._run is not None
        _CURRENT.set((self, state, work))
        try:
            await self._run(work.key, work.cancelled)
        except Exception:
            logger.exception("the runner of task %s raised", work.key[1])

    def _done(self, state: _LoopState, work: _Work, _: asyncio.Task[None]) -> None:
        if work.has_slot:
            state.running -= 1
        # One that was lost to another run, and did not stop, must not hide that.
        if state.work.get(work.key) is work:
            del state.work[work.key]
        self._fill(state)

    def _leave(self, state: _LoopState, work: _Work) -> None:
        work.away += 1
        if work.has_slot:
            work.has_slot = False
            state.running -= 1
            self._fill(state)

    async def _return(self, state: _LoopState, work: _Work) -> None:
        work.away -= 1
        if work.away or work.has_slot:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        state.waiting.append(turn)
        self._fill(state)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                state.running -= 1
                self._fill(state)
            raise
        work.has_slot = True


@asynccontextmanager
async def idle() -> AsyncIterator[None]:
    """While inside, the current task leaves its place to another one: it waits for somebody outside.

    Does nothing outside of an `AsyncioExecutor`.
    """
    current = _CURRENT.get()
    if current is None:
        yield
        return
    executor, state, work = current
    executor._leave(state, work)  # noqa: SLF001 - the other half of the class above
    try:
        yield
    except asyncio.CancelledError:
        # It is being stopped: no turn to wait for.
        work.away -= 1
        raise
    except BaseException:
        await executor._return(state, work)  # noqa: SLF001
        raise
    else:
        await executor._return(state, work)  # noqa: SLF001
