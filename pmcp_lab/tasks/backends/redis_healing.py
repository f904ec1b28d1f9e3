"""What is put right when Redis lost a part of what it had: the list of owners, and the sets beside the tasks.

Everything of one owner is in one slot and written by one script, so what comes back from a snapshot fits together.
The list of owners is in another slot, maybe on another node, and a key of its own, which may be evicted or deleted
while the tasks stay. It has a mark: which servers it was complete for. A list without the mark, or with that of
servers that have been started again since, is made anew by reading every key once. One process does that for all.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks.backends import redis_scripts as scripts
from pmcp_lab.tasks.backends.reading import legible
from pmcp_lab.tasks.backends.redis_connection import RedisConnection
from pmcp_lab.tasks.record import TaskRecord

logger = logging.getLogger(__name__)

_PAGE: Final = 500
"""Keys of one read of the key space."""
_TOGETHER: Final = 4_000
"""Keys that are sorted by owner before they are looked at."""
_AT_ONCE: Final = 100
"""Tasks that one script looks at: a millisecond, in which Redis does nothing else."""
_SIDE_BY_SIDE: Final = 8
"""Scripts that are asked for at the same time: what others want of Redis comes between."""
_TURN: Final = 5_000
"""Milliseconds after which another process may heal, when nothing is heard of the one whose turn it is."""

Columns = Callable[[TaskRecord, datetime], list[Any]]
"""A record's id, data, seq, write, now, expiry, whether it counts and lease: what scripts store."""


class Owners:
    """The list of owners that may have leases; see `redis_scripts`.

    Args:
        decode: Makes a record of data and seq. One that can't be read is a `StoreError`.
    """

    def __init__(
        self, connection: RedisConnection, decode: Callable[[tuple[bytes, bytes]], TaskRecord], columns: Columns
    ) -> None:
        self._connection = connection
        self._client = client = connection.client
        self._decode = decode
        self._columns = columns
        prefix = connection.prefix
        self._prefix = prefix
        self._list = f"{prefix}:leasing"
        # In the list's slot.
        self._turn = f"{prefix}:healing" if re.search(r"\{[^}]+\}", prefix) else f"{{{self._list}}}:healing"
        self._announce = client.register_script(scripts.ANNOUNCE)
        self._announced = client.register_script(scripts.ANNOUNCED)
        self._forget = client.register_script(scripts.FORGET)
        self._healed = client.register_script(scripts.HEALED)
        self._incomplete = client.register_script(scripts.INCOMPLETE)
        self._enlist = client.register_script(scripts.LIST)
        self._ghosts = client.register_script(scripts.GHOSTS)

    async def announce(self, bases: Iterable[str]) -> None:
        """Let whoever looks for leases know of these owners.

        Raises:
            StoreError: Redis can't be used.
        """
        await self._ask(lambda: self._announce([self._list], list(bases)))

    async def forget(self, base: str, after: float) -> None:
        """Take an owner off the list, unless he was announced in the last `after` seconds. Raises as `announce`."""
        await self._ask(lambda: self._forget([self._list], [base, after]))

    async def announced(self) -> list[tuple[str, float]]:
        """Base keys of the owners, and how many seconds ago each was announced. Makes the list complete first.

        Raises:
            StoreError: Redis can't be used.
        """
        mark = await self._mark()
        found = await self._listed()
        if mark is not None and mark not in found and await self._heal(mark):
            found = await self._listed()
        return [(base, age) for base, age in found.items() if base.startswith(f"{self._prefix}:")]

    async def _listed(self) -> dict[str, float]:
        now, listed = await self._ask(lambda: self._announced([self._list]))
        return {base.decode(): int(now) - float(since) for base, since in zip(listed[::2], listed[1::2], strict=True)}

    async def _mark(self) -> str | None:
        """Which servers these are: another one for each start of each. None when one of them can't be asked."""
        try:
            runs = await asyncio.gather(*(self._run(where) for where in await self._nodes()))
        except StoreError as error:
            logger.debug("whether the list of owners is complete can't be told: %s", error)
            return None
        return "complete for " + hashlib.sha256(" ".join(sorted(runs)).encode()).hexdigest()[:16]

    async def _run(self, where: dict[str, Any]) -> str:
        async def ask() -> Any:
            try:
                return await self._client.info("server", **where)
            except ResponseError:
                # It is not for everybody. The mark still goes with the list.
                return {}

        return str((await self._ask(ask)).get("run_id", "unknown"))

    async def _nodes(self) -> list[dict[str, Any]]:
        """What a command takes to go to one node, for each that has keys."""
        if isinstance(self._client, Redis):
            return [{}]
        await self._ask(self._client.initialize)
        return [{"target_nodes": node} for node in self._client.get_primaries()]

    async def _heal(self, mark: str) -> bool:
        """Whether the list is complete now; false when another process is at it."""
        token = secrets.token_hex(8)
        if not await self._ask(lambda: self._client.set(self._turn, token, nx=True, px=_TURN)):
            return False
        mended = 0
        async for keys in self._keys():
            mended += await self._look(keys)
            if not await self._ask(lambda: self._client.set(self._turn, token, xx=True, px=_TURN)):
                return False
        if mended:
            logger.warning(
                "the task store at %s had lost parts of its indexes: %d tasks are found again",
                self._connection.name,
                mended,
            )
        # Not when the list was lost once more in the meantime, and whose turn it is with it.
        return bool(await self._ask(lambda: self._healed([self._list, self._turn], [token, mark])))

    async def _keys(self) -> AsyncIterator[list[str]]:
        """Every key of this store, in pages; one that is there all the time at least once."""
        pattern = re.sub(r"([*?\[\]\\^])", r"\\\1", self._prefix) + ":{*}:*"
        for where in await self._nodes():
            cursor: Any = 0
            keys: list[str] = []
            while True:
                scan = partial(self._client.scan, match=pattern, count=_PAGE, **where)
                cursor, page = await self._ask(partial(scan, cursor))
                if isinstance(cursor, dict):
                    # Of a cluster: by node.
                    cursor = next(iter(cursor.values()))
                keys += (key.decode() for key in page)
                if not cursor:
                    break
                if len(keys) >= _TOGETHER:
                    yield keys
                    keys = []
            yield keys

    async def _look(self, keys: list[str]) -> int:
        """Mend what belongs to these keys; how many tasks were missing somewhere."""
        tasks: dict[str, list[str]] = defaultdict(list)
        owners: set[str] = set()
        counting: set[str] = set()
        for key in keys:
            base, _, rest = key.rpartition("}:")
            base += "}"
            if rest.startswith("t:"):
                tasks[base].append(rest[2:])
            elif rest in ("leases", "known"):
                owners.add(base)
            elif rest == "live":
                counting.add(base)
        chunks = [(base, ids[n : n + _AT_ONCE]) for base, ids in tasks.items() for n in range(0, len(ids), _AT_ONCE)]
        turns = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def mend(base: str, ids: list[str]) -> tuple[bool, int]:
            async with turns:
                return await self._mend(base, ids)

        async def drop_ghosts(base: str) -> None:
            async with turns:
                await self._drop_ghosts(base)

        found = await asyncio.gather(*(mend(base, ids) for base, ids in chunks))
        owners |= {base for (base, _), (leased, _) in zip(chunks, found, strict=True) if leased}
        if owners:
            await self.announce(owners)
        await asyncio.gather(*(drop_ghosts(base) for base in counting))
        return sum(mended for _, mended in found)

    async def _mend(self, base: str, ids: list[str]) -> tuple[bool, int]:
        """Whether one of these has a lease that no set had, and how many tasks some set lacked."""
        stored = await self._ask(lambda: self._incomplete([base], ids))
        records = legible(list(zip(stored[::2], stored[1::2], strict=True)), self._decode)
        if not records:
            return False, 0
        now = datetime.now(UTC)
        rows: list[Any] = []
        for record in records:
            task_id, _, seq, _, moment, expires, counts, lease = self._columns(record, now)
            rows += [task_id, seq, scripts.ms(record.created), expires, counts, lease]
        await self._ask(lambda: self._enlist([base], [moment, *rows]))
        return any(record.lease is not None for record in records), len(records)

    async def _drop_ghosts(self, base: str) -> None:
        """What counts towards the quota though it is not there any more."""
        first, count = 0, 1
        while first < count:
            count, gone = await self._ask(partial(self._ghosts, [base], [first, first + _AT_ONCE - 1]))
            first += _AT_ONCE - gone

    async def _ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        return await self._connection.ask(command)
