"""Many at once on one task or one quota: in this process, from two stores, and from two processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pmcp_lab.errors import ConcurrentModification, InvalidTransition, LimitExceeded, TaskNotFound
from pmcp_lab.tasks import Limits, TaskRecord, TaskStore, open_store, resolve_owner
from pmcp_lab.tasks.backends import Conflict
from pmcp_lab.tasks.backends.memory import MemoryBackend
from tests.unit.storage_servers import dynamodb_endpoint, shared_redis

ANN = resolve_owner("ann")
ROOT = Path(__file__).parents[3]
QUOTA = 20


async def test_64_parallel_creates_never_exceed_the_quota(store: TaskStore) -> None:
    made = await asyncio.gather(*(store.create(ANN) for _ in range(64)), return_exceptions=True)
    assert sum(isinstance(one, TaskRecord) for one in made) == 5
    assert sum(isinstance(one, LimitExceeded) for one in made) == 59
    assert len((await store.list(ANN)).records) == 5


async def test_32_writers_lose_no_variable_and_two_ends_are_one(store: TaskStore) -> None:
    # Two stores on one backend: neither can rely on what it wrote last.
    stores = [store, TaskStore(store.backend)]
    task = await store.create(ANN)
    await asyncio.gather(*(stores[n % 2].set_variables(ANN, task.task_id, {f"v{n}": n}) for n in range(32)))
    record = await store.get(ANN, task.task_id)
    assert record.variables == {f"v{n}": n for n in range(32)}
    assert record.seq == 33
    ends = await asyncio.gather(
        stores[0].complete(ANN, task.task_id, 1), stores[1].cancel(ANN, task.task_id), return_exceptions=True
    )
    assert sum(isinstance(end, InvalidTransition) for end in ends) == 1


async def test_a_change_that_depends_on_what_is_there_is_made_to_what_is_there(store: TaskStore) -> None:
    stores = [store, TaskStore(store.backend)]
    task = await store.create(ANN, variables={"count": 0})

    def one_more(record: TaskRecord) -> TaskRecord:
        return replace(record, variables={"count": record.variables["count"] + 1})

    await asyncio.gather(*(stores[n % 2].change(ANN, task.task_id, one_more) for n in range(8)))
    assert (await store.get(ANN, task.task_id)).variables == {"count": 8}


async def test_what_this_store_wrote_last_is_never_believed_against_the_backend(store: TaskStore) -> None:
    here, there = TaskStore(store.backend), TaskStore(store.backend)
    task = await here.create(ANN)
    await there.cancel(ANN, task.task_id)
    with pytest.raises(InvalidTransition, match="from cancelled"):
        await here.complete(ANN, task.task_id, 1)
    other = await here.create(ANN)
    await there.backend.delete(ANN, other.task_id)
    with pytest.raises(TaskNotFound):
        await here.update(ANN, other.task_id, message="x")


class Slow(MemoryBackend):
    """One that lets others in between reading and writing, as every real one does."""

    async def get(self, *key: Any) -> Any:
        record = await super().get(*key)
        await asyncio.sleep(0)
        return record

    async def replace(self, record: Any, *, expected: int) -> None:
        await asyncio.sleep(0)
        await super().replace(record, expected=expected)


async def test_a_slow_memory_loses_nothing_either() -> None:
    stores = [TaskStore(backend := Slow()), TaskStore(backend)]
    task = await stores[0].create(ANN)
    await asyncio.gather(*(stores[n % 2].set_variables(ANN, task.task_id, {f"v{n}": n}) for n in range(32)))
    assert (await stores[0].get(ANN, task.task_id)).variables == {f"v{n}": n for n in range(32)}


async def test_a_race_that_is_never_won_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hopeless(MemoryBackend):
        async def replace(self, record: Any, *, expected: int) -> None:
            raise Conflict(await self.get(record.owner, record.task_id))

    monkeypatch.setattr("pmcp_lab.tasks.store._ATTEMPTS", 5)
    store = TaskStore(Hopeless())
    task = await store.create(ANN)
    with pytest.raises(ConcurrentModification, match="5 times in a row.*expected version 1, found 1") as lost:
        await store.set_variables(ANN, task.task_id, {"a": 1})
    assert (lost.value.code, lost.value.task_id) == (-32603, task.task_id)


# --- several processes ---

ELSEWHERE = f"""
import asyncio, sys
from pmcp_lab.errors import LimitExceeded
from pmcp_lab.tasks import Limits, open_store

async def main(url, task_id, name, count):
    store = open_store(url, Limits(tasks_per_owner={QUOTA}))
    owner = ("subject", "", "ann")
    await store.get(owner, task_id)
    async def create():
        try:
            await store.create(owner)
        except LimitExceeded:
            return 0
        return 1
    print("ready", flush=True)
    sys.stdin.readline()
    writes = [store.set_variables(owner, task_id, {{f"{{name}}{{n}}": n}}) for n in range(int(count))]
    *_, made = await asyncio.gather(*writes, asyncio.gather(*(create() for _ in range(32))))
    print(sum(made), flush=True)
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


def elsewhere(*arguments: str) -> subprocess.Popen[str]:
    """A process that opens the store, says so, and waits for a line before it goes on."""
    return subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@asynccontextmanager
async def durable(kind: str, folder: Path) -> AsyncIterator[str]:
    match kind:
        case "sqlite":
            yield f"sqlite:///{folder}/tasks.db"
        case "redis":
            yield f"{shared_redis().url}?prefix={uuid.uuid4()}"
        case _:
            from pmcp_lab.tasks.backends.dynamodb import create_table, drop_table

            url = f"dynamodb://pmcp-lab-test-{uuid.uuid4()}?region=eu-central-1&endpoint={dynamodb_endpoint()}"
            await create_table(url)
            yield url
            await drop_table(url)


@pytest.mark.parametrize("kind", ["sqlite", "redis", "dynamodb"])
async def test_two_processes_keep_the_quota_and_every_variable(kind: str, tmp_path: Path) -> None:
    # moto takes requests one by one, so many that collide take long.
    count = 4 if kind == "dynamodb" else 16
    async with durable(kind, tmp_path) as url:
        store = open_store(url, Limits(tasks_per_owner=QUOTA))
        task = await store.create(ANN)
        others = [elsewhere(url, task.task_id, name, str(count)) for name in "xy"]
        for other in others:
            assert other.stdout is not None
            assert await asyncio.to_thread(other.stdout.readline) == "ready\n"
        outputs = await asyncio.gather(*(asyncio.to_thread(other.communicate, "\n") for other in others))
        assert sum(int(said) for said, _ in outputs) == QUOTA - 1
        record = await store.get(ANN, task.task_id)
        assert record.variables == {f"{name}{n}": n for name in "xy" for n in range(count)}
        with pytest.raises(LimitExceeded):
            await store.create(ANN)
        await store.close()
