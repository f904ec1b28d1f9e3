"""What becomes of a task whose worker died between taking its message and claiming it, and of a Redis that hangs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from pmcp_lab.errors import LabError
from pmcp_lab.execution.docket import DocketExecutor
from tests.unit.execution.test_docket import ONE, TWO, Machine, machines, url, working
from tests.unit.farm import Farm, farm
from tests.unit.jsonrpc import ModernPeer
from tests.unit.server.test_server_life import settled
from tests.unit.storage_servers import RedisServer, shared_redis
from tests.unit.taken import Taken, killed_unclaimed, killed_unheard, seconds_until_run, taking

__all__ = ["url"]

THREE = (("client", "tests"), "three")


@pytest.mark.timeout(150)
@pytest.mark.parametrize("kill", [killed_unheard, killed_unclaimed])
async def test_another_worker_runs_it_within_redelivery(
    kill: Callable[[Farm, ModernPeer, int], Awaitable[Taken]],
) -> None:
    # The lease is long, so that nobody but Docket misses the worker.
    async with taking(shared_redis().url, lease=600, redelivery=6) as (started, tasks, peer):
        took = await seconds_until_run(tasks, await kill(started, peer, 2))
    # And what a busy machine takes.
    assert max(took) < 6 + 3
    assert min(took) > 2, "only when it can't be alive any more"


async def take(machine: Machine) -> bytes:
    """The id of a message, given to a worker that says nothing about it any more."""
    docket = await machine.executor._open()
    await docket._ensure_stream_and_group()
    async with docket.redis() as redis:
        [[_, [[message, _]]]] = await redis.xreadgroup(docket.worker_group_name, "dead", {docket.stream_key: ">"}, 1)
    return message


async def messages(machine: Machine) -> list[bytes]:
    async with Redis.from_url(shared_redis().url) as redis:
        return [message for message, _ in await redis.xrange(f"{machine.executor.name}:stream")]


async def test_a_key_that_waits_keeps_its_message(url: str) -> None:
    async with machines(url) as (front, _):
        for key in (ONE, TWO):
            await front.executor.submit(key)
        before = await messages(front)
        await front.executor.submit(ONE)
        assert await messages(front) == before


async def test_a_message_that_was_just_taken_is_not_replaced(url: str) -> None:
    async with machines(url) as (front, _):
        await front.executor.submit(ONE)
        taken = await take(front)
        await front.executor.submit(ONE)
        assert await messages(front) == [taken]


async def test_a_message_that_nobody_begins_is_replaced(url: str) -> None:
    async with machines(url) as (front, back):
        await front.executor.submit(ONE)
        taken = await take(front)
        await asyncio.sleep(2.2)
        await front.executor.submit(ONE)
        [waiting] = await messages(front)
        assert waiting != taken
        back.go.set()
        async with working(back):
            await settled(lambda: back.done)
        assert back.began == [ONE]


async def test_a_queue_that_was_lost_though_its_tasks_are_known(url: str) -> None:
    async with machines(url) as (front, back):
        await front.executor.submit(ONE)
        async with Redis.from_url(shared_redis().url) as redis:
            # As evicting one key does.
            await redis.delete(f"{front.executor.name}:stream")
        await front.executor.submit(ONE)
        back.go.set()
        async with working(back):
            await settled(lambda: back.done)


async def test_a_task_that_takes_longer_than_redelivery_stays_where_it_runs(url: str) -> None:
    first, second = Machine(url, redelivery=0.5), Machine(url, redelivery=0.5)
    async with working(first, name="first"):
        await second.executor.submit(ONE)
        await settled(lambda: first.began)
        async with working(second, name="second"):
            await asyncio.sleep(2.5)
            assert (first.began, second.began) == ([ONE], [])
            first.go.set()
            await settled(lambda: first.done)
    for machine in (first, second):
        await machine.executor.close(0)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_redelivery_is_a_number_of_seconds(value: float) -> None:
    with pytest.raises(ValueError, match="redelivery"):
        DocketExecutor("redis://127.0.0.1", redelivery=value)


async def test_a_redis_that_hangs_is_said_in_time(own_redis: RedisServer) -> None:
    machine = Machine(f"{own_redis.url}?socket_timeout=1")
    await machine.executor.submit(ONE)
    own_redis.pause()
    for attempt in (machine.executor.connect, lambda: machine.executor.submit(TWO)):
        async with asyncio.timeout(5):
            with pytest.raises(LabError, match=rf"{own_redis.port}/0 can't be used: Redis did not answer within 1 s"):
                await attempt()
    async with asyncio.timeout(5):
        await machine.executor.cancel(ONE)
    own_redis.resume()
    await machine.executor.submit(TWO)
    own_redis.pause()
    async with asyncio.timeout(10):
        await machine.executor.close()


async def test_a_new_server_does_not_wait_for_a_redis_that_hangs(own_redis: RedisServer) -> None:
    machine = Machine(own_redis.url)
    own_redis.pause()
    async with asyncio.timeout(5):
        with pytest.raises(LabError, match="did not answer within"):
            await machine.executor.submit(ONE)
    own_redis.resume()
    await machine.executor.submit(ONE)
    await machine.executor.close()


async def test_a_worker_goes_on_when_redis_does(own_redis: RedisServer) -> None:
    front, back = Machine(own_redis.url), Machine(own_redis.url)
    async with working(back):
        await front.executor.submit(ONE)
        await settled(lambda: back.began)
        own_redis.pause()
        await asyncio.sleep(1)
        back.go.set()
        await asyncio.sleep(1)
        own_redis.resume()
        await front.executor.submit(TWO)
        await settled(lambda: len(back.done) == 2)
    for machine in (front, back):
        await machine.executor.close(0)


async def eventually(condition: Callable[[], object]) -> None:
    """Docket tries a second after it has lost Redis."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_worker_takes_new_tasks_after_redis_was_restarted_though_old_ones_run() -> None:
    server = RedisServer()
    front, back = Machine(server.url), Machine(server.url)
    try:
        async with working(back, concurrency=2), asyncio.timeout(40):
            await front.executor.submit(ONE)
            await settled(lambda: back.began)
            server.stop()
            server.start()
            for key in (TWO, THREE):
                await front.executor.submit(key)
            await eventually(lambda: back.began == [ONE, TWO])
            # There are two places, and the first task still has one.
            await asyncio.sleep(1)
            assert back.began == [ONE, TWO]
            back.go.set()
            await settled(lambda: back.done == [ONE, TWO, THREE])
        assert back.stopped == []
    finally:
        for machine in (front, back):
            await machine.executor.close(0)
        server.close()


async def test_what_docket_let_go_of_is_handed_back_and_can_be_cancelled() -> None:
    server = RedisServer()
    front, back = Machine(server.url), Machine(server.url)
    try:
        async with working(back):
            for key in (ONE, TWO):
                await front.executor.submit(key)
            await settled(lambda: len(back.began) == 2)
            server.stop()
            server.start()
            await front.executor.submit(THREE)
            await eventually(lambda: len(back.began) == 3)
            await back.executor.cancel(ONE)
            await settled(lambda: back.stopped)
            await back.executor.close(0.1)
        assert back.stopped[0] == ONE
        async with Redis.from_url(server.url) as redis:
            waiting = {message[b"key"] for _, message in await redis.xrange(f"{front.executor.name}:stream")}
        # The first message of the other may still be there, when Redis was gone before it could be taken off.
        assert waiting - {b"one"} == {b"two", b"three"}
    finally:
        await front.executor.close(0)
        server.close()


async def test_a_worker_can_leave_while_redis_hangs(own_redis: RedisServer) -> None:
    async with farm(own_redis.url) as started:
        worker = await started.worker("--grace", "0")
        own_redis.pause()
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 20) in (0, 1)
        own_redis.resume()
