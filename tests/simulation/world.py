"""A simulated deployment: server processes on one storage, a queue, people's clients, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp.server.mcpserver import MCPServer

from pmcp_lab.errors import LabError
from pmcp_lab.execution import AsyncioExecutor, QueueExecutor, TaskKey
from pmcp_lab.server import Tasks
from pmcp_lab.tasks import Limits, Owner, TaskRecord, TaskStore
from pmcp_lab.tasks.backends import Backend
from pmcp_lab.tasks.backends.memory import MemoryBackend
from pmcp_lab.tasks.backends.sqlite import SqliteBackend
from tests.simulation.faults import EXECUTION, FaultyBackend, Watcher, Weather
from tests.simulation.history import Event, History
from tests.simulation.loop import NoThread, Scheduler, finish, wait_for_real
from tests.simulation.network import Connection
from tests.simulation.tools import POLICIES, SERVER, TOOLS, Call

if TYPE_CHECKING:
    from tests.simulation.clients import Listener

START = datetime(2026, 1, 1, tzinfo=UTC)


class Process:
    """One server process, from its start to its end."""

    def __init__(self, world: World, name: str) -> None:
        rng = world.rng
        self.world = world
        self.name = name
        self.exposed = True
        """Whether its operations on the storage have mishaps."""
        self.stopping = False
        self.ahead = world.clock_error()
        """Seconds its wall clock is ahead of the true time."""
        self._drift = rng.uniform(-2e-4, 2e-4) if world.clocks else 0.0
        self.loop = world.scheduler.add(name, rate=1 + rng.uniform(-2e-4, 2e-4), epoch=rng.uniform(0, 1e6))
        self.loop.process = self  # type: ignore[attr-defined]
        self.connections: list[Connection] = []
        self.calls: list[Call] = []
        self.backend = FaultyBackend(world, self, world.open())
        self.store = TaskStore(self.backend, world.limits, clock=self.clock)
        executor = QueueExecutor(self._publish) if world.queued else AsyncioExecutor(concurrency=world.room)
        self.lease = world.lease * (1 if world.settling else rng.choice([1, 1, 1, 1, 0.5, 2]))
        self.tasks = Tasks(self.store, executor=executor, lease=self.lease, attempts=world.attempts)
        self.server: MCPServer[Any] = MCPServer(
            "simulated", extensions=[self.tasks], middleware=[self.tasks], log_level="CRITICAL"
        )
        self.tasks._tools.update(TOOLS._tools)
        self.lacks = None if world.settling or world.alone or rng.random() < 0.9 else rng.choice(list(POLICIES))
        """A tool that is not declared here: another version of the server."""
        self.server._tool_manager._tools.update(SERVER._tool_manager._tools)
        for tools in (self.tasks._tools, self.server._tool_manager._tools):
            tools.pop(self.lacks or "", None)  # type: ignore[attr-defined]
        self._tell_calls_apart()
        self.loop.call_soon(self.tasks.start, context=Context())
        note = f"lives, clock {self.ahead:+.1f} s, lease {self.lease:g} s"
        world.log(name, "process", note + (f", without {self.lacks}" if self.lacks else ""))

    def _tell_calls_apart(self) -> None:
        """What is written after a run by the same consumer is not that run's."""
        runner = self.tasks._runner
        run = runner.run

        async def run_and_forget(key: TaskKey, cancelled: asyncio.Event) -> None:
            try:
                await run(key, cancelled)
            finally:
                EXECUTION.set(None)

        runner.run = run_and_forget  # type: ignore[method-assign]
        self.tasks.executor.bind(run_and_forget)

    @property
    def lives(self) -> bool:
        return not self.loop.dead

    def clock(self) -> datetime:
        return START + timedelta(seconds=self.clock_seconds())

    def clock_seconds(self) -> float:
        return self.world.now * (1 + self._drift) + self.ahead

    async def _publish(self, message: dict[str, Any]) -> None:
        await asyncio.sleep(self.world.latency())
        self.world.publish(message, self)

    # --- what is done to it ---

    async def suffer(self, mishap: str) -> None:
        """Be killed or paused in the middle of something."""
        if not self.exposed:
            return
        if mishap.startswith("kill"):
            self.kill()
        else:
            self.pause(self.world.rng.uniform(0.2, 3) * self.world.lease)
        await asyncio.sleep(0)

    def kill(self) -> None:
        if self.lives:
            self.world.log(self.name, "process", "is killed")
            self._end()

    def _end(self) -> None:
        world = self.world
        world.scheduler.remove(self.loop)
        world.processes.remove(self)
        for connection in tuple(self.connections):
            # Its machine says so, or nobody does.
            if world.rng.random() < 0.7:
                world.loop.call_later(world.latency(), connection.broken, context=Context())
        world.loop.call_later(world.rng.uniform(0, 2) * world.lease, world.replace, self.name, context=Context())

    def pause(self, seconds: float) -> None:
        if self.lives and not self.loop.paused:
            self.world.log(self.name, "process", f"is paused for {seconds:.1f} s")
            self.loop.pause()
            self.world.loop.call_later(seconds, self.wake, context=Context())

    def wake(self) -> None:
        if self.lives and self.loop.paused:
            self.world.log(self.name, "process", "wakes")
            self.loop.wake()

    def stop(self) -> None:
        """End it tidily, as a deployment does."""

        async def stop() -> None:
            await self.tasks.close(self.world.rng.uniform(0, 1) * self.world.lease)
            if self.lives:
                self.world.log(self.name, "process", "has ended")
                self._end()

        if self.lives and not self.stopping:
            self.stopping = True
            self.world.log(self.name, "process", "is asked to end")
            self.loop.call_soon(lambda: self.loop.create_task(stop(), context=Context()), context=Context())


class _Sqlite(SqliteBackend):
    """Has a thread only to delete what has expired, and everybody waits for that."""

    async def purge(self, now: datetime) -> int:
        return wait_for_real(_purge(self._path, now))


async def _purge(path: str, now: datetime) -> int:
    backend = SqliteBackend(path)
    try:
        return await backend.purge(now)
    finally:
        await backend.close()


class World:
    """Everything of one seed.

    Args:
        seed: All that is left to chance.
        folder: For SQLite files.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.rng = rng = random.Random(f"{seed} faults")
        self.scheduler = Scheduler(random.Random(f"{seed} schedule"), shuffle=rng.random() < 0.3)
        self.history = History()
        self.loop = self.scheduler.add("world")
        self.weather = Weather.of(rng)
        self.lease = rng.choice([2.0, 5.0, 15.0])
        self.attempts = rng.choice([2, 3])
        self.alone = rng.random() < 0.05
        """Whether the storage is the process's own memory, which nobody else can read and nothing befalls."""
        self.queued = not self.alone and rng.random() < 0.4
        self.room = rng.choice([1, 2, 256])
        """Tasks that one process runs at the same time."""
        self.sqlite = folder / f"{seed}.db" if not self.alone and rng.random() < 0.25 else None
        self.remote = self.sqlite is None and rng.random() < 0.5
        self.clocks = rng.choice([0.0, 0.0, 5.0, 5.0, 100.0])
        """How far wall clocks are off (s)."""
        self.skew = 0.0 if self.sqlite else rng.choice([0.0, 60.0])
        """How far the storage is told that they are."""
        self.quick = rng.choice([0.0, 0.5, 0.9])
        """How many operations take no time."""
        if self.alone:
            self.weather, self.quick, self.skew = Weather(), 1.0, 0.0
        self.limits = Limits(default_ttl="1d", tasks_per_owner=rng.choice([None, 4, 6]), poll_interval=0.5)
        self.watchers: list[Watcher] = []
        self.processes: list[Process] = []
        self.settling = False
        self.listeners: list[Listener] = []
        self._opened: list[Backend] = []
        self._memory = MemoryBackend()
        self._outside = self.open()
        self._generations: dict[str, int] = {}
        for name in "ABC"[: 1 if self.alone else rng.choice([1, 2, 2, 3])]:
            self.replace(name)

    @property
    def now(self) -> float:
        return self.scheduler.now

    def unfinished(self) -> list[TaskRecord]:
        """Tasks that have not ended, nor can have expired by anybody's clock."""
        soon = START + timedelta(seconds=self.now + self.clocks)
        return [record for record in self.history.records.values() if record.live and not record.expired(soon)]

    def log(self, who: str, what: str, note: str = "", task_id: str | None = None, data: Any = None) -> None:
        self.history.add(Event(self.now, who, what, task_id, note=note, data=data))

    def latency(self) -> float:
        """Seconds that an operation or a message takes."""
        return 0.0 if self.rng.random() < self.quick else self.rng.expovariate(200)

    def clock_error(self) -> float:
        return self.rng.uniform(-self.clocks, self.clocks) if self.clocks else 0.0

    # --- the storage ---

    def open(self) -> Backend:
        """What a process opens when it starts."""
        if self.sqlite is None:
            return self._memory
        backend = _Sqlite(self.sqlite)
        self._opened.append(backend)
        return backend

    def tell(self, owner: Owner, task_id: str, writer: Process | None) -> None:
        """Have the change feeds tell of a write."""
        for watcher in self.watchers:
            process = watcher.process
            if not process.lives or watcher.owner != owner or watcher.task_id not in (task_id, None):
                continue
            if process.backend.silent_until > self.now:
                continue
            delay = 0.0 if process is writer else self.rng.uniform(0.0, 0.6)
            if process.exposed and self.rng.random() < self.weather.late:
                delay += self.rng.uniform(0, 2) * self.lease
            for _ in range(2 if self.rng.random() < self.weather.doubled else 1):
                self.loop.call_later(delay, process.loop.call_soon, watcher.feed.tell, task_id, context=Context())

    def silence(self, process: Process, seconds: float) -> None:
        """Let a process's change feeds say nothing for a while, and then that they may have missed something."""

        self.log(process.name, "feed", f"is silent for {seconds:.1f} s")
        process.backend.silent_until = self.now + seconds
        self.loop.call_later(seconds, self._heard_again, process, context=Context())

    def _heard_again(self, process: Process) -> None:
        if process.backend.silent_until <= self.now:
            for watcher in self.watchers:
                if watcher.process is process:
                    process.loop.call_soon(watcher.feed.tell, None, context=Context())

    def meddle(self, owner: Owner, task_id: str) -> None:
        """Write to a task as somebody else who knows it."""
        before = self.history.records.get(task_id)
        if before is None or before.expired(START + timedelta(seconds=self.now)):
            return
        bystander = TaskStore(self._outside, self.limits, clock=lambda: START + timedelta(seconds=self.now))
        chance = self.rng.random()
        if before.open_questions and chance < 0.3:
            answers = {key: {"action": "accept", "content": {"ok": True}} for key in before.open_questions}
            what, note = bystander.answer(owner, task_id, answers), "answers"
        elif before.live and chance > 0.95:
            what, note = bystander.cancel(owner, task_id), "cancels"
        else:
            what, note = bystander.set_variables(owner, task_id, {"meddled": len(self.history.events)}), "meddles"
        after = finish(what)
        if after.seq == before.seq:
            return
        self.history.wrote(Event(self.now, "owner", "replace", task_id, before, after, note=note))
        self.tell(owner, task_id, None)

    # --- the queue ---

    def publish(self, message: dict[str, Any], publisher: Process) -> None:
        """Take a message on. It is delivered at least once, unless it is lost."""
        task_id = message["taskId"]
        if self.rng.random() < self.weather.lost:
            self.log("queue", "loses", "", task_id)
            return
        for _ in range(2 if self.rng.random() < self.weather.doubled else 1):
            delay = self.rng.expovariate(20)
            if self.rng.random() < self.weather.late:
                delay += self.rng.uniform(0, 4) * self.lease
            self.loop.call_later(delay, self._deliver, message, 1, context=Context())

    def _deliver(self, message: dict[str, Any], times: int) -> None:
        visibility = self.lease * self.rng.choice([0.5, 2, 10])
        if not self.processes:
            self.loop.call_later(self.lease, self._deliver, message, times, context=Context())
            return
        consumer = self.rng.choice(self.processes)
        done: list[bool] = []

        async def consume() -> None:
            try:
                await consumer.tasks.run_task(message)
            except LabError:
                return
            done.append(True)

        def again() -> None:
            if not done and times < 6:
                self._deliver(message, times + 1)

        self.log("queue", "delivers", f"to {consumer.name}, {times}", message["taskId"])
        consumer.loop.call_soon(lambda: consumer.loop.create_task(consume(), context=Context()), context=Context())
        self.loop.call_later(visibility, again, context=Context())

    # --- processes ---

    def replace(self, name: str) -> None:
        """Start a process, in the place of one that ended."""
        name = name[0]
        self._generations[name] = self._generations.get(name, 0) + 1
        process = Process(self, f"{name}{self._generations[name]}")
        process.exposed = not self.settling
        self.processes.append(process)

    async def trouble(self, seconds: float) -> None:
        """Do things to processes, for that long."""
        rng = self.rng
        possible = ["pause", "jump"] if self.alone else ["kill", "pause", "stop", "jump", "away", "silence"]
        kinds = [kind for kind in possible if rng.random() < (0.6 if kind in ("pause", "away") else 0.4)]
        every = rng.choice([0.3, 1, 3]) * self.lease
        end = self.now + seconds
        while self.now < end:
            await asyncio.sleep(min(rng.expovariate(1 / every), end - self.now))
            if not kinds or not self.processes:
                continue
            process, kind = rng.choice(self.processes), rng.choice(kinds)
            match kind:
                case "kill":
                    process.kill()
                case "pause":
                    process.pause(rng.uniform(0.3, 4) * self.lease)
                case "stop":
                    process.stop()
                case "jump":
                    process.ahead = self.clock_error()
                    self.log(process.name, "clock", f"jumps to {process.ahead:+.1f} s")
                case "away":
                    process.backend.away_until = self.now + rng.uniform(0.3, 3) * self.lease
                    self.log(process.name, "storage", f"is away until {process.backend.away_until:.1f} s")
                case "silence":
                    self.silence(process, rng.uniform(0.1, 3) * self.lease)

    def calm(self) -> None:
        """From now on nothing goes wrong any more."""
        self.settling = True
        self.weather = Weather()
        lives = {process.name for process in self.processes}
        left = {
            record.task_id: record.lease
            for record in self.unfinished()
            if record.lease is not None and self.history.holder(record.lease.run) not in lives
        }
        capable = [process for process in self.serving if not process.lacks]
        fresh = not self.alone and (not capable or self.rng.random() < 0.3)
        # What others have begun may take its time: who comes now has no such excuse.
        self.log("world", "calm", data=left if fresh else {})
        for process in self.processes:
            process.exposed = False
            process.backend.away_until = process.backend.silent_until = 0.0
            process.wake()
            self._heard_again(process)
        if fresh:
            self.replace("D")

    @property
    def serving(self) -> list[Process]:
        return [process for process in self.processes if not process.stopping]

    @property
    def storage(self) -> str:
        if self.alone:
            return "own memory"
        return "sqlite" if self.sqlite else "memory, over a wire" if self.remote else "memory"

    def close(self) -> None:
        self.history.closed = True
        self.scheduler.close()
        self.watchers.clear()
        opened, self._opened = self._opened, []
        for backend in opened:
            finish(backend.close())
        if self.sqlite is not None:
            for path in self.sqlite.parent.glob(f"{self.sqlite.name}*"):
                path.unlink()


class Complaints(logging.Handler):
    """Collects what the code under test logs as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        cause = record.exc_info[1] if record.exc_info else None
        self.found.append(f"{record.getMessage()}" + (f": {cause!r}" if cause else ""))


@contextmanager
def repeatable(seed: int) -> Iterator[Complaints]:
    """Take chance away from the code under test, too: ids and jitter come from the seed."""
    bytes_of = random.Random(f"{seed} ids")
    urandom, os.urandom = os.urandom, lambda size: bytes_of.randbytes(size)
    thread, threading.Thread = threading.Thread, NoThread  # type: ignore[misc]
    state = random.getstate()
    random.seed(f"{seed} jitter")
    # When the collector comes is chance as well.
    gc.disable()
    complaints = Complaints()
    loggers = [logging.getLogger(name) for name in ("pmcp_lab", "mcp", "asyncio")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        logger.addHandler(complaints)
    try:
        yield complaints
    finally:
        gc.enable()
        os.urandom = urandom
        threading.Thread = thread  # type: ignore[misc]
        random.setstate(state)
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            logger.propagate = propagate
            logger.removeHandler(complaints)
