"""Writers that go on while their Redis is killed and started again, and the account of what they were told is done."""

from __future__ import annotations

import asyncio
import json
import random

from pmcp_lab.errors import InvalidTransition, StoreError
from pmcp_lab.tasks import TaskStore, open_store
from tests.unit.crash import LIMITS, OWNER, Account, everything
from tests.unit.storage_servers import RedisServer

WRITERS = 8


async def kill_again_and_again(server: RedisServer, rounds: int, seed: int = 1) -> Account:
    """Kill the server at random moments; after each time everything it acknowledged must be there."""
    chance = random.Random(seed)
    account = Account()
    store = open_store(server.url, LIMITS)
    try:
        for _ in range(rounds):
            writing = [asyncio.create_task(_write(store, account)) for _ in range(WRITERS)]
            before = account.counts.total()
            while account.counts.total() < before + 50:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.sleep(chance.uniform(0, 0.1))
            server.stop()
            await asyncio.gather(*writing)
            server.start()
            await account.check(store, list(account.fresh))
        await account.check(store, list(account.variables))
        assert set(account.variables) <= {record.task_id for record in await everything(store)}
    finally:
        await store.close()
    return account


async def _write(store: TaskStore, account: Account) -> None:
    """Until Redis is gone. What was not acknowledged may or may not be there."""
    for n in range(1_000_000):
        try:
            task = await store.create(OWNER)
            account.enter(json.dumps(["created", task.task_id]))
            await store.update(OWNER, task.task_id, variables={"n": n})
            account.enter(json.dumps(["variable", task.task_id, "n", n]))
            if n % 3:
                await asyncio.gather(*(_complete(store, account, task.task_id, f"{n}/{rival}") for rival in range(2)))
        except StoreError:
            return


async def _complete(store: TaskStore, account: Account, task_id: str, value: str) -> None:
    try:
        await store.complete(OWNER, task_id, value)
    except InvalidTransition:
        return
    account.enter(json.dumps(["completed", task_id, value]))
