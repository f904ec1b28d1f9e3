"""Workers that die right after they took a message: before anything says so, or before they claim the task."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from mcp.server.mcpserver import MCPServer
from redis.asyncio import Redis

from pmcp_lab.execution.docket import DocketExecutor
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.server import Tasks
from pmcp_lab.tasks import LOCAL
from tests.servers import taken
from tests.unit.farm import Farm, farm
from tests.unit.jsonrpc import ModernPeer, modern


class Taken(NamedTuple):
    """Tasks, and from when on nothing was heard of their worker."""

    ids: list[str]
    since: float


@asynccontextmanager
async def taking(url: str, *, lease: float, redelivery: float) -> AsyncIterator[tuple[Farm, Tasks, ModernPeer]]:
    env = {"FARM_LEASE": str(lease), "FARM_REDELIVERY": str(redelivery)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        async with farm(url, module="tests.servers.taken", env=env) as started:
            tasks = taken.build(started.url)
            async with modern(MCPServer("farm", extensions=[tasks], middleware=[tasks])) as peer:
                yield started, tasks, peer
            await tasks.close()


async def killed_unheard(started: Farm, peer: ModernPeer, count: int) -> Taken:
    """Workers that Redis gave a message each, and that were killed before they could read it."""
    workers = await started.workers(count)
    async with Redis.from_url(started.url.partition("?")[0]) as redis:
        given: list[str] = []
        while not given:
            # The first one takes longer, and each worker waits for messages for a tenth of a second at a time: what
            # comes in that time goes to it, though it is stopped.
            await peer.until(await peer.task("where"), "completed")
            for worker in workers:
                worker.send_signal(signal.SIGSTOP)
            since = time.monotonic()
            ids = [await peer.task("where") for _ in workers]
            given = [task_id for task_id in ids if await pending(redis, started, task_id)]
            for worker in workers:
                worker.send_signal(signal.SIGKILL if given else signal.SIGCONT)
        assert {await state(redis, started, task_id) for task_id in given} == {"queued"}
    return Taken(given, since)


async def killed_unclaimed(started: Farm, peer: ModernPeer, count: int) -> Taken:
    """A worker that told Docket that it runs some tasks, and was killed before it claimed them."""
    worker = await started.worker(env={"FARM_STUCK": "1"})
    ids = [await peer.task("where") for _ in range(count)]
    async with Redis.from_url(started.url.partition("?")[0]) as redis, asyncio.timeout(10):
        for task_id in ids:
            while await state(redis, started, task_id) != "running":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    worker.kill()
    return Taken(ids, time.monotonic())


async def seconds_until_run(tasks: Tasks, taken: Taken) -> list[float]:
    """When each was run, by another worker: this process. It must not have been before."""

    async def run(task_id: str) -> float:
        async with tasks.store.watch(LOCAL, task_id) as feed:
            record = [record async for record in feed][-1]
        assert record.status is TaskStatus.COMPLETED, record.error
        assert record.variables["pid"] == os.getpid()
        return time.monotonic() - taken.since

    assert isinstance(tasks.executor, DocketExecutor)
    working = asyncio.create_task(tasks.executor.work(name="spare"))
    try:
        return list(await asyncio.gather(*(run(task_id) for task_id in taken.ids)))
    finally:
        working.cancel()
        await asyncio.wait([working])


def docket(started: Farm) -> str:
    return f"{started.url.partition('prefix=')[2]}:docket:tasks"


async def state(redis: Redis, started: Farm, task_id: str) -> str:
    return (await redis.hget(f"{docket(started)}:runs:{task_id}", "state") or b"").decode()


async def pending(redis: Redis, started: Farm, task_id: str) -> bool:
    message = await redis.hget(f"{docket(started)}:runs:{task_id}", "stream_id")
    return bool(await redis.xpending_range(f"{docket(started)}:stream", "docket-workers", message, message, 1))
