"""Messages that a queue delivers more often than once, to consumers that look for lost tasks themselves."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from pmcp_lab.errors import LeaseLost
from pmcp_lab.execution import QueueExecutor
from pmcp_lab.execution.queued import Message, message_of
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import LOCAL, Job, Lease, Limits
from tests.unit.farm import fresh
from tests.unit.processes import together
from tests.unit.redelivery import redelivered
from tests.unit.storage_servers import shared_redis

LEASE = 0.5
"""Seconds."""


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return fresh(shared_redis().url) if request.param == "redis" else f"sqlite:///{tmp_path}/tasks.db"


@pytest.mark.timeout(180)
async def test_consumers_are_killed(tmp_path: Path) -> None:
    queues = await together(
        sqlite=redelivered(f"sqlite:///{tmp_path}/tasks.db", tasks=10, kills=2),
        redis=redelivered(fresh(shared_redis().url), tasks=10, kills=2),
    )
    assert {queue.killed for queue in queues.values()} == {2}


class Consumer:
    """A process of its own, as far as the store can tell."""

    def __init__(self, url: str) -> None:
        self.tasks = tasks = Tasks(
            url, executor=QueueExecutor(self.publish), lease=LEASE, limits=Limits(tasks_per_owner=None)
        )
        self.starts: dict[str, list[int]] = defaultdict(list)
        self.running: Counter[str] = Counter()

        @tasks.tool()
        async def once(task: TaskContext) -> None:
            self.starts[str(task.task_id)].append(task.attempt)

        @tasks.tool(on_lost="retry")
        async def again(task: TaskContext) -> None:
            self.starts[str(task.task_id)].append(task.attempt)
            await asyncio.sleep(LEASE)

    async def publish(self, message: Message) -> None:
        """Everything is delivered anyway."""


async def test_a_message_comes_again_when_its_task_is_just_recovered(url: str) -> None:
    chance = random.Random(1)
    consumers = [Consumer(url) for _ in range(2)]
    store = consumers[0].tasks.store
    lost = Lease(run="a worker that was killed#1", seconds=LEASE, version=1)
    made = [await store.create(LOCAL, job=Job(tool=tool), lease=lost) for tool in ("once", "again") * 15]
    for consumer in consumers:
        consumer.tasks.start()

    async def deliver(consumer: Consumer, message: Message, after: float) -> None:
        await asyncio.sleep(after)
        while True:
            try:
                await consumer.tasks.run_task(message)
                return
            except LeaseLost:
                await asyncio.sleep(0.05)

    async with asyncio.timeout(30):
        deliveries = []
        for record in made:
            # Who waits to see whether a run is lost sees it about when the look for all lost ones does.
            after = chance.uniform(0, LEASE / 2)
            message = message_of((LOCAL, record.task_id))
            deliveries += [deliver(consumer, message, after) for consumer in consumers * 2]
        await asyncio.gather(*deliveries)
    ends = [await store.get(LOCAL, record.task_id) for record in made]
    for record, before in zip(ends, made, strict=True):
        assert record.job is not None
        starts = [attempt for consumer in consumers for attempt in consumer.starts[record.task_id]]
        if record.job.tool == "once":
            assert (record.status, starts) == ("failed", [])
        else:
            assert record.status == "completed"
            assert 2 in starts
            assert len(starts) == len(set(starts)), "two runs in one attempt"
        assert record.seq > before.seq
    for consumer in consumers:
        await consumer.tasks.close()
