"""The backends every test of a backend runs against, and a clock. To add one, append how to make an empty one."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from pmcp_lab.tasks.backends import Backend
from pmcp_lab.tasks.backends.memory import MemoryBackend
from tests.unit.storage_servers import dynamodb_endpoint, shared_redis


class Clock:
    """A present that passes when told to. It starts now, because some backends delete by the real clock."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


class BackendCase(NamedTuple):
    """A backend under test. `make()` opens an empty one on the running loop and tidies up when left."""

    name: str
    make: Callable[[], AbstractAsyncContextManager[Backend]]


@asynccontextmanager
async def memory() -> AsyncIterator[Backend]:
    yield MemoryBackend()


@asynccontextmanager
async def sqlite() -> AsyncIterator[Backend]:
    from pmcp_lab.tasks.backends.sqlite import SqliteBackend

    with tempfile.TemporaryDirectory() as folder:
        backend = SqliteBackend(Path(folder) / "tasks.db")
        try:
            yield backend
        finally:
            await backend.close()


@asynccontextmanager
async def redis() -> AsyncIterator[Backend]:
    from pmcp_lab.tasks.backends.redis import RedisBackend

    backend = RedisBackend(f"{shared_redis().url}?prefix={uuid.uuid4()}")
    try:
        yield backend
    finally:
        await backend.close()


@asynccontextmanager
async def dynamodb() -> AsyncIterator[Backend]:
    from pmcp_lab.tasks.backends.dynamodb import DynamoBackend, create_table, drop_table

    name = f"pmcp-lab-test-{uuid.uuid4()}"
    url = f"dynamodb://{name}?region=eu-central-1&endpoint={dynamodb_endpoint()}"
    await create_table(url)
    backend = DynamoBackend(url)
    try:
        yield backend
    finally:
        await backend.close()
        await drop_table(url)


CASES = [
    BackendCase("memory", memory),
    BackendCase("sqlite", sqlite),
    BackendCase("redis", redis),
    BackendCase("dynamodb", dynamodb),
]
