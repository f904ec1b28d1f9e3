"""A Redis that keeps what it has acknowledged (appendonly) is killed and started again under what uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks import LOCAL, open_store
from tests.unit.processes import together
from tests.unit.siege import redis_is_killed
from tests.unit.storage_servers import RedisServer


@pytest.fixture
def servers() -> Iterator[list[RedisServer]]:
    started = [RedisServer(), RedisServer()]
    yield started
    for server in started:
        server.close()


@pytest.mark.timeout(180)
async def test_servers_go_on(servers: list[RedisServer]) -> None:
    accounts = await together(
        legacy=redis_is_killed(servers[0], "2025-11-25"), modern=redis_is_killed(servers[1], "2026-07-28")
    )
    for account in accounts.values():
        assert account.killed == 3
        assert account.ends["again completed"]


async def test_who_watches_hears_of_changes_afterwards(servers: list[RedisServer]) -> None:
    server, _ = servers
    store = open_store(server.url)
    watched, *others = [(await store.create(LOCAL)).task_id for _ in range(8)]

    async def come_and_go(task_id: str, enough: asyncio.Event) -> None:
        while not enough.is_set():
            with suppress(StoreError):
                async with store.backend.watch(LOCAL, task_id):
                    await asyncio.sleep(0)
            await asyncio.sleep(0)

    async with store.backend.watch(LOCAL, watched) as changes:
        for number in range(4):
            enough = asyncio.Event()
            coming = [asyncio.create_task(come_and_go(task_id, enough)) for task_id in others]
            await asyncio.sleep(0.1)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            await asyncio.sleep(0.3)
            enough.set()
            await asyncio.gather(*coming)
            # What is told because the connection was lost.
            with suppress(TimeoutError):
                while True:
                    async with asyncio.timeout(0.5):
                        await changes.wait()
            await store.set_variables(LOCAL, watched, {"number": number})
            async with asyncio.timeout(5):
                assert await changes.wait() == {watched}
    await store.close()
