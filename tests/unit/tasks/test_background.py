"""Work in the background: in order, a little per turn of the event loop, and however busy that is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest

from pmcp_lab.tasks.background import Background
from tests.unit.server.test_server_life import settled


class Turns:
    """Counts the turns of the event loop."""

    def __init__(self) -> None:
        self.count = 0


@asynccontextmanager
async def turning(busy: float = 0.0) -> AsyncIterator[Turns]:
    """Something that has a step in every turn of the event loop, and takes some seconds of it."""
    turns = Turns()

    async def turn() -> None:
        while True:
            turns.count += 1
            if busy:
                time.sleep(busy)  # noqa: ASYNC251 - that is what others do
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    try:
        yield turns
    finally:
        turning.cancel()


async def test_pieces_are_done_in_order_and_later() -> None:
    background, done = Background(), list[int]()
    for number in range(200):
        background.add(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == []
    await settled(lambda: len(done) == 200)
    assert done == list(range(200))
    background.add(lambda: done.append(200))
    await settled(lambda: done[-1] == 200)


async def test_long_pieces_share_no_turn_even_when_what_they_start_is_what_takes_long() -> None:
    background = Background()
    at: list[int] = []
    async with turning() as turns:

        async def long() -> None:
            at.append(turns.count)
            time.sleep(0.002)  # noqa: ASYNC251 - it stands for encoding

        started = []
        for _ in range(30):
            background.add(lambda: started.append(asyncio.ensure_future(long())))
        await settled(lambda: len(at) == 30)
    assert len(set(at)) == 30


async def test_it_goes_on_where_the_event_loop_is_never_quiet() -> None:
    background, done = Background(), list[int]()
    async with turning(busy=0.001):
        for number in range(20):
            background.add(lambda number=number: done.append(number))  # type: ignore[misc]
        await settled(lambda: len(done) == 20)


async def test_others_have_their_turns_between_short_pieces_too() -> None:
    background, at = Background(), list[int]()
    async with turning() as turns:
        for _ in range(1_000):
            background.add(lambda: at.append(turns.count))
        await settled(lambda: len(at) == 1_000)
    assert max(at.count(turn) for turn in set(at)) <= 64


async def test_a_piece_that_fails_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    background, done = Background(), list[int]()
    background.add(lambda: done.append(1 // 0))
    background.add(lambda: done.append(1))
    await settled(lambda: done == [1])
    assert "ZeroDivisionError" in caplog.text


async def test_nobodys_context_is_the_workers() -> None:
    name: ContextVar[str] = ContextVar("name", default="nobody")
    background, seen = Background(), list[str]()
    name.set("ann")
    background.add(lambda: seen.append(name.get()))
    await settled(lambda: seen == ["nobody"])
