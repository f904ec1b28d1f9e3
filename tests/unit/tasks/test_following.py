"""Being called when tasks change: one watch for all, nothing missed, nothing kept of what is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from pmcp_lab.errors import LabError, TaskNotFound
from pmcp_lab.tasks import Owner, TaskRecord, TaskStore, resolve_owner
from pmcp_lab.tasks.backends import Changes
from pmcp_lab.tasks.backends.memory import MemoryBackend
from pmcp_lab.tasks.backends.watching import Watchers
from pmcp_lab.tasks.following import Followers, Shown
from tests.unit.backend_cases import Clock
from tests.unit.server.test_server_life import settled
from tests.unit.watched_backend import WatchedBackend

ANN = resolve_owner("ann")


class Hearing:
    """Writes down what it is called with."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self.lost_by: list[LabError] = []

    def changed(self, shown: Shown) -> None:
        self.shown.append(shown)

    def lost(self, task_id: str, error: LabError) -> None:
        self.lost_by.append(error)

    @property
    def said(self) -> list[str | None]:
        return [shown.record.message for shown in self.shown]


class Late(WatchedBackend):
    """Begins to watch when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()

    @asynccontextmanager
    async def watch(self, owner: Owner, task_id: str | None = None) -> AsyncIterator[Changes]:  # type: ignore[override]
        await self.may.wait()
        async with super().watch(owner, task_id) as changes:
            yield changes


async def test_each_is_called_with_the_present_and_each_change_until_the_end(store: TaskStore) -> None:
    task = await store.create(ANN, message="0")
    one, other = Hearing(), Hearing()
    store.followers.join(task, one)
    assert one.said == ["0"]
    await store.update(ANN, task.task_id, message="1")
    store.followers.join(await store.get(ANN, task.task_id), other)
    await settled(lambda: one.said[-1] == other.said[-1] == "1")
    await store.complete(ANN, task.task_id, 1, message="over")
    await settled(lambda: one.said[-1] == other.said[-1] == "over")
    assert one.shown[-1] is other.shown[-1], "what one makes of it is there for the other"
    third = Hearing()
    store.followers.join(await store.get(ANN, task.task_id), third)
    assert third.said == ["over"]


async def test_what_changed_before_the_watch_began_is_seen() -> None:
    backend = Late()
    store = TaskStore(backend)
    task = await store.create(ANN, message="0")
    hearing = Hearing()
    store.followers.join(task, hearing)
    await asyncio.sleep(0.01)
    await store.update(ANN, task.task_id, message="1")
    backend.may.set()
    await settled(lambda: hearing.said == ["0", "1"])


async def test_who_joins_with_a_newer_record_brings_it_to_all_and_with_an_older_gets_the_newer() -> None:
    store = TaskStore(Late())
    old = await store.create(ANN, message="0")
    new = await store.update(ANN, old.task_id, message="1")
    first, second, third = Hearing(), Hearing(), Hearing()
    store.followers.join(old, first)
    store.followers.join(new, second)
    store.followers.join(old, third)
    assert (first.said, second.said, third.said) == (["0", "1"], ["1"], ["1"])


async def test_a_write_that_only_its_runner_cares_about_is_not_told(store: TaskStore) -> None:
    task = await store.create(ANN, message="0")
    hearing = Hearing()
    store.followers.join(task, hearing)
    for message in ("1", "2"):
        for _ in range(3):
            await store.change(ANN, task.task_id, lambda record: replace(record), silent=True)
            await asyncio.sleep(0.01)
        await store.update(ANN, task.task_id, message=message)
        await settled(lambda message=message: hearing.said[-1] == message)
    assert hearing.said == ["0", "1", "2"]


async def test_who_leaves_is_not_called_and_the_last_ends_the_watch() -> None:
    backend = Late()
    backend.may.set()
    store = TaskStore(backend)
    task = await store.create(ANN, message="0")
    one, other = Hearing(), Hearing()
    for hearing in (one, other):
        store.followers.join(task, hearing)
    await settled(lambda: backend.watches == 1)
    store.followers.leave(ANN, task.task_id, one)
    store.followers.leave(ANN, task.task_id, one)
    await store.update(ANN, task.task_id, message="1")
    await settled(lambda: other.said == ["0", "1"])
    assert one.said == ["0"]
    store.followers.leave(ANN, task.task_id, other)
    # Whoever comes back before it has ended finds it.
    again = await store.get(ANN, task.task_id)
    store.followers.join(again, one)
    await asyncio.sleep(0.05)
    await store.update(ANN, task.task_id, message="2")
    await settled(lambda: one.said[-1] == "2")
    assert backend.watches == 1
    store.followers.leave(ANN, task.task_id, one)
    await settled(lambda: backend.watches == 0)
    store.followers.join(await store.get(ANN, task.task_id), other)
    await settled(lambda: backend.watches == 1)


async def test_a_task_that_goes_is_lost(store: TaskStore) -> None:
    task = await store.create(ANN)
    hearing = Hearing()
    store.followers.join(task, hearing)
    await asyncio.sleep(0.05)
    await store.backend.delete(ANN, task.task_id)
    await settled(lambda: hearing.lost_by)
    assert isinstance(hearing.lost_by[0], TaskNotFound)


async def test_a_task_that_expires_is_lost() -> None:
    backend, clock = Late(), Clock()
    backend.may.set()
    store = TaskStore(backend, clock=clock)
    task = await store.create(ANN, ttl=60)
    hearing = Hearing()
    Followers(store, expiry=0.05).join(task, hearing)
    await settled(lambda: backend.watches == 1)
    await asyncio.sleep(0.2)
    assert hearing.lost_by == []
    clock.pass_(seconds=90)
    await settled(lambda: hearing.lost_by)
    assert isinstance(hearing.lost_by[0], TaskNotFound)
    await settled(lambda: backend.watches == 0)


@pytest.mark.parametrize("noticed", [True, False])
async def test_a_task_that_got_more_time_is_not_lost_even_where_that_was_not_told(noticed: bool) -> None:
    class Forgetful(Late):
        async def replace(self, record: TaskRecord, *, expected: int) -> None:
            watching, self._watchers = self._watchers, Watchers()
            await super().replace(record, expected=expected)
            self._watchers = watching

    backend, clock = Late() if noticed else Forgetful(), Clock()
    backend.may.set()
    store = TaskStore(backend, clock=clock)
    followers, hearing = Followers(store, expiry=0.05), Hearing()
    task = await store.create(ANN, ttl=60)
    followers.join(task, hearing)
    await settled(lambda: backend.watches == 1)
    await store.update(ANN, task.task_id, ttl=600)
    clock.pass_(seconds=90)
    await settled(lambda: hearing.shown[-1].record.ttl == 600_000)
    await asyncio.sleep(0.2)
    assert hearing.lost_by == []
    followers.join(await store.get(ANN, task.task_id), Hearing())
    await asyncio.sleep(0.05)
    assert backend.watches == 1


async def test_a_watch_that_fails_in_a_way_nobody_knows_is_lost_too(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(MemoryBackend):
        @asynccontextmanager
        async def watch(self, owner: Owner, task_id: str | None = None) -> AsyncIterator[Changes]:  # type: ignore[override]
            raise ZeroDivisionError("odd")
            yield

    store = TaskStore(Odd())
    hearing = Hearing()
    store.followers.join(await store.create(ANN), hearing)
    await settled(lambda: hearing.lost_by)
    assert "ZeroDivisionError" in caplog.text
