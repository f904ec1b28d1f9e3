"""A queue that delivers each message several times, at any time, to consumers that are killed at random moments."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from mcp.server.mcpserver import MCPServer

from pmcp_lab.execution import QueueExecutor
from pmcp_lab.server import Limits, Tasks
from tests.unit.jsonrpc import modern
from tests.unit.processes import TIMEOUT, Process, Start, processes
from tests.unit.siege import check_starts
from tests.unit.versions import checked, handed_back

LEASE: Final = 1.0
"""Seconds."""

DELIVERIES: Final = 3
"""Of each message, before it is known to be lost."""


class Queue:
    """Keeps `count` consumers of a store.

    Attributes:
        starts: Of each task, the attempts that were begun.
    """

    def __init__(self, url: str, start: Start, count: int, seed: int) -> None:
        self.starts: dict[str, list[int]] = defaultdict(list)
        self.killed = 0
        self._url = url
        self._start = start
        self._count = count
        self._chance = random.Random(seed)
        self._consumers: list[Process] = []
        self._deliveries: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        while len(self._consumers) < self._count:
            consumer = await self._start("tests.servers.consumer", self._url, str(LEASE))
            await consumer.says("consumes")
            self._consumers.append(consumer)

    async def publish(self, message: Mapping[str, Any]) -> None:
        for _ in range(DELIVERIES):
            # About when the first one to run it may be lost, if it was killed.
            self._later(self._chance.choice([0, 0.1, 2.5 * LEASE]) * self._chance.random(), message)

    def _later(self, seconds: float, message: Mapping[str, Any]) -> None:
        async def deliver() -> None:
            await asyncio.sleep(seconds)
            self._chance.choice(self._consumers).tell("message", message=message)

        delivery = asyncio.create_task(deliver())
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)

    async def kill(self) -> None:
        victim = self._consumers.pop(self._chance.randrange(len(self._consumers)))
        self.killed += 1
        await victim.end()
        self.hear(victim)
        await self.open()

    def hear(self, consumer: Process) -> None:
        """What it has said so far."""
        said, consumer.said = consumer.said, []
        for one in said:
            match one["what"]:
                case "starts":
                    self.starts[one["task"]].append(one["attempt"])
                case "publishes":
                    self._later(0, one["message"])
                case "failed":
                    self._later(LEASE * self._chance.random(), one["message"])

    async def pass_time(self, seconds: float) -> None:
        async with asyncio.timeout(seconds + 1):
            await asyncio.sleep(seconds)
        for consumer in self._consumers:
            self.hear(consumer)


async def redelivered(url: str, *, tasks: int = 24, kills: int = 4, consumers: int = 3, seed: int = 1) -> Queue:
    """Make tasks on an empty store, whose messages are delivered too often, until all have ended.

    Raises:
        AssertionError: One was run as it may not be, or has not ended.
    """
    chance = random.Random(seed)
    async with checked(url) as versions, processes() as start:
        queue = Queue(url, start, consumers, seed)
        await queue.open()
        web = Tasks(url, executor=QueueExecutor(queue.publish), lease=LEASE, limits=Limits(tasks_per_owner=None))
        for tool, on_lost in (("again", "retry"), ("once", "fail")):
            web.tool(tool, on_lost=on_lost)(_elsewhere)
        async with modern(MCPServer("web", extensions=[web], middleware=[web], log_level="CRITICAL")) as peer:
            made: list[str] = []
            while len(made) < tasks or queue.killed < kills:
                if len(made) < tasks or chance.random() < 0.3:
                    made.append(await peer.task(chance.choice(["again", "once"]), {"seconds": chance.uniform(0, 1.5)}))
                if queue.killed < kills and chance.random() < 2 * kills / tasks:
                    await queue.kill()
                await queue.pass_time(0.05)
            for task in made:
                end = asyncio.get_running_loop().time() + TIMEOUT
                while (seen := await peer.call("tasks/get", task))["status"] == "working":
                    assert asyncio.get_running_loop().time() < end, f"it has not ended: {seen}"
                    await queue.pass_time(0.05)
        # What comes late must do nothing.
        await queue.pass_time(LEASE)
        written = await versions.read()
        check_starts(queue.starts, {record.task_id: record for _, record in written}, handed_back(written))
        await web.close()
    return queue


async def _elsewhere(seconds: float) -> str:
    raise AssertionError("only consumers run tasks")
