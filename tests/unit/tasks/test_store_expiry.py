"""How long a task is kept: an expired one is gone everywhere at once, on every backend."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from pmcp_lab.errors import LabError, LimitExceeded, TaskNotFound
from pmcp_lab.tasks import Limits, TaskRecord, TaskStore, resolve_owner
from pmcp_lab.tasks.backends.memory import MemoryBackend
from tests.unit.backend_cases import Clock

ANN = resolve_owner("ann")
BOB = resolve_owner("bob")


async def is_gone(store: TaskStore, task: TaskRecord) -> None:
    owner, task_id = task.owner, task.task_id
    for call in (
        store.get(owner, task_id),
        store.get_result(owner, task_id),
        store.update(owner, task_id, ttl="150m"),
        store.update(owner, task_id, message="x"),
        store.set_variables(owner, task_id, {}),
        store.complete(owner, task_id, 1),
        store.fail(owner, task_id, {}),
        store.cancel(owner, task_id),
        store.ask(owner, task_id, "q", {}),
        store.answer(owner, task_id, {}),
        store.leases.claim(owner, task_id, "r", 5),
        store.leases.heartbeat(owner, task_id, "r"),
        store.leases.release(owner, task_id, "r"),
    ):
        with pytest.raises(TaskNotFound):
            await call
    async with store.watch(owner, task_id) as feed:
        with pytest.raises(TaskNotFound):
            await anext(feed)
    assert task_id not in {record.task_id for record in (await store.list(owner)).records}


async def test_expired_is_gone_everywhere_at_once(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN, ttl=1)
    done = await store.create(ANN, ttl=1)
    await store.complete(ANN, done.task_id, 1)
    clock.pass_(seconds=1)
    assert await store.get(ANN, task.task_id) == task, "expired means after the moment, not at it"
    assert len((await store.list(ANN)).records) == 2
    clock.pass_(milliseconds=1)
    await is_gone(store, task)
    await is_gone(store, done)
    await store.cleanup_expired()
    assert await store.cleanup_expired() == 0


async def test_a_shortened_ttl_takes_effect_at_once(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN, ttl=60)
    full = [await store.create(ANN) for _ in range(4)]
    clock.pass_(seconds=2)
    with pytest.raises(LimitExceeded):
        await store.create(ANN)
    async with asyncio.timeout(10), store.watch(ANN, task.task_id) as feed:
        assert await anext(feed) == task
        await store.update(ANN, task.task_id, ttl=1)
        with pytest.raises(TaskNotFound):
            await anext(feed)
    await is_gone(store, task)
    await store.create(ANN)
    with pytest.raises(LimitExceeded):
        await store.create(ANN)
    assert len(full) == 4


async def test_a_ttl_moves_forward_and_back_across_the_present(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN, ttl=1)
    for ttl in (5, 3, 60):
        assert (await store.update(ANN, task.task_id, ttl=ttl)).ttl == ttl * 1_000
    clock.pass_(seconds=30)
    await store.cleanup_expired()
    assert (await store.get(ANN, task.task_id)).ttl == 60_000
    await store.update(ANN, task.task_id, ttl=30)
    assert (await store.get(ANN, task.task_id)).ttl == 30_000, "to the very moment"
    await store.update(ANN, task.task_id, ttl=29.999)
    await is_gone(store, task)


async def test_a_ttl_of_nothing_lasts_for_its_moment(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN, ttl=0)
    assert await store.get(ANN, task.task_id) == task
    clock.pass_(milliseconds=1)
    await is_gone(store, task)


@pytest.mark.parametrize("ttl", [-1, True, "60", "soon", float("nan"), float("inf"), timedelta(seconds=-1), [1]])
async def test_what_is_no_duration_is_refused(clock: Clock, ttl: Any) -> None:
    store = TaskStore(MemoryBackend(), clock=clock)
    task = await store.create(ANN)
    for call in (
        store.create(ANN, ttl=ttl),
        store.update(ANN, task.task_id, ttl=ttl),
        store.create(ANN, poll_interval=ttl),
    ):
        with pytest.raises(LabError, match="is not a duration") as refused:
            await call
        assert refused.value.code == -32602
    assert (await store.list(ANN)).records == [task]


async def test_a_ttl_above_the_maximum_is_refused_not_clamped(store: TaskStore) -> None:
    task = await store.create(ANN, ttl=10_000)
    assert task.ttl == 10_000_000
    for call in (store.create(ANN, ttl=10_000.001), store.update(ANN, task.task_id, ttl=10_000.001)):
        with pytest.raises(LimitExceeded, match="a ttl of 2h46m40s1ms is above the maximum of 2h46m40s") as refused:
            await call
        assert refused.value.code == -32602


async def test_a_ttl_beyond_the_calendar_never_expires(store: TaskStore) -> None:
    endless = TaskStore(store.backend, Limits(max_ttl=None, default_ttl=None))
    for ttl in (2**53, 2**62, 2**70):
        task = await endless.create(ANN, ttl=ttl)
        assert (task.ttl, task.expires) == (ttl * 1_000, None)
        assert await endless.get(ANN, task.task_id) == task
    far = await endless.create(ANN, ttl=10**11)
    assert far.expires is not None
    assert await endless.get(ANN, far.task_id) == far
    assert (await endless.create(ANN)).expires is None
    changed = await endless.update(ANN, far.task_id, ttl=2**62)
    assert await endless.get(ANN, far.task_id) == changed


async def test_watch_ends_with_the_task_when_it_expires() -> None:
    store = TaskStore(MemoryBackend())
    task = await store.create(ANN, ttl="50ms")
    async with asyncio.timeout(2), store.watch(ANN, task.task_id) as feed:
        assert await anext(feed) == task
        with pytest.raises(TaskNotFound):
            await anext(feed)


async def test_what_is_far_from_ending_is_watched_on(store: TaskStore) -> None:
    task = await store.create(ANN, ttl=1)
    async with asyncio.timeout(10), store.watch(ANN, task.task_id) as feed:
        await anext(feed)
        longer = await store.update(ANN, task.task_id, ttl="150m")
        assert await anext(feed) == longer
