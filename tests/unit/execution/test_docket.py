"""Tasks that run in other processes, through Docket on a real Redis."""

from __future__ import annotations

import asyncio
import pickle
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from pmcp_lab.errors import LabError
from pmcp_lab.execution import TaskKey, open_executor
from pmcp_lab.execution.docket import DocketExecutor
from pmcp_lab.execution.local import AsyncioExecutor
from pmcp_lab.server import Tasks
from pmcp_lab.tasks import open_store
from tests.servers.farm import build, serving
from tests.unit.farm import farm, fresh
from tests.unit.jsonrpc import Json, ModernPeer, legacy, modern
from tests.unit.server.test_server_life import settled
from tests.unit.storage_servers import free_port, shared_redis

YES = {"action": "accept", "content": {"sure": True}}
ONE: TaskKey = (("client", "tests"), "one")
TWO: TaskKey = (("client", "tests"), "two")


# --- one process per machine ------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[tuple[str, list[int]]]:
    """The URL of a server, and the process ids of two workers that do its work."""
    async with farm(shared_redis().url) as started:
        url: str
        url, workers = await asyncio.gather(started.serve(), started.workers(2))
        yield url, [worker.pid for worker in workers]


async def test_tasks_spread_over_workers(running: tuple[str, list[int]]) -> None:
    url, workers = running
    async with modern(url) as peer:
        ids = [await peer.task("where", {"seconds": 0.2}) for _ in range(6)]
        ends = [await peer.until(task_id, "completed") for task_id in ids]
    assert {end["result"]["structuredContent"]["result"] for end in ends} == set(workers)
    for end in ends:
        assert end["statusMessage"] == "running"
        assert end["_meta"]["pid"] == end["result"]["structuredContent"]["result"]


async def test_questions_are_answered_through_the_server(running: tuple[str, list[int]]) -> None:
    url, workers = running
    async with modern(url) as peer:
        asked = await peer.until(await peer.task("confirm"), "input_required")
        await peer.call("tasks/update", asked["taskId"], inputResponses=dict.fromkeys(asked["inputRequests"], YES))
        pid, sure = (await peer.until(asked["taskId"], "completed"))["result"]["structuredContent"]["result"]
    assert pid in workers
    assert sure
    async with legacy(url, answer=lambda _: YES) as old:
        result = await old.call("tasks/result", {"taskId": await old.task("confirm")})
        assert result["structuredContent"]["result"][0] in workers


@pytest.mark.parametrize("name", ["polite", "stubborn"])
async def test_cancel_reaches_the_worker(running: tuple[str, list[int]], name: str) -> None:
    async with modern(running[0]) as peer:
        task_id = await peer.task(name)
        await said(peer, task_id, "running")
        await peer.call("tasks/cancel", task_id)
        async with asyncio.timeout(5):
            while "stopped" not in (task := await peer.call("tasks/get", task_id)).get("_meta", {}):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert task["status"] == "cancelled"
        assert task["_meta"]["stopped"] == name


@pytest.mark.parametrize(
    ("number", "tools", "status", "left"),
    [(signal.SIGINT, ["where"], 0, 0), (signal.SIGTERM, ["where", "blocked"], 1, 2)],
    ids=["finishes", "hands back"],
)
async def test_a_worker_that_is_told_to_stop(number: signal.Signals, tools: list[str], status: int, left: int) -> None:
    async with farm(shared_redis().url) as started:
        tasks = build(started.url)
        worker = await started.worker("--grace", "0" if left else "10")
        async with modern(serving(tasks)) as peer:
            ids = [await peer.task(name, {"seconds": 5.0 if left else 0.5}) for name in tools]
            for task_id in ids:
                await said(peer, task_id, "running")
            worker.send_signal(number)
            # A thread can't be stopped, only left.
            assert await asyncio.wait_for(worker.wait(), 10) == status
            async with Redis.from_url(shared_redis().url) as redis:
                queue = await redis.xrange(f"{started.url.partition('prefix=')[2]}:docket:tasks:stream")
            assert {message[b"key"].decode() for _, message in queue} == set(ids[:left])
            for task_id in ids[left:]:
                assert (await peer.call("tasks/get", task_id))["status"] == "completed"
        await tasks.close()


async def said(peer: ModernPeer, task_id: str, message: str) -> Json:
    async with asyncio.timeout(10):
        while (task := await peer.call("tasks/get", task_id)).get("statusMessage") != message:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return task


# --- several executors in this process --------------------------------------------------------------


class Machine:
    """An executor whose tasks wait for the test. It works only when told to."""

    def __init__(self, url: str, *, name: str = "tasks", **options: float) -> None:
        self.executor = DocketExecutor(url, name=name, grace=0.1, **options)
        self.executor.bind(self.run)
        self.go = asyncio.Event()
        self.began: list[TaskKey] = []
        self.stopped: list[TaskKey] = []
        self.done: list[TaskKey] = []

    async def run(self, key: TaskKey, cancelled: asyncio.Event) -> None:
        self.began.append(key)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped.append(key)
            raise
        self.done.append(key)


@asynccontextmanager
async def machines(url: str, *names: str) -> AsyncIterator[list[Machine]]:
    made = [Machine(url, name=name) for name in names or ("tasks", "tasks")]
    try:
        yield made
    finally:
        for machine in made:
            await machine.executor.close(0)


@asynccontextmanager
async def working(machine: Machine, **options: Any) -> AsyncIterator[None]:
    work = asyncio.create_task(machine.executor.work(**options))
    try:
        yield
    finally:
        work.cancel()
        await asyncio.wait([work])


@pytest.fixture
def url() -> str:
    return fresh(shared_redis().url)


async def queued(machine: Machine) -> list[dict[bytes, bytes]]:
    async with Redis.from_url(shared_redis().url) as redis:
        return [message for _, message in await redis.xrange(f"{machine.executor.name}:stream")]


async def test_a_key_that_waits_is_not_doubled_and_keeps_its_place(url: str) -> None:
    async with machines(url) as (front, back):
        for key in (ONE, TWO, ONE, ONE):
            await front.executor.submit(key)
        back.go.set()
        async with working(back, concurrency=1):
            await settled(lambda: len(back.done) == 2)
        assert back.began == [ONE, TWO]


async def test_only_the_key_travels(url: str) -> None:
    async with machines(url) as (front, _):
        await front.executor.submit(ONE)
        [message] = await queued(front)
        assert message[b"key"] == b"one"
        assert pickle.loads(message[b"args"]) == (["client", "tests"], "one")
        assert pickle.loads(message[b"kwargs"]) == {}


async def test_a_lost_message_can_be_sent_again(url: str) -> None:
    async with machines(url) as (front, back):
        await front.executor.submit(ONE)
        async with Redis.from_url(shared_redis().url) as redis:
            await redis.delete(*await redis.keys(f"{front.executor.name}:*"))
        back.go.set()
        async with working(back):
            await front.executor.submit(ONE)
            await settled(lambda: back.done)


async def test_a_task_that_was_lost_with_its_worker_can_be_sent_again(url: str) -> None:
    async with machines(url) as (lost, other), working(lost, name="lost", concurrency=1):
        await other.executor.submit(ONE)
        await settled(lambda: lost.began)
        # As far as Docket knows, it runs there.
        other.go.set()
        async with working(other, name="other"):
            await other.executor.submit(ONE)
            await settled(lambda: other.done)


async def test_closing_hands_back_what_is_not_done(url: str) -> None:
    async with machines(url) as (first, second):
        work = asyncio.create_task(first.executor.work(name="first"))
        await second.executor.submit(ONE)
        await settled(lambda: first.began)
        await first.executor.close(0.1)
        await work
        assert first.stopped == [ONE]
        second.go.set()
        async with working(second, name="second"):
            await settled(lambda: second.done)
        with pytest.raises(LabError, match="shutting down"):
            await first.executor.submit(ONE)


async def test_a_cancelled_key_leaves_the_queue(url: str) -> None:
    async with machines(url) as (front, _):
        await front.executor.submit(ONE)
        await front.executor.submit(TWO)
        await front.executor.cancel(ONE)
        assert [message[b"key"] for message in await queued(front)] == [b"two"]


async def test_a_worker_stops_its_own_run_without_the_others(url: str) -> None:
    async with (
        machines(url) as (stale, other),
        working(stale, name="stale", concurrency=1),
        working(other, name="other", concurrency=1),
    ):
        await stale.executor.submit(ONE)
        await settled(lambda: stale.began or other.began)
        # As a recovery does that believes the first one dead.
        await stale.executor.submit(ONE)
        await settled(lambda: stale.began and other.began)
        await stale.executor.cancel(ONE)
        await settled(lambda: stale.stopped)
        other.go.set()
        await settled(lambda: other.done)
        assert not other.stopped


async def test_servers_with_different_names_share_a_redis(url: str) -> None:
    async with machines(url, "one", "two", "two") as (front, back, other), working(back):
        back.go.set()
        await front.executor.submit(ONE)
        await other.executor.submit(TWO)
        await settled(lambda: back.done)
        assert back.began == [TWO]


async def test_redis_out_of_reach_is_said() -> None:
    executor = Machine(f"redis://:secret@127.0.0.1:{free_port()}/0").executor
    for attempt in (executor.connect, executor.work, lambda: executor.submit(ONE)):
        with pytest.raises(LabError, match=r"the queue at redis://127.0.0.1:\d+/0 can't be used") as raised:
            await attempt()
        assert "secret" not in str(raised.value)
    await executor.cancel(ONE)
    await executor.close()


def test_executors_by_name() -> None:
    assert isinstance(open_executor("asyncio", "memory://"), AsyncioExecutor)
    docket = open_executor("docket", "redis://host/1?prefix=lab&socket_timeout=5")
    assert isinstance(docket, DocketExecutor)
    assert docket.name == "lab:docket:tasks"
    for name, url, reason in (
        ("celery", "redis://host", "there is no executor 'celery'; use one of asyncio, docket"),
        ("docket", "sqlite:///tasks.db", "Docket needs a Redis, and 'sqlite:///tasks.db' is not"),
    ):
        with pytest.raises(LabError, match=reason):
            open_executor(name, url)


async def test_tasks_take_an_executor_by_name() -> None:
    tasks = Tasks(f"{shared_redis().url}?prefix=named", executor="docket")
    assert isinstance(tasks.executor, DocketExecutor)
    assert tasks.executor.name == "named:docket:tasks"
    await tasks.close()
    with pytest.raises(LabError, match="the store is an object"):
        Tasks(open_store("memory://"), executor="docket")
