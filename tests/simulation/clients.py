"""People and their clients: they start tasks, look, answer, change their minds and lose their connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.network import Connection, Dropped, Json, Refused
from tests.simulation.tools import POLICIES, Plan

if TYPE_CHECKING:
    from tests.simulation.world import World

TERMINAL = ("completed", "failed", "cancelled")


def some_plan(rng: Random, lease: float) -> Plan:
    """What a task shall do: from nothing to a few leases of work."""
    steps: Plan = []
    if rng.random() < 0.2:
        steps.append(["stubborn", rng.randint(1, 3)])
    for number in range(rng.choice([0, 1, 2, 4, 6])):
        match rng.choice(["work", "work", "work", "rest", "rest", "ask", "look", "leave", "require"]):
            case "work":
                steps.append(["work", rng.choice([1, 3, 20])])
            case "rest":
                steps.append(["rest", round(rng.uniform(0, 1.5) * lease, 2)])
            case "ask":
                steps.append(["ask", f"q{number}"])
            case "require":
                steps.append(["require", round(rng.uniform(0, 0.5) * lease, 2)])
            case "leave":
                steps.append(["leave", rng.randint(1, 5)])
            case other:
                steps.append([other])
    match rng.random():
        case chance if chance < 0.08:
            steps.insert(rng.randint(min(1, len(steps)), len(steps)), ["finish"])
        case chance if chance < 0.12:
            steps.append(["fail"])
        case chance if chance < 0.2:
            steps.append(["raise"])
    return steps


class Client:
    """One person's client. What it was told is in the history, for the invariants.

    Args:
        user: Whose credentials it has; several clients may be the same person's.
    """

    def __init__(self, world: World, name: str, user: str) -> None:
        self.world = world
        self.name = name
        self.user = user
        self.known: list[str] = []
        self.connection: Connection | None = None

    def log(self, what: str, task_id: str, note: str = "", data: Any = None) -> None:
        self.world.log(self.name, what, note, task_id, data)

    async def live(self, seconds: float) -> None:
        """Do this and that for so long, on one connection after another."""
        world, rng = self.world, self.world.rng
        end = world.now + seconds
        while world.now < end:
            await asyncio.sleep(rng.expovariate(2 / world.lease))
            if not world.processes:
                continue
            connection = await self.connect()
            for _ in range(rng.randint(1, 8)):
                if connection is None or not connection.open or world.now > end:
                    break
                with suppress(Refused, Dropped):
                    await self._something()
                await asyncio.sleep(rng.expovariate(4 / world.lease))
            if connection is not None:
                connection.drop()

    async def connect(self) -> Connection | None:
        world = self.world
        process = world.rng.choice(world.processes)
        self.connection = Connection(world, process, self.user, modern=world.rng.random() < 0.5)
        try:
            await self.connection.hello()
        except (Refused, Dropped):
            self.connection.drop()
            return None
        return self.connection

    async def _something(self) -> None:
        rng = self.world.rng
        ways: dict[Callable[[], Awaitable[None]], int] = {
            self.create: 6,
            self.create_and_leave: 1,
            self.look: 3,
            self.answer: 3,
            self.cancel: 1,
            self.result: 1,
            self.list: 1,
            self.note: 1,
            self.listen: 1,
        }
        chosen = rng.choices(list(ways), list(ways.values()))[0]
        await chosen()

    # --- what they do ---

    def _call(self) -> tuple[str, Json]:
        assert self.connection is not None
        rng = self.world.rng
        params: Json = {"name": rng.choice(list(POLICIES)), "arguments": {"plan": some_plan(rng, self.world.lease)}}
        if not self.connection.modern:
            params["task"] = {"ttl": int(rng.uniform(0.5, 3) * self.world.lease * 1000)} if rng.random() < 0.15 else {}
        return "tools/call", params

    async def create(self) -> None:
        assert self.connection is not None
        method, params = self._call()
        body = await self.connection.call(method, params, timeout=self.world.rng.uniform(1, 20))
        if body.get("isError"):
            return
        task_id = str(body["taskId"] if self.connection.modern else body["task"]["taskId"])
        self.known.append(task_id)
        self.log("created", task_id, f"{params['name']} {params['arguments']['plan']}")

    async def create_and_leave(self) -> None:
        """Give up at any moment: take the request back, or drop the connection."""
        assert self.connection is not None
        number, _ = self.connection.send(*self._call())
        await asyncio.sleep(self.world.rng.expovariate(100))
        if self.world.rng.random() < 0.5:
            self.connection.notify("notifications/cancelled", {"requestId": number})
        else:
            self.connection.drop()

    def _some_task(self) -> str | None:
        return self.world.rng.choice(self.known) if self.known else None

    async def look(self) -> None:
        if task_id := self._some_task():
            await self.get(task_id)

    async def get(self, task_id: str) -> Json:
        assert self.connection is not None
        try:
            body = await self.connection.call("tasks/get", {"taskId": task_id})
        except Refused as error:
            if "not found" in str(error):
                self.log("missed", task_id)
            raise
        if body["status"] in TERMINAL:
            self.log("sees", task_id, body["status"], data=body["status"])
        return body

    async def answer(self) -> None:
        """What the server asks on this connection, or what a modern task shows."""
        assert self.connection is not None
        for request in self.connection.asked:
            if self.world.rng.random() < 0.8:
                content = {"action": "accept", "content": {"ok": True}}
                self.connection.answer(request, content)
        self.connection.asked.clear()
        if (task_id := self._some_task()) and self.connection.modern:
            await self.answer_task(task_id, await self.get(task_id))

    async def answer_task(self, task_id: str, body: Json) -> None:
        assert self.connection is not None
        keys = list(body.get("inputRequests") or {})
        if keys:
            await asyncio.sleep(self.world.rng.expovariate(1 / self.world.lease))
            answers = {key: {"action": "accept", "content": {"ok": True}} for key in keys}
            await self.connection.call("tasks/update", {"taskId": task_id, "inputResponses": answers})
            self.log("answered", task_id, ", ".join(keys), data=keys)

    async def cancel(self) -> None:
        assert self.connection is not None
        if task_id := self._some_task():
            await self.connection.call("tasks/cancel", {"taskId": task_id})
            self.log("cancelled", task_id)

    async def result(self) -> None:
        """Wait for a task's end; a 2025-11-25 client is asked its questions meanwhile."""
        assert self.connection is not None
        task_id = self._some_task()
        if task_id is None or self.connection.modern:
            return
        await self.connection.call("tasks/result", {"taskId": task_id}, timeout=self.world.lease)
        self.log("has result", task_id)

    async def list(self) -> None:
        assert self.connection is not None
        if not self.connection.modern:
            body = await self.connection.call("tasks/list")
            self.known += [task["taskId"] for task in body["tasks"] if task["taskId"] not in self.known]

    async def note(self) -> None:
        assert self.connection is not None
        if task_id := self._some_task():
            variables = {"note": self.name}
            await self.connection.call("tasks/variables", {"taskId": task_id, "variables": variables})

    async def listen(self) -> None:
        """On a connection of its own, which stays as long as its server does."""
        if self.known and len(self.world.listeners) < 4 and self.world.serving:
            wanted = self.world.rng.sample(self.known, min(3, len(self.known)))
            self.world.listeners.append(Listener(self.world, self.user, wanted))


class Caretaker(Client):
    """Comes when nothing goes wrong any more: answers every question, until all tasks are over."""

    async def attend(self) -> None:
        while True:
            if self.connection is None or not self.connection.open:
                await self.connect_modern()
            for record in self.world.unfinished():
                mine = record.owner == ("client", self.user)
                if mine and record.open_questions and self.connection is not None:
                    with suppress(Refused, Dropped):
                        await self.answer_task(record.task_id, await self.get(record.task_id))
            await asyncio.sleep(self.world.lease / 4)

    async def connect_modern(self) -> None:
        self.connection = Connection(self.world, self.world.rng.choice(self.world.serving), self.user, modern=True)


class Listener:
    """Listens to tasks on one connection, and keeps what it heard last of each."""

    def __init__(self, world: World, user: str, task_ids: list[str]) -> None:
        self.task_ids = task_ids
        self.connection = Connection(world, world.rng.choice(world.serving), user, modern=True)
        _, self._end = self.connection.send("subscriptions/listen", {"notifications": {"taskIds": task_ids}})

    def last(self) -> dict[str, Json] | None:
        """By task; None when its server has died, or has ended the stream."""
        acknowledged = [note["params"] for note in self.connection.notified if note["method"].endswith("acknowledged")]
        if not self.connection.process.lives or self._end.done() or not acknowledged:
            return None
        heard = [note["params"] for note in self.connection.notified if note["method"] == "notifications/tasks"]
        last: dict[str, Json] = {task_id: {"status": None} for task_id in acknowledged[0]["notifications"]["taskIds"]}
        return last | {body["taskId"]: body for body in heard}
