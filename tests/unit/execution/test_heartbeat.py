"""One beat after another, however slow the store is."""

from __future__ import annotations

import asyncio

from pmcp_lab.execution import Heartbeat
from pmcp_lab.tasks import LOCAL, Lease, Limits, TaskRecord, TaskStore
from pmcp_lab.tasks.backends.memory import MemoryBackend

RUN = "here#0"
COUNT = 200


class Slow(MemoryBackend):
    """Takes longer for the leases of all tasks than they are believed."""

    writing = most = 0

    async def replace(self, record: TaskRecord, *, expected: int) -> None:
        self.writing += 1
        self.most = max(self.most, self.writing)
        await asyncio.sleep(0.02)
        self.writing -= 1
        await super().replace(record, expected=expected)


async def test_beats_do_not_pile_up_on_a_slow_store() -> None:
    backend = Slow()
    store = TaskStore(backend, Limits(tasks_per_owner=None))
    lost: list[object] = []
    heartbeat = Heartbeat(store, 0.15, lambda *what: lost.append(what))
    lease = Lease(run=RUN, seconds=1, version=1)
    for _ in range(COUNT):
        task = await store.create(LOCAL, lease=lease)
        heartbeat.hold((LOCAL, task.task_id), RUN)
    # Tasks that come while it beats, which is nearly always.
    for _ in range(100):
        task = await store.create(LOCAL, lease=lease)
        heartbeat.hold((LOCAL, task.task_id), RUN)
        await asyncio.sleep(0.01)
    assert backend.most <= 32
    assert not lost
    before = {record.task_id: record.seq for record in (await store.list(LOCAL, limit=500)).records}
    await asyncio.sleep(0.6)
    after = {record.task_id: record.seq for record in (await store.list(LOCAL, limit=500)).records}
    assert all(after[task_id] > seq for task_id, seq in before.items()), "each is renewed, the newest too"
    for task_id in after:
        heartbeat.drop((LOCAL, task_id), RUN)
    await asyncio.sleep(0.2)
