"""Tasks in PMCP's own DynamoDB table and Redis keys are taken over, once, with their owners and versions."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pmcp_lab.errors import StoreError
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import LOCAL, TaskStore, resolve_owner
from pmcp_lab.tasks.backends.memory import MemoryBackend
from pmcp_lab.tasks.pmcp_import import Imported, import_pmcp
from tests.unit.storage_servers import dynamodb_endpoint, shared_redis

pytest.importorskip("redis", reason="redis-py is not installed: pip install 'pmcp_lab[redis]'")
pytest.importorskip("aiobotocore", reason="aiobotocore is not installed: pip install 'pmcp_lab[dynamodb]'")


def stored(task_id: str, owner: str, ttl: int | None = 3_600_000, **fields: Any) -> dict[str, Any]:
    moment = datetime.now(UTC)
    made = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    expires = None if ttl is None else (moment + timedelta(milliseconds=ttl)).isoformat()
    task = {"taskId": task_id, "status": "working", "createdAt": made, "lastUpdatedAt": made, "ttl": ttl}
    return {
        "task": {**task, "pollInterval": 500, **fields.pop("task", {})},
        "ownerId": owner,
        "variables": {"n": 1},
        "result": None,
        "requestMethod": "tools/call",
        "expiresAt": expires,
        **fields,
    }


RECORDS = [
    (3, json.dumps(stored("t1", "urn:a:b"))),
    (1, json.dumps(stored("t2", "local", None, task={"status": "completed"}, result={"content": []}))),
    (2, json.dumps(stored("t3", "ann", 0))),
    (1, "no record"),
    (9, json.dumps(stored("t4", "ann"))),
]


@asynccontextmanager
async def table() -> AsyncIterator[str]:
    """As PMCP makes it: PK `OWNER#<owner>`, SK `TASK#<id>`, `version`, `data` as text, `expires_at`."""
    from pmcp_lab.tasks.backends.dynamodb import create_table, drop_table
    from pmcp_lab.tasks.backends.dynamodb_connection import Table

    url = f"dynamodb://pmcp-tasks-{uuid.uuid4()}?region=eu-central-1&endpoint={dynamodb_endpoint()}"
    await create_table(url)
    table = Table(url)
    for n, (version, data) in enumerate(RECORDS):
        item = {"PK": {"S": f"OWNER#o{n}"}, "SK": {"S": f"TASK#t{n}"}, "data": {"S": data}}
        await table.call("put_item", Item={**item, "version": {"N": str(version)}, "expires_at": {"N": "1"}})
    await table.close()
    yield url
    await drop_table(url)


@asynccontextmanager
async def keys() -> AsyncIterator[str]:
    """As PMCP makes them: hashes `<prefix>:tasks:<owner>:<task>` and sorted sets `<prefix>:idx:<owner>`."""
    from redis.asyncio import Redis

    prefix = f"odd[*]{uuid.uuid4()}"
    async with Redis.from_url(shared_redis().url) as client:
        for n, (version, data) in enumerate(RECORDS):
            await client.hset(f"{prefix}:tasks:a:b:t{n}", mapping={"version": version, "data": data, "expires_at": 1})
            await client.zadd(f"{prefix}:idx:a:b", {f"t{n}": n})
    yield f"{shared_redis().url}?prefix={prefix}"


@pytest.mark.parametrize("source", [table, keys])
async def test_what_pmcp_stored_is_taken_over_once(
    source: Callable[[], AbstractAsyncContextManager[str]], caplog: pytest.LogCaptureFixture
) -> None:
    store = TaskStore(MemoryBackend())
    async with source() as url:
        assert await import_pmcp(url, store) == Imported(taken=3, expired=1, refused=1)
        assert "was not taken over" in caplog.text
        assert await import_pmcp(url, store) == Imported(known=3, expired=1, refused=1)
    first = await store.get(resolve_owner("urn:a:b"), "t1")
    assert (first.seq, first.variables, first.poll_interval, first.ttl) == (3, {"n": 1}, 500, 3_600_000)
    done = await store.get(LOCAL, "t2")
    assert (done.status, done.result, done.expires) == (TaskStatus.COMPLETED, {"content": []}, None)
    assert (await store.cancel(resolve_owner("ann"), "t4")).seq == 10


async def test_sources_that_are_none() -> None:
    store = TaskStore(MemoryBackend())
    for url in ("sqlite:///x.db", "redis://127.0.0.1:1", "dynamodb://t?region=x&endpoint=http://127.0.0.1:1"):
        with pytest.raises(StoreError):
            await import_pmcp(url, store)
