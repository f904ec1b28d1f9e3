"""Tasks that run in other processes, through Docket on a real Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer
from redis.asyncio import Redis

from pmcp_lab.errors import LabError
from pmcp_lab.execution import open_executor
from pmcp_lab.execution.docket import DocketExecutor
from pmcp_lab.execution.local import AsyncioExecutor
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import LOCAL
from tests.servers.farm import build, serving
from tests.unit.farm import farm, fresh
from tests.unit.jsonrpc import Json, ModernPeer, legacy, modern
from tests.unit.storage_servers import free_port, shared_redis
from tests.unit.test_server_life import settled

YES = {"action": "accept", "content": {"sure": True}}


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
    """A server whose tools wait for the test. It works only when told to."""

    def __init__(self, url: str, *, name: str = "tasks") -> None:
        self.executor = DocketExecutor(url, name=name, grace=0.1)
        self.tasks = tasks = Tasks(url, executor=self.executor)
        self.go = asyncio.Event()
        self.began: list[str] = []
        self.stopped: list[str] = []

        @tasks.tool()
        async def wait(task: TaskContext) -> str:
            assert task.task_id is not None
            self.began.append(task.task_id)
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.stopped.append(task.task_id)
                raise
            return "done"

        self.server: MCPServer[Any] = MCPServer("machine", extensions=[tasks], middleware=[tasks])


@asynccontextmanager
async def machines(*urls: str, names: tuple[str, ...] = ()) -> AsyncIterator[list[Machine]]:
    made = [Machine(url, name=name) for url, name in zip(urls, names or ("tasks",) * len(urls), strict=True)]
    try:
        yield made
    finally:
        for machine in made:
            await machine.tasks.close(0)


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


async def test_a_task_submitted_twice_runs_once(url: str) -> None:
    async with machines(url, url) as (front, back), modern(front.server) as peer:
        task_id = await peer.task("wait")
        for _ in range(3):
            await front.executor.submit((LOCAL, task_id))
        back.go.set()
        async with working(back):
            await peer.until(task_id, "completed")
            after = await peer.task("wait")
            await peer.until(after, "completed")
        assert back.began == [task_id, after]


async def test_a_lost_message_can_be_sent_again(url: str) -> None:
    async with machines(url, url) as (front, back), modern(front.server) as peer:
        task_id = await peer.task("wait")
        async with Redis.from_url(shared_redis().url) as redis:
            await redis.delete(*await redis.keys(f"{front.executor.name}:*"))
        back.go.set()
        async with working(back):
            await front.executor.submit((LOCAL, task_id))
            await peer.until(task_id, "completed")


async def test_a_task_whose_worker_died_can_be_sent_again(url: str) -> None:
    async with machines(url, url, url) as (front, dead, alive), modern(front.server) as peer:
        async with working(dead, name="dead", concurrency=1):
            task_id = await peer.task("wait")
            await settled(lambda: dead.began)
            # As far as Docket knows, it runs there.
            alive.go.set()
            async with working(alive, name="alive"):
                await front.executor.submit((LOCAL, task_id))
                await peer.until(task_id, "completed")
        assert alive.began == [task_id]


async def test_closing_hands_back_what_is_not_done(url: str) -> None:
    async with machines(url, url, url) as (front, first, second), modern(front.server) as peer:
        work = asyncio.create_task(first.executor.work(name="first"))
        task_id = await peer.task("wait")
        await settled(lambda: first.began)
        second.go.set()
        async with working(second, name="second"):
            await first.tasks.close(0.1)
            await work
            await peer.until(task_id, "completed")
        assert (first.began, second.began) == ([task_id], [task_id])
        with pytest.raises(LabError, match="shutting down"):
            await first.executor.submit((LOCAL, task_id))


async def test_a_cancelled_task_leaves_the_queue(url: str) -> None:
    async with machines(url, url) as (front, back), modern(front.server) as peer:
        cancelled, other = await peer.task("wait"), await peer.task("wait")
        await peer.call("tasks/cancel", cancelled)
        async with Redis.from_url(shared_redis().url) as redis:
            assert await redis.xlen(f"{front.executor.name}:stream") == 1
        back.go.set()
        async with working(back):
            await peer.until(other, "completed")
        assert back.began == [other]


async def test_a_worker_stops_its_own_run_without_the_others(url: str) -> None:
    async with (
        machines(url, url) as (stale, other),
        modern(stale.server) as peer,
        working(stale, name="stale", concurrency=1),
        working(other, name="other", concurrency=1),
    ):
        task_id = await peer.task("wait")
        await settled(lambda: stale.began or other.began)
        # As a recovery does that believes the first one dead.
        await stale.executor.submit((LOCAL, task_id))
        await settled(lambda: stale.began and other.began)
        await stale.executor.cancel((LOCAL, task_id))
        await settled(lambda: stale.stopped)
        other.go.set()
        await peer.until(task_id, "completed")
        assert not other.stopped


async def test_servers_with_different_names_share_a_redis(url: str) -> None:
    async with (
        machines(url, url, url, names=("one", "two", "two")) as (front, back, other),
        modern(front.server) as peer,
        modern(other.server) as foreign,
        working(back),
    ):
        back.go.set()
        await peer.task("wait")
        theirs = await foreign.task("wait")
        await foreign.until(theirs, "completed")
        assert back.began == [theirs]


async def test_only_the_key_travels(url: str) -> None:
    async with machines(url) as [front], modern(front.server) as peer:
        task_id = await peer.task("wait")
        async with Redis.from_url(shared_redis().url) as redis:
            [(_, message)] = await redis.xrange(f"{front.executor.name}:stream")
        assert message[b"key"].decode() == task_id
        assert b"wait" not in b"".join(message.values())


async def test_redis_out_of_reach_is_said() -> None:
    executor = DocketExecutor(f"redis://:secret@127.0.0.1:{free_port()}/0")

    async def run(key: object, cancelled: asyncio.Event) -> None:
        raise AssertionError("nothing can run")

    executor.bind(run)
    for attempt in (executor.connect, executor.work, lambda: executor.submit((LOCAL, "x"))):
        with pytest.raises(LabError, match=r"the queue at redis://127.0.0.1:\d+/0 can't be used") as raised:
            await attempt()
        assert "secret" not in str(raised.value)
    await executor.cancel((LOCAL, "x"))
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
