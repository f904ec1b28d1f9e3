"""Records in one SQLite file, which several processes may use at once: the durable default.

Write-ahead log with `synchronous=NORMAL`. An acknowledged write survives whatever happens to the process; a power
cut or a crash of the operating system may undo the last ones (those since the last checkpoint), never half of one
(https://sqlite.org/pragma.html#pragma_synchronous). The file must not lie on a network drive
(https://sqlite.org/wal.html).

Reads are done on the caller's thread: finding a row takes less time than waking another thread. So are writes, unless
somebody else is writing. Both use one connection as long as they can, because a second one forgets all pages it has
read whenever the first writes.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Hashable
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from pmcp_lab.errors import StoreError
from pmcp_lab.protocol.address import shown, split
from pmcp_lab.tasks.backends import Conflict, Position, QuotaReached
from pmcp_lab.tasks.backends.reading import first_legible
from pmcp_lab.tasks.backends.sqlite_file import StoreFile
from pmcp_lab.tasks.backends.sqlite_place import Place
from pmcp_lab.tasks.backends.sqlite_trouble import TROUBLE, busy, damage, illegible, trouble
from pmcp_lab.tasks.backends.sqlite_writer import Writer
from pmcp_lab.tasks.backends.watching import LocalChanges, Watched, Watchers
from pmcp_lab.tasks.codec import decode_record, encode_record
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import TaskRecord

_NEVER: Final = 2**63 - 1
_USER: Final = re.compile(r"(?!/[A-Za-z]:/).*:.*@|/[A-Za-z]:/.*:.*@", re.DOTALL)
"""In a path, behind the letter of a drive: somebody meant another kind of store."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_KEPT: Final = 128
_KEPT_BYTES: Final = 16_384
"""Decoded records that are kept for the next reader: how many at least, and how big one may be as JSON."""

_GIVEN_BACK: Final = 256
"""Pages by which the file becomes smaller in one go."""

_SPARE: Final = 512
"""Free pages that stay in the file at least, because others will soon want them."""

_GET = "SELECT id, seq, data FROM task WHERE owner = ? AND id = ?"
_SEQ = "SELECT seq FROM task WHERE owner = ? AND id = ?"
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM task WHERE owner = ? AND live AND expires >= ? LIMIT ?)"
_INSERT = "INSERT INTO task (owner, id, created, expires, live, lease, seq, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
# Each touches more indexes than the one before: progress none, an end those of what is live and leased.
_REPLACE = (
    "UPDATE task SET seq = ?, data = ?"
    " WHERE owner = ? AND id = ? AND seq = ? AND expires = ? AND live = ? AND lease IS ?",
    "UPDATE task SET seq = ?, data = ?, live = ?, lease = ? WHERE owner = ? AND id = ? AND seq = ? AND expires = ?",
    "UPDATE task SET seq = ?, data = ?, live = ?, lease = ?, expires = ? WHERE owner = ? AND id = ? AND seq = ?",
)
_DELETE = "DELETE FROM task WHERE owner = ? AND id = ?"
_FIRST_PAGE = "SELECT id, seq, data FROM task WHERE owner = ? AND expires >= ? ORDER BY created DESC, id DESC LIMIT ?"
_NEXT_PAGE = (
    "SELECT id, seq, data FROM task WHERE owner = ? AND (created, id) < (?, ?) AND expires >= ?"
    " ORDER BY created DESC, id DESC LIMIT ?"
)
# Up to 200 records, and up to a megabyte besides the first. The second comparison is that of the index, which would not
# be used without it.
_PURGE = (
    "DELETE FROM task WHERE rowid IN (SELECT row FROM"
    " (SELECT row, size, sum(size) OVER (ROWS UNBOUNDED PRECEDING) AS total FROM"
    " (SELECT rowid AS row, length(data) AS size FROM task"
    " WHERE expires < ? AND expires < 9223372036854775807 LIMIT 200))"
    " WHERE total - size < 1000000)"
)
_EXPIRED = "SELECT 1 FROM task WHERE expires < ? AND expires < 9223372036854775807 LIMIT 1"
_NEXT_EXPIRY = "SELECT min(expires) FROM task WHERE expires < 9223372036854775807"
# Answered by the index alone. What is renewed meanwhile may be passed by, which lives.
_LEASES = (
    "SELECT rowid, lease, owner, expires FROM task"
    " WHERE live AND lease IS NOT NULL AND (owner, expires, lease, rowid) > (?, ?, ?, ?)"
    " ORDER BY owner, expires, lease, live, rowid LIMIT 500"
)
_LEASED = "SELECT id, seq, data, owner FROM task WHERE rowid = ? AND live AND lease IS NOT NULL"


def open_url(url: str) -> SqliteBackend:
    """For `sqlite:///relative.db` and `sqlite:////absolute.db`; made if it is not there, its folder is not."""
    parts = split(url)
    if parts is None or parts.netloc:
        raise StoreError(f"a SQLite store's file comes after three slashes: sqlite:///tasks.db, not {shown(url)}")
    if parts.query or parts.fragment:
        raise StoreError(f"a SQLite store takes no options after ? or #: {shown(url)}")
    if _USER.match(parts.path):
        raise StoreError(f"a SQLite store takes no user and password, only a file: {shown(url)}")
    path = unquote(parts.path[1:])
    if not path:
        raise StoreError("a SQLite store needs a file: sqlite:///tasks.db, or sqlite:////var/lib/tasks.db")
    if path == ":memory:":
        raise StoreError("for a store in memory, use memory://")
    return SqliteBackend(path)


class SqliteBackend:
    """Records in a table, each as one value beside the columns it is looked up by.

    All who use a file are on one machine, and so have one clock.

    Args:
        path: The file; beside it lie `-wal` and `-shm` while it is open.
        timeout: Seconds to wait for another process that writes.

    Raises:
        StoreError: The file can't be opened, or is something else.
    """

    durable = True
    clock_skew = 0.0

    def __init__(self, path: str | Path, *, timeout: float = 30) -> None:
        self._path = str(path)
        self._watchers = Watchers()
        self._version = 0
        # No owner has more live tasks than this, as long as nobody else makes any: saves counting them.
        self._most: dict[str, int] = {}
        self._seen: dict[Watched, int] = {}
        # Who reads finds what was kept last in either; the second is what the first was when it was full.
        self._kept: dict[tuple[str, str], TaskRecord] = {}
        self._kept_before: dict[tuple[str, str], TaskRecord] = {}
        self._known_trouble: str | None = None
        self._reading = threading.Lock()
        with ExitStack() as opened:
            file = StoreFile(self._path, timeout)
            opened.callback(file.connection.close)
            self._place = Place(file)
            try:
                self._reader = file.connect()
            except TROUBLE as error:
                raise trouble(error, self._path, "opened") from None
            opened.callback(self._reader.close)
            self._writer = Writer(
                file,
                self._place,
                timeout=timeout,
                watching=lambda: bool(self._watchers),
                notice=self._notice,
            )
            opened.pop_all()

    @property
    def path(self) -> str:
        """The file, as it was named."""
        return self._path

    async def get(self, owner: Owner, task_id: str) -> TaskRecord | None:
        row = key, _ = (_key(owner), task_id)
        # Who asks after a change hears of it, even when many are to be committed before.
        await self._writer.written(row)
        rows = await self._read(_GET, row)
        return self._record(key, rows[0]) if rows else None

    async def insert(self, record: TaskRecord, *, quota: int | None, now: datetime) -> None:
        owner, moment, data = _key(record.owner), _since_epoch(now), encode_record(record)
        expires, live, lease = _columns(record)
        row = (owner, record.task_id, _since_epoch(record.created), expires, live, lease, record.seq, data)

        def work(connection: sqlite3.Connection) -> None:
            if quota is not None and self._most.get(owner, quota) >= quota:
                (counted,) = connection.execute(_COUNT, (owner, moment, quota)).fetchone()
                if counted >= quota:
                    raise QuotaReached
                self._most[owner] = counted
            try:
                connection.execute(_INSERT, row)
            except sqlite3.IntegrityError:
                raise Conflict(self._current(connection, owner, record.task_id)) from None
            if owner in self._most:
                self._most[owner] += 1

        await self._writer.run(work, (owner, record.task_id), size=len(data), alone=quota is None)
        self._keep(owner, record, data)
        self._watchers.tell(record.owner, record.task_id)

    async def replace(self, record: TaskRecord, *, expected: int) -> None:
        owner, data = _key(record.owner), encode_record(record)
        expires, live, lease = columns = _columns(record)
        key = (owner, record.task_id, expected)
        before, first = self._kept_record(owner, record.task_id), 0
        if before is not None and before.seq == expected and (was := _columns(before)) != columns:
            # What was there is known: spare the attempts that find nothing.
            first = 1 if was[0] == expires else 2
        attempts = (
            (record.seq, data, *key, expires, live, lease),
            (record.seq, data, live, lease, *key, expires),
            (record.seq, data, live, lease, expires, *key),
        )

        def work(connection: sqlite3.Connection) -> None:
            for statement, row in zip(_REPLACE[first:], attempts[first:], strict=True):
                if connection.execute(statement, row).rowcount:
                    break
            else:
                raise Conflict(self._current(connection, owner, record.task_id))
            # With more time to live, what was expired counts again.
            if statement is _REPLACE[-1]:
                self._most.pop(owner, None)

        await self._writer.run(work, (owner, record.task_id), size=len(data), alone=True)
        self._keep(owner, record, data)
        self._watchers.tell(record.owner, record.task_id)

    async def delete(self, owner: Owner, task_id: str) -> bool:
        key = (_key(owner), task_id)
        # Not `get`: what can't be read can be deleted.
        if not await self._read(_GET, key):
            return False

        deleted = await self._writer.run(lambda connection: connection.execute(_DELETE, key).rowcount > 0, alone=True)
        if deleted:
            self._kept.pop(key, None)
            self._kept_before.pop(key, None)
            self._watchers.tell(owner, task_id)
        return deleted

    async def page(self, owner: Owner, *, after: Position | None, limit: int, now: datetime) -> list[TaskRecord]:
        key, moment = _key(owner), _since_epoch(now)

        async def fetch(count: int) -> list[tuple[Any, ...]]:
            if after is None:
                return await self._read(_FIRST_PAGE, (key, moment, count))
            return await self._read(_NEXT_PAGE, (key, _since_epoch(after[0]), after[1], moment, count))

        return await first_legible(fetch, lambda row: self._record(key, row), limit)

    async def purge(self, now: datetime) -> int:
        moment, purged = _since_epoch(now), 0
        if not await self._read(_EXPIRED, (moment,)):
            return 0

        def drop(connection: sqlite3.Connection) -> int:
            return connection.execute(_PURGE, (moment,)).rowcount

        # Piece by piece, so that nobody who wants to write has to wait for all of it, and on the thread, because what
        # has expired is read from the disk, and long ago left every cache.
        while piece := await self._writer.run(drop, alone=True, apart=True):
            purged += piece
        if await self._writer.run(_give_back, alone=True, apart=True):
            while await self._writer.run(_give_back, alone=True, apart=True):
                pass
            # Only now the file becomes smaller.
            await self._writer.settle()
        return purged

    async def next_expiry(self) -> datetime | None:
        ((moment,),) = await self._read(_NEXT_EXPIRY, ())
        try:
            return None if moment is None else _EPOCH + moment * _MILLISECOND
        except (TypeError, OverflowError) as error:
            raise damage(self._path, error) from None

    async def leases(self) -> AsyncIterator[list[tuple[Hashable, int]]]:
        after: tuple[Any, ...] = ("", 0, 0, 0)
        while page := await self._read(_LEASES, after):
            yield [(row, lease) for row, lease, _, _ in page]
            row, lease, owner, expires = page[-1]
            after = owner, expires, lease, row

    async def leased(self, key: Hashable) -> TaskRecord | None:
        rows = await self._read(_LEASED, (key,))
        return self._record(rows[0][3], rows[0][:3]) if rows else None

    @asynccontextmanager
    async def watch(self, owner: Owner, task_id: str | None = None) -> AsyncIterator[LocalChanges]:
        """Changes by this process are told at once, those by others within 50 ms to 0.6 s; of an owner's tasks they
        don't tell which.

        The file is looked at only while somebody watches: up to 20 times a second while others write, else twice.
        """
        with self._watchers.watch(owner, task_id) as changes:
            await self._writer.run(lambda connection: task_id and self._look(connection, (owner, task_id)), reads=True)
            self._writer.watch()
            yield changes

    async def close(self) -> None:
        """Write what was submitted, then close the file. What is called afterwards is a `StoreError`."""
        await self._writer.close()
        with self._reading:
            self._reader.close()

    async def _read(self, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        self._place.check()
        try:
            rows = self._writer.read(query, parameters)
            if rows is None:
                with self._reading:
                    rows = self._reader.execute(query, parameters).fetchall()
            return rows
        except UnicodeEncodeError:
            # An id with half a surrogate pair in it, which no task has.
            return []
        except TROUBLE as error:
            if illegible(error):
                return self._read_whatever(query, parameters)
            if not busy(error):
                raise trouble(error, self._path, "read") from None
        # Somebody repairs the log after a crash: wait for that on the other thread.
        return await self._writer.run(lambda connection: connection.execute(query, parameters).fetchall(), reads=True)

    def _read_whatever(self, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """With a damaged id among them, which must not hide the others."""
        with self._reading:
            self._reader.text_factory = _legible
            try:
                return self._reader.execute(query, parameters).fetchall()
            except TROUBLE as error:
                raise trouble(error, self._path, "read") from None
            finally:
                self._reader.text_factory = str

    def _record(self, owner: str, row: tuple[Any, ...]) -> TaskRecord:
        task_id, seq, data = row
        record = self._kept_record(owner, task_id)
        if record is None or record.seq != seq:
            try:
                record = self._keep(owner, decode_record(data, seq=seq), data)
            except StoreError as error:
                raise StoreError(f"in the store {self._path}, {error}") from None
        return record

    def _kept_record(self, owner: str, task_id: str) -> TaskRecord | None:
        key = (owner, task_id)
        return self._kept.get(key) or self._kept_before.get(key)

    def _keep(self, owner: str, record: TaskRecord, data: bytes) -> TaskRecord:
        # Records never change, and no id is given twice: under its key and `seq` one is right for ever.
        if len(data) <= _KEPT_BYTES:
            if len(self._kept) >= _KEPT:
                self._kept, self._kept_before = {}, self._kept
            self._kept[owner, record.task_id] = record
        return record

    def _current(self, connection: sqlite3.Connection, owner: str, task_id: str) -> TaskRecord | None:
        rows = connection.execute(_GET, (owner, task_id)).fetchall()
        return self._record(owner, rows[0]) if rows else None

    def _notice(self, connection: sqlite3.Connection) -> bool:
        """Whether another connection has written since the last call; tells about what is watched then.

        The end of the file is told as well: whoever looks then finds out.
        """
        if self._place.trouble != self._known_trouble:
            self._known_trouble = self._place.trouble
            for owner, task_id in self._watchers.watched():
                self._watchers.tell(owner, task_id)
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return False
        self._version = version
        self._most.clear()
        watched = self._watchers.watched()
        self._seen = {key: seq for key, seq in self._seen.items() if key in watched}
        for owner, task_id in watched:
            if task_id is None:
                self._watchers.tell(owner, None)
            elif self._look(connection, (owner, task_id)):
                self._watchers.tell(owner, task_id)
        return True

    def _look(self, connection: sqlite3.Connection, watched: tuple[Owner, str]) -> bool:
        """Whether the task is another than at the last look, if there was one."""
        found = connection.execute(_SEQ, (_key(watched[0]), watched[1])).fetchone()
        seq = found[0] if found else 0
        before, self._seen[watched] = self._seen.get(watched), seq
        return before is not None and before != seq


def _legible(text: bytes) -> str:
    return text.decode(errors="replace")


def _give_back(connection: sqlite3.Connection) -> bool:
    """Make the file smaller by some of its free pages; whether there were enough."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    spare = free - max(_SPARE, (pages - free) // 4)
    if spare <= 0:
        return False
    # Not `execute`, which would stop after the first page.
    connection.executescript(f"PRAGMA incremental_vacuum({min(spare, _GIVEN_BACK)})")
    return True


@lru_cache(maxsize=1_024)
def _key(owner: Owner) -> str:
    return json.dumps(owner)


def _since_epoch(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _columns(record: TaskRecord) -> tuple[int, bool, int | None]:
    return (
        _NEVER if record.expires is None else _since_epoch(record.expires),
        record.live,
        None if record.lease is None else record.lease.version,
    )
