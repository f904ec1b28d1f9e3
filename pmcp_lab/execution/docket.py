"""Work on other machines: Docket carries a task's key through Redis to a worker process.

The store stays the truth. A message is no more than "run this one": a lost one is made up for when the task's lease
lapses, and of two for the same task the second finds that it is already being worked on. Nothing of the task itself
(arguments, variables, result) passes through here.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from docket import Docket, Worker
from docket.dependencies import Dependency
from docket.execution import Disposition, ExecutionState
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from pmcp_lab.errors import LabError
from pmcp_lab.execution.executor import Runner, TaskKey
from pmcp_lab.protocol.address import betrays, scrubbed, shown
from pmcp_lab.tasks.backends.redis_connection import RedisConnection

logger = logging.getLogger(__name__)

T = TypeVar("T")

_FUNCTION: Final = "pmcp_lab.run"
"""What a message asks for, whatever the class or method behind it is called in another version."""

_SCHEMES: Final = ("redis", "rediss", "unix")

_IDLE: Final = 0.75
"""The part of `redelivery` after which a message may be taken from its worker. Docket looks for such messages at
least each 5/16 of that, by the workers' renewals (four in the same time) it is never one that is worked on."""

_UNCLAIMED: Final = timedelta(seconds=2)
"""How long a worker that lives may have a message without saying so."""

_REMEMBERED: Final = timedelta(seconds=60)
"""How long Docket keeps its counter of a finished key, by which it tells an old message from a new one."""

_PAUSES: Final = (0.01, 0.05, 0.2, 0.5)
"""Seconds before Redis is asked again that has closed a connection."""

_LAST: Final = 2.0
"""Seconds for what is stopped at the end to write down where it was."""


class _Work:
    """A task that runs in this process."""

    def __init__(self, key: TaskKey) -> None:
        self.key = key
        self.cancelled = asyncio.Event()
        self.task: asyncio.Task[None]
        self.let_go: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when Docket shall not wait for it any longer."""


def _at_its_end(tell: Callable[[], None]) -> Dependency[None]:
    """Docket's way to have something done when a worker's loop ends, before it waits for what still runs."""

    class LoopEnd(Dependency[None]):
        @classmethod
        @asynccontextmanager
        async def worker_lifecycle(cls, docket: Docket, worker: Worker) -> AsyncIterator[None]:  # noqa: ARG003
            try:
                yield
            finally:
                tell()

        async def __aenter__(self) -> None:
            """Nothing, around each task."""

    return LoopEnd()


class DocketExecutor:
    """Runs tasks in `pmcp-lab worker` processes. A server only submits; whoever calls `work` is a worker.

    All processes need the same Redis and name, the same tools, and a store that all of them reach.

    **Whoever can write to that Redis can run any code in the workers.** Docket's messages are pickles, and a worker
    unpickles each before it looks at it. So only the servers and the workers may reach it: with a password (or an ACL
    user) and TLS, on a network of their own, shared with nothing else. What such code can do is what the worker's
    process can do, with its credentials for the store and everything else. The tasks' owners, quotas and tools' rights
    do not protect from it.

    One event loop per object.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`, as for a store; `prefix=…` goes before Docket's keys (`pmcp`).
        name: Tells servers with different tools apart that share a Redis and a prefix.
        grace: Seconds between asking a task to stop and cancelling it. Code in a thread can only be asked.
        redelivery: Seconds within which what a dead worker took, but had not begun, is taken by another one that has
            a place free; not more than the `lease` of its `Tasks`, and at least 0.1. Says nothing about how long a
            task may run: a worker that lives keeps what it has.

    Raises:
        LabError: The URL is not one of a Redis.
        ValueError: `redelivery` can't be used.
    """

    def __init__(self, url: str, *, name: str = "tasks", grace: float = 2.0, redelivery: float = 15.0) -> None:
        if url.partition("://")[0].lower() not in _SCHEMES or "://" not in url:
            raise LabError(
                f"Docket needs a Redis, and {shown(url)!r} is not the URL of one: give the store as redis://…, "
                "or DocketExecutor('redis://…') as the executor of a store elsewhere"
            )
        if not 0.1 <= redelivery < math.inf:
            raise ValueError(f"redelivery is a number of seconds, at least 0.1, not {redelivery!r}")
        # Reads the URL, which says how long Redis may take; Docket itself waits for messages without an end.
        connection = RedisConnection(url)
        if connection.clustered:
            raise LabError(f"Docket needs one Redis, and {connection.name} is a cluster")
        self._secret, self._url = url, connection.url
        self._timeout = connection.operation_timeout
        self.name = f"{connection.prefix}:docket:{name}"
        self.place = connection.name
        self.grace = grace
        self.redelivery = redelivery
        self._run: Runner | None = None
        self._docket: Docket | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._places: Callable[[], None] = lambda: None
        self._worker: asyncio.Task[None] | None = None
        self._leaving = False
        self._working: set[_Work] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place!r}, {self.name!r})"

    def bind(self, run: Runner) -> None:
        self._run = run

    async def submit(self, key: TaskKey) -> None:
        """See `Executor`. A key that already waits for a worker keeps its place.

        Raises:
            LabError: Redis can't be reached, or this executor is closed.
        """
        if self._closed or self._run is None:
            raise LabError("the server is shutting down and takes no more tasks")
        await self._in_time(lambda: self._enqueue(key))

    async def cancel(self, key: TaskKey) -> None:
        """See `Executor`. A task that still waits is taken off the queue; one that runs here is stopped only here."""
        here = [work for work in self._working if work.key == key]
        if here:
            # Not through Docket: another worker may have taken the task over, and is no party to it.
            for work in here:
                self._ask_to_stop(work)
            return
        try:
            await self._in_time(lambda: self._take_off(key))
        except LabError as error:
            # Its record says so: whoever runs it hears of it with the next heartbeat.
            logger.warning("the worker of task %s was not told that it is cancelled: %s", key[1], error)

    async def close(self, timeout: float = 5.0) -> None:
        """See `Executor`. What a worker in this process does not finish goes back on the queue; others go on."""
        self._closed = True
        await self._stop(timeout)
        async with self._opening:
            docket, self._docket = self._docket, None
        if docket is not None:
            try:
                async with asyncio.timeout(self._timeout):
                    await docket.__aexit__(None, None, None)
            except (RedisError, OSError) as error:
                logger.warning("%s", self._trouble(error))

    async def connect(self) -> None:
        """Make sure that Redis answers.

        Raises:
            LabError: It does not.
        """
        await self._in_time(self._knock)

    async def work(self, *, concurrency: int = 10, name: str | None = None) -> None:
        """Be a worker until `close` is called or this is cancelled. Waits out a Redis that goes away.

        Args:
            concurrency: Tasks that run here at the same time.
            name: Unique among the workers of this docket; host and process id if None.

        Raises:
            LabError: Redis can't be reached when it starts, or this executor is closed or already works.
        """
        if concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        if self._closed or self._run is None or self._worker is not None:
            raise LabError("this executor is closed, not bound to any tasks, or already works")
        await self.connect()
        async with Worker(
            await self._open(),
            name=name,
            concurrency=concurrency,
            redelivery_timeout=timedelta(seconds=self.redelivery * _IDLE),
            reconnection_delay=timedelta(seconds=1),
            # How long a free place may stay empty after all were taken, and between two reads of an idle worker.
            minimum_check_interval=timedelta(milliseconds=100),
            # Nothing is ever scheduled for later.
            scheduling_resolution=timedelta(minutes=1),
            schedule_automatic_tasks=False,
            dependencies=[_at_its_end(self._let_go)],
        ) as worker:
            self._places = lambda: self._leave_places(worker, concurrency)
            self._leaving = False
            self._worker = asyncio.create_task(worker.run_forever(), name=f"{self.name} worker")
            try:
                await asyncio.wait([self._worker])
                if not self._worker.cancelled():
                    self._worker.result()
            finally:
                await self._stop(0)
                self._worker = None

    async def _stop(self, timeout: float) -> None:
        """Take no more work, let what runs go on for `timeout` seconds, then hand it back."""
        worker = self._worker
        self._leaving = True
        if worker is None:
            return
        # Docket's way to say: finish what you have.
        worker.cancel()
        await asyncio.wait([worker, *(work.task for work in self._working)], timeout=timeout)
        for work in self._working:
            work.task.cancel()
        await asyncio.wait([worker, *(work.task for work in self._working)], timeout=_LAST)
        if not self._working and not worker.done():
            # It waits for a Redis that does not answer.
            worker.cancel()
            await asyncio.wait([worker], timeout=_LAST)
        for work in self._working:
            logger.warning("task %s does not stop; it is left behind", work.key[1])

    async def _open(self) -> Docket:
        async with self._opening:
            if self._docket is None:
                docket = Docket(
                    self.name,
                    self._url,
                    heartbeat_interval=timedelta(seconds=10),
                    execution_ttl=_REMEMBERED,
                )
                docket.register(self._carry_out, names=[_FUNCTION])
                self._docket = await docket.__aenter__()
            return self._docket

    async def _enqueue(self, key: TaskKey) -> None:
        owner, task_id = key
        docket = await self._open()
        now = datetime.now(UTC)
        execution = await docket.add(_FUNCTION, now, task_id)(list(owner), task_id)
        if execution.disposition is not Disposition.ALREADY_SCHEDULED:
            return
        # Docket believes in a worker until it misses it; who submits again knows better, and if not, no harm is done.
        if not await self._waits(docket, task_id):
            await docket.replace(_FUNCTION, now, task_id)(list(owner), task_id)

    async def _waits(self, docket: Docket, task_id: str) -> bool:
        """Whether a message is there that some worker will take, and nobody has taken yet or is about to begin."""
        async with docket.redis() as redis:
            known = await redis.hgetall(docket.runs_key(task_id))
            message = known.get(b"stream_id")
            if known.get(b"state") != ExecutionState.QUEUED.value.encode() or message is None:
                return False
            # Redis may have lost the queue and not what is known of the task.
            if not await redis.xrange(docket.stream_key, message, message):
                return False
            try:
                taken = await redis.xpending_range(docket.stream_key, docket.worker_group_name, message, message, 1)
            except ResponseError:
                # There was no worker yet, so nobody has taken anything.
                return True
            return not taken or taken[0]["time_since_delivered"] < _UNCLAIMED / timedelta(milliseconds=1)

    async def _take_off(self, key: TaskKey) -> None:
        await (await self._open()).cancel(key[1])

    async def _knock(self) -> None:
        docket = await self._open()
        async with docket.redis() as redis:
            await redis.xlen(docket.stream_key)

    async def _carry_out(self, owner: list[str], task_id: str) -> None:
        """What a worker does with a message."""
        key = (tuple(owner), task_id)
        work = _Work(key)
        work.task = asyncio.create_task(self._settle(work), name=f"task {task_id}")
        self._working.add(work)
        work.task.add_done_callback(lambda _: self._over(work))
        try:
            await asyncio.wait([work.task, work.let_go], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # Somebody called `cancel` on another machine.
            self._ask_to_stop(work)
            await asyncio.wait([work.task])
            raise

    def _over(self, work: _Work) -> None:
        self._working.discard(work)
        if work.let_go.done():
            self._places()

    def _let_go(self) -> None:
        """Go on with what runs without Docket, which has lost Redis.

        It would take nothing new until all that has ended, maybe for days. The messages of these tasks are delivered
        once more, and whoever gets them finds that somebody runs them.
        """
        if self._leaving:
            return
        for work in self._working:
            if not work.let_go.done():
                work.let_go.set_result(None)
        self._places()

    def _leave_places(self, worker: Worker, concurrency: int) -> None:
        worker.concurrency = max(0, concurrency - sum(work.let_go.done() for work in self._working))

    async def _settle(self, work: _Work) -> None:
        assert self._run is not None
        try:
            await self._run(work.key, work.cancelled)
        except asyncio.CancelledError:
            if not work.cancelled.is_set():
                await self._hand_back(work.key)
            raise
        except Exception:
            logger.exception("the runner of task %s raised", work.key[1])

    async def _hand_back(self, key: TaskKey) -> None:
        """Stopped though nobody wants the task to stop: this process ends, and it is for another one now."""
        try:
            await self._in_time(lambda: self._enqueue(key))
        except LabError as error:
            # It is found when its lease has run out.
            logger.warning("task %s was not handed back: %s", key[1], error)

    def _ask_to_stop(self, work: _Work) -> None:
        if not work.cancelled.is_set():
            work.cancelled.set()
            asyncio.get_running_loop().call_later(self.grace, work.task.cancel)

    async def _in_time(self, action: Callable[[], Awaitable[T]]) -> T:
        """What the action gives, which may be done twice.

        Raises:
            LabError: Redis can't be used, or does not answer in time.
        """
        try:
            async with asyncio.timeout(self._timeout):
                for pause in _PAUSES:
                    try:
                        return await action()
                    except RedisConnectionError:
                        # Docket's connections are from before Redis was started again.
                        await asyncio.sleep(pause)
                return await action()
        except (RedisError, OSError) as error:
            trouble = self._trouble(error)
        # Not in the handler: a traceback would tell of what is kept out of the text.
        raise trouble

    def _trouble(self, error: Exception) -> LabError:
        if isinstance(error, TimeoutError):
            what = f"Redis did not answer within {self._timeout:g} s"
        else:
            what = scrubbed(str(error), self._secret) or type(error).__name__
        trouble = LabError(f"the queue at {self.place} can't be used: {what}")
        trouble.__cause__ = None if betrays(error, self._secret) else error
        return trouble
