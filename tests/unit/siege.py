"""Servers on one store that are killed at random moments, under clients that make as many tasks as they may."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

import pytest
from mcp.shared.exceptions import MCPError

from tests.unit.calling import Caller, Generation, calling
from tests.unit.jsonrpc import RpcError
from tests.unit.pauses import LOST
from tests.unit.processes import PATIENCE, Process, Start, processes
from tests.unit.versions import Version, Versions, attempt, checked, handed_back

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
        self._to_answer: set[str] = set()

    async def serve(self, start: Start) -> Process:
        return await start("tests.servers.besieged", *self._arguments, stdio=self._stdio)

    async def until_killed(self, start: Start, kills: int) -> None:
        """One server's lives."""
        for _ in range(kills):
            process = await self.serve(start)
            async with AsyncExitStack() as stack:
                caller = await stack.enter_async_context(calling(process, self._generation))
                work = [self._answer(caller), *(self._make(caller) for _ in range(USERS))]
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
                if "unfinished tasks" not in str(error):
                    raise
                self.account.refused += 1
                await asyncio.sleep(0.05)
                continue
            self.account.made[task] = tool
            if tool == "confirm":
                self._to_answer.add(task)
            await asyncio.sleep(0.02)

    async def _answer(self, caller: Caller) -> None:
        """Answer what tasks ask; what this client does not see to its end, another one will."""
        seen: set[str] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                for task in self._to_answer - seen:
                    seen.add(task)
                    group.create_task(self._see_through(caller, task))
                await asyncio.sleep(0.05)

    async def _see_through(self, caller: Caller, task: str) -> None:
        await caller.outcome(task)
        # A server that is asked to end may have had the last word.
        if (await caller.get(task))["status"] in ("completed", "failed"):
            self._to_answer.discard(task)

    async def settle(self, caller: Caller, there: Mapping[str, str]) -> None:
        """Wait until everything has ended.

        Args:
            there: Tools of all tasks; of some, no client has heard that they were made.
        """
        assert self.account.made.keys() <= there.keys(), "an acknowledged task is not there"
        self._to_answer |= {task for task, tool in there.items() if tool == "confirm"}
        answering = asyncio.create_task(self._answer(caller))
        for task, tool in there.items():
            end = asyncio.get_running_loop().time() + PATIENCE
            while (seen := await caller.get(task))["status"] not in ("completed", "failed"):
                if answering.done():
                    answering.result()
                assert asyncio.get_running_loop().time() < end, f"{tool} has not ended: {seen}"
                await asyncio.sleep(0.05)
            if seen["status"] == "failed":
                assert tool == "once" or seen["statusMessage"] == CLOSING, f"{tool} failed: {seen}"
                why = (LOST, STOPPED) if task in self.account.made else (LOST, STOPPED, CLOSING)
                assert seen["statusMessage"] in why, seen
            self.account.ends[f"{tool} {seen['status']}"] += 1
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


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
        check_starts(siege.account.starts, written)
        siege.account.retried = len({record.task_id for _, record in written if attempt(record) > 1})
    return siege.account


async def tools_of(versions: Versions) -> dict[str, str]:
    """Of every task that there is."""
    return {record.task_id: record.job.tool for _, record in await versions.read() if record.job is not None}


async def fill(caller: Caller, quota: int) -> None:
    """What is over leaves its place: there are as many as there were before."""
    made = [await caller.task("again", seconds=PATIENCE) for _ in range(quota)]
    with pytest.raises((MCPError, RpcError), match="unfinished tasks"):
        await caller.task("again", seconds=PATIENCE)
    for task in made:
        await caller.cancel(task)


def check_starts(starts: Mapping[str, list[int]], versions: Sequence[Version]) -> None:
    """What may run once was started at most once, and no attempt has two runs.

    Args:
        starts: Of each task, the attempts that were begun.
    """
    last = {record.task_id: record for _, record in versions}
    returned = handed_back(versions)
    for task, record in last.items():
        assert not record.live, f"task {task} has not ended: {record}"
        begun = starts.get(task, [])
        if record.job is not None and record.job.tool == "once":
            assert len(begun) <= 1, f"{task}, which may run once, was started {len(begun)} times"
        elif task not in returned:
            assert len(begun) == len(set(begun)), f"two runs of {task} in one attempt: {begun}"
