"""Takes over the tasks of a PMCP server from its own table in DynamoDB or its own keys in Redis."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from pmcp_lab.errors import LimitExceeded, MissingExtra, StoreError
from pmcp_lab.protocol.address import shown
from pmcp_lab.tasks.backends import Conflict
from pmcp_lab.tasks.codec import decode_record
from pmcp_lab.tasks.store import TaskStore

_log = logging.getLogger(__name__)

Stored = tuple[str, str | bytes, str | bytes]
"""Where it lies, the record's JSON, its version."""


@dataclass(frozen=True, slots=True)
class Imported:
    """How many tasks were taken over, were there already, had expired, and could not be read or stored."""

    taken: int = 0
    known: int = 0
    expired: int = 0
    refused: int = 0


async def import_pmcp(source: str, store: TaskStore) -> Imported:
    """Copy what PMCP stored into a store; run again, it copies what is new since.

    An `ownerId` becomes a subject without issuer, `local` the one local owner. Nobody runs an unfinished task that
    comes over: it ends when somebody ends it, or with its ttl. Quotas are not looked at. What is refused is logged.

    Args:
        source: `dynamodb://pmcp_tasks?region=…` or `redis://…?prefix=pmcp`, PMCP's own; it is only read.

    Raises:
        MissingExtra: What reads the source is not installed.
        StoreError: The source can't be read, or the store not written.
    """
    scheme = source.partition("://")[0].lower()
    if scheme not in ("dynamodb", "redis", "rediss"):
        raise StoreError(f"PMCP keeps tasks in dynamodb:// or redis://, not in {shown(source)!r}")
    counts = dict.fromkeys(("taken", "known", "expired", "refused"), 0)
    async for place, data, version in _dynamodb(source) if scheme == "dynamodb" else _redis(source):
        counts[await _take(store, place, data, version)] += 1
    return Imported(**counts)


async def _take(store: TaskStore, place: str, data: str | bytes, version: str | bytes) -> str:
    now = store.now()
    try:
        record = decode_record(data.encode() if isinstance(data, str) else data, seq=max(1, int(version)))
    except (StoreError, ValueError) as error:
        _log.warning("%s was not taken over: %s", place, error)
        return "refused"
    if record.expired(now):
        return "expired"
    try:
        await store.backend.insert(record, quota=None, now=now)
    except Conflict:
        return "known"
    except LimitExceeded as error:
        _log.warning("%s was not taken over: %s", place, error)
        return "refused"
    return "taken"


async def _dynamodb(source: str) -> AsyncIterator[Stored]:
    try:
        from pmcp_lab.tasks.backends.dynamodb_connection import Table
    except ModuleNotFoundError:
        raise MissingExtra("dynamodb://", "dynamodb") from None
    table, more = Table(source), dict[str, Any]()
    try:
        while True:
            answer = await table.call("scan", ConsistentRead=True, **more)
            for item in answer["Items"]:
                if item["SK"]["S"].startswith("TASK#"):
                    place = f"{item['PK']['S']} {item['SK']['S']}"
                    yield place, item.get("data", {}).get("S", ""), item.get("version", {}).get("N", "")
            if "LastEvaluatedKey" not in answer:
                return
            more = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
    finally:
        await table.close()


async def _redis(source: str) -> AsyncIterator[Stored]:
    try:
        from pmcp_lab.tasks.backends.redis_connection import RedisConnection
    except ModuleNotFoundError:
        raise MissingExtra("redis://", "redis") from None
    connection = RedisConnection(source)
    prefix = re.sub(r"([\\*?\[\]])", r"\\\1", connection.prefix)
    keys = connection.client.scan_iter(match=f"{prefix}:tasks:*", count=500, _type="hash")
    try:
        while (key := await connection.ask(partial(anext, keys, None))) is not None:
            data, version = await connection.ask(partial(connection.client.hmget, key, ["data", "version"]))
            # None when it expired just now.
            if data is not None:
                yield key.decode("utf-8", "backslashreplace"), data, version or b""
    finally:
        await connection.close()
