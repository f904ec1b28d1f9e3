"""A Redis that neither answers nor goes away, stopped by a signal as by a bad host, and one that is killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable

import pytest

pytest.importorskip("redis", reason="redis-py is not installed: pip install 'pmcp_lab[redis]'")

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks import TaskRecord, TaskStore, open_store
from pmcp_lab.tasks.backends.redis import RedisBackend
from pmcp_lab.tasks.backends.redis_connection import RedisConnection
from tests.unit.redis_killed import kill_again_and_again
from tests.unit.storage_servers import RedisClusterServers, RedisServer

ANN = ("client", "ann")
BOB = ("client", "bob")


async def test_it_is_said_in_one_line_and_all_goes_on_when_it_answers_again(own_redis: RedisServer) -> None:
    store = open_store(f"{own_redis.url}?socket_timeout=1")
    task = await store.create(ANN)
    async with asyncio.timeout(40), store.backend.watch(ANN, task.task_id) as changes:
        own_redis.pause()
        began = time.monotonic()
        # More than there are connections, so that some wait for their turn.
        asked = [store.create(ANN) for _ in range(40)]
        asked += [store.get(ANN, task.task_id), store.list(ANN), store.cancel(ANN, task.task_id)]
        refused = await asyncio.gather(*asked, return_exceptions=True)
        with pytest.raises(StoreError, match="did not answer within"):
            async with store.watch(BOB, "x"):
                pass
        assert time.monotonic() - began < 2 * 1.5, "twice, one after the other"
        assert {str(error) for error in refused} == {
            f"the task store at redis://127.0.0.1:{own_redis.port}/0 can't be used: Redis did not answer within 1 s"
        }
        assert all(isinstance(error, StoreError) for error in refused)
        own_redis.resume()
        other = await store.create(BOB)
        assert (await store.get(BOB, other.task_id)) == other
        # Who listened before still hears.
        await store.set_variables(ANN, task.task_id, {"n": 1})
        while task.task_id not in await changes.wait():
            pass
    await store.close()


async def test_one_that_was_never_reached_does_not_hold_anybody_up_either(own_redis: RedisServer) -> None:
    own_redis.pause()
    store = open_store(own_redis.url)

    async def refused(operation: Awaitable[object]) -> None:
        with pytest.raises(StoreError, match=r"did not answer within 4\.5 s"):
            await operation

    async with asyncio.timeout(5):
        await asyncio.gather(refused(store.create(ANN)), refused(store.get(ANN, "x")))
    own_redis.resume()
    await store.create(ANN)
    await store.close()


async def test_the_limit_of_the_url_counts(own_redis: RedisServer) -> None:
    quick, slow = (open_store(f"{own_redis.url}?socket_timeout={seconds}") for seconds in (0.3, 30))
    for store in (quick, slow):
        await store.create(ANN)
    own_redis.pause()
    waiting = asyncio.create_task(slow.create(ANN))
    async with asyncio.timeout(4):
        with pytest.raises(StoreError, match=r"did not answer within 0\.3 s"):
            await quick.create(ANN)
    await asyncio.wait([waiting], timeout=5.5)
    assert not waiting.done()
    own_redis.resume()
    async with asyncio.timeout(5):
        await waiting
    for store in (quick, slow):
        await store.close()


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_a_limit_is_a_number_of_seconds(value: str) -> None:
    with pytest.raises(StoreError, match="socket_timeout is a number of seconds above 0"):
        RedisBackend(f"redis://127.0.0.1/0?socket_timeout={value}")


async def test_who_only_listens_is_left_in_peace(own_redis: RedisServer) -> None:
    backend = RedisBackend(f"{own_redis.url}?socket_timeout=0.2")
    store = TaskStore(backend)
    task = await store.create(ANN)
    async with asyncio.timeout(20), backend.watch(ANN, task.task_id) as changes:
        first = asyncio.create_task(changes.wait())
        await asyncio.wait([first], timeout=1.5)
        assert not first.done(), "not told to look, as after a lost connection"
        await store.complete(ANN, task.task_id, 1)
        assert await first == {task.task_id}
    await store.close()


OWNERS = [("client", f"c{n}") for n in range(12)]


@pytest.fixture
async def cluster() -> AsyncIterator[tuple[TaskStore, RedisClusterServers]]:
    """A store that knows its nodes, the first of which hangs now."""
    servers = RedisClusterServers()
    store = TaskStore(RedisBackend(servers.url))
    await asyncio.gather(*(store.create(owner) for owner in OWNERS))
    servers.nodes[0].pause()
    yield store, servers
    await store.close()
    for node in servers.nodes:
        node.resume()
        node.close()


async def test_a_node_of_a_cluster_that_hangs_does_not_hold_up_the_others(
    cluster: tuple[TaskStore, RedisClusterServers],
) -> None:
    store, _ = cluster
    took: list[float] = []

    async def create(owner: tuple[str, ...]) -> TaskRecord:
        began = time.monotonic()
        try:
            return await store.create(owner)
        finally:
            took.append(time.monotonic() - began)

    # The others find it dead after 2 s; until then it is only silent.
    outcomes = await asyncio.gather(*(create(owner) for owner in OWNERS), return_exceptions=True)
    assert max(took) < 5
    assert {type(outcome) for outcome in outcomes} == {TaskRecord, StoreError}


async def test_the_node_that_takes_over_is_found(cluster: tuple[TaskStore, RedisClusterServers]) -> None:
    store, servers = cluster
    _, heir, third = servers.nodes
    # As after a failover: what it had is another one's now. It can't say so itself.
    for node in (heir, third):
        node.command("CLUSTER", "DELSLOTSRANGE", 0, 16_384 // 3 - 1)
    heir.command("CLUSTER", "ADDSLOTSRANGE", 0, 16_384 // 3 - 1)
    heir.command("CLUSTER", "BUMPEPOCH")
    async with asyncio.timeout(30):
        while not all(b"cluster_state:ok" in node.command("CLUSTER", "INFO") for node in (heir, third)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await asyncio.sleep(2.5)
        for owner in OWNERS:
            while True:
                try:
                    await store.create(owner)
                    break
                except StoreError:
                    await asyncio.sleep(0.1)


async def test_what_was_acknowledged_survives_a_kill() -> None:
    server = RedisServer()
    try:
        account = await kill_again_and_again(server, rounds=3)
    finally:
        server.close()
    assert account.counts["completed"] > 10


async def test_who_is_cancelled_while_it_is_sent_stops(own_redis: RedisServer) -> None:
    connection = RedisConnection(own_redis.url)

    async def sent() -> str:
        # As `asyncio.wait_for` does before Python 3.12, when what it waits for is done in the same turn of the loop.
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "sent"
        return "never"

    async def asks() -> None:
        for _ in range(2):
            await connection.ask(sent)

    asking = asyncio.create_task(asks())
    await connection.ask(connection.client.ping)
    asking.cancel()
    done, _ = await asyncio.wait([asking], timeout=5)
    await connection.close()
    assert asking in done
    assert asking.cancelled()
