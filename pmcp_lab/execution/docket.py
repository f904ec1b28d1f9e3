"""Work on other machines: Docket carries a task's key through Redis to a worker process.

The store stays the truth. A message is no more than "run this one": a lost one is made up for when the task's lease
lapses, and of two for the same task the second finds that it is already being worked on. Nothing of the task itself
(arguments, variables, result) passes through here.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from docket import Docket, Worker
from docket.execution import Disposition, ExecutionState
from redis.exceptions import RedisError

from pmcp_lab.errors import LabError
from pmcp_lab.execution.executor import Runner, TaskKey

logger = logging.getLogger(__name__)

_FUNCTION: Final = "pmcp_lab.run"
"""What a message asks for, whatever the class or method behind it is called in another version."""

_SCHEMES: Final = ("redis", "rediss", "unix")

_OWN_OPTIONS: Final = ("prefix", "socket_timeout")
"""Options of a store's URL that are not for Docket: it waits for messages longer than any command may take."""

_REDELIVERY: Final = timedelta(seconds=60)
"""After which Docket offers what a dead worker held to another one."""

_REMEMBERED: Final = timedelta(seconds=60)
"""How long Docket keeps its counter of a finished key, by which it tells an old message from a new one."""

_LAST: Final = 2.0
"""Seconds for what is stopped at the end to write down where it was."""


class _Work:
    """A task that runs in this process."""

    def __init__(self, key: TaskKey) -> None:
        self.key = key
        self.cancelled = asyncio.Event()
        self.task: asyncio.Task[None]


class DocketExecutor:
    """Runs tasks in `pmcp-lab worker` processes. A server only submits; whoever calls `work` is a worker.

    All processes need the same Redis and name, the same tools, and a store that all of them reach. Whoever can write
    to that Redis can run code in the workers: Docket's messages are pickles.

    One event loop per object.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`, as for a store; `prefix=…` goes before Docket's keys (`pmcp`).
        name: Tells servers with different tools apart that share a Redis and a prefix.
        grace: Seconds between asking a task to stop and cancelling it. Code in a thread can only be asked.

    Raises:
        LabError: The URL is not one of a Redis.
    """

    def __init__(self, url: str, *, name: str = "tasks", grace: float = 2.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            raise LabError(
                f"Docket needs a Redis, and {url!r} is not the URL of one: give the store as redis://…, "
                "or DocketExecutor('redis://…') as the executor of a store elsewhere"
            )
        options = parse_qsl(parts.query, keep_blank_values=True)
        kept = [(option, value) for option, value in options if option not in _OWN_OPTIONS]
        self._url = urlunsplit(parts._replace(query=urlencode(kept)))
        self.name = f"{dict(options).get('prefix') or 'pmcp'}:docket:{name}"
        self.place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self.grace = grace
        self._run: Runner | None = None
        self._docket: Docket | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._worker: asyncio.Task[None] | None = None
        self._working: set[_Work] = set()

    def bind(self, run: Runner) -> None:
        self._run = run

    async def submit(self, key: TaskKey) -> None:
        """See `Executor`. A key that already waits for a worker keeps its place.

        Raises:
            LabError: Redis can't be reached, or this executor is closed.
        """
        if self._closed or self._run is None:
            raise LabError("the server is shutting down and takes no more tasks")
        try:
            await self._enqueue(key)
        except (RedisError, OSError) as error:
            raise self._trouble(error) from error

    async def cancel(self, key: TaskKey) -> None:
        """See `Executor`. A task that still waits is taken off the queue; one that runs here is stopped only here."""
        here = [work for work in self._working if work.key == key]
        if here:
            # Not through Docket: another worker may have taken the task over, and is no party to it.
            for work in here:
                self._ask_to_stop(work)
            return
        try:
            await (await self._open()).cancel(key[1])
        except (RedisError, OSError) as error:
            # Its record says so: whoever runs it hears of it with the next heartbeat.
            logger.warning("the worker of task %s was not told that it is cancelled: %s", key[1], error)

    async def close(self, timeout: float = 5.0) -> None:
        """See `Executor`. What a worker in this process does not finish goes back on the queue; others go on."""
        self._closed = True
        await self._stop(timeout)
        async with self._opening:
            docket, self._docket = self._docket, None
        if docket is not None:
            await docket.__aexit__(None, None, None)

    async def connect(self) -> None:
        """Make sure that Redis answers.

        Raises:
            LabError: It does not.
        """
        try:
            docket = await self._open()
            async with docket.redis() as redis:
                await redis.xlen(docket.stream_key)
        except (RedisError, OSError) as error:
            raise self._trouble(error) from error

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
            redelivery_timeout=_REDELIVERY,
            reconnection_delay=timedelta(seconds=1),
            # How long a free place may stay empty after all were taken, and between two reads of an idle worker.
            minimum_check_interval=timedelta(milliseconds=100),
            # Nothing is ever scheduled for later.
            scheduling_resolution=timedelta(minutes=1),
            schedule_automatic_tasks=False,
        ) as worker:
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
        if worker is None or worker.done():
            return
        # Docket's way to say: finish what you have.
        worker.cancel()
        await asyncio.wait([worker], timeout=timeout)
        for work in self._working:
            work.task.cancel()
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
        present = await docket.get_execution(task_id)
        if present is None or present.state is not ExecutionState.QUEUED:
            await docket.replace(_FUNCTION, now, task_id)(list(owner), task_id)

    async def _carry_out(self, owner: list[str], task_id: str) -> None:
        """What a worker does with a message."""
        key = (tuple(owner), task_id)
        work = _Work(key)
        work.task = asyncio.create_task(self._settle(work), name=f"task {task_id}")
        self._working.add(work)
        try:
            await asyncio.wait([work.task])
        except asyncio.CancelledError:
            # Somebody called `cancel` on another machine.
            self._ask_to_stop(work)
            await asyncio.wait([work.task])
            raise
        finally:
            self._working.discard(work)
        if work.task.cancelled() and not work.cancelled.is_set():
            # Stopped though nobody wants the task to stop: this process ends, and it is for another one now.
            await self._enqueue(key)

    async def _settle(self, work: _Work) -> None:
        assert self._run is not None
        try:
            await self._run(work.key, work.cancelled)
        except Exception:
            logger.exception("the runner of task %s raised", work.key[1])

    def _ask_to_stop(self, work: _Work) -> None:
        if not work.cancelled.is_set():
            work.cancelled.set()
            asyncio.get_running_loop().call_later(self.grace, work.task.cancel)

    def _trouble(self, error: Exception) -> LabError:
        return LabError(f"the queue at {self.place} can't be used: {str(error) or type(error).__name__}")
