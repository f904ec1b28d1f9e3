"""A Redis whose memory is full: what it does about that is said before, and tasks can end all the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

pytest.importorskip("redis", reason="redis-py is not installed: pip install 'pmcp_lab[redis]'")

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from pmcp_lab.errors import StoreError
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import Lease, Limits, TaskRecord, TaskStore
from pmcp_lab.tasks.backends.redis import RedisBackend
from tests.unit.storage_servers import RedisClusterServers, RedisServer, shared_redis

ANN = ("client", "ann")
LOGGER = "pmcp_lab.tasks.backends.redis_memory"


@pytest.fixture
async def store(own_redis: RedisServer) -> AsyncIterator[TaskStore]:
    store = TaskStore(RedisBackend(own_redis.url), Limits(tasks_per_owner=None))
    yield store
    await store.close()


# --- what is said before ----------------------------------------------------------------------------


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == LOGGER and one.levelno >= logging.WARNING]


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_policy_that_deletes_tasks_is_said_once(
    own_redis: RedisServer, redis_client: Redis, store: TaskStore, caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    await redis_client.config_set("maxmemory-policy", policy)
    await redis_client.config_set("maxmemory", "100mb")
    await asyncio.gather(*(store.create(ANN) for _ in range(50)))
    [said] = warnings(caplog)
    for part in (
        f"redis://127.0.0.1:{own_redis.port}/0",
        policy,
        "may delete acknowledged tasks silently",
        "noeviction",
    ):
        assert part in said
    await store.create(ANN)
    assert len(warnings(caplog)) == 1


async def test_a_policy_without_a_limit_is_said_too(
    redis_client: Redis, store: TaskStore, caplog: pytest.LogCaptureFixture
) -> None:
    await redis_client.config_set("maxmemory-policy", "allkeys-random")
    await store.create(ANN)
    assert "as soon as a maxmemory is set" in warnings(caplog)[0]


async def test_nothing_is_said_of_one_that_keeps_what_it_has(caplog: pytest.LogCaptureFixture) -> None:
    store = TaskStore(RedisBackend(shared_redis().url))
    await store.create(ANN)
    assert warnings(caplog) == []
    await store.close()


@pytest.mark.parametrize(
    ("forbidden", "said"),
    [(["-config"], 1), (["-info"], 1), (["-config", "-info"], 0), (["-@dangerous"], 0)],
    ids=["CONFIG", "INFO", "both", "all that is dangerous"],
)
async def test_rights_that_hide_the_policy(
    own_redis: RedisServer, redis_client: Redis, caplog: pytest.LogCaptureFixture, forbidden: list[str], said: int
) -> None:
    await redis_client.config_set("maxmemory-policy", "allkeys-lru")
    # As managed ones are: what can't be asked is no reason not to work.
    await redis_client.execute_command("ACL", "SETUSER", "app", "on", "nopass", "~*", "&*", "+@all", *forbidden)
    store = TaskStore(RedisBackend(own_redis.url.replace("redis://", "redis://app:hunter2@")))
    task = await store.create(ANN)
    assert await store.get(ANN, task.task_id) == task
    assert len(warnings(caplog)) == said
    assert "hunter2" not in caplog.text
    await store.close()


async def test_it_is_said_when_redis_comes_back(
    own_redis: RedisServer, store: TaskStore, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis.stop()
    with pytest.raises(StoreError):
        await store.create(ANN)
    own_redis.start("--maxmemory-policy", "allkeys-lru")
    await store.create(ANN)
    assert len(warnings(caplog)) == 1


async def test_each_node_of_a_cluster_is_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    cluster = RedisClusterServers()
    try:
        cluster.nodes[2].command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        store = TaskStore(RedisBackend(cluster.url))
        await store.create(ANN)
        await store.close()
    finally:
        for node in cluster.nodes:
            node.close()
    [said] = warnings(caplog)
    assert f"node 127.0.0.1:{cluster.nodes[2].port}" in said


# --- what still works -------------------------------------------------------------------------------


async def fill(redis_client: Redis) -> None:
    """As when somebody else's keys, or ours, have taken all there is."""
    await redis_client.config_set("maxmemory", "1")
    with pytest.raises(OutOfMemoryError):
        await redis_client.set("x", "y")


async def leased(store: TaskStore) -> TaskRecord:
    lease = Lease(run="r#1", seconds=1, version=1)
    return await store.create(ANN, lease=lease)


async def test_a_create_is_refused_and_what_is_there_can_end(store: TaskStore, redis_client: Redis) -> None:
    cancelled, completed, failed, gone = [await leased(store) for _ in range(4)]
    await fill(redis_client)
    for create in (store.create(ANN), leased(store)):
        with pytest.raises(StoreError, match=r"the task store at redis://127\.0\.0\.1:\d+/0 is full: Redis") as full:
            await create
        assert len(str(full.value).splitlines()) == 1
    assert (await store.cancel(ANN, cancelled.task_id)).status is TaskStatus.CANCELLED
    await store.complete(ANN, completed.task_id, {"much": "x" * 5_000})
    await store.fail(ANN, failed.task_id, {"code": 1, "message": "no"})
    assert await store.backend.delete(ANN, gone.task_id)
    found = {one.task_id: one for one in (await store.list(ANN)).records}
    assert {found[one.task_id].status for one in (cancelled, completed, failed)} == {
        TaskStatus.CANCELLED,
        TaskStatus.COMPLETED,
        TaskStatus.FAILED,
    }
    assert found[completed.task_id].result == {"much": "x" * 5_000}
    await redis_client.config_set("maxmemory", "0")
    await store.create(ANN)


async def test_who_runs_a_task_keeps_it(store: TaskStore, redis_client: Redis) -> None:
    task = await leased(store)
    await fill(redis_client)
    # Also when the list of owners has to be written.
    store.backend._known.clear()  # type: ignore[attr-defined]
    await redis_client.delete("pmcp:{o:client:ann}:known")
    for _ in range(30):
        await store.leases.heartbeat(ANN, task.task_id, "r#1")
    await store.update(ANN, task.task_id, message="almost done")
    with pytest.raises(StoreError, match="is full"):
        await store.update(ANN, task.task_id, variables={"much": "x" * 5_000})
    await store.complete(ANN, task.task_id, 1)


async def test_the_nodes_of_a_cluster_are_full_alone() -> None:
    cluster = RedisClusterServers()
    store = TaskStore(RedisBackend(cluster.url))
    tasks = [await store.create(("client", f"c{n}")) for n in range(12)]
    try:
        for node in cluster.nodes[:2]:
            node.command("CONFIG", "SET", "maxmemory", "1")
        outcomes = await asyncio.gather(*(store.create(task.owner) for task in tasks), return_exceptions=True)
        full = [outcome for outcome in outcomes if isinstance(outcome, StoreError)]
        assert 0 < len(full) < 12
        assert all("is full" in str(error) for error in full)
        for task in tasks:
            await store.cancel(task.owner, task.task_id)
    finally:
        await store.close()
        for node in cluster.nodes:
            node.close()
