"""Records in Redis (or Valkey), for several machines: one round trip per operation, expiry by Redis itself.

Runs on one node or on a cluster, where all keys of an owner share a slot. How
durable an acknowledged write is, is Redis' own setting (`appendfsync`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, Final, cast

from redis.commands.core import AsyncScript

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks.backends import Changes, Conflict, Position, QuotaReached
from pmcp_lab.tasks.backends import redis_scripts as scripts
from pmcp_lab.tasks.backends.reading import first_legible
from pmcp_lab.tasks.backends.redis_connection import RedisConnection
from pmcp_lab.tasks.backends.redis_feed import Feed
from pmcp_lab.tasks.backends.redis_healing import Owners
from pmcp_lab.tasks.backends.redis_scripts import ms
from pmcp_lab.tasks.codec import decode_record, encode_record
from pmcp_lab.tasks.owner import Owner, key_text, owner_key
from pmcp_lab.tasks.record import TaskRecord

_KNOWN: Final = 10.0
"""Seconds for which an owner that was announced is not announced again."""

_SCANNED: Final = 500
"""Leases that are read at once, about."""

_FORGOTTEN: Final = 600.0
"""Seconds after which an owner without leases is taken off the list: far more, so that nobody relies on it then."""


def open_url(url: str) -> RedisBackend:
    return RedisBackend(url)


class RedisBackend:
    """A store on Redis. Connects when first used.

    Args:
        url: `redis://[user:password@]host:port/db`, `rediss://…` or `unix://…`, with redis-py's options as query;
            `prefix=…` goes before every key (`pmcp`), `socket_timeout=…` is how many seconds an operation may take
            before it has failed (4.5). `redis+cluster://…`, `rediss+cluster://…` or `cluster=true` is any node of a
            Redis Cluster.

    Raises:
        StoreError: The URL can't be read.
    """

    durable = True
    clock_skew = 5.0

    def __init__(self, url: str) -> None:
        self._connection = RedisConnection(url)
        self.prefix = self._connection.prefix
        self._client = self._connection.client
        self._feed = Feed(self._connection.listener, self._connection.operation_timeout)
        self._owners = Owners(self._connection, self._decoded, _columns)
        self._known: dict[str, float] = {}
        self._insert = self._client.register_script(scripts.INSERT)
        self._replace = self._client.register_script(scripts.REPLACE)
        self._delete = self._client.register_script(scripts.DELETE)
        self._page = self._client.register_script(scripts.PAGE)
        self._leased = self._client.register_script(scripts.LEASED)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.name!r})"

    async def get(self, owner: Owner, task_id: str) -> TaskRecord | None:
        data, seq = await self._ask(
            lambda: self._client.hmget(f"{self._base(owner)}:t:{key_text(task_id)}", ["d", "v"])
        )
        return None if data is None else self._decoded((data, seq))

    async def insert(self, record: TaskRecord, *, quota: int | None, now: datetime) -> None:
        answer = await self._write(self._insert, record, now, "" if quota is None else quota)
        if answer[0] == b"quota":
            raise QuotaReached
        self._check(answer)

    async def replace(self, record: TaskRecord, *, expected: int) -> None:
        self._check(await self._write(self._replace, record, record.updated, expected))

    async def delete(self, owner: Owner, task_id: str) -> bool:
        return bool(await self._ask(lambda: self._delete([self._base(owner)], [key_text(task_id)])))

    async def page(self, owner: Owner, *, after: Position | None, limit: int, now: datetime) -> list[TaskRecord]:
        if limit < 1:
            return []
        position = ["", ""] if after is None else [str(ms(after[0])), key_text(after[1])]

        async def fetch(count: int) -> list[tuple[bytes, bytes]]:
            args: list[Any] = [ms(now), count, *position]
            found = await self._ask(lambda: self._page([self._base(owner)], args))
            return list(zip(found[::2], found[1::2], strict=True))

        return await first_legible(fetch, self._decoded, limit)

    async def purge(self, now: datetime) -> int:  # noqa: ARG002
        """0: Redis deletes expired records by itself; what is left of them in indexes goes with the next write."""
        return 0

    async def next_expiry(self) -> datetime | None:
        """None: see `purge`."""
        return None

    async def leases(self) -> AsyncIterator[list[tuple[Hashable, int]]]:
        for base, known_for in await self._owners.announced():
            cursor, there = 0, False
            while True:
                # Gives every member that is there all the time, however the others change.
                cursor, found = await self._ask(partial(self._client.zscan, f"{base}:leases", cursor, count=_SCANNED))
                there = there or bool(found)
                yield [((base, task.decode()), int(version)) for task, version in found]
                if not cursor:
                    break
            if not there and known_for > _FORGOTTEN:
                await self._owners.forget(base, _FORGOTTEN)

    async def leased(self, key: Hashable) -> TaskRecord | None:
        base, task = cast(tuple[str, str], key)
        stored = await self._ask(lambda: self._leased([base], [task]))
        return self._decoded((stored[0], stored[1])) if stored else None

    @asynccontextmanager
    async def watch(self, owner: Owner, task_id: str | None = None) -> AsyncIterator[Changes]:
        name = f"{self._base(owner)}:c" + ("" if task_id is None else f":{key_text(task_id)}")
        listening = self._feed.listen(name)
        changes = await self._connection.translated(listening.__aenter__())
        try:
            yield changes
        finally:
            await listening.__aexit__(None, None, None)

    async def close(self) -> None:
        await self._feed.close()
        await self._connection.close()

    def _base(self, owner: Owner) -> str:
        return f"{self.prefix}:{{{owner_key(owner)}}}"

    async def _write(self, script: AsyncScript, record: TaskRecord, now: datetime, condition: int | str) -> list[bytes]:
        """What INSERT or REPLACE answers.

        Whoever looks for leases of every owner must know of this one. The list is in another cluster slot, so no
        script can keep it: it is written before the task is (a process that dies in between leaves nothing unlisted),
        and again after a while. That it was written is remembered here, to ask for it in the right order, and beside
        the tasks, where it is lost with them.
        """
        base, announced = self._base(record.owner), ""
        columns = _columns(record, now)
        moment = time.monotonic()
        if record.lease is not None and moment - self._known.get(base, -_KNOWN) >= _KNOWN:
            announced = await self._announce(base)
        while True:
            args = [*columns, ms(record.created), announced, condition]
            answer: list[bytes] = await self._ask(partial(script, [base], args))
            if answer[0] != b"unknown":
                return answer
            announced = await self._announce(base)

    async def _announce(self, base: str) -> str:
        """For how many milliseconds the owner may be thought to be on the list."""
        await self._owners.announce([base])
        if len(self._known) >= 10_000:
            self._known.clear()
        self._known[base] = time.monotonic()
        return f"{_KNOWN * 1000:.0f}"

    async def _ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        return await self._connection.ask(command)

    def _decoded(self, stored: tuple[bytes, bytes]) -> TaskRecord:
        data, seq = stored
        try:
            return decode_record(data, seq=int(seq))
        except (StoreError, TypeError, ValueError) as error:
            raise StoreError(f"in the task store at {self._connection.name}, {error}") from None

    def _check(self, answer: list[bytes]) -> None:
        if answer[0] == b"conflict":
            raise Conflict(self._decoded((answer[1], answer[2])) if len(answer) > 1 else None)


def _columns(record: TaskRecord, now: datetime) -> list[Any]:
    return [
        key_text(record.task_id),
        encode_record(record),
        record.seq,
        secrets.token_bytes(12),
        ms(now),
        "" if record.expires is None else ms(record.expires),
        int(record.live),
        "" if record.lease is None else record.lease.version,
    ]
