"""What a process has of the storage that all share: late, in trouble, or silent about what it did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, fields
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks import Owner, TaskRecord
from pmcp_lab.tasks.backends import Backend, Position
from tests.simulation.history import Event, Execution
from tests.simulation.loop import finish

if TYPE_CHECKING:
    from tests.simulation.world import Process, World

T = TypeVar("T")

_PAGE: Final = 3
"""Leases that are read together: few, so that things happen in between."""

EXECUTION: ContextVar[Execution | None] = ContextVar("execution", default=None)
"""The call of a tool that the current code belongs to."""


@dataclass
class Weather:
    """How likely each mishap is, per operation on the storage or per message; 0 is never.

    Args:
        slow: It takes up to some leases.
        before: It fails, and has done nothing.
        after: It fails, and has done what it should.
        conflict: Somebody else writes the same record between the reading and the writing.
        kill_before, kill_after: The process is killed when it has asked for a write, or when that has happened.
        pause_before, pause_after: The same with a pause of up to some leases.
        late, doubled: What a change feed does with its news, and a queue with its messages.
        lost: What a queue does with its messages.
    """

    slow: float = 0.0
    before: float = 0.0
    after: float = 0.0
    conflict: float = 0.0
    kill_before: float = 0.0
    kill_after: float = 0.0
    pause_before: float = 0.0
    pause_after: float = 0.0
    late: float = 0.0
    doubled: float = 0.0
    lost: float = 0.0

    @classmethod
    def of(cls, rng: Random) -> Weather:
        """Some kinds of mishaps, each more or less likely: those that never come leave room for others."""
        most = {"slow": 0.03, "late": 0.3, "doubled": 0.3, "lost": 0.3, "conflict": 0.15}
        rates = {}
        for field in fields(cls):
            happens = rng.random() < 0.4
            rate = rng.choice([0.1, 0.5, 1.0]) * most.get(field.name, 0.04)
            rates[field.name] = rate if happens else 0.0
        return cls(**rates)


class Feed:
    """The changes that one watcher is told of."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._ready = asyncio.Event()

    def tell(self, task_id: str | None) -> None:
        if task_id is not None:
            self._ids[task_id] = None
        self._ready.set()

    async def wait(self) -> frozenset[str]:
        await self._ready.wait()
        self._ready.clear()
        ids, self._ids = frozenset(self._ids), {}
        return ids


@dataclass(eq=False)
class Watcher:
    process: Process
    owner: Owner
    task_id: str | None
    feed: Feed


class FaultyBackend:
    """A backend as one process sees it. Everything that was written is taken down in the world's history.

    Args:
        inner: The storage; its operations wait for nothing.
    """

    def __init__(self, world: World, process: Process, inner: Backend) -> None:
        self.durable = not world.alone
        self.clock_skew = world.skew
        self._world = world
        self._process = process
        self._inner = inner
        self.away_until = 0.0
        """Until this moment, every operation fails."""
        self.silent_until = 0.0
        """Until this moment, watchers hear nothing."""

    # --- the operations ---

    async def get(self, owner: Owner, task_id: str) -> TaskRecord | None:
        return await self._call("get", lambda: finish(self._inner.get(owner, task_id)))

    async def insert(self, record: TaskRecord, *, quota: int | None, now: datetime) -> None:
        def insert(by: Event) -> None:
            finish(self._inner.insert(record, quota=quota, now=now))
            by.data = now
            self._purged(now, by)

        await self._write("insert", record, insert)

    async def replace(self, record: TaskRecord, *, expected: int) -> None:
        await self._write("replace", record, lambda by: finish(self._inner.replace(record, expected=expected)))

    async def delete(self, owner: Owner, task_id: str) -> bool:
        raise NotImplementedError("nothing in a server deletes a task that has not expired")

    async def page(self, owner: Owner, *, after: Position | None, limit: int, now: datetime) -> list[TaskRecord]:
        return await self._call("page", lambda: finish(self._inner.page(owner, after=after, limit=limit, now=now)))

    async def purge(self, now: datetime) -> int:
        def purge() -> int:
            purged = finish(self._inner.purge(now))
            if purged:
                self._purged(now, self._event("purge", None))
            return purged

        return await self._call("purge", purge)

    async def next_expiry(self) -> datetime | None:
        return await self._call("next_expiry", lambda: finish(self._inner.next_expiry()))

    async def leases(self) -> AsyncIterator[list[tuple[Hashable, int]]]:
        for page in await self._call("leases", lambda: finish(_all(self._inner.leases()))):
            for start in range(0, len(page), _PAGE):
                # What comes late is out of date: indexes are that elsewhere.
                await self._call("leases", lambda: None)
                yield page[start : start + _PAGE]

    async def leased(self, key: Hashable) -> TaskRecord | None:
        return await self._call("leased", lambda: finish(self._inner.leased(key)))

    @asynccontextmanager
    async def watch(self, owner: Owner, task_id: str | None = None) -> AsyncIterator[Feed]:
        watcher = Watcher(self._process, owner, task_id, Feed())
        self._world.watchers.append(watcher)
        try:
            await self._call("watch", lambda: None)
            yield watcher.feed
        finally:
            self._world.watchers.remove(watcher)

    async def close(self) -> None:
        """The world closes what is under it."""

    # --- what becomes of them ---

    def _event(self, what: str, task_id: str | None) -> Event:
        process = self._process
        return Event(
            self._world.now, process.name, what, task_id, execution=EXECUTION.get(), clock=process.clock_seconds()
        )

    async def _write(self, what: str, record: TaskRecord, write: Callable[[Event], object]) -> None:
        event = self._event(what, record.task_id)
        world = self._world

        def effect() -> None:
            if world.rng.random() < world.weather.conflict:
                world.meddle(record.owner, record.task_id)
            event.at, event.clock = world.now, self._process.clock_seconds()
            event.before = world.history.records.get(record.task_id)
            write(event)
            event.after = record
            event.note = _news(event.before, record)
            world.history.wrote(event)
            world.tell(record.owner, record.task_id, self._process)

        await self._call(what, effect, writes=True)

    def _purged(self, now: datetime, by: Event) -> None:
        """Take down which tasks are gone."""
        for record in list(self._world.history.records.values()):
            if record.expired(now) and finish(self._inner.get(record.owner, record.task_id)) is None:
                gone = Event(by.at, by.process, "expired", record.task_id, before=record, clock=by.clock)
                self._world.history.wrote(gone)
                self._world.tell(record.owner, record.task_id, self._process)

    async def _call(self, what: str, effect: Callable[[], Any], *, writes: bool = False) -> Any:
        world, process, rng = self._world, self._process, self._world.rng
        mishap = self._mishap(writes)
        before, after = world.latency(), world.latency()
        if mishap == "slow":
            if rng.random() < 0.5:
                before += rng.uniform(0, 2) * world.lease
            else:
                after += rng.uniform(0, 2) * world.lease
        if world.now < self.away_until:
            await _pass(rng.choice([0.0, 0.1, world.lease]))
            raise StoreError(f"the storage is away ({what})")
        if mishap in ("kill_before", "pause_before"):
            await process.suffer(mishap)
        if mishap == "before":
            await _pass(before)
            raise StoreError(f"the storage has trouble ({what})")
        if world.remote and before:
            outcome = await self._on_the_way(effect, before, after)
        else:
            await _pass(before)
            outcome = effect()
            if mishap in ("kill_after", "pause_after"):
                await process.suffer(mishap)
            await _pass(after)
        if mishap == "after":
            raise StoreError(f"the storage said nothing ({what})")
        return outcome

    def _mishap(self, writes: bool) -> str:
        weather, rng = self._world.weather, self._world.rng
        if not self._process.exposed:
            return ""
        for name in ("slow", "before", "after"):
            if rng.random() < getattr(weather, name):
                return name
        if writes:
            for name in ("kill_before", "kill_after", "pause_before", "pause_after"):
                if rng.random() < getattr(weather, name):
                    return name
        return ""

    def _on_the_way(self, effect: Callable[[], Any], before: float, after: float) -> Awaitable[Any]:
        """What was sent happens, whatever becomes of the process that sent it."""
        outside, here = self._world.loop, self._process.loop
        reply = here.create_future()

        def arrive() -> None:
            try:
                answer = (reply.set_result, effect())
            except Exception as error:
                answer = (reply.set_exception, error)
            outside.call_later(after, lambda: here.call_soon(settle, *answer, context=Context()), context=Context())

        def settle(how: Callable[[Any], None], outcome: Any) -> None:
            if not reply.done():
                how(outcome)

        outside.call_later(before, arrive, context=Context())
        return reply


async def _all(pages: AsyncIterator[T]) -> list[T]:
    return [page async for page in pages]


async def _pass(seconds: float) -> None:
    # What takes no time gives nobody else a turn: SQLite's operations are so.
    if seconds:
        await asyncio.sleep(seconds)


def _news(before: TaskRecord | None, after: TaskRecord) -> str:
    """What is new in a record, for the table."""
    found = []
    if before is not None and before.lease != after.lease and after.lease is not None:
        found.append("lease")
    changed = [name for name in ("message", "progress") if getattr(before, name, None) != getattr(after, name)]
    found += [f"{name}={getattr(after, name)!r}" for name in changed]
    old = {} if before is None else before.variables
    found += [f"{name}={value}" for name, value in after.variables.items() if old.get(name) != value]
    asked = [] if before is None else before.questions
    answered = [] if before is None else before.answers
    found += [f"asks {key}" for key in after.questions if key not in asked]
    found += [f"withdraws {key}" for key in asked if key not in after.questions]
    found += [f"answers {key}" for key in after.answers if key not in answered]
    if not after.live:
        found.append(f"error={after.error['message']!r}" if after.error else _text(after.result))
    return " ".join(found)


def _text(result: object) -> str:
    if isinstance(result, dict) and result.get("content"):
        return f"result={result['content'][0].get('text')!r}"
    return ""
