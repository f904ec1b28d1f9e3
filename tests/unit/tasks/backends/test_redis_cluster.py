"""The Redis backend on a cluster of three nodes: scripts that keep to their slot, and word from every node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

pytest.importorskip("redis", reason="redis-py is not installed: pip install 'pmcp_lab[redis]'")

from redis.asyncio import Redis

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks import Limits, TaskRecord, TaskStore, open_store
from pmcp_lab.tasks.backends.conformance import CHECKS, Check
from pmcp_lab.tasks.backends.redis import RedisBackend
from pmcp_lab.tasks.record import new_task_id
from tests.unit.storage_servers import RedisClusterServers, shared_redis, shared_redis_cluster

ANN = ("client", "ann")
MANY = [("client", f"c{n}") for n in range(24)]


@pytest.fixture
async def backend() -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(f"{shared_redis_cluster().url}?prefix={new_task_id()}")
    yield backend
    await backend.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check: Check, backend: RedisBackend) -> None:
    await check(backend)


async def test_owners_are_spread_over_all_nodes(backend: RedisBackend) -> None:
    store = TaskStore(backend)
    await asyncio.gather(*(store.create(owner) for owner in MANY))
    for node in shared_redis_cluster().nodes:
        async with Redis.from_url(node.url) as plain:
            assert await plain.keys(f"{backend.prefix}:*:t:*"), "every node has tasks"
    assert [len((await store.list(owner)).records) for owner in MANY] == [1] * len(MANY)
    for task in [(await store.list(owner)).records[0] for owner in MANY]:
        await store.leases.claim(task.owner, task.task_id, "r", 1)
    keys = [key async for page in backend.leases() for key, _ in page]
    held = [await backend.leased(key) for key in keys]
    assert {record.owner for record in held if record is not None} == set(MANY)


async def test_more_callers_than_connections_take_turns(backend: RedisBackend) -> None:
    store = TaskStore(backend, Limits(tasks_per_owner=None))
    made = await asyncio.gather(*(store.create(ANN) for _ in range(300)))
    assert len((await store.list(ANN, limit=400)).records) == len(made)


async def test_a_plain_url_may_say_that_it_is_a_cluster() -> None:
    url = shared_redis_cluster().url.replace("redis+cluster", "redis")
    store = open_store(f"{url}/0?cluster=true&prefix={new_task_id()}")
    tasks = [await store.create(owner) for owner in MANY[:6]]
    assert [await store.get(task.owner, task.task_id) for task in tasks] == tasks
    await store.close()


@pytest.mark.parametrize("url", ["redis+cluster://h/1", "redis+cluster://h?nonsense=1", "redis+cluster://h:port"])
def test_urls_that_make_no_sense(url: str) -> None:
    with pytest.raises(StoreError, match="not a Redis URL"):
        open_store(url)


async def test_what_is_no_cluster_says_so() -> None:
    store = open_store(shared_redis().url.replace("redis://", "redis+cluster://user:secret@"))
    for call in (store.create(ANN), store.watch(ANN, "x").__aenter__()):
        with pytest.raises(StoreError, match="can't be used") as trouble:
            await call
        assert "secret" not in str(trouble.value)
    await store.close()


@pytest.fixture
def own_cluster() -> Iterator[RedisClusterServers]:
    cluster = RedisClusterServers()
    yield cluster
    for node in cluster.nodes:
        node.close()


async def test_watchers_move_to_another_node(own_cluster: RedisClusterServers) -> None:
    backend = RedisBackend(own_cluster.url)
    try:
        async with asyncio.timeout(30), backend.watch(ANN) as changes:
            listening = [node for node in own_cluster.nodes if await channels(node.url)]
            assert len(listening) == 1, "one connection, to one node"
            listening[0].stop()
            assert await changes.wait() == frozenset(), "look at everything"
            rest = [node for node in own_cluster.nodes if node not in listening]
            while not [node for node in rest if await channels(node.url)]:  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.05)
    finally:
        await backend.close()


async def test_a_node_that_comes_back_is_used_again(own_cluster: RedisClusterServers) -> None:
    store = TaskStore(RedisBackend(own_cluster.url), Limits(tasks_per_owner=None))
    outcomes: list[object] = []

    async def create(owner: tuple[str, ...]) -> None:
        while not done.is_set():
            try:
                outcomes.append(await store.create(owner))
            except StoreError as error:
                outcomes.append(error)
                await asyncio.sleep(0.05)

    done = asyncio.Event()
    creating = [asyncio.create_task(create(owner)) for owner in MANY]

    async def until(kind: type) -> None:
        outcomes.clear()
        while not any(isinstance(outcome, kind) for outcome in outcomes):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    try:
        async with asyncio.timeout(40):
            await until(TaskRecord)
            own_cluster.nodes[0].stop()
            await until(StoreError)
            own_cluster.nodes[0].start()
            for owner in MANY:
                while True:
                    try:
                        await store.create(owner)
                        break
                    except StoreError:
                        await asyncio.sleep(0.1)
    finally:
        done.set()
        errors = [error for error in await asyncio.gather(*creating, return_exceptions=True) if error is not None]
        await store.close()
    assert errors == [], "what goes wrong is a StoreError"


async def channels(url: str) -> list[bytes]:
    async with Redis.from_url(url) as plain:
        return list(await plain.pubsub_channels("*"))
