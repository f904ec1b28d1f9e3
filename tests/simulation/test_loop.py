"""The loop itself: what a simulated process can count on, and what it is spared."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from contextvars import Context
from random import Random

import anyio
import pytest

from tests.simulation.loop import Scheduler, Stuck, finish, unheard
from tests.simulation.world import repeatable


def test_time_takes_no_time() -> None:
    scheduler = Scheduler(Random(0))
    loop = scheduler.add("A", epoch=1000.0)

    async def wait() -> float:
        began = loop.time()
        await asyncio.sleep(3600)
        return loop.time() - began

    waiting = loop.create_task(wait())
    scheduler.run(waiting.done)
    assert waiting.result() == pytest.approx(3600)
    assert scheduler.now == pytest.approx(3600)


def test_each_process_has_its_own_clock() -> None:
    scheduler = Scheduler(Random(0))
    slow, exact = scheduler.add("slow", rate=0.5), scheduler.add("exact")
    order: list[str] = []

    async def wait(name: str) -> None:
        await asyncio.sleep(10)
        order.append(name)

    tasks = [slow.create_task(wait("slow")), exact.create_task(wait("exact"))]
    scheduler.run(lambda: all(task.done() for task in tasks))
    assert order == ["exact", "slow"]
    assert scheduler.now == pytest.approx(20)


def test_the_killed_run_no_finally() -> None:
    scheduler = Scheduler(Random(0))
    dead, other = scheduler.add("dead"), scheduler.add("other")
    said: list[str] = []

    async def work() -> None:
        try:
            async with anyio.create_task_group():
                await asyncio.sleep(5)
        finally:
            said.append("finally")

    dead.create_task(work())
    other.call_later(1, scheduler.remove, dead, context=Context())
    done = other.create_task(asyncio.sleep(100))
    scheduler.run(done.done)
    gc.collect()
    assert said == []
    with unheard():
        scheduler.close()
        del dead, other, scheduler


def test_the_paused_find_that_time_has_passed() -> None:
    scheduler = Scheduler(Random(0))
    paused, other = scheduler.add("paused"), scheduler.add("other")
    seen: list[float] = []

    async def work() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            seen.append(paused.time())

    working = paused.create_task(work())
    other.call_later(1.5, paused.pause, context=Context())
    other.call_later(10, paused.wake, context=Context())
    scheduler.run(working.done)
    assert seen == [pytest.approx(1), pytest.approx(10), pytest.approx(11)]


def test_processes_take_turns_by_chance() -> None:
    def order(seed: int) -> str:
        scheduler = Scheduler(Random(seed))
        said: list[str] = []

        async def count(name: str) -> None:
            for _ in range(5):
                said.append(name)
                await asyncio.sleep(0)

        tasks = [scheduler.add(name).create_task(count(name)) for name in "ab"]
        scheduler.run(lambda: all(task.done() for task in tasks))
        return "".join(said)

    assert order(1) == order(1)
    assert len({order(seed) for seed in range(20)}) > 10


def test_within_a_process_callbacks_keep_their_order() -> None:
    scheduler = Scheduler(Random(0), shuffle=True)
    loop, called = scheduler.add("A"), list[int]()
    for number in range(50):
        loop.call_soon(called.append, number)
    scheduler.run(lambda: len(called) == 50)
    assert called == sorted(called)


def test_what_nobody_can_repeat_is_refused() -> None:
    scheduler = Scheduler(Random(0))
    loop = scheduler.add("A")

    async def thread() -> None:
        await asyncio.to_thread(print)

    async def connection() -> None:
        with socket.socket() as unconnected:
            await asyncio.open_connection(sock=unconnected)

    for work, error in ((thread, RuntimeError), (connection, NotImplementedError)):
        task = loop.create_task(work())
        scheduler.run(task.done)
        with pytest.raises(error):
            task.result()
    with repeatable(0):
        threading.Thread(target=lambda: pytest.fail("a thread ran")).start()


def test_a_simulation_that_is_stuck_says_so() -> None:
    scheduler = Scheduler(Random(0))
    waiting = scheduler.add("A").create_future()
    with pytest.raises(Stuck, match="everybody waits"):
        scheduler.run(waiting.done)


def test_what_waits_for_nobody_finishes_at_once() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert finish(work()) == 7
    with pytest.raises(RuntimeError, match="waits for somebody"):
        finish(asyncio.sleep(1))
