"""When tasks are polled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from itertools import pairwise

from pmcp_lab.client.watcher import DEFAULT, FLOOR, IN_FLIGHT, Watcher, interval


def run(poll: Callable[[Hashable], Awaitable[float | None]], keys: list[str], seconds: float) -> None:
    async def main() -> None:
        watcher = Watcher(poll)
        running = asyncio.create_task(watcher.run())
        for key in keys:
            watcher.watch(key)
        await asyncio.sleep(seconds)
        running.cancel()

    asyncio.run(main())


def test_it_stops_when_told_that_nothing_more_comes() -> None:
    polls: Counter[Hashable] = Counter()

    async def poll(key: Hashable) -> float | None:
        polls[key] += 1
        return 0.0 if polls[key] < 3 else None

    run(poll, ["a", "b"], FLOOR * 6)
    assert polls == {"a": 3, "b": 3}


def test_never_more_often_than_the_floor() -> None:
    times: list[float] = []

    async def poll(_: Hashable) -> float | None:
        times.append(asyncio.get_running_loop().time())
        return 0.0

    run(poll, ["a"], FLOOR * 5)
    assert all(later - earlier >= FLOOR * 0.95 for earlier, later in pairwise(times))
    assert len(times) > 3


def test_a_bounded_number_at_a_time() -> None:
    flying = most = 0

    async def poll(_: Hashable) -> float | None:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await asyncio.sleep(0.01)
        flying -= 1
        return None

    run(poll, [str(n) for n in range(100)], 0.4)
    assert most == IN_FLIGHT


def test_a_slow_one_holds_up_nobody() -> None:
    seen: set[Hashable] = set()

    async def poll(key: Hashable) -> float | None:
        if key == "slow":
            await asyncio.sleep(10)
        seen.add(key)
        return None

    run(poll, ["slow", "a", "b"], 0.2)
    assert seen == {"a", "b"}


def test_what_is_asked_for_again_while_it_is_polled_is_polled_again() -> None:
    polls: list[Hashable] = []

    async def main() -> None:
        async def poll(key: Hashable) -> float | None:
            polls.append(key)
            await asyncio.sleep(0.05)
            return 100.0

        watcher = Watcher(poll)
        running = asyncio.create_task(watcher.run())
        watcher.watch("a")
        await asyncio.sleep(0.02)
        watcher.watch("a")
        await asyncio.sleep(FLOOR + 0.15)
        running.cancel()

    asyncio.run(main())
    assert polls == ["a", "a"]


def test_hints() -> None:
    assert interval(None) == DEFAULT
    assert interval(2500) == 2.5
    assert interval(0) == FLOOR
