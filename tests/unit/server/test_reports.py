"""What a 2025-11-25 connection is told of the tasks it made, and what that leaves behind."""

from __future__ import annotations

import asyncio
from typing import Any

from mcp.server.mcpserver import MCPServer

from pmcp_lab.execution import Executor, TaskKey
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import LOCAL, Limits, TaskStore
from tests.unit.jsonrpc import Json, Peer, legacy, serve
from tests.unit.server.test_server_life import settled
from tests.unit.watched_backend import WatchedBackend

STATUS = "notifications/tasks/status"


class Lab:
    def __init__(self, executor: Executor | None = None) -> None:
        self.backend = WatchedBackend()
        store = TaskStore(self.backend, Limits(tasks_per_owner=None))
        self.tasks = tasks = Tasks(store, executor=executor, anonymous="local")
        self.go = asyncio.Event()

        @tasks.tool()
        async def wait(task: TaskContext) -> str:
            await self.go.wait()
            return "done"

        self.server: MCPServer[Any] = MCPServer("reports", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")

    async def say(self, task_id: str, message: str) -> None:
        await self.tasks.store.update(LOCAL, task_id, message=message)


def about(peer: Peer, task_id: str) -> list[Json]:
    return [note for note in peer.notified(STATUS) if note["taskId"] == task_id]


async def test_each_connection_is_told_of_its_own_tasks_alone() -> None:
    lab = Lab()
    async with legacy(lab.server) as one, legacy(lab.server) as other:
        mine, theirs = await one.task("wait"), await other.task("wait")
        again = await one.task("wait")
        await settled(lambda: lab.backend.watches == 3)
        for task_id in (mine, theirs, again):
            await lab.say(task_id, "x")
        await settled(lambda: about(one, mine) and about(one, again) and about(other, theirs))
        assert {note["taskId"] for note in one.notified(STATUS)} == {mine, again}
        assert {note["taskId"] for note in other.notified(STATUS)} == {theirs}
        # The first task of a connection ends before the others.
        await one.call("tasks/cancel", {"taskId": mine})
        await settled(lambda: about(one, mine)[-1]["status"] == "cancelled")
        await lab.say(again, "y")
        await settled(lambda: about(one, again)[-1]["statusMessage"] == "y")


async def test_a_burst_is_told_as_its_last_state_and_nothing_twice() -> None:
    lab = Lab()
    async with legacy(lab.server) as peer:
        task_id = await peer.task("wait")
        await settled(lambda: lab.backend.watches == 1)
        for number in range(300):
            await lab.say(task_id, str(number))
            await asyncio.sleep(0)
        await settled(lambda: about(peer, task_id) and about(peer, task_id)[-1]["statusMessage"] == "299")
        messages = [note["statusMessage"] for note in about(peer, task_id)]
        assert len(messages) == len(set(messages)) < 30
        lab.go.set()
        await settled(lambda: about(peer, task_id)[-1]["status"] == "completed")


async def test_nothing_is_left_of_tasks_that_are_over() -> None:
    lab = Lab()
    async with serve(lab.server) as url, legacy(url) as peer:
        ids = [await peer.task("wait") for _ in range(20)]
        await settled(lambda: lab.backend.watches == 20)
        lab.go.set()
        await settled(
            lambda: {note["taskId"] for note in peer.notified(STATUS) if note["status"] == "completed"} == set(ids)
        )
        await settled(lambda: lab.backend.watches == 0)
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert not names & {"watch of a task", "report of a task"}


async def test_where_nothing_can_be_told_nothing_is_watched() -> None:
    lab = Lab()
    async with serve(lab.server, stateless_http=True) as url, legacy(url) as peer:
        task_id = await peer.task("wait")
        await asyncio.sleep(0.2)
        assert lab.backend.watches == 0
        lab.go.set()
        assert (await peer.until(task_id, "completed"))["status"] == "completed"


async def test_a_store_that_breaks_ends_the_reports_and_not_the_connection() -> None:
    lab = Lab()
    async with legacy(lab.server) as peer:
        task_id = await peer.task("wait")
        await settled(lambda: lab.backend.watches == 1)
        await lab.say(task_id, "x")
        await settled(lambda: about(peer, task_id))
        await lab.say(task_id, "y")
        lab.backend.broken = True
        await settled(lambda: lab.backend.watches == 0)
        lab.backend.broken = False
        assert (await peer.call("tasks/get", {"taskId": task_id}))["statusMessage"] == "y"


class Elsewhere:
    """Its work is done by other processes, which do none."""

    in_process = False

    def bind(self, run: Any) -> None: ...

    async def submit(self, key: TaskKey) -> None: ...

    async def cancel(self, key: TaskKey) -> None: ...

    async def close(self, timeout: float = 5.0) -> None: ...


async def test_closing_ends_what_is_reported_of_tasks_that_go_on() -> None:
    lab = Lab(Elsewhere())
    async with serve(lab.server) as url, legacy(url) as peer, legacy(lab.server) as other:
        ids = [await peer.task("wait"), await other.task("wait"), await peer.task("wait")]
        await settled(lambda: lab.backend.watches == 3)
        await lab.tasks.close(0.01)
        await settled(lambda: lab.backend.watches == 0)
        assert {(await lab.tasks.store.get(LOCAL, task_id)).status for task_id in ids} == {"working"}
