"""Deleting much that has expired lets others go on, and gives back the space."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from pmcp_lab.errors import LimitExceeded
from pmcp_lab.tasks import Limits, TaskStore, open_store
from pmcp_lab.tasks.backends.memory import MemoryBackend
from tests.unit.backend_cases import Clock

ANN, BOB = ("client", "ann"), ("client", "bob")
HOUR = 3_600


@asynccontextmanager
async def turns() -> AsyncIterator[list[int]]:
    """How many turns of the event loop there were for others; the last number is that of now."""
    count = [0]

    async def others() -> None:
        while True:
            count[0] += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await asyncio.sleep(0)
    try:
        yield count
    finally:
        task.cancel()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_others_have_their_turn(kind: str, tmp_path: Path) -> None:
    store = open_store(
        "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/tasks.db", Limits(tasks_per_owner=None)
    )
    await asyncio.gather(*(store.create(ANN, ttl=HOUR) for _ in range(2_000)))
    kept = await store.create(ANN, ttl=3 * HOUR)
    async with turns() as count:
        before = count[0]
        assert await store.backend.purge(store.now() + timedelta(hours=2)) == 2_000
        assert count[0] - before >= 7, "it was done in one go"
    assert (await store.list(ANN)).records == [kept]
    await store.close()


async def test_what_is_read_from_the_disk_to_be_deleted_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/tasks.db")
    await store.create(ANN, ttl=HOUR)
    threads = set()

    def trace(statement: str) -> None:
        if statement.startswith("DELETE"):
            threads.add(threading.current_thread())

    store.backend._writer._connection.set_trace_callback(trace)  # type: ignore[attr-defined]
    assert await store.backend.purge(store.now() + timedelta(hours=2)) == 1
    assert threads
    assert threading.current_thread() not in threads
    await store.close()


async def test_the_file_gives_back_its_space(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    store = open_store(f"sqlite:///{path}", Limits(tasks_per_owner=None))
    kept = [await store.create(ANN, ttl=3 * HOUR, variables={"text": "y" * 5_000})]
    for _ in range(20):
        await asyncio.gather(*(store.create(ANN, ttl=HOUR, variables={"text": "x" * 30_000}) for _ in range(20)))
        kept.append(await store.create(ANN, ttl=3 * HOUR, variables={"text": "y" * 5_000}))
    assert await store.backend.purge(store.now() + timedelta(hours=2)) == 400
    assert size(path) < 2_000_000, "12 MB of records were deleted"
    assert size(path.with_name("tasks.db-wal")) < 16_000_000
    assert {record.task_id for record in (await store.list(ANN)).records} == {task.task_id for task in kept}
    await store.close()
    again = open_store(f"sqlite:///{path}")
    for task in kept:
        assert await again.get(ANN, task.task_id) == task
    await again.close()


def size(path: Path) -> int:
    return path.stat().st_size


async def test_writes_go_on_meanwhile(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/tasks.db", Limits(tasks_per_owner=None))
    await asyncio.gather(*(store.create(ANN, ttl=HOUR) for _ in range(3_000)))
    task = await store.create(ANN, ttl=3 * HOUR)
    purging = asyncio.create_task(store.backend.purge(store.now() + timedelta(hours=2)))
    written = 0
    while not purging.done():
        written += 1
        await store.set_variables(ANN, task.task_id, {"n": written})
        assert (await store.get(ANN, task.task_id)).variables == {"n": written}
        await asyncio.sleep(0)
    assert await purging == 3_000
    assert written >= 5
    await store.close()


async def test_what_is_still_to_be_purged_does_not_count() -> None:
    clock, backend = Clock(), MemoryBackend()
    many = TaskStore(backend, Limits(tasks_per_owner=None), clock=clock)
    few = TaskStore(backend, Limits(tasks_per_owner=3), clock=clock)
    for _ in range(2_000):
        await many.create(ANN, ttl=HOUR)
    with pytest.raises(LimitExceeded):
        await few.create(ANN)
    clock.pass_(hours=2)
    # Each drops some of them only.
    for _ in range(3):
        await few.create(ANN)
    with pytest.raises(LimitExceeded):
        await few.create(ANN)
    await few.create(BOB)
    assert len((await few.list(ANN)).records) == 3


async def test_one_create_does_not_drop_all() -> None:
    clock = Clock()
    backend = MemoryBackend()
    store = TaskStore(backend, Limits(tasks_per_owner=None), clock=clock)
    for _ in range(2_000):
        await store.create(ANN, ttl=HOUR)
    clock.pass_(hours=2)
    await store.create(ANN)
    assert len(backend._shelves[ANN].records) > 1_500
    assert await store.cleanup_expired() > 1_500
    assert len((await store.list(ANN)).records) == 1
