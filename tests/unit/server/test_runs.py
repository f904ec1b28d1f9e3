"""One holder at a time: what becomes of a run that lost its task, of one that never began, and of those that wait."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from pydantic import BaseModel

from pmcp_lab.errors import LeaseLost, TaskCancelled
from pmcp_lab.execution import AsyncioExecutor, QueueExecutor
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.server import Counts, TaskContext, Tasks
from pmcp_lab.tasks import LOCAL, WAITING, Job, Lease, TaskRecord, TaskStore
from pmcp_lab.tasks.leases import leased
from tests.unit.jsonrpc import Json, modern
from tests.unit.on_store import OnStore, ended, left_behind
from tests.unit.server.test_server_life import settled

LEASE = 0.4
YES = {"action": "accept", "content": {"sure": True}}


class Sure(BaseModel):
    sure: bool


@pytest.fixture
def store(sqlite_store: TaskStore) -> TaskStore:
    return sqlite_store


class Process(OnStore):
    lease = LEASE
    # Long enough that what is ended at once can be told from what is asked to stop.
    grace = 30

    def declare(self, tasks: Tasks) -> None:
        self.seen: list[Any] = []

        async def step(task: TaskContext) -> str:
            self.seen.append(("starts", task.attempt))
            try:
                await self.go.wait()
                await task.update(variables={"by": "old"}, message="by the old run")
            except BaseException as error:
                self.seen.append(type(error))
                raise
            return "by the old run"

        async def stubborn(task: TaskContext) -> str:
            self.seen.append(("starts", task.attempt))
            for _ in range(6):
                try:
                    await self.go.wait()
                    await task.update(variables={"by": "old"})
                    self.seen.append("written")
                except (asyncio.CancelledError, TaskCancelled) as error:
                    self.seen.append(type(error))
            return "by the old run"

        def thread(task: TaskContext) -> str:
            self.seen.append(("starts", task.attempt))
            while not self.go.is_set():
                time.sleep(0.01)
            try:
                task.in_thread.update(variables={"by": "old"})
            except TaskCancelled:
                self.seen.append(TaskCancelled)
                raise
            return "by the old run"

        async def confirm(task: TaskContext) -> bool:
            self.seen.append(("starts", task.attempt))
            if self.go.is_set():
                # What a person could have answered long ago, if it came to the question.
                await asyncio.Event().wait()
            answer = await task.elicit("Sure?", Sure)
            return bool(answer.content and answer.content.sure)

        tasks.tool("step", on_lost="retry")(step)
        tasks.tool("once")(step)
        tasks.tool("stubborn", on_lost="retry")(stubborn)
        tasks.tool("thread", on_lost="retry")(thread)
        tasks.tool("confirm", on_lost="retry")(confirm)
        tasks.tool("confirm_once")(confirm)
        tasks.tool("alone", on_lost="fail", concurrency=1)(step)


async def taken_from(store: TaskStore, task_id: str) -> None:
    """Another process takes the task, as it may when this one was paused."""

    def take(record: TaskRecord) -> TaskRecord:
        return leased(record, "other-1#1", 60)

    await store.change(LOCAL, task_id, take, silent=True)


@pytest.mark.parametrize("tool", ["step", "stubborn", "thread"])
async def test_a_run_that_lost_its_task_writes_nothing_and_is_ended_at_once(store: TaskStore, tool: str) -> None:
    # So long a lease that no heartbeat tells before the write does.
    process = Process(store, lease=60)
    async with modern(process.server) as peer:
        task_id = await peer.task(tool)
        await settled(lambda: process.seen)
        await asyncio.sleep(0.3)
        await taken_from(store, task_id)
        before = await store.get(LOCAL, task_id)
        process.go.set()
        await settled(lambda: TaskCancelled in process.seen)
        await settled(lambda: process.tasks.stats().total.running == 0)
        assert await store.get(LOCAL, task_id) == before
        assert "written" not in process.seen
    assert process.tasks.stats().total.cancelled == 1


async def test_a_run_hears_from_its_heartbeat_that_its_task_is_anothers(store: TaskStore) -> None:
    process = Process(store)
    async with modern(process.server) as peer:
        task_id = await peer.task("step")
        await settled(lambda: process.seen)
        await taken_from(store, task_id)
        await settled(lambda: asyncio.CancelledError in process.seen)
        assert (await store.get(LOCAL, task_id)).message is None


async def test_a_process_can_take_over_from_its_own_run_that_does_not_stop(store: TaskStore) -> None:
    process = Process(store)
    async with modern(process.server) as peer:
        task_id = await peer.task("stubborn")
        await settled(lambda: process.seen)
        await taken_from(store, task_id)
        await settled(lambda: asyncio.CancelledError in process.seen)
        await store.leases.offer(LOCAL, task_id, "other-1#1")
        await settled(lambda: process.seen.count(("starts", 1)) == 2)
        process.go.set()
        done = await peer.until(task_id, "completed")
    assert done["_meta"]["by"] == "old", "the second run is heard, and it is the same tool"
    assert process.seen.count("written") == 6


async def test_what_never_started_may_be_started_by_others(store: TaskStore) -> None:
    one = Process(store, executor=AsyncioExecutor(concurrency=2, grace=0.05), lease=1.0)
    async with modern(one.server) as peer:
        first, second, queued = [await peer.task("once") for _ in range(3)]
        await settled(lambda: len(one.seen) == 2)
        phases = {
            task_id: lease.phase
            for task_id in (first, second, queued)
            if (lease := (await store.get(LOCAL, task_id)).lease)
        }
        assert phases == {first: "running", second: "running", queued: "queued"}
        # As if the process had ended here.
        for background in one.tasks._runner.loop_state.background:
            background.cancel()
        for key in ((LOCAL, first), (LOCAL, second), (LOCAL, queued)):
            one.tasks._runner.loop_state.heartbeat._held.pop(key)
        two = Process(store, lease=1.0)
        two.go.set()
        two.tasks.start()
        assert (await ended(store, await store.get(LOCAL, queued))).status is TaskStatus.COMPLETED
        for task_id in (first, second):
            failed = await ended(store, await store.get(LOCAL, task_id))
            assert (failed.status, failed.message) == (TaskStatus.FAILED, "its process ended while it ran")
        assert two.seen == [("starts", 1)]


async def test_a_task_that_waits_for_its_tools_turn_has_not_started(store: TaskStore) -> None:
    process = Process(store)
    async with modern(process.server) as peer:
        first, second = [await peer.task("alone") for _ in range(2)]
        await settled(lambda: process.seen)
        waiting = await store.get(LOCAL, second)
        assert waiting.lease
        assert waiting.lease.phase == "queued"
        process.go.set()
        await peer.until(first, "completed")
        await peer.until(second, "completed")


async def test_waiting_for_a_person_costs_no_attempt_however_often_the_process_ends(store: TaskStore) -> None:
    record = await left_behind(store, "confirm", protocol="2026-07-28", asks=["elicitation"])
    await store.change(LOCAL, record.task_id, lambda found: leased(found, "dead#1", 0.05, "asking"), silent=True)
    for _ in range(5):
        process = Process(store, attempts=2, lease=0.2)
        process.tasks.start()
        async with asyncio.timeout(10):
            while not process.seen or not await asking(store, record.task_id):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert process.seen == [("starts", 1)], "the same attempt"
        vanish(process)
    last = Process(store, attempts=2, lease=0.2)
    last.tasks.start()
    await store.answer(LOCAL, record.task_id, dict.fromkeys((await store.get(LOCAL, record.task_id)).questions, YES))
    done = await ended(store, record)
    assert done.result["structuredContent"] == {"result": True}
    assert "attempt" not in done.variables


async def asking(store: TaskStore, task_id: str) -> bool:
    record = await store.get(LOCAL, task_id)
    return bool(record.open_questions) and record.lease is not None and record.lease.phase == "asking"


def vanish(process: Process) -> None:
    """End a process as SIGKILL does: nothing of it writes any more."""
    state = process.tasks._runner.loop_state
    for background in state.background:
        background.cancel()
    for run in tuple(state.running.values()):
        state.heartbeat.drop((run.record.owner, run.record.task_id), run.name)
        run.taken = True
        assert run.task is not None
        run.task.cancel()


async def test_a_process_that_ends_on_the_way_back_to_its_question_counts(store: TaskStore) -> None:
    record = await left_behind(store, "confirm", protocol="2026-07-28", asks=["elicitation"])
    await store.ask(LOCAL, record.task_id, "q", {"method": "elicitation/create", "params": {"message": "Sure?"}})
    for attempt in (1, 2):
        process = Process(store, attempts=2, lease=0.2)
        process.go.set()
        process.tasks.start()
        await settled(lambda process=process: process.seen)
        assert process.seen == [("starts", attempt)]
        vanish(process)
    last = Process(store, attempts=2, lease=0.2)
    last.tasks.start()
    failed = await ended(store, record)
    assert (failed.status, failed.message) == (TaskStatus.FAILED, "its process ended twice in a row while it ran")


async def test_a_tool_that_must_not_run_twice_fails_also_while_it_waits(store: TaskStore) -> None:
    record = await left_behind(store, "confirm_once", phase="asking")
    process = Process(store)
    process.tasks.start()
    failed = await ended(store, record)
    assert (failed.status, failed.message) == (TaskStatus.FAILED, "its process ended while it waited for an answer")
    assert process.seen == []


class Consumer(Process):
    """One that takes its work from a queue."""

    def __init__(self, store: TaskStore, **options: Any) -> None:
        self.published: list[Json] = []

        async def publish(message: Json) -> None:
            self.published.append(message)

        super().__init__(store, executor=QueueExecutor(publish), **options)


@pytest.mark.parametrize("tool", ["step", "once"])
async def test_a_redelivered_message_meets_the_recovery_of_its_task(store: TaskStore, tool: str) -> None:
    consumer = Consumer(store)
    consumer.go.set()
    record = await left_behind(store, tool)
    recovering = consumer.tasks._upkeep.recover(record)
    delivered = [consumer.tasks.run((LOCAL, record.task_id), asyncio.Event()) for _ in range(3)]
    await asyncio.gather(recovering, *delivered)
    for message in consumer.published:
        await consumer.tasks.run_task(message)
    done = await ended(store, record)
    if tool == "once":
        assert (done.status, consumer.seen) == (TaskStatus.FAILED, [])
    else:
        assert (done.status, consumer.seen) == (TaskStatus.COMPLETED, [("starts", 2)])


async def test_a_consumer_waits_to_see_whether_the_run_before_it_lives(store: TaskStore) -> None:
    dead, alive = await left_behind(store, "step"), await left_behind(store, "step", run="other#1")
    consumer = Consumer(store)
    consumer.go.set()
    running = [asyncio.create_task(consumer.tasks.run_task(record.task_id)) for record in (dead, alive)]
    await asyncio.sleep(0.1)
    await store.leases.heartbeat(LOCAL, alive.task_id, "other#1")
    async with asyncio.timeout(10):
        done, lives = await asyncio.gather(*running, return_exceptions=True)
    assert isinstance(lives, LeaseLost)
    assert isinstance(done, TaskRecord)
    assert done.status is TaskStatus.COMPLETED
    assert consumer.seen == [("starts", 2)]
    assert consumer.published == [], "it is run here"


async def test_a_message_that_comes_again_takes_nothing_from_a_run_of_the_same_process(store: TaskStore) -> None:
    """One that waits for its turn, while its process was too late with a heartbeat."""
    consumer = Consumer(store)
    records = [await store.create(LOCAL, job=Job(tool="alone")) for _ in range(2)]
    running = [asyncio.create_task(consumer.tasks.run_task(record.task_id)) for record in records]
    await settled(lambda: len(consumer.tasks._runner.loop_state.running) == 2)
    heartbeat = consumer.tasks._runner.loop_state.heartbeat

    async def late(*_: Any) -> None:
        """The storage takes no heartbeat."""

    heartbeat._renew = late  # type: ignore[method-assign]
    with pytest.raises(LeaseLost):
        await consumer.tasks.run_task(records[1].task_id)
    consumer.go.set()
    async with asyncio.timeout(10):
        assert [record.status for record in await asyncio.gather(*running)] == [TaskStatus.COMPLETED] * 2


async def test_what_nobody_takes_from_the_queue_is_submitted_again_and_again(store: TaskStore) -> None:
    lease = Lease(run=WAITING, seconds=0.1, version=1, phase="queued")
    record = await store.create(LOCAL, job=Job(tool="once"), lease=lease)
    consumer = Consumer(store, lease=0.1)
    consumer.go.set()
    consumer.tasks.start()
    await settled(lambda: len(consumer.published) >= 3)
    await consumer.tasks.run_task(consumer.published[0])
    done = await ended(store, record)
    assert done.status is TaskStatus.COMPLETED, "it can't have been half done, however often it was offered"
    await asyncio.gather(*(consumer.tasks.run_task(message) for message in consumer.published))
    assert consumer.seen == [("starts", 1)]
    assert consumer.tasks.stats().total == Counts(completed=1)


@pytest.mark.parametrize(("tool", "status"), [("step", "completed"), ("once", "failed")])
async def test_a_task_that_was_found_lost_before_its_process_heard_that_it_is_written(
    store: TaskStore, tool: str, status: str
) -> None:
    class Late(type(store.backend)):  # type: ignore[misc]
        """The answer to a create takes longer than a lease."""

        async def insert(self, record: TaskRecord, **options: Any) -> None:
            await super().insert(record, **options)
            await asyncio.sleep(4 * LEASE)

    store.backend.__class__ = Late
    process = Process(store)
    async with modern(process.server) as peer:
        task_id = await peer.task(tool)
        # Longer than a lease that nobody renews.
        await asyncio.sleep(3 * LEASE)
        process.go.set()
        done = await peer.until(task_id, status)
    if tool == "step":
        assert done["_meta"]["attempt"] == 2
        assert process.seen == [("starts", 2)], "one run, which is kept"
    else:
        assert process.seen == []


async def test_a_task_in_the_place_of_one_that_is_gone_has_another_lease(store: TaskStore) -> None:
    """SQLite gives the row of what was deleted to what comes next, and whoever looks at leases knows them by it."""
    process = Process(store, lease=60)

    async def leases() -> list[tuple[Any, int]]:
        return [entry async for page in store.backend.leases() for entry in page]

    async with modern(process.server) as peer:
        [(place, version)] = await leases() if await peer.task("step") else []
        [record] = (await store.list(LOCAL)).records
        await store.backend.delete(LOCAL, record.task_id)
        await peer.task("step")
        [(same, other)] = await leases()
        process.go.set()
    assert (place, version) != (same, other)
