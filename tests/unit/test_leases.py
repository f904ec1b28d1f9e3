"""Runners take tasks, keep them by heartbeats, give them back or are found missing. And expired tasks are deleted."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from pmcp_lab.errors import InvalidTransition, LeaseLost, StoreError, TaskNotFound
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import Lease, Limits, TaskRecord, TaskStore, reap
from pmcp_lab.tasks.backends.memory import MemoryBackend
from tests.unit.backend_cases import Clock

ANN = ("client", "ann")
BOB = ("client", "bob")


async def test_a_task_has_one_runner(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN)
    claims = await asyncio.gather(
        *(store.leases.claim(ANN, task.task_id, f"r{n}", 30) for n in range(5)), return_exceptions=True
    )
    (won,) = [claim for claim in claims if isinstance(claim, TaskRecord)]
    assert sum(isinstance(claim, LeaseLost) for claim in claims) == 4
    assert won.lease is not None
    assert won.lease.until == store.now() + timedelta(seconds=30)
    holder = won.lease.runner
    for seconds in (20, 20, 20):
        clock.pass_(seconds=seconds)
        held = await store.leases.heartbeat(ANN, task.task_id, holder, 30)
        assert held.updated == task.updated, "a heartbeat is no update"
    with pytest.raises(LeaseLost, match=holder):
        await store.leases.claim(ANN, task.task_id, "other", 30)
    with pytest.raises(LeaseLost, match=holder):
        await store.leases.heartbeat(ANN, task.task_id, "other", 30)
    assert await store.leases.lost() == []


async def test_a_lost_task_is_found_and_taken(store: TaskStore, clock: Clock) -> None:
    born = await store.create(BOB, lease=Lease(runner="r", until=store.now() + timedelta(seconds=1)))
    task = await store.create(ANN)
    await store.create(ANN)
    await store.leases.claim(ANN, task.task_id, "r", 5)
    clock.pass_(seconds=6)
    assert [(found.owner, found.task_id) for found in await store.leases.lost()] == [
        (BOB, born.task_id),
        (ANN, task.task_id),
    ]
    assert len(await store.leases.lost(limit=1)) == 1
    assert await store.leases.lost(store.now() - timedelta(seconds=6)) == []
    await store.leases.claim(ANN, task.task_id, "s", 5)
    await store.leases.heartbeat(BOB, born.task_id, "r", 5)
    assert await store.leases.lost() == []
    with pytest.raises(LeaseLost):
        await store.leases.heartbeat(ANN, task.task_id, "r", 5)
    assert (await store.leases.release(ANN, task.task_id, "r")).lease is not None, "not its to give back"
    assert (await store.leases.release(ANN, task.task_id, "s")).lease is None
    with pytest.raises(LeaseLost, match="nobody"):
        await store.leases.heartbeat(ANN, task.task_id, "s", 5)


@pytest.mark.parametrize("end", ["complete", "fail", "cancel", "update"])
async def test_what_has_ended_needs_no_runner(store: TaskStore, clock: Clock, end: str) -> None:
    task = await store.create(ANN)
    await store.leases.claim(ANN, task.task_id, "r", 5)
    match end:
        case "complete":
            await store.complete(ANN, task.task_id, 1)
        case "fail":
            await store.fail(ANN, task.task_id, {"code": -1, "message": "m"})
        case "cancel":
            await store.cancel(ANN, task.task_id)
        case _:
            await store.update(ANN, task.task_id, status=TaskStatus.FAILED)
    clock.pass_(seconds=60)
    assert await store.leases.lost() == []
    for attempt in (store.leases.claim, store.leases.heartbeat):
        with pytest.raises(InvalidTransition):
            await attempt(ANN, task.task_id, "r", 5)
    with pytest.raises(TaskNotFound):
        await store.leases.claim(BOB, task.task_id, "r", 5)


async def test_an_expired_task_is_not_lost(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN, ttl=10_000_000)
    await store.leases.claim(ANN, task.task_id, "r", 5)
    clock.pass_(seconds=10_001)
    assert await store.leases.lost() == []


async def test_heartbeats_are_not_shown_to_who_watches() -> None:
    store = TaskStore(MemoryBackend())
    task = await store.create(ANN)
    async with store.watch(ANN, task.task_id) as feed:
        assert await anext(feed) == task
        following = asyncio.ensure_future(anext(feed))
        for _ in range(3):
            await store.leases.claim(ANN, task.task_id, "r", 5)
            await asyncio.sleep(0.01)
        assert not following.done()
        await store.update(ANN, task.task_id, message="x")
        assert (await following).message == "x"


async def test_the_reaper_deletes_what_expires() -> None:
    store = TaskStore(MemoryBackend())
    reaper = asyncio.create_task(reap(store, longest=0.05, shortest=0.01))
    task = await store.create(ANN, ttl=20)
    async with asyncio.timeout(5):
        while await store.backend.get(ANN, task.task_id) is not None:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.01)
    reaper.cancel()


async def test_the_reaper_sleeps_until_something_expires(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.pass_(seconds=seconds)
        if len(pauses) == 4:
            raise asyncio.CancelledError

    store = TaskStore(MemoryBackend(), Limits(max_ttl=None), clock=clock)
    for seconds in (100, 100.2, 1_000):
        await store.create(ANN, ttl=int(seconds * 1_000))
    monkeypatch.setattr("pmcp_lab.tasks.reaper.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await reap(store)
    assert pauses == [pytest.approx(100, abs=0.01), 1, 300, 300]


async def test_the_reaper_outlives_trouble(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryBackend):
        async def purge(self, now: datetime) -> int:
            raise StoreError("no disk")

    reaper = asyncio.create_task(reap(TaskStore(Broken()), longest=0.01))
    await asyncio.sleep(0.05)
    assert not reaper.done()
    assert "no disk" in caplog.text
    reaper.cancel()
