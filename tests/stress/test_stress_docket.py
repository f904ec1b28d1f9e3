"""Workers killed at random moments while tasks run: none is lost, none completed twice, retried ones say so.

And workers killed right after they took a message: how long until another one runs the task.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from mcp.server.mcpserver import MCPServer
from redis.asyncio import Redis

from pmcp_lab.protocol import TaskStatus
from pmcp_lab.server import Tasks
from pmcp_lab.tasks import LOCAL, TaskRecord
from tests.servers import lossy_farm
from tests.unit.farm import Farm, farm
from tests.unit.jsonrpc import ModernPeer, modern
from tests.unit.storage_servers import RedisServer
from tests.unit.taken import Taken, killed_unclaimed, killed_unheard, seconds_until_run, taking

TASKS, KILLS, WORKERS = 200, 50, 4


async def test_fifty_killed_workers_lose_nothing() -> None:
    server = RedisServer("--appendfsync", "everysec")
    chance = random.Random(1)
    try:
        async with farm(server.url, module="tests.servers.lossy_farm") as started:
            tasks = lossy_farm.build(started.url)
            workers = await started.workers(WORKERS)
            async with modern(MCPServer("farm", extensions=[tasks], middleware=[tasks])) as peer:
                ids = [await peer.task("again", lengths(chance)) for _ in range(TASKS)]
                watching = [asyncio.create_task(ends(tasks, task_id)) for task_id in ids]
                kills = 0
                while kills < KILLS:
                    await asyncio.sleep(chance.uniform(0, 0.5))
                    if all(task.done() for task in watching):
                        # There has to be something to lose.
                        more = [await peer.task("again", lengths(chance)) for _ in range(20)]
                        ids += more
                        watching += [asyncio.create_task(ends(tasks, task_id)) for task_id in more]
                    victim = workers.pop(chance.randrange(len(workers)))
                    victim.kill()
                    kills += 1
                    workers.append(await started.worker())
                done = await asyncio.wait_for(asyncio.gather(*watching), 300)
                for record in done:
                    assert record.status is TaskStatus.COMPLETED, record.error
                    # Nobody wrote anything after the end.
                    assert (await tasks.store.get(LOCAL, record.task_id)).seq == record.seq
                async with Redis.from_url(server.url) as redis:
                    starts = [await redis.llen(f"starts:{record.task_id}") for record in done]
                attempts = [record.variables.get("attempt", 1) for record in done]
                # A worker may die between the claim and the first line of the tool.
                assert all(started <= attempt for started, attempt in zip(starts, attempts, strict=True))
                assert sum(attempt > 1 for attempt in attempts) >= KILLS // 2
            await tasks.close()
    finally:
        server.close()
    print(f"\n{KILLS} workers killed, {len(done)} tasks completed, {sum(n > 1 for n in attempts)} of them retried")


def lengths(chance: random.Random) -> dict[str, float]:
    return {"first": chance.uniform(0.5, 6), "later": chance.uniform(0.5, 6)}


async def ends(tasks: Tasks, task_id: str) -> TaskRecord:
    async with tasks.store.watch(LOCAL, task_id) as feed:
        return [record async for record in feed][-1]


@pytest.mark.parametrize("kill", [killed_unheard, killed_unclaimed])
async def test_what_a_dead_worker_took_is_run_within_a_lease(
    kill: Callable[[Farm, ModernPeer, int], Awaitable[Taken]],
) -> None:
    """With the lease and the redelivery that are used when nothing is said: 15 s."""
    took: list[float] = []
    server = RedisServer("--appendonly", "no")
    try:
        while len(took) < 25:
            async with taking(server.url, lease=15, redelivery=15) as (started, tasks, peer):
                took += await seconds_until_run(tasks, await kill(started, peer, 3))
    finally:
        server.close()
    took.sort()
    first, half, last = took[0], took[len(took) // 2], took[-1]
    print(f"\n{kill.__name__}: {len(took)} tasks run after {first:.1f} to {last:.1f} s, half within {half:.1f} s")
    assert last < 15 + 1
