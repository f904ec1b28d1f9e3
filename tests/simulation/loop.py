"""Event loops that share one virtual time: one per simulated process, and nothing in them takes real time.

A process that is killed never runs another instruction, a `finally` neither. One that is paused finds its callbacks
and timers due when it is woken, and that time has passed.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import itertools
import logging
import sys
import threading
import warnings
from asyncio import Handle, TimerHandle
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from random import Random
from typing import Any, TypeVar

from anyio._backends._asyncio import _task_states

T = TypeVar("T")

_MOST_STEPS = 400_000


class Stuck(Exception):
    """Nothing can happen any more, or too much did."""


class SimulatedTask(asyncio.Task[Any]):
    """Has a hash that does not depend on where it lies in memory: the order of a set of them can be repeated."""

    def __init__(self, coro: Coroutine[Any, Any, Any], *, loop: SimulatedLoop, **options: Any) -> None:
        self.serial = next(loop.scheduler.serials)
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self.serial

    def __eq__(self, other: object) -> bool:
        return self is other


class SimulatedLoop(asyncio.AbstractEventLoop):
    """The event loop of one process.

    Args:
        rate: Seconds of its monotonic clock per second.
        epoch: What that clock shows at first.
    """

    def __init__(self, scheduler: Scheduler, name: str, *, rate: float = 1.0, epoch: float = 0.0) -> None:
        self.scheduler = scheduler
        self.name = name
        self.dead = False
        self.paused = False
        self.tasks: list[SimulatedTask] = []
        self.trouble: list[str] = []
        """What went wrong in a callback, or in a task that nobody waited for."""
        self._rate = rate
        self._epoch = epoch
        self._born = scheduler.now
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, TimerHandle]] = []
        self._buried: list[object] = []

    # --- being one of several ---

    @property
    def runnable(self) -> bool:
        return bool(self._ready) and not self.paused

    @property
    def next_timer(self) -> float | None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers and not self.paused else None

    def collect_due(self) -> None:
        """Make timers ready whose moment has come."""
        now = self.scheduler.now
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if not timer.cancelled():
                self._ready.append(timer)

    def step(self, rng: Random | None) -> None:
        """Run one callback: the oldest, or with `rng` another one of the tasks that come next."""
        ready = self._ready
        if rng is not None and len(ready) > 1 and rng.random() < 0.3:
            turns = 0
            while turns < len(ready) and turns < 6 and _of_task(ready[turns]):
                turns += 1
            if turns > 1:
                ready.rotate(-(chosen := rng.randrange(turns)))
                handle = ready.popleft()
                ready.rotate(chosen)
                self._run(handle)
                return
        self._run(ready.popleft())

    def _run(self, handle: Handle) -> None:
        if not handle.cancelled():
            asyncio._set_running_loop(self)
            try:
                handle._run()
            finally:
                asyncio._set_running_loop(None)

    def kill(self) -> None:
        self.dead = True
        # Kept, because a coroutine that is thrown away runs its `finally`.
        self._buried += [*self._ready, *self._timers]
        self._ready.clear()
        self._timers.clear()

    def bury(self, remains: object) -> None:
        self._buried.append(remains)

    def pause(self) -> None:
        self.paused = True

    def wake(self) -> None:
        self.paused = False
        self.collect_due()

    # --- what asyncio asks of a loop ---

    def time(self) -> float:
        return self._epoch + (self.scheduler.now - self._born) * self._rate

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Handle:
        handle = Handle(callback, args, self, context)
        if not self.dead:
            self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        timer = TimerHandle(when, callback, args, self, context)
        if not self.dead:
            # Never early: a nanosecond is more than the arithmetic loses.
            moment = self._born + (when - self._epoch) / self._rate + 1e-9
            heapq.heappush(self._timers, (moment, next(self.scheduler.serials), timer))
        return timer

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        task = SimulatedTask(coro, loop=self, name=name, context=context)
        self.tasks.append(task)
        return task

    def get_task_factory(self) -> None:
        return None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            self.trouble.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """It is left out when it would be due."""

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.dead

    def is_closed(self) -> bool:
        return self.dead

    def run_in_executor(self, *args: Any) -> Any:
        raise RuntimeError(f"{self.name} wants a thread, which no seed could repeat")


class Scheduler:
    """Says which process goes on, and when time does.

    Args:
        shuffle: Whether tasks of one process that are ready overtake each other, too.
    """

    def __init__(self, rng: Random, *, shuffle: bool = False) -> None:
        self.now = 0.0
        self.steps = 0
        self.serials = itertools.count()
        self.loops: list[SimulatedLoop] = []
        self._rng = rng
        self._shuffled = rng if shuffle else None
        self._gone: list[SimulatedLoop] = []
        self._generators: dict[int, SimulatedLoop] = {}

    def add(self, name: str, **clock: float) -> SimulatedLoop:
        loop = SimulatedLoop(self, name, **clock)
        self.loops.append(loop)
        return loop

    def remove(self, loop: SimulatedLoop) -> None:
        """Kill its process."""
        loop.kill()
        self.loops.remove(loop)
        self._gone.append(loop)

    def run(self, until: Callable[[], bool]) -> None:
        """Go on until the condition holds.

        Raises:
            Stuck: It never will, or not soon.
        """
        with self._generators_seen():
            while not until():
                runnable = [loop for loop in self.loops if loop.runnable]
                if not runnable:
                    self._pass_time()
                    continue
                loop = runnable[0] if len(runnable) == 1 else self._rng.choice(runnable)
                loop.step(self._shuffled)
                self.steps += 1
                if self.steps > _MOST_STEPS:
                    raise Stuck(f"{self.steps} steps, and it is {self.now:.3f} s")

    def _pass_time(self) -> None:
        moments = [moment for loop in self.loops if (moment := loop.next_timer) is not None]
        if not moments:
            raise Stuck("everybody waits for somebody")
        self.now = max(self.now, min(moments))
        for loop in self.loops:
            if not loop.paused:
                loop.collect_due()

    @contextmanager
    def _generators_seen(self) -> Iterator[None]:
        def first(generator: AsyncGenerator[Any]) -> None:
            running = asyncio.get_running_loop()
            assert isinstance(running, SimulatedLoop)
            self._generators[id(generator)] = running

        def last(generator: AsyncGenerator[Any]) -> None:
            loop = self._generators.pop(id(generator), None)
            if loop is None:
                return
            if loop.dead:
                loop.bury(generator)
            else:
                loop.call_soon(loop.create_task, generator.aclose(), context=Context())

        before = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(first, last)
        try:
            yield
        finally:
            sys.set_asyncgen_hooks(*before)

    def trouble(self) -> list[str]:
        """What went wrong in processes that live."""
        found: list[str] = []
        for loop in self.loops:
            found += [f"{loop.name}: {text}" for text in loop.trouble]
            for task in loop.tasks:
                if task.done() and not task.cancelled() and getattr(task, "_log_traceback", False):
                    found.append(f"{loop.name}: {task.get_name()} raised {task.exception()!r}")
        return found

    def close(self) -> None:
        """Let nothing happen any more."""
        for loop in [*self.loops, *self._gone]:
            loop.kill()
            for task in loop.tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                task._log_traceback = False  # type: ignore[attr-defined]
                # Who was in the middle of something has not left, and its entry there keeps it alive.
                _task_states.pop(task, None)
            # Coroutines hold the loop, and the loop held them.
            loop.tasks.clear()
            loop._buried.clear()
        self._generators.clear()


@contextmanager
def unheard() -> Iterator[None]:
    """Throw away in here what is left of a simulation: what `finally` runs then, and says, is of no interest."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
            gc.collect()
    finally:
        sys.unraisablehook = hook
        logging.disable(disabled)


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Spare the collector what is there already: it comes after each seed."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _of_task(handle: Handle) -> bool:
    return isinstance(getattr(handle._callback, "__self__", None), SimulatedTask)  # type: ignore[attr-defined]


class _Moment(SimulatedLoop):
    """For what takes no time."""

    def run_in_executor(self, executor: object, work: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        done = self.create_future()
        done.set_result(work(*args))
        return done


class NoThread(threading.Thread):
    """What it would do, nobody waits for: SQLite's log is not moved into its file."""

    def start(self) -> None:
        pass

    def join(self, timeout: float | None = None) -> None:
        pass


_THREAD = threading.Thread


def wait_for_real(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that needs a thread, while the simulation stands still."""
    running, imposed = asyncio._get_running_loop(), threading.Thread
    asyncio._set_running_loop(None)
    threading.Thread = _THREAD  # type: ignore[misc]
    try:
        return asyncio.run(coroutine)
    finally:
        threading.Thread = imposed  # type: ignore[misc]
        asyncio._set_running_loop(running)


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that waits for nobody else, here and now, whatever loop is running."""
    running = asyncio._get_running_loop()
    moment = _Moment(Scheduler(Random(0)), "a moment")
    asyncio._set_running_loop(moment)
    try:
        while True:
            waited = coroutine.send(None)
            if waited is not None:
                waited._asyncio_future_blocking = False
            while moment.runnable and (waited is None or not waited.done()):
                moment.step(None)
                asyncio._set_running_loop(moment)
            if waited is not None and not waited.done():
                raise RuntimeError(f"{coroutine!r} waits for somebody")
    except StopIteration as returned:
        return returned.value  # type: ignore[no-any-return]
    finally:
        while moment.runnable:
            moment.step(None)
        asyncio._set_running_loop(running)
