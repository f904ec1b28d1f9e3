"""Servers on one store that are killed at random moments, under clients that make as many tasks as they may."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from mcp.shared.exceptions import MCPError

from pmcp_lab.tasks import LOCAL, TaskRecord, open_store
from tests.unit.calling import Caller, Generation, calling
from tests.unit.crash import everything
from tests.unit.farm import fresh
from tests.unit.jsonrpc import RpcError
from tests.unit.pauses import LOST
from tests.unit.processes import TIMEOUT, Process, Start, processes
from tests.unit.storage_servers import RedisServer
from tests.unit.versions import Versions, attempt, checked, handed_back

TOOLS: Final = ("again", "again", "once", "confirm")
USERS: Final = 3
"""Clients' requests at the same time, per server."""

CLOSING: Final = "the server is shutting down and takes no more tasks"
STOPPED: Final = "the server was stopped before the task was done"


@dataclass
class Account:
    killed: int = 0
    terminated: int = 0
    made: dict[str, str] = field(default_factory=dict)
    """Tools of the tasks whose making was acknowledged."""
    refused: int = 0
    """Requests for more tasks than the quota."""
    starts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Attempts that were begun."""
    ends: Counter[str] = field(default_factory=Counter)
    """Tools and statuses."""
    retried: int = 0


class Siege:
    """Servers and clients; after each life of a server comes the next.

    Args:
        url: Of an empty store.
        quota: Live tasks of all clients together, who always have as many as they may.
    """

    def __init__(self, url: str, generation: Generation, *, quota: int | None, stdio: bool, seed: int) -> None:
        self.account = Account()
        self._arguments = [url, *(["--quota", str(quota)] if quota else []), *(["--stdio"] if stdio else [])]
        self._generation = generation
        self._stdio = stdio
        self._chance = random.Random(seed)
        self._there = self.account.made
        self._ends: dict[str, tuple[str, str]] = {}
        self._away = False
        """Whether requests may fail because the storage is not there."""

    async def serve(self, start: Start) -> Process:
        return await start("tests.servers.besieged", *self._arguments, stdio=self._stdio)

    async def until_killed(self, start: Start, kills: int) -> None:
        """One server's lives."""
        for _ in range(kills):
            process = await self.serve(start)
            async with AsyncExitStack() as stack:
                caller = await stack.enter_async_context(calling(process, self._generation))
                work = [self._attend(caller), *(self._make(caller) for _ in range(USERS))]
                busy = [asyncio.create_task(one) for one in work]
                # Most of them long enough to find what the ones before have lost.
                life = self._chance.choice([0.05, 1.0, 3.0]) * self._chance.random()
                done, _ = await asyncio.wait(busy, timeout=life, return_when=asyncio.FIRST_EXCEPTION)
                for one in done:
                    one.result()
                await self._end(process)
                for one in busy:
                    one.cancel()
                await asyncio.gather(*busy, return_exceptions=True)
            self._note(process)

    async def _end(self, process: Process) -> None:
        if self._chance.random() < 0.2:
            self.account.terminated += 1
            process.send(signal.SIGTERM)
            try:
                await process.over()
            finally:
                process.send(signal.SIGKILL)
        else:
            self.account.killed += 1
            process.send(signal.SIGKILL)
        await process.over()

    def _note(self, process: Process) -> None:
        for one in process.said:
            if one["what"] == "starts":
                self.account.starts[one["task"]].append(one["attempt"])

    async def _make(self, caller: Caller) -> None:
        while True:
            tool = self._chance.choice(TOOLS)
            try:
                task = await caller.task(tool, seconds=self._chance.choice([0, 1.5]) * self._chance.random())
            except (MCPError, RpcError) as error:
                if "unfinished tasks" in str(error):
                    self.account.refused += 1
                elif not self._away:
                    raise
                await asyncio.sleep(0.05)
                continue
            self.account.made[task] = tool
            await asyncio.sleep(0.02)

    async def _attend(self, caller: Caller) -> None:
        """Answer what tasks ask, and hear of their ends; what this client does not see, another one will."""
        seen: set[str] = set()

        async def see_through(task: str) -> None:
            try:
                await caller.outcome(task)
                record = await caller.get(task)
            except (MCPError, RpcError):
                if not self._away:
                    raise
            else:
                # A server that is asked to end may have had the last word.
                if record["status"] in ("completed", "failed"):
                    self._ends[task] = record["status"], record["lastUpdatedAt"]
            seen.discard(task)

        async with asyncio.TaskGroup() as group:
            while True:
                for task in self._there.keys() - self._ends.keys() - seen:
                    seen.add(task)
                    group.create_task(see_through(task))
                await asyncio.sleep(0.05)

    async def while_away(self, start: Start, servers: int, goes_away: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Servers that live on, while their storage does not."""
        self._away = True
        async with AsyncExitStack() as stack:
            working = [await self.serve(start) for _ in range(servers)]
            busy = []
            for process in working:
                caller = await stack.enter_async_context(calling(process, self._generation))
                busy += [asyncio.create_task(one) for one in (self._attend(caller), self._make(caller))]
            going = asyncio.create_task(goes_away())
            done, _ = await asyncio.wait([*busy, going], return_when=asyncio.FIRST_COMPLETED)
            for one in (*busy, going):
                one.cancel()
            await asyncio.gather(*busy, going, return_exceptions=True)
            for one in done:
                one.result()
        self._away = False
        for process in working:
            self._note(process)

    async def settle(self, caller: Caller, there: Mapping[str, str]) -> None:
        """Wait until everything has ended.

        Args:
            there: Tools of all tasks; of some, no client has heard that they were made.
        """
        assert self.account.made.keys() <= there.keys(), "an acknowledged task is not there"
        self._there = dict(there)
        attending = asyncio.create_task(self._attend(caller))
        for task, tool in there.items():
            end = asyncio.get_running_loop().time() + TIMEOUT
            while (seen := await caller.get(task))["status"] not in ("completed", "failed"):
                if attending.done():
                    attending.result()
                assert asyncio.get_running_loop().time() < end, f"{tool} has not ended: {seen}"
                await asyncio.sleep(0.05)
            before = self._ends.get(task)
            assert before in (None, (seen["status"], seen["lastUpdatedAt"])), (
                f"a client was told {before}, now it is {seen}"
            )
            if seen["status"] == "failed":
                assert tool == "once" or seen["statusMessage"] == CLOSING, f"{tool} failed: {seen}"
                why = (LOST, STOPPED) if task in self.account.made else (LOST, STOPPED, CLOSING)
                assert seen["statusMessage"] in why, seen
            self.account.ends[f"{tool} {seen['status']}"] += 1
        attending.cancel()
        await asyncio.gather(attending, return_exceptions=True)


async def besieged(
    url: str,
    generation: Generation,
    *,
    servers: int = 2,
    kills: int = 6,
    quota: int | None = 8,
    stdio: bool = False,
    seed: int = 1,
) -> Account:
    """Kill servers on an empty store; nothing that was acknowledged is lost, and everything ends.

    Raises:
        AssertionError: That is not so, or what was written is not as it must be (`tests.unit.versions`).
    """
    siege = Siege(url, generation, quota=quota, stdio=stdio, seed=seed)
    async with checked(url, quota=quota) as versions, processes() as start:
        lives = [kills // servers + (n < kills % servers) for n in range(servers)]
        async with asyncio.TaskGroup() as group:
            for count in lives:
                group.create_task(siege.until_killed(start, count))
        last = await siege.serve(start)
        async with calling(last, generation) as caller:
            await siege.settle(caller, await tools_of(versions))
            if quota is not None:
                await fill(caller, quota)
        siege._note(last)
        written = await versions.read()
        last_ones = {record.task_id: record for _, record in written}
        check_starts(siege.account.starts, last_ones, handed_back(written))
        siege.account.retried = sum(attempt(record) > 1 for record in last_ones.values())
    return siege.account


async def redis_is_killed(server: RedisServer, generation: Generation, *, kills: int = 3, seed: int = 1) -> Account:
    """Kill a Redis that keeps what it has acknowledged, and start it again, while two servers work.

    Raises:
        AssertionError: Something that was acknowledged is not there, or has not ended.
    """
    url, chance = fresh(server.url), random.Random(seed)
    siege = Siege(url, generation, quota=40, stdio=False, seed=seed)

    async def kill() -> None:
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.2, 1.0))
            await asyncio.to_thread(server.stop)
            siege.account.killed += 1
            await asyncio.sleep(chance.choice([0, 0.1, 1.0]) * chance.random())
            await asyncio.to_thread(server.start)
        await asyncio.sleep(0.5)

    async with processes() as start:
        await siege.while_away(start, 2, kill)
        store = open_store(url)
        there = {record.task_id: record for record in await everything(store, LOCAL)}
        last = await siege.serve(start)
        async with calling(last, generation) as caller:
            await siege.settle(caller, {task: record.job.tool for task, record in there.items() if record.job})
        siege._note(last)
        check_starts(siege.account.starts, {record.task_id: record for record in await everything(store, LOCAL)})
        await store.close()
    return siege.account


async def tools_of(versions: Versions) -> dict[str, str]:
    """Of every task that there is."""
    return {record.task_id: record.job.tool for _, record in await versions.read() if record.job is not None}


async def fill(caller: Caller, quota: int) -> None:
    """What is over leaves its place: there are as many as there were before."""
    made = [await caller.task("again", seconds=TIMEOUT) for _ in range(quota)]
    with pytest.raises((MCPError, RpcError), match="unfinished tasks"):
        await caller.task("again", seconds=TIMEOUT)
    for task in made:
        await caller.cancel(task)


def check_starts(
    starts: Mapping[str, list[int]], ends: Mapping[str, TaskRecord], handed_back: Collection[str] = ()
) -> None:
    """What may run once was started at most once, and no attempt has two runs.

    Args:
        starts: Of each task, the attempts that were begun.
        ends: Their last versions.
        handed_back: Those that a run gave away unfinished: the next one is of the same attempt.
    """
    for task, record in ends.items():
        assert not record.live, f"task {task} has not ended: {record}"
        begun = starts.get(task, [])
        if record.job is not None and record.job.tool == "once":
            assert len(begun) <= 1, f"{task}, which may run once, was started {len(begun)} times"
        elif task not in handed_back:
            assert len(begun) == len(set(begun)), f"two runs of {task} in one attempt: {begun}"
