"""What only the Redis backend promises: few commands, keys that end by themselves, life after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("redis", reason="redis-py is not installed: pip install 'pmcp_lab[redis]'")

from msgspec.structs import replace
from redis.asyncio import Redis

from pmcp_lab.errors import InvalidTransition, LimitExceeded, MissingExtra, StoreError
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import Limits, TaskStore, open_store
from pmcp_lab.tasks.backends import Conflict, QuotaReached
from pmcp_lab.tasks.backends.conformance import ODD_OWNERS
from pmcp_lab.tasks.backends.redis import RedisBackend, _columns
from pmcp_lab.tasks.backends.redis_scripts import ms
from pmcp_lab.tasks.record import Lease, TaskRecord, new_task_id, truncated
from tests.unit.storage_servers import RedisServer, shared_redis

ANN = ("client", "ann")
BOB = ("client", "bob")
MS = timedelta(milliseconds=1)


def now() -> datetime:
    return truncated(datetime.now(UTC))


def record(owner: tuple[str, ...] = ANN, **fields: Any) -> TaskRecord:
    moment = now()
    return TaskRecord(task_id=new_task_id(), owner=owner, created=moment, updated=moment, **fields)


@pytest.fixture
def prefix() -> str:
    return f"test-{new_task_id()}"


@pytest.fixture
async def backend(prefix: str) -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(f"{shared_redis().url}?prefix={prefix}")
    yield backend
    await backend.close()


@pytest.fixture
async def plain() -> AsyncIterator[Redis]:
    async with Redis.from_url(shared_redis().url) as client:
        yield client


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@asynccontextmanager
async def commands() -> AsyncIterator[Any]:
    """Yields a function that answers what was sent since it was last called."""
    async with Redis.from_url(shared_redis().url) as client, client.monitor() as monitor:
        seen: asyncio.Queue[str] = asyncio.Queue()

        async def follow() -> None:
            while True:
                sent = await monitor.next_command()
                if sent["client_type"] != "lua":
                    seen.put_nowait(sent["command"])

        async def since() -> list[str]:
            async with Redis.from_url(shared_redis().url) as marker:
                await marker.echo("mark")
            found = []
            while not (command := await seen.get()).upper().startswith("ECHO"):
                found.append(command.split(" ")[0].upper())
            # Setting up a connection, ours and the marker's, is not an operation.
            return [command for command in found if command not in ("HELLO", "CLIENT", "SELECT", "AUTH")]

        following = asyncio.create_task(follow())
        try:
            yield since
        finally:
            following.cancel()
            await asyncio.wait([following])


async def test_every_operation_is_one_command(backend: RedisBackend) -> None:
    await backend.insert(record(), quota=100, now=now())
    task = record()
    async with commands() as since:
        await backend.insert(record(BOB), quota=100, now=now())
        assert await since() == ["EVALSHA"], "an owner's first task costs no more"
        operations = [
            backend.insert(task, quota=100, now=now()),
            backend.get(ANN, task.task_id),
            backend.replace(replace(task, seq=2), expected=1),
            backend.replace(replace(task, status=TaskStatus.COMPLETED, result=1, seq=3), expected=2),
            backend.page(ANN, after=None, limit=50, now=now()),
            backend.delete(ANN, task.task_id),
        ]
        sent = []
        for operation in operations:
            await operation
            sent.append(await since())
    assert sent[1] == ["HMGET"]
    # The first use of a script brings it along, once in the life of the server.
    assert all(one in (["EVALSHA"], ["EVALSHA", "SCRIPT", "EVALSHA"]) for one in [sent[0], *sent[2:]]), sent


async def test_a_writer_that_wrote_last_needs_no_read(backend: RedisBackend) -> None:
    store = TaskStore(backend)
    await store.create(ANN)
    async with commands() as since:
        task = await store.create(ANN)
        assert await since() == ["EVALSHA"]
        for _ in range(3):
            await store.update(ANN, task.task_id, message="x")
        await store.complete(ANN, task.task_id, 1)
        assert [command for command in await since() if command != "SCRIPT"][-4:] == ["EVALSHA"] * 4
    with pytest.raises(InvalidTransition):
        await store.cancel(ANN, task.task_id)


async def test_waiting_costs_no_command(backend: RedisBackend) -> None:
    tasks = [record() for _ in range(20)]
    for task in tasks:
        await backend.insert(task, quota=None, now=now())
    async with backend.watch(ANN, tasks[0].task_id) as one, backend.watch(ANN) as whole:
        waiting = [asyncio.create_task(changes.wait()) for changes in (one, whole)]
        async with commands() as since:
            await asyncio.sleep(1.5)
            assert await since() == []
        await backend.replace(replace(tasks[0], seq=2), expected=1)
        assert await asyncio.gather(*waiting) == [{tasks[0].task_id}, {tasks[0].task_id}]


async def test_there_is_a_subscription_only_while_somebody_watches(backend: RedisBackend, plain: Redis) -> None:
    async def watched() -> int:
        return len(await plain.pubsub_channels(f"{backend.prefix}:*"))

    assert await watched() == 0
    async with backend.watch(ANN, "a"):
        async with backend.watch(ANN, "a"), backend.watch(ANN, "b"):
            assert await watched() == 2
        for _ in range(100):
            if await watched() == 1:
                break
            await asyncio.sleep(0.01)
        assert await watched() == 1
    for _ in range(100):
        if not await watched():
            break
        await asyncio.sleep(0.01)
    assert await watched() == 0


async def test_redis_deletes_what_has_expired_and_the_indexes_with_the_last(
    backend: RedisBackend, plain: Redis
) -> None:
    moment = now()
    await backend.insert(record(expires=moment + 50 * MS), quota=1, now=moment)
    lasting = record(expires=moment + timedelta(hours=1))
    await backend.insert(lasting, quota=2, now=moment)
    await backend.insert(record(BOB, expires=moment + 50 * MS), quota=1, now=moment)
    with pytest.raises(QuotaReached):
        await backend.insert(record(), quota=2, now=moment)
    # What is left is the time by which clocks may differ.
    assert 5_000 < await plain.pttl(f"{backend.prefix}:{{o:client:bob}}:all") < 8_000
    await asyncio.sleep(7.3)
    keys = [key.decode() for key in await plain.keys(f"{backend.prefix}:*")]
    assert not [key for key in keys if "bob" in key]
    assert len([key for key in keys if ":t:" in key]) == 1
    assert await backend.page(ANN, after=None, limit=9, now=now()) == [lasting]
    base = f"{backend.prefix}:{{o:client:ann}}"
    assert await plain.zrange(f"{base}:all", 0, -1) == [lasting.task_id.encode()]
    await backend.insert(record(), quota=2, now=now())
    # A task that never ends keeps the indexes for good; when it has gone, they end with the rest.
    assert await plain.ttl(f"{base}:all") == -1


async def test_a_key_that_redis_dropped_is_forgotten_by_the_indexes(backend: RedisBackend, plain: Redis) -> None:
    kept, lost = record(), record(lease=Lease(run="r", seconds=1, version=1))
    for task in (kept, lost):
        await backend.insert(task, quota=None, now=now())
    base = f"{backend.prefix}:{{o:client:ann}}"
    [(key, _)] = [entry async for page in backend.leases() for entry in page]
    await plain.delete(f"{base}:t:{lost.task_id}")
    assert await backend.leased(key) is None
    assert await backend.page(ANN, after=None, limit=1, now=now()) == [kept]
    for index in ("all", "live"):
        assert await plain.zrange(f"{base}:{index}", 0, -1) == [kept.task_id.encode()]


async def test_clocks_of_writers_and_redis_may_differ(backend: RedisBackend) -> None:
    past = now() - timedelta(days=3)
    task = replace(record(expires=past + timedelta(minutes=1)), created=past, updated=past)
    await backend.insert(task, quota=1, now=past)
    assert await backend.get(ANN, task.task_id) == task
    assert await backend.page(ANN, after=None, limit=9, now=past) == [task]


async def test_all_keys_of_an_owner_are_in_one_slot(plain: Redis) -> None:
    slots = pytest.importorskip("redis.crc")
    for owner in ODD_OWNERS:
        base = RedisBackend(shared_redis().url)._base(owner)
        assert len({slots.key_slot(f"{base}{rest}".encode()) for rest in (":all", ":live", ":t:{x}", ":c:y}")}) == 1
    assert len({RedisBackend(shared_redis().url)._base(owner) for owner in ODD_OWNERS}) == len(ODD_OWNERS)


async def test_a_watcher_hears_of_other_clients(backend: RedisBackend) -> None:
    other = RedisBackend(f"{shared_redis().url}?prefix={backend.prefix}")
    mine, theirs = TaskStore(backend), TaskStore(other)
    task = await mine.create(ANN)
    try:
        async with mine.watch(ANN, task.task_id) as feed, asyncio.timeout(10):
            assert (await anext(feed)).status is TaskStatus.WORKING
            await theirs.complete(ANN, task.task_id, {"n": 1})
            assert (await anext(feed)).result == {"n": 1}
    finally:
        await other.close()


async def test_64_parallel_creates_of_two_clients_keep_the_quota(backend: RedisBackend) -> None:
    other = RedisBackend(f"{shared_redis().url}?prefix={backend.prefix}")
    stores = [TaskStore(each, Limits(tasks_per_owner=7)) for each in (backend, other)]
    made = await asyncio.gather(*(stores[n % 2].create(ANN) for n in range(64)), return_exceptions=True)
    await other.close()
    assert sum(isinstance(one, TaskRecord) for one in made) == 7
    assert sum(isinstance(one, LimitExceeded) for one in made) == 57


async def test_a_write_whose_answer_was_lost_is_not_a_conflict(backend: RedisBackend) -> None:
    task = record()
    await backend.insert(task, quota=None, now=now())
    changed = replace(task, message="x", seq=2)
    args = [*_columns(changed, now()), ms(changed.created), "", 1]
    for _ in range(2):
        assert await backend._replace([backend._base(ANN)], args) == [b"stored"]
    with pytest.raises(Conflict) as conflict:
        await backend.replace(changed, expected=1)
    assert conflict.value.current == changed
    new = record()
    args = [*_columns(new, now()), ms(new.created), "", 2]
    for _ in range(2):
        assert await backend._insert([backend._base(ANN)], args) == [b"stored"]


async def test_a_restart_is_a_clear_error_and_then_nothing_is_lost(own_server: RedisServer) -> None:
    backend = RedisBackend(own_server.url.replace("redis://", "redis://:secret@") + "?prefix=p")
    quiet = RedisBackend(own_server.url)
    store = TaskStore(quiet)
    try:
        task = await store.create(ANN)
        async with quiet.watch(ANN, task.task_id) as changes:
            own_server.stop()
            async with asyncio.timeout(20):
                # A lost connection is told as "look", without an id.
                assert await changes.wait() == frozenset()
                for operation in (store.get(ANN, task.task_id), store.create(ANN), store.list(ANN)):
                    with pytest.raises(StoreError, match=f"127.0.0.1:{own_server.port}"):
                        await operation
                with pytest.raises(StoreError) as unreachable:
                    await backend.get(ANN, task.task_id)
                assert "secret" not in str(unreachable.value)
                own_server.start()
                while await changes.wait():
                    pass
                assert await store.get(ANN, task.task_id) == task
                await store.complete(ANN, task.task_id, 1)
                while task.task_id not in await changes.wait():
                    pass
    finally:
        await backend.close()
        await quiet.close()


async def test_nothing_listens_there() -> None:
    store = open_store("redis://user:secret@127.0.0.1:1/0")
    with pytest.raises(StoreError, match=r"redis://127\.0\.0\.1:1/0") as unreachable:
        await store.create(ANN)
    assert "secret" not in str(unreachable.value)
    with pytest.raises(StoreError, match="can't be used"):
        async with store.backend.watch(ANN, "x"):
            pass
    await store.close()


@pytest.mark.parametrize("url", ["redis://h/0?nonsense=1", "redis://h:port/0"])
async def test_urls_that_make_no_sense(url: str) -> None:
    with pytest.raises(StoreError):
        await open_store(url).create(ANN)


def test_without_redis_py_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith("pmcp_lab.tasks.backends.redis")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("redis", "redis.asyncio", "redis.backoff", "redis.exceptions", "redis.asyncio.retry"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"pmcp_lab\[redis\]"):
        open_store("redis://localhost/0")
