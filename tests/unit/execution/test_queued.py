"""Work that is started from outside: the published key, and consumers that are one, too many or none."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

from pmcp_lab.errors import LabError, LeaseLost, TaskNotFound
from pmcp_lab.execution import QueueExecutor
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import LOCAL, WAITING, Job, Lease, TaskStore
from tests.examples import serverless
from tests.unit.jsonrpc import Json, modern
from tests.unit.on_store import ended
from tests.unit.server.test_server_life import settled
from tests.unit.server.test_server_tools import refused


async def test_the_example(sqlite_store: TaskStore) -> None:
    async with modern(serverless.web(sqlite_store)) as peer:
        task_id = await peer.task("report", {"year": 2026})
        message = await serverless.queue.get()
        assert json.loads(message) == {"owner": ["local"], "taskId": task_id}
        assert (await peer.call("tasks/get", task_id))["status"] == "working"
        assert await serverless.consume(message, sqlite_store) == "completed"
        assert await serverless.consume(message, sqlite_store) == "completed", "delivered twice"
        done = await peer.call("tasks/get", task_id)
        assert done["result"]["structuredContent"] == {"result": "the report of 2026"}


class Consumer:
    def __init__(self, store: TaskStore) -> None:
        self.published: list[Json] = []
        self.refuse = False
        self.runs = 0
        self.go = asyncio.Event()

        async def publish(message: Json) -> None:
            if self.refuse:
                raise ConnectionError("the queue is away")
            self.published.append(message)

        self.tasks = tasks = Tasks(store, lease=0.3, executor=QueueExecutor(publish))

        @tasks.tool()
        async def work(task: TaskContext) -> str:
            self.runs += 1
            await self.go.wait()
            return "done"

        self.server: MCPServer[Any] = MCPServer("q", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")


async def test_of_several_consumers_one_runs_it(sqlite_store: TaskStore) -> None:
    consumers = [Consumer(sqlite_store) for _ in range(4)]
    async with modern(consumers[0].server) as peer:
        await peer.task("work")
        [message] = consumers[0].published
        running = [asyncio.create_task(consumer.tasks.run_task(message)) for consumer in consumers]
        await settled(lambda: sum(one.done() for one in running) == 3)
        for consumer in consumers:
            consumer.go.set()
        results = await asyncio.gather(*running, return_exceptions=True)
    assert sum(consumer.runs for consumer in consumers) == 1
    [record] = [result for result in results if not isinstance(result, BaseException)]
    assert record.status is TaskStatus.COMPLETED
    assert {type(result) for result in results if result is not record} == {LeaseLost}, "the queue must not forget it"


async def test_a_message_that_comes_twice_at_once(sqlite_store: TaskStore) -> None:
    consumer = Consumer(sqlite_store)
    consumer.go.set()
    async with modern(consumer.server) as peer:
        await peer.task("work")
    runs = (consumer.tasks.run_task(consumer.published[0]) for _ in range(3))
    await asyncio.gather(*runs, return_exceptions=True)
    assert consumer.runs == 1


async def test_a_consumer_learns_of_a_cancellation_and_goes_on(sqlite_store: TaskStore) -> None:
    web, consumer = Consumer(sqlite_store), Consumer(sqlite_store)
    async with modern(web.server) as peer:
        task_id = await peer.task("work")
        running = asyncio.create_task(consumer.tasks.run_task(web.published[0]))
        await asyncio.sleep(0.3)
        await peer.call("tasks/cancel", task_id)
        async with asyncio.timeout(5):
            assert (await running).status is TaskStatus.CANCELLED
    assert consumer.tasks.stats().total.cancelled == 1


async def test_a_consumer_that_is_stopped_leaves_nothing_working(sqlite_store: TaskStore) -> None:
    web, consumer = Consumer(sqlite_store), Consumer(sqlite_store)
    async with modern(web.server) as peer:
        task_id = await peer.task("work")
        running = asyncio.create_task(consumer.tasks.run_task(task_id))
        async with asyncio.timeout(5):
            while not consumer.runs:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        failed = await peer.call("tasks/get", task_id)
        assert failed["error"]["message"] == "the server was stopped before the task was done"


async def test_a_message_that_got_lost_is_published_again(sqlite_store: TaskStore) -> None:
    web = Consumer(sqlite_store)
    # The process ended between writing the task down and queueing it.
    record = await sqlite_store.create(
        LOCAL, job=Job(tool="work"), lease=Lease(run=WAITING, seconds=0.3, version=1, phase="queued")
    )
    web.tasks.start()
    async with asyncio.timeout(5):
        while not web.published:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert web.published == [{"owner": ["local"], "taskId": record.task_id}]
    again = await sqlite_store.get(LOCAL, record.task_id)
    assert again.lease is not None
    assert again.lease.free
    web.go.set()
    await web.tasks.run_task(web.published[0])
    assert (await ended(sqlite_store, record)).status is TaskStatus.COMPLETED


async def test_a_queue_that_refuses_fails_the_task(sqlite_store: TaskStore) -> None:
    web = Consumer(sqlite_store)
    web.refuse = True
    async with modern(web.server) as peer:
        code, text, _ = await refused(peer.tool("work"))
        assert (code, text) == (-32603, "the task could not be queued")
    [record] = (await sqlite_store.list(LOCAL)).records
    assert record.status is TaskStatus.FAILED


async def test_messages_that_are_none(sqlite_store: TaskStore) -> None:
    tasks = Consumer(sqlite_store).tasks
    for message in ({}, {"owner": "local", "taskId": "x"}, {"owner": ["local"]}):
        with pytest.raises(LabError, match="a task's message is"):
            await tasks.run_task(message)
    record = await sqlite_store.create(LOCAL, job=Job(tool="elsewhere"))
    with pytest.raises(LabError, match="a tool that is not declared here"):
        await tasks.run_task(record.task_id)
    with pytest.raises(TaskNotFound):
        await tasks.run_task("no-such-task")
