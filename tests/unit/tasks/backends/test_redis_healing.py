"""What a Redis lost, a part or all of it: whatever is still there is found again, and what comes later too."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("redis", reason="redis-py is not installed: pip install 'pmcp_lab[redis]'")

from msgspec.structs import replace
from redis.asyncio import Redis

from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks.backends import QuotaReached
from pmcp_lab.tasks.backends.redis import RedisBackend
from pmcp_lab.tasks.record import Lease, TaskRecord, new_task_id, truncated
from tests.unit.storage_servers import RedisClusterServers, RedisServer

ANN = ("client", "ann")
BOB = ("client", "b:o}b")


def record(owner: tuple[str, ...] = ANN, **fields: Any) -> TaskRecord:
    moment = truncated(datetime.now(UTC))
    return TaskRecord(task_id=new_task_id(), owner=owner, created=moment, updated=moment, **fields)


def leased(owner: tuple[str, ...] = ANN, **fields: Any) -> TaskRecord:
    return record(owner, lease=Lease(run="r#1", seconds=1, version=1), **fields)


async def insert(backend: RedisBackend, *records: TaskRecord, quota: int | None = None) -> None:
    for one in records:
        await backend.insert(one, quota=quota, now=datetime.now(UTC))


async def found(backend: RedisBackend) -> set[str]:
    """What recovery sees: the ids of tasks with a lease."""
    keys = [key async for page in backend.leases() for key, _ in page]
    return {one.task_id for key in keys if (one := await backend.leased(key)) is not None}


def ids(*records: TaskRecord) -> set[str]:
    return {one.task_id for one in records}


async def listed(backend: RedisBackend, owner: tuple[str, ...] = ANN) -> set[str]:
    return ids(*await backend.page(owner, after=None, limit=10_000, now=datetime.now(UTC)))


@pytest.fixture
async def backend(own_redis: RedisServer) -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(own_redis.url)
    yield backend
    await backend.close()


@pytest.fixture
async def other(own_redis: RedisServer) -> AsyncIterator[RedisBackend]:
    """Another process: it knows nothing of what this one did."""
    backend = RedisBackend(own_redis.url)
    yield backend
    await backend.close()


async def test_tasks_made_after_a_flush_are_found(
    backend: RedisBackend, other: RedisBackend, redis_client: Redis
) -> None:
    await insert(backend, leased(), leased(BOB))
    assert await found(other) == await found(backend) != set()
    await redis_client.flushall()
    assert await found(other) == set()
    # Without a lost connection, so nobody hears of it. Whoever makes these may die the next moment.
    after = [leased(), leased(BOB)]
    await insert(backend, *after)
    assert await found(other) == await found(backend) == ids(*after)


async def test_tasks_renewed_after_a_flush_of_the_list_are_found(
    backend: RedisBackend, other: RedisBackend, redis_client: Redis
) -> None:
    running = leased()
    await insert(backend, running)
    await redis_client.delete("pmcp:leasing")
    await backend.replace(replace(running, seq=2), expected=1)
    assert await found(other) == ids(running)


@pytest.mark.parametrize("lost", ["leasing", "leases", "all", "live", "ends", "everything but tasks"])
async def test_after_a_restart_without_some_keys_all_is_as_it_was(
    own_redis: RedisServer, backend: RedisBackend, other: RedisBackend, redis_client: Redis, lost: str
) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    tasks = [leased(), leased(expires=truncated(later)), record(), record(BOB), leased(BOB)]
    over = record(status=TaskStatus.COMPLETED, result='"lease":{"working"', expires=truncated(later))
    asked = leased(BOB, status=TaskStatus.INPUT_REQUIRED)
    await insert(backend, *tasks, over, asked)
    assert len(await found(other)) == 4
    before = await snapshot(redis_client)
    for key in await redis_client.keys("*"):
        name = key.decode()
        if name.endswith(f":{lost}") or (lost.startswith("everything") and ":t:" not in name):
            await redis_client.delete(key)
    await redis_client.save()
    own_redis.stop()
    own_redis.start("--dbfilename", "dump.rdb")
    assert await found(other) == ids(tasks[0], tasks[1], tasks[4], asked)
    assert await snapshot(redis_client) == before
    assert await listed(backend) == ids(*tasks[:3], over)
    assert await listed(backend, BOB) == ids(*tasks[3:], asked)
    with pytest.raises(QuotaReached):
        await insert(backend, record(), quota=3)
    await insert(backend, record(), quota=4)


async def snapshot(redis_client: Redis) -> dict[str, Any]:
    """What is in the sets, and whether they end."""
    keys = [key.decode() for key in await redis_client.keys("pmcp:{*}:*")]
    return {
        key: (await redis_client.zrange(key, 0, -1, withscores=True), await redis_client.ttl(key) > 0)
        for key in keys
        if key.rpartition(":")[2] in ("leases", "all", "live", "ends")
    }


async def test_a_snapshot_from_before_is_taken_as_it_is(
    own_redis: RedisServer, backend: RedisBackend, other: RedisBackend, redis_client: Redis
) -> None:
    old = [leased(), record(BOB)]
    await insert(backend, *old)
    await found(other)
    await redis_client.save()
    shutil.copy(Path(own_redis.folder, "dump.rdb"), Path(own_redis.folder, "old.rdb"))
    newer = [leased(), leased(BOB), leased(("client", "eve"))]
    await insert(backend, *newer)
    await backend.replace(replace(old[0], lease=None, status=TaskStatus.COMPLETED, result=1, seq=2), expected=1)
    assert await found(other) == ids(*newer)
    own_redis.stop()
    own_redis.start("--dbfilename", "old.rdb")
    assert await found(other) == await found(backend) == ids(old[0])
    latest = [leased(BOB), leased(("client", "eve"))]
    await insert(backend, *latest)
    assert await found(other) == ids(old[0], *latest)


async def test_what_counts_though_it_is_gone_does_not_block(
    own_redis: RedisServer, backend: RedisBackend, redis_client: Redis
) -> None:
    tasks = [record(expires=truncated(datetime.now(UTC) + timedelta(hours=1))) for _ in range(250)]
    await insert(backend, *tasks)
    for task in tasks[:240]:
        await redis_client.delete(f"pmcp:{{o:client:ann}}:t:{task.task_id}")
    await redis_client.save()
    own_redis.stop()
    own_redis.start("--dbfilename", "dump.rdb")
    with pytest.raises(QuotaReached):
        await insert(backend, record(), quota=11)
    await found(backend)
    await insert(backend, record(), quota=11)


async def test_one_process_mends_for_all(own_redis: RedisServer, backend: RedisBackend, redis_client: Redis) -> None:
    tasks = [leased(("client", f"c{n}")) for n in range(300)]
    await insert(backend, *tasks)
    await redis_client.delete("pmcp:leasing")
    many = [RedisBackend(own_redis.url) for _ in range(5)]
    await redis_client.config_resetstat()
    await asyncio.gather(*(found(each) for each in many))
    assert await asyncio.gather(*(found(each) for each in many)) == [ids(*tasks)] * 5
    scans = (await redis_client.info("commandstats"))["cmdstat_scan"]["calls"]
    await asyncio.gather(*(found(each) for each in many))
    assert (await redis_client.info("commandstats"))["cmdstat_scan"]["calls"] == scans, "a complete list is believed"
    assert scans <= 10
    for each in many:
        await each.close()


async def test_a_process_that_dies_while_it_mends_is_no_obstacle(
    backend: RedisBackend, other: RedisBackend, redis_client: Redis
) -> None:
    task = leased()
    await insert(backend, task)
    await redis_client.delete("pmcp:leasing")
    await redis_client.set("{pmcp:leasing}:healing", "somebody who died", px=300)
    assert await found(other) == set()
    await asyncio.sleep(0.4)
    assert await found(other) == ids(task)


async def test_a_list_that_is_lost_while_it_is_mended_is_not_complete(
    backend: RedisBackend, other: RedisBackend, redis_client: Redis
) -> None:
    await insert(backend, leased())
    await found(backend)
    mark = await backend._owners._mark()
    await redis_client.delete("pmcp:leasing")
    await redis_client.set("{pmcp:leasing}:healing", "mine", px=60_000)
    await redis_client.flushall()
    healed = backend._owners._healed
    assert await healed(["pmcp:leasing", "{pmcp:leasing}:healing"], ["mine", mark]) == 0
    assert await redis_client.exists("pmcp:leasing") == 0


async def test_other_keys_are_left_alone(own_redis: RedisServer, redis_client: Redis) -> None:
    prefix = "pm*[c]p?\\"
    ours = RedisBackend(f"{own_redis.url}?prefix=pm*%5Bc%5Dp%3F%5C")
    assert ours.prefix == prefix
    await redis_client.mset({f"other{n}": n for n in range(2000)})
    await redis_client.hset("pmcp:{x}:t:y", "d", "not ours")
    task = leased()
    await insert(ours, task)
    await redis_client.delete(f"{prefix}:leasing")
    assert await found(ours) == ids(task)
    assert await redis_client.dbsize() < 2010
    await ours.close()


async def test_rights_that_hide_the_server(own_redis: RedisServer, redis_client: Redis) -> None:
    await redis_client.acl_setuser(
        "shy", enabled=True, nopass=True, keys=["*"], channels=["*"], categories=["+@all", "-@dangerous"]
    )
    shy = RedisBackend(own_redis.url.replace("redis://", "redis://shy:any@"))
    task = leased()
    await insert(shy, task)
    await redis_client.delete("pmcp:leasing")
    assert await found(shy) == ids(task)
    assert await found(shy) == ids(task)
    await shy.close()


async def test_an_owner_that_writes_is_not_forgotten_however_clocks_differ(
    redis_client: Redis, backend: RedisBackend
) -> None:
    await insert(backend, leased())
    base = backend._base(ANN)
    await redis_client.zadd("pmcp:leasing", {base: 1})
    await backend._owners.announce([base])
    await backend._owners.forget(base, 600)
    assert await redis_client.zscore("pmcp:leasing", base) is not None
    await redis_client.zadd("pmcp:leasing", {base: 1})
    await backend._owners.forget(base, 600)
    assert await redis_client.zscore("pmcp:leasing", base) is None


async def test_nodes_of_a_cluster_lose_different_things() -> None:
    cluster = RedisClusterServers()
    backend, other = RedisBackend(cluster.url), RedisBackend(cluster.url)
    tasks = [leased(("client", f"c{n}")) for n in range(30)]
    try:
        await insert(backend, *tasks)
        assert await found(other) == ids(*tasks)
        for node in cluster.nodes:
            async with Redis.from_url(node.url) as redis_client:
                if await redis_client.keys("pmcp:leasing"):
                    await redis_client.flushall()
                    kept = [task for task in tasks if await other.get(task.owner, task.task_id) is not None]
        assert 0 < len(kept) < 30
        assert await found(other) == ids(*kept)
        after = [leased(("client", f"c{n}")) for n in range(30)]
        await insert(backend, *after)
        assert await found(other) == ids(*kept, *after)
    finally:
        await backend.close()
        await other.close()
        for node in cluster.nodes:
            node.close()


async def test_a_healthy_store_is_not_read_again(backend: RedisBackend, redis_client: Redis) -> None:
    await insert(backend, leased(), leased(BOB))
    await found(backend)
    await redis_client.config_resetstat()
    for _ in range(10):
        await found(backend)
    stats = await redis_client.info("commandstats")
    assert "cmdstat_scan" not in stats
    assert stats["cmdstat_info"]["calls"] == 10
