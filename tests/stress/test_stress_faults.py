"""Real processes that are killed, paused, or told the wrong time, again and again: one holder at a time, none lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.unit.calling import GENERATIONS, Generation
from tests.unit.execution.test_clocks import CLOCKS, home, runs_and_is_lost
from tests.unit.farm import fresh
from tests.unit.pauses import How, paused
from tests.unit.redelivery import redelivered
from tests.unit.server.test_restarted_processes import outlives
from tests.unit.siege import besieged, redis_is_killed
from tests.unit.storage_servers import RedisServer, shared_redis


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return fresh(shared_redis().url) if request.param == "redis" else f"sqlite:///{tmp_path}/tasks.db"


@pytest.mark.parametrize(("url", "generation"), [("sqlite", "2025-11-25"), ("redis", "2026-07-28")], indirect=["url"])
async def test_fifty_pauses(url: str, generation: Generation) -> None:
    account = await paused(url, generation, rounds=50)
    assert account.pauses == 50
    latest = max(account.noticed_after)
    print(f"\n50 pauses, {account.refused.total()} writes refused, noticed after {latest:.3f} s at the latest")


@pytest.mark.parametrize("url", ["sqlite", "redis"], indirect=True)
@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(("how", "stdio"), [("stop", True), ("block", False), ("end", False), ("end", True)])
async def test_pauses_of_every_kind(url: str, generation: Generation, how: How, stdio: bool) -> None:
    await paused(url, generation, how=how, stdio=stdio, rounds=1 if how == "end" else 6)


@pytest.mark.parametrize(
    ("url", "generation", "servers", "stdio"),
    [
        ("sqlite", "2026-07-28", 1, False),
        ("sqlite", "2025-11-25", 2, False),
        ("redis", "2026-07-28", 2, False),
        ("redis", "2025-11-25", 2, True),
    ],
    indirect=["url"],
)
async def test_two_hundred_kills(url: str, generation: Generation, servers: int, stdio: bool) -> None:
    account = await besieged(url, generation, servers=servers, kills=200, quota=20, stdio=stdio)
    assert account.killed + account.terminated == 200
    print(
        f"\n{account.killed} servers killed, {account.terminated} asked to end: {len(account.made)} tasks acknowledged,"
        f" {dict(account.ends)}, {account.retried} run again, {account.refused} refused at the quota"
    )


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_redis_is_killed_fifty_times(generation: Generation) -> None:
    server = RedisServer()
    try:
        account = await redis_is_killed(server, generation, kills=50)
    finally:
        server.close()
    print(f"\n{account.killed} times killed: {len(account.made)} tasks acknowledged, {dict(account.ends)}")


@pytest.mark.parametrize("url", ["sqlite", "redis"], indirect=True)
async def test_messages_come_again_and_again(url: str) -> None:
    queue = await redelivered(url, tasks=200, kills=50)
    print(f"\n{queue.killed} consumers killed, {sum(map(len, queue.starts.values()))} starts of 200 tasks and more")


@pytest.mark.parametrize("url", ["sqlite", "redis"], indirect=True)
async def test_a_question_outlives_thirty_servers(url: str) -> None:
    await outlives(url, "2026-07-28", stdio=False, restarts=30)


@pytest.mark.parametrize("storage", ["sqlite", "redis"])
async def test_clocks_again_and_again(storage: str, tmp_path: Path) -> None:
    home()
    worst = 0.0
    for number in range(10):
        for name, clocks in CLOCKS.items():
            folder = tmp_path / f"{number}-{name.replace(' ', '-')}"
            await asyncio.to_thread(folder.mkdir)
            url = fresh(shared_redis().url) if storage == "redis" else f"sqlite:///{folder}/tasks.db"
            worst = max(worst, await runs_and_is_lost(url, clocks, folder))
    print(f"\n60 lost tasks were run again within {worst:.2f} s")
