"""Runs take tasks, keep them by heartbeats, give them back or are found lost. And expired tasks are deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from pmcp_lab.errors import InvalidTransition, LeaseLost, StoreError, TaskNotFound
from pmcp_lab.execution import Recovery
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import Lease, Limits, TaskRecord, TaskStore, reap
from pmcp_lab.tasks.backends.memory import MemoryBackend
from tests.unit.backend_cases import Clock

ANN = ("client", "ann")
BOB = ("client", "bob")
LEASE = 0.4


async def test_a_task_has_one_runner(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN)
    claims = await asyncio.gather(
        *(store.leases.claim(ANN, task.task_id, f"r{n}#1", 30) for n in range(5)), return_exceptions=True
    )
    (won,) = [claim for claim in claims if isinstance(claim, TaskRecord)]
    assert sum(isinstance(claim, LeaseLost) for claim in claims) == 4
    assert won.lease is not None
    assert won.lease.seconds == 30
    versions = [won.lease.version]
    for seconds in (20, 20, 2_000):
        clock.pass_(seconds=seconds)
        held = await store.leases.heartbeat(ANN, task.task_id, won.lease.run)
        assert held.updated == task.updated, "a heartbeat is no update"
        assert held.lease is not None
        versions.append(held.lease.version)
    assert len(set(versions)) == 4, "each shows that the run lives"
    with pytest.raises(LeaseLost, match=won.lease.runner):
        await store.leases.claim(ANN, task.task_id, "other#1", 30)
    with pytest.raises(LeaseLost, match=won.lease.runner):
        await store.leases.heartbeat(ANN, task.task_id, "other#1")


async def test_a_process_claims_a_task_once(store: TaskStore) -> None:
    """A redelivered message meets the run that came of the first."""
    task = await store.create(ANN)
    first = await store.leases.claim(ANN, task.task_id, "r#1", 30)
    for run in ("r#1", "r#2"):
        with pytest.raises(LeaseLost):
            await store.leases.claim(ANN, task.task_id, run, 30)
    assert await store.get(ANN, task.task_id) == first


async def test_no_clock_makes_a_lease_lost(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN, ttl=9_000)
    await store.leases.claim(ANN, task.task_id, "r#1", 1)
    clock.pass_(seconds=8_000)
    with pytest.raises(LeaseLost):
        await store.leases.claim(ANN, task.task_id, "s#1", 1)


async def look_twice(store: TaskStore, found: list[TaskRecord]) -> None:
    """See every lease for as long as it lasts."""

    async def recover(record: TaskRecord) -> bool:
        found.append(record)
        return True

    recovery = Recovery(store, recover, lease=LEASE)
    await recovery.look()
    await asyncio.sleep(LEASE)
    await recovery.look()


async def test_a_lost_task_is_found_and_taken(store: TaskStore) -> None:
    lease = Lease(run="r#1", seconds=LEASE, version=1)
    born, patient = (
        await store.create(BOB, lease=lease),
        await store.create(BOB, lease=Lease(run="r", seconds=60, version=1)),
    )
    held, task, offered = [await store.create(ANN) for _ in range(3)]
    await store.create(ANN)
    await store.leases.claim(ANN, task.task_id, "r#2", LEASE)
    await store.leases.claim(ANN, held.task_id, "r#3", LEASE)
    await store.leases.claim(ANN, offered.task_id, "r#4", 60)
    await store.leases.offer(ANN, offered.task_id, "r#4")
    found: list[TaskRecord] = []

    async def recover(record: TaskRecord) -> bool:
        found.append(record)
        return True

    recovery = Recovery(store, recover, lease=LEASE)
    assert await recovery.look() == 1
    assert [record.task_id for record in found] == [offered.task_id], "what anybody may have at once"
    await store.leases.claim(ANN, offered.task_id, "s#1", 60)
    for _ in range(3):
        await asyncio.sleep(LEASE / 3)
        await store.leases.heartbeat(ANN, held.task_id, "r#3")
        await recovery.look()
    await asyncio.sleep(LEASE / 4)
    await recovery.look()
    lost = {record.task_id: record for record in found[1:]}
    assert set(lost) == {born.task_id, task.task_id}, "not what is renewed, or lasts longer"
    assert patient.task_id not in lost

    taken = await store.leases.take(lost[task.task_id], "s#2", 5)
    assert taken.lease
    assert taken.lease.run == "s#2"
    with pytest.raises(LeaseLost):
        await store.leases.take(lost[task.task_id], "t#1", 5)
    with pytest.raises(LeaseLost):
        await store.leases.heartbeat(ANN, task.task_id, "r#2")
    await store.leases.heartbeat(BOB, born.task_id, "r#1")
    with pytest.raises(LeaseLost):
        await store.leases.take(lost[born.task_id], "s#3", 5)
    assert (await store.leases.release(ANN, task.task_id, "r#2")).lease is not None, "not its to give back"
    assert (await store.leases.release(ANN, task.task_id, "s#2")).lease is None
    with pytest.raises(LeaseLost, match="nobody"):
        await store.leases.heartbeat(ANN, task.task_id, "s#2")


async def test_whose_look_failed_has_not_seen_that_a_lease_is_lost() -> None:
    class Away(MemoryBackend):
        away = False

        async def leases(self) -> Any:
            if self.away:
                raise StoreError("the storage is away")
            async for page in super().leases():
                yield page

    backend = Away()
    store = TaskStore(backend)
    await store.create(ANN, lease=Lease(run="r#1", seconds=LEASE, version=1))
    found: list[TaskRecord] = []

    async def recover(record: TaskRecord) -> bool:
        found.append(record)
        return True

    recovery = Recovery(store, recover, lease=LEASE)
    await recovery.look()
    backend.away = True
    for _ in range(3):
        await asyncio.sleep(LEASE / 2)
        with pytest.raises(StoreError):
            await recovery.look()
    backend.away = False
    await recovery.look()
    assert not found, "its holder could not renew it either"
    await asyncio.sleep(LEASE)
    await recovery.look()
    assert len(found) == 1


async def test_what_is_not_ours_is_not_read_at_every_look() -> None:
    class Counting(MemoryBackend):
        reads = 0

        async def leased(self, key: Any) -> TaskRecord | None:
            self.reads += 1
            return await super().leased(key)

    backend = Counting()
    store = TaskStore(backend, Limits(tasks_per_owner=None))
    for _ in range(50):
        await store.create(ANN, lease=Lease(run="r#1", seconds=0.05, version=1))

    async def refuse(_: TaskRecord) -> bool:
        return False

    recovery = Recovery(store, refuse, lease=0.05)
    for _ in range(6):
        await recovery.look()
        await asyncio.sleep(0.05)
    assert backend.reads == 50


async def test_somebody_waits_for_the_end_of_a_lease(store: TaskStore) -> None:
    async def claimed(seconds: float) -> TaskRecord:
        task = await store.create(ANN)
        return await store.leases.claim(ANN, task.task_id, "r#1", seconds)

    lost = await claimed(0.1)
    assert await store.leases.watch_until_lost(lost) == lost
    renewed, released, ended = [await claimed(9) for _ in range(3)]
    waiting = [asyncio.create_task(store.leases.watch_until_lost(record)) for record in (renewed, released, ended)]
    await asyncio.sleep(0.1)
    await store.leases.heartbeat(ANN, renewed.task_id, "r#1")
    await store.leases.release(ANN, released.task_id, "r#1")
    await store.complete(ANN, ended.task_id, 1)
    async with asyncio.timeout(5):
        assert await asyncio.gather(*waiting) == [None, None, None]


Write = Callable[[TaskStore, str], Any]
WRITES: dict[str, Write] = {
    "progress": lambda store, task: store.update(ANN, task, progress=0.5, message="m"),
    "variables": lambda store, task: store.update(ANN, task, variables={"a": 1}),
    "set variables": lambda store, task: store.set_variables(ANN, task, {"a": 1}),
    "input required": lambda store, task: store.update(ANN, task, status=TaskStatus.INPUT_REQUIRED),
    "question": lambda store, task: store.ask(ANN, task, "q", {"method": "elicitation/create", "params": {}}),
    "answer": lambda store, task: store.answer(ANN, task, {"q": 1}),
    "result": lambda store, task: store.complete(ANN, task, 1),
    "failure": lambda store, task: store.fail(ANN, task, {"code": -1, "message": "m"}),
    "cancel": lambda store, task: store.cancel(ANN, task),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_what_a_run_writes_is_refused_when_another_has_its_task(store: TaskStore, write: Write) -> None:
    task = await store.create(ANN)
    old, new = store.held_by("r#1"), store.held_by("s#1")
    mine = await store.leases.claim(ANN, task.task_id, "r#1", 30)
    await old.update(ANN, task.task_id, message="mine")
    mine = await store.get(ANN, task.task_id)
    await store.leases.take(mine, "s#1", 30)
    before = await store.get(ANN, task.task_id)
    for _ in range(2):
        with pytest.raises(LeaseLost):
            await write(old, task.task_id)
    assert await store.get(ANN, task.task_id) == before
    await store.leases.release(ANN, task.task_id, "r#1")
    await store.leases.offer(ANN, task.task_id, "r#1")
    assert await store.get(ANN, task.task_id) == before, "not its to give back"
    await new.complete(ANN, task.task_id, "new")
    with pytest.raises(InvalidTransition):
        await write(old, task.task_id)
    assert (await store.get(ANN, task.task_id)).result == "new"


@pytest.mark.parametrize("write", [write for name, write in WRITES.items() if name != "input required"])
async def test_what_clients_and_owners_write_needs_no_lease(store: TaskStore, write: Write) -> None:
    task = await store.create(ANN)
    await store.leases.claim(ANN, task.task_id, "r#1", 30)
    await store.ask(ANN, task.task_id, "p", {"method": "elicitation/create", "params": {}})
    await write(store, task.task_id)


async def test_a_lease_tells_whether_its_run_waits_for_a_person(store: TaskStore) -> None:
    task = await store.create(ANN)
    run = store.held_by("r#1")

    async def phase() -> str:
        lease = (await store.get(ANN, task.task_id)).lease
        assert lease is not None
        return lease.phase

    await store.leases.claim(ANN, task.task_id, "r#1", 30)
    assert await phase() == "running"
    await run.ask(ANN, task.task_id, "q", {"method": "elicitation/create", "params": {}})
    assert await phase() == "asking"
    await store.leases.heartbeat(ANN, task.task_id, "r#1")
    assert await phase() == "asking"
    await store.answer(ANN, task.task_id, {"q": 1})
    assert await phase() == "asking", "that its run goes on is for that to say"
    await run.update(ANN, task.task_id, progress=0.5)
    assert await phase() == "running"
    await run.update(ANN, task.task_id, status=TaskStatus.INPUT_REQUIRED)
    assert await phase() == "asking"
    await run.update(ANN, task.task_id, status=TaskStatus.WORKING)
    assert await phase() == "running"


@pytest.mark.parametrize("end", ["complete", "fail", "cancel", "update"])
async def test_what_has_ended_needs_no_runner(store: TaskStore, end: str) -> None:
    task = await store.create(ANN)
    mine = await store.leases.claim(ANN, task.task_id, "r#1", 5)
    match end:
        case "complete":
            await store.complete(ANN, task.task_id, 1)
        case "fail":
            await store.fail(ANN, task.task_id, {"code": -1, "message": "m"})
        case "cancel":
            await store.cancel(ANN, task.task_id)
        case _:
            await store.update(ANN, task.task_id, status=TaskStatus.FAILED)
    assert [page async for page in store.backend.leases() if page] == []
    for attempt in (
        store.leases.claim(ANN, task.task_id, "r#1", 5),
        store.leases.heartbeat(ANN, task.task_id, "r#1"),
        store.leases.take(mine, "r#2", 5),
    ):
        with pytest.raises(InvalidTransition):
            await attempt
    with pytest.raises(TaskNotFound):
        await store.leases.claim(BOB, task.task_id, "r#1", 5)


async def test_an_expired_task_is_not_lost(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN, ttl=10_000)
    mine = await store.leases.claim(ANN, task.task_id, "r#1", 5)
    clock.pass_(seconds=10_010)
    with pytest.raises(TaskNotFound):
        await store.leases.take(mine, "s#1", 5)


async def test_a_task_is_there_until_its_time_is_over_on_every_machine(clock: Clock) -> None:
    class Shared(MemoryBackend):
        clock_skew = 5.0

    store = TaskStore(Shared(), Limits(tasks_per_owner=1), clock=clock)
    task = await store.create(ANN, ttl=10)
    clock.pass_(seconds=14.9)
    assert await store.cleanup_expired() == 0
    assert await store.get(ANN, task.task_id) == task
    assert (await store.list(ANN)).records == [task]
    clock.pass_(seconds=0.2)
    with pytest.raises(TaskNotFound):
        await store.get(ANN, task.task_id)
    await store.create(ANN)


async def test_heartbeats_are_not_shown_to_who_watches() -> None:
    store = TaskStore(MemoryBackend())
    task = await store.create(ANN)
    async with store.watch(ANN, task.task_id) as feed:
        assert await anext(feed) == task
        following = asyncio.ensure_future(anext(feed))
        await store.leases.claim(ANN, task.task_id, "r#1", 5)
        for _ in range(3):
            await store.leases.heartbeat(ANN, task.task_id, "r#1")
            await asyncio.sleep(0.01)
        assert not following.done()
        await store.update(ANN, task.task_id, message="x")
        assert (await following).message == "x"


async def test_the_reaper_deletes_what_expires() -> None:
    store = TaskStore(MemoryBackend())
    reaper = asyncio.create_task(reap(store, longest=0.05, shortest=0.01))
    task = await store.create(ANN, ttl="20ms")
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
        await store.create(ANN, ttl=seconds)
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
