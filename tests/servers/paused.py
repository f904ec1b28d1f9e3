"""A server whose process stops just where its tools are about to write to their tasks, or have written.

`python -m tests.servers.paused STORE LEASE [--stdio]`, see `tests.servers.control`. It is told of a `wave`: once so
many tools have come to their points, the process stops (or blocks its event loop until SIGUSR1), and all of them go on
at once when it wakes. A tool in another process than the victim holds its task until `finish`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

from pmcp_lab.server import Limits, TaskContext, Tasks
from pmcp_lab.tasks import LOCAL
from tests.servers.control import orders, say, serve
from tests.unit.versions import SPREAD

# What ends a blocked event loop is not to end a process.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})

LEASE = float(sys.argv[2])
ME = f"by {os.getpid()}"

tasks = Tasks(
    sys.argv[1], lease=LEASE, attempts=1_000, drain=0.2, anonymous="local", limits=Limits(tasks_per_owner=None)
)


class Sure(BaseModel):
    sure: bool


class Wave:
    """One pause of one process, and all that its tools do before and after it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.expected: int | None = None
        self.how = "stop"
        self.arrived = 0
        self.woken = asyncio.Event()
        self.woke = 0.0
        self.finish = asyncio.Event()
        self.victims: set[str | None] = set()

    async def point(self) -> None:
        """Goes on when the process has woken; of the last to come, in the same step of the event loop."""
        self.arrived += 1
        self.pause()
        await self.woken.wait()

    def pause(self) -> None:
        if self.arrived != self.expected:
            return
        say("pauses", wave=self.number)
        if self.how == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            signal.sigwait({signal.SIGUSR1})
        self.woke = time.monotonic()
        self.woken.set()


waves: dict[int, Wave] = {}


def wave_of(number: int) -> Wave:
    return waves.setdefault(number, Wave(number))


Act = Callable[[TaskContext], Awaitable[Any]]

WRITES: dict[str, Act] = {
    "message": lambda task: task.update(message=ME),
    "progress": lambda task: task.update(progress=os.getpid() / SPREAD),
    "variables": lambda task: task.update(variables={"mine": ME}),
    "thread": lambda task: to_thread.run_sync(lambda: task.in_thread.update(message=f"{ME} in a thread")),
    "read": lambda task: task.refresh(),
    "question": lambda task: task.elicit(f"Is it right, asked {ME}?", Sure),
    "input": lambda task: task.require_input(f"more, for it is done {ME}"),
    "completion": lambda task: task.complete(ME),
    "end": lambda task: task.fail(f"broken {ME}"),
    "wait": lambda task: asyncio.sleep(60),
}
"""What a tool can do with its task on the way, by kind."""


async def at_its_point(wave: Wave, kind: str, when: str, task: TaskContext) -> str:
    act = WRITES.get(kind)
    asking: asyncio.Task[Any] | None = None
    if when == "after":
        if kind == "question":
            asking = asyncio.ensure_future(WRITES[kind](task))
            while not (await tasks.store.get(LOCAL, str(task.task_id))).open_questions:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            act = lambda _: asking  # noqa: E731
        elif kind == "input":
            await WRITES[kind](task)
            act = lambda task: task.resume()  # noqa: E731
        else:
            assert act is not None
            await act(task)
            act = WRITES["wait"]
    await wave.point()
    if kind == "result":
        return ME
    if kind == "failure":
        raise RuntimeError(f"broken {ME}")
    assert act is not None
    await stale(wave, kind, when, act, task)
    # A tool that does not care.
    for other in ("message", "progress", "variables", "input", "end", "completion"):
        await stale(wave, other, "later", WRITES[other], task)
    return ME


async def stale(wave: Wave, kind: str, when: str, act: Act, task: TaskContext) -> None:
    """Do what a run may not do any more, and tell what came of it."""
    error: str | None = None
    try:
        await act(task)
    except (Exception, asyncio.CancelledError) as raised:
        error = type(raised).__name__
    since = time.monotonic() - wave.woke
    say("tried", task=task.task_id, kind=kind, when=when, error=error, cancelled=task.is_cancelled, since=since)


async def held(wave: Wave, kind: str, task: TaskContext) -> str:
    await task.update(message=ME, progress=os.getpid() / SPREAD, variables={"mine": ME})
    say("holds", task=task.task_id)
    if kind == "question":
        await task.elicit(f"Is it right, asked {ME}?", Sure)
    await wave.finish.wait()
    return ME


@tasks.tool(on_lost="retry", poll_interval=100)
async def step(number: int, victim: int, kind: str, when: str, task: TaskContext) -> str:
    wave = wave_of(number)
    if os.getpid() == victim and task.task_id not in wave.victims:
        wave.victims.add(task.task_id)
        return await at_its_point(wave, kind, when, task)
    return await held(wave, kind, task)


@tasks.tool(on_lost="retry", poll_interval=100)
async def busy(number: int, victim: int, task: TaskContext) -> str:
    """Write all the time, so that a pause from outside comes at any moment of a write."""
    wave = wave_of(number)
    if os.getpid() != victim or task.task_id in wave.victims:
        return await held(wave, "", task)
    wave.victims.add(task.task_id)
    written = 0
    while not wave.finish.is_set():
        written += 1
        await task.update(message=f"{ME} for the {written}. time")
        if written == 1:
            say("writes", task=task.task_id)
    return ME


@tasks.tool(poll_interval=100)
async def once(number: int, kind: str, when: str, task: TaskContext) -> str:
    return await at_its_point(wave_of(number), kind, when, task)


@tasks.tool(poll_interval=100)
async def quick(task: TaskContext) -> int:
    return os.getpid()


async def listen() -> None:
    async for order in orders():
        wave = wave_of(order["wave"])
        match order["what"]:
            case "wave":
                wave.expected, wave.how = order["expected"], order["how"]
                wave.pause()
            case "finish":
                wave.finish.set()


ears: list[asyncio.Task[None]] = []


@asynccontextmanager
async def lifespan(_: object) -> AsyncIterator[dict[str, Any]]:
    if not ears:
        # Once, though each session may come by here.
        ears.append(asyncio.create_task(listen()))
    async with tasks.lifespan() as state:
        yield state


server = MCPServer("paused", extensions=[tasks], middleware=[tasks], lifespan=lifespan, log_level="CRITICAL")

if __name__ == "__main__":
    serve(server, stdio="--stdio" in sys.argv)
