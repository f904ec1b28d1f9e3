"""What a process does with tasks that another one left: claim first, then run again or fail, by the tool's policy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from mcp.server.auth.middleware.auth_context import auth_context_var, get_access_token
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

from pmcp_lab.errors import LeaseLost, StoreError
from pmcp_lab.execution import AsyncioExecutor, TaskKey
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.server import Counts, TaskContext, Tasks
from pmcp_lab.tasks import LOCAL, WAITING, Limits, TaskRecord, TaskStore, open_store
from pmcp_lab.tasks.leases import leased
from pmcp_lab.tasks.record import attempt_of, checkpoint_of
from tests.unit.jsonrpc import modern
from tests.unit.on_store import SOON, OnStore, ended, left_behind
from tests.unit.server.test_server_life import settled


class Sure(BaseModel):
    sure: bool


@pytest.fixture
def store(sqlite_store: TaskStore) -> TaskStore:
    return sqlite_store


class Process(OnStore):
    def declare(self, tasks: Tasks) -> None:
        self.runs: list[tuple[str, int]] = []
        self.ended: list[str] = []

        @tasks.tool(on_lost="retry")
        async def again(task: TaskContext, n: int = 1) -> list[int]:
            self.runs.append(("again", task.attempt))
            await task.update(variables={"ran": n})
            return [task.attempt, n]

        @tasks.tool()
        async def once() -> None:
            self.runs.append(("once", 1))

        @tasks.tool(on_lost="retry")
        async def confirm(task: TaskContext) -> list[bool]:
            first = await task.elicit("First?", Sure)
            second = await task.elicit("Second?", Sure)
            return [bool(answer.content and answer.content.sure) for answer in (first, second)]

        @tasks.tool(on_lost="retry")
        async def tally(task: TaskContext) -> list[Any]:
            found = task.checkpoint
            await task.save({"tallied": 1 + (found or {"tallied": 0})["tallied"]}, message="on", variables={"on": True})
            if found is None:
                await self.go.wait()
            return [found, task.attempt, task.checkpoint]

        @tasks.tool(on_lost="retry")
        async def wait(task: TaskContext) -> str:
            self.runs.append(("wait", task.attempt))
            try:
                await self.go.wait()
            finally:
                self.ended.append("wait")
            return "done"

        @tasks.tool(on_lost="retry")
        async def whoami(ctx: Context) -> list[str]:
            await ctx.report_progress(1, 2, "half")
            return [str(get_access_token()), ctx.mcp_server.name, str(ctx.session.client_capabilities)]


async def test_by_policy(store: TaskStore) -> None:
    again, once, unstarted = [
        await left_behind(store, "again"),
        await left_behind(store, "once"),
        await left_behind(store, "once", run=WAITING, phase="queued"),
    ]
    process = Process(store)
    process.tasks.start()
    done = await ended(store, again, TaskStatus.COMPLETED)
    assert done.result["structuredContent"] == {"result": [2, 1]}
    assert done.variables == {"attempt": 2, "ran": 1}
    failed = await ended(store, once)
    assert (failed.status, failed.message) == (TaskStatus.FAILED, "its process ended while it ran")
    assert (await ended(store, unstarted)).status is TaskStatus.COMPLETED, "it can't have been half done"
    assert sorted(process.runs) == [("again", 2), ("once", 1)]
    await settled(lambda: process.tasks.stats().total == Counts(completed=2, failed=1, retried=1))


async def test_attempts_are_bounded(store: TaskStore) -> None:
    record = await left_behind(store, "again", attempt=3)
    process = Process(store)
    process.tasks.start()
    failed = await ended(store, record)
    assert (failed.status, failed.message) == (TaskStatus.FAILED, "its process ended 3 times in a row while it ran")
    assert process.runs == []


async def test_a_tool_goes_on_from_what_it_saved_and_attempts_count_from_there(store: TaskStore) -> None:
    record = await left_behind(store, "tally", attempt=2)
    one = Process(store)
    one.tasks.start()
    async with asyncio.timeout(5), store.watch(LOCAL, record.task_id) as feed:
        async for current in feed:
            if current.variables.get("on"):
                break
    assert (current.message, attempt_of(current), checkpoint_of(current)) == ("on", 1, {"tallied": 1})
    assert "tallied" not in str(current.state()), "nobody but the tool sees it"
    # Its process is gone, and another one has the file.
    await store.change(LOCAL, record.task_id, lambda found: leased(found, "dead#2", SOON), silent=True)
    done = await ended(store, record, TaskStatus.COMPLETED)
    assert done.result["structuredContent"] == {"result": [{"tallied": 1}, 2, {"tallied": 2}]}


async def test_only_one_process_takes_it(store: TaskStore) -> None:
    records = [await left_behind(store, "again") for _ in range(8)]
    processes = [Process(store) for _ in range(4)]
    for process in processes:
        process.tasks.start()
    for record in records:
        assert (await ended(store, record)).status is TaskStatus.COMPLETED
    assert sum(len(process.runs) for process in processes) == len(records)


async def test_unknown_tools_are_left_to_others_and_do_not_hide_what_is_behind_them(store: TaskStore) -> None:
    store.limits = Limits(tasks_per_owner=None)
    strange = await left_behind(store, "elsewhere")
    for _ in range(600):
        await left_behind(store, "elsewhere")
    known = await left_behind(store, "again")
    process = Process(store)
    process.tasks.start()
    assert (await ended(store, known)).status is TaskStatus.COMPLETED
    assert (await store.get(LOCAL, strange.task_id)).lease == strange.lease


async def test_answers_are_not_asked_for_again(store: TaskStore) -> None:
    one, yes = Process(store), {"action": "accept", "content": {"sure": True}}
    async with modern(one.server) as peer:
        task_id = await peer.task("confirm")
        [first] = (await peer.until(task_id, "input_required"))["inputRequests"]
        await peer.call("tasks/update", task_id, inputResponses={first: yes})
        async with asyncio.timeout(5):
            while first in (shown := (await peer.call("tasks/get", task_id)).get("inputRequests", {first: 0})):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        [second] = shown
        await one.tasks._upkeep.close(0)
        two = Process(store)
        two.tasks.start()
        async with modern(two.server) as other:
            assert list((await other.call("tasks/get", task_id))["inputRequests"]) == [second]
            await other.call("tasks/update", task_id, inputResponses={second: yes})
            done = await other.until(task_id, "completed")
    assert done["result"]["structuredContent"] == {"result": [True, True]}


async def test_a_question_that_is_not_asked_again_is_withdrawn(store: TaskStore) -> None:
    record = await left_behind(store, "confirm", protocol="2026-07-28", asks=["elicitation"])
    await store.ask(LOCAL, record.task_id, "old", {"method": "elicitation/create", "params": {"message": "Old?"}})
    process = Process(store)
    process.tasks.start()
    async with asyncio.timeout(5), store.watch(LOCAL, record.task_id) as feed:
        async for current in feed:
            if current.open_questions and "old" not in current.open_questions:
                break
    assert len(current.questions) == 1
    await store.cancel(LOCAL, record.task_id)


async def test_a_runner_stops_when_another_one_has_its_task(store: TaskStore) -> None:
    one = Process(store)
    async with modern(one.server) as peer:
        task_id = await peer.task("wait")
        await settled(lambda: one.runs)

        def taken(record: TaskRecord) -> TaskRecord:
            return leased(record, "other#1", 60)

        await store.change(LOCAL, task_id, taken, silent=True)
        await settled(lambda: one.ended)
        record = await store.get(LOCAL, task_id)
        assert record.live
        assert record.lease
        assert record.lease.run == "other#1"


async def test_leases_are_renewed_while_a_task_runs_or_waits_for_its_turn(store: TaskStore) -> None:
    # Longer than a busy machine may keep a process waiting, which is what ends a lease.
    lease = 1.0
    one = Process(store, lease=lease)
    async with modern(one.server) as peer:
        made = [await peer.task("wait") for _ in range(3)]
        other = Process(store, lease=lease)
        other.tasks.start()
        await asyncio.sleep(2.5 * lease)
        for task_id in made:
            with pytest.raises(LeaseLost):
                await store.leases.claim(LOCAL, task_id, "greedy#1", 1)
        assert other.runs == []
        one.go.set()
        for task_id in made:
            await peer.until(task_id, "completed")


@pytest.fixture
async def other(store: TaskStore) -> AsyncIterator[TaskStore]:
    """The same file, opened once more."""
    backend: Any = store.backend
    other = open_store(f"sqlite:///{backend._path}")
    yield other
    await other.close()


async def test_a_task_cancelled_elsewhere_before_it_starts_here_stays_cancelled(
    store: TaskStore, other: TaskStore
) -> None:
    class Slow(AsyncioExecutor):
        async def submit(self, key: TaskKey) -> None:
            await other.cancel(*key, message="not any more")
            await super().submit(key)

    process = Process(store, executor=Slow())
    async with modern(process.server) as peer:
        task_id = await peer.task("again")
        await settled(lambda: process.tasks.stats().total == Counts(cancelled=1))
        task = await peer.call("tasks/get", task_id)
        assert (task["status"], task["statusMessage"]) == ("cancelled", "not any more")


async def test_a_task_that_waited_is_read_before_it_starts(store: TaskStore, other: TaskStore) -> None:
    process = Process(store, executor=AsyncioExecutor(concurrency=1))
    async with modern(process.server) as peer:
        first, second = [await peer.task(tool) for tool in ("wait", "again")]
        await other.cancel(LOCAL, second)
        # So long what a task was at its birth is believed.
        await asyncio.sleep(0.25)
        process.go.set()
        await peer.until(first, "completed")
        await settled(lambda: not process.tasks.stats().total.waiting)
    assert process.runs == [("wait", 1)]


async def test_closing_hands_back_fails_and_starts_nothing(store: TaskStore) -> None:
    tasks = Tasks(store, lease=5, executor=AsyncioExecutor(concurrency=2, grace=0.05))
    started: list[str] = []

    async def hold(task: TaskContext) -> None:
        started.append(str(task.task_id))
        await asyncio.Event().wait()

    tasks.tool("retried", on_lost="retry")(hold)
    tasks.tool("failed")(hold)
    server: MCPServer[Any] = MCPServer("p", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
    async with modern(server) as peer:
        retried, failed, waiting = [await peer.task(name) for name in ("retried", "failed", "failed")]
        await settled(lambda: len(started) == 2)
        # What is closed can't be read: the store stays open for the test.
        await tasks._upkeep.close(0.05)
    assert tasks.stats().total.running == 0
    back, over, never = [await store.get(LOCAL, task_id) for task_id in (retried, failed, waiting)]
    assert back.lease is not None
    assert back.lease.free
    assert (over.status, over.message) == (TaskStatus.FAILED, "the server was stopped before the task was done")
    assert never.lease is not None
    assert never.lease.free
    assert max(back.lease.version, never.lease.version) < 0, "anybody may take them at once"


async def test_what_is_recovered_has_nobodys_credentials_and_a_context(store: TaskStore) -> None:
    record = await left_behind(store, "whoami", protocol="2026-07-28")
    process = Process(store)
    process.tasks.attach(process.server)
    token = auth_context_var.set(SimpleNamespace(access_token="ann"))  # type: ignore[arg-type]
    process.tasks.start()
    auth_context_var.reset(token)
    done = await ended(store, record)
    assert done.result["structuredContent"] == {"result": ["None", "p", "None"]}
    assert done.message == "half"


async def test_a_running_task_waits_for_its_storage(store: TaskStore, caplog: pytest.LogCaptureFixture) -> None:
    refused: set[tuple[str, ...]] = set()

    class Away(type(store.backend)):  # type: ignore[misc]
        """The same backend, which can't be written to once per kind of write."""

        async def replace(self, record: TaskRecord, *, expected: int) -> None:
            kind = (record.status, *record.variables, *record.questions)
            if kind not in refused:
                refused.add(kind)
                # The second time it had worked, and only the word of it was lost.
                if record.questions:
                    await super().replace(record, expected=expected)
                raise StoreError("the storage is away")
            await super().replace(record, expected=expected)

    store.backend.__class__ = Away
    process = Process(store)
    async with modern(process.server) as peer:
        done = await peer.until(await peer.task("again"), "completed")
        assert done["result"]["structuredContent"] == {"result": [1, 1]}
        assert "next attempt in 0.1 s: the storage is away" in caplog.text
        task = await peer.until(await peer.task("confirm"), "input_required")
        await asyncio.sleep(0.2)
        assert len((await peer.call("tasks/get", task["taskId"]))["inputRequests"]) == 1
        await process.tasks.executor.cancel((LOCAL, task["taskId"]))


async def test_a_task_the_executor_refuses_has_failed(store: TaskStore) -> None:
    process = Process(store)
    async with modern(process.server) as peer:
        await process.tasks.executor.close()
        with pytest.raises(Exception, match="shutting down"):
            await peer.tool("again")
        [record] = (await store.list(LOCAL)).records
        assert record.status is TaskStatus.FAILED


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lease": 0}, "lease: it is at least 0.1 seconds, not 0"),
        ({"attempts": True}, "attempts is a number of at least 1, not True"),
        ({"drain": -1}, "drain: -1 is not a duration"),
        ({"lease": "soon"}, "lease: 'soon' is not a duration"),
        ({"store": 3}, "store is a URL"),
        ({"executor": object()}, "it has no bind, submit, cancel, close"),
    ],
)
def test_arguments_are_checked(options: dict[str, Any], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        Tasks(**options)
