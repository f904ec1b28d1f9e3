"""Processes that are paused beyond their leases while their tools write, and wake when another one has their tasks."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Literal

from tests.unit.calling import Caller, Generation, calling
from tests.unit.processes import TIMEOUT, Process, processes
from tests.unit.versions import checked

LEASE = 2.0
"""Seconds."""

How = Literal["stop", "block", "end"]
"""SIGSTOP until SIGCONT, an event loop that is blocked, or SIGSTOP until SIGCONT and SIGTERM at once."""

POINTS: Final = (
    *(("step", kind, "before") for kind in ("message", "progress", "variables", "thread", "read", "wait")),
    *(("step", kind, "before") for kind in ("question", "input", "completion", "end", "result", "failure")),
    *(("step", kind, "after") for kind in ("message", "variables", "question", "input")),
    *(("once", kind, "before") for kind in ("message", "result", "failure")),
)
"""Tool (what may run again, and what may not), what it does with its task, and when its process is paused."""

TRIES: Final = 7
"""Writes that a woken tool tries, one after the other, whatever comes of them."""

LOST: Final = "its process ended while it ran"


@dataclass
class Account:
    pauses: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Errors that stale runs met, by kind of write and error."""
    noticed_after: list[float] = field(default_factory=list)
    """Seconds from waking until a stale run learned of it, one per run."""


@dataclass
class _Side:
    process: Process
    caller: Caller


async def paused(
    url: str, generation: Generation, *, how: How = "stop", stdio: bool = False, rounds: int = 1, seed: int = 1
) -> Account:
    """Pause one of two servers on a store until the other has taken its tasks over, and then the other, and so on.

    The first time at every point at once; then at a single one, at some, or anywhere.
    """
    account, chance = Account(), random.Random(seed)
    async with checked(url), processes() as start:
        options = ["--stdio"] if stdio else []
        first, second = [await start("tests.servers.paused", url, str(LEASE), *options, stdio=stdio) for _ in range(2)]
        async with calling(first, generation) as one, calling(second, generation) as two:
            sides = [_Side(first, one), _Side(second, two)]
            for number in range(rounds):
                if number % 3 == 2:
                    await _pause_anywhere(number, *sides, account, chance)
                else:
                    some = chance.sample(POINTS, 1 if number % 2 else chance.randrange(2, len(POINTS)))
                    await _pause(number, some if number else POINTS, how, *sides, account)
                sides.reverse()
    return account


async def _pause(
    number: int, points: Sequence[tuple[str, str, str]], how: How, victim: _Side, other: _Side, account: Account
) -> None:
    tools: dict[str, tuple[str, str]] = {}
    for tool, kind, when in points:
        about = {"number": number, "kind": kind, "when": when}
        about |= {"victim": victim.process.pid} if tool == "step" else {}
        tools[await victim.caller.task(tool, **about)] = tool, kind
    heard = [] if how == "end" else [task for task, (_, kind) in tools.items() if kind != "question"]
    async with _waiting(victim.caller, heard) as waiting:
        victim.process.tell("wave", wave=number, expected=len(points), how="block" if how == "block" else "stop")
        await victim.process.says("pauses", wave=number)
        if how != "block":
            await victim.process.stopped()
        account.pauses += 1
        for task, (tool, _) in tools.items():
            if tool == "step":
                await other.process.says("holds", task=task)
            else:
                assert await other.caller.outcome(task) == LOST

        if how == "end":
            victim.process.send(signal.SIGTERM)
        victim.process.send(signal.SIGUSR1 if how == "block" else signal.SIGCONT)
        if how == "end":
            await victim.process.over()
        else:
            await _refusals(victim.process, tools, account)

        other.process.tell("finish", wave=number)
        for task, (tool, _) in tools.items():
            outcome = f"by {other.process.pid}" if tool == "step" else LOST
            assert await other.caller.outcome(task) == outcome
            if task in waiting:
                assert await waiting[task] == outcome
    if how != "end":
        assert await victim.caller.outcome(await victim.caller.task("quick")) == victim.process.pid


async def _refusals(woken: Process, tools: Mapping[str, tuple[str, str]], account: Account) -> None:
    """Whatever its stale runs try is refused, and they are told so before their tasks' new holders do anything."""
    for task, (tool, kind) in tools.items():
        if kind in ("result", "failure"):
            continue
        tried = await woken.says("tried", count=TRIES, task=task)
        for one in tried:
            # The last to run what has failed may still leave variables.
            assert one["error"] or (tool == "once" and one["kind"] == "variables"), one
        assert tried[0]["cancelled"] or tool == "once", tried[0]
        account.noticed_after.append(tried[0]["since"])
        account.refused.update(f"{one['kind']}: {one['error']}" for one in tried)


async def _pause_anywhere(number: int, victim: _Side, other: _Side, account: Account, chance: random.Random) -> None:
    """In the middle of a write, perhaps: then nobody else can write to a SQLite file until it wakes."""
    tasks = [await victim.caller.task("busy", number=number, victim=victim.process.pid) for _ in range(3)]
    for task in tasks:
        await victim.process.says("writes", task=task)
    await asyncio.sleep(chance.uniform(0, 0.05))
    victim.process.send(signal.SIGSTOP)
    account.pauses += 1
    with suppress(TimeoutError):
        async with asyncio.timeout(2 * LEASE):
            for task in tasks:
                await other.process.says("holds", task=task)
    victim.process.send(signal.SIGCONT)
    for side in (victim, other):
        side.process.tell("finish", wave=number)
    for task in tasks:
        outcome = await other.caller.outcome(task)
        assert outcome in {f"by {side.process.pid}" for side in (victim, other)}
        assert await victim.caller.outcome(task) == outcome


@asynccontextmanager
async def _waiting(caller: Caller, tasks: Sequence[str]) -> AsyncIterator[Mapping[str, asyncio.Task[object]]]:
    """What the caller is told of these tasks' ends."""
    waiting = {task: asyncio.create_task(caller.outcome(task, 2 * TIMEOUT)) for task in tasks}
    try:
        yield waiting
    finally:
        for one in waiting.values():
            one.cancel()
        await asyncio.gather(*waiting.values(), return_exceptions=True)
