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
import time
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from pmcp_lab.errors import StoreError
from pmcp_lab.protocol.address import shown, split
from pmcp_lab.tasks.backends import Conflict, Position, QuotaReached
from pmcp_lab.tasks.backends.reading import first_legible
from pmcp_lab.tasks.backends.sqlite_writer import Writer, busy
from pmcp_lab.tasks.backends.watching import LocalChanges, Watched, Watchers
from pmcp_lab.tasks.codec import decode_record, encode_record
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import TaskRecord

_APPLICATION: Final = 0x504D4350  # "PMCP"
_VERSION: Final = 4
_NEVER: Final = 2**63 - 1
_USER: Final = re.compile(r"(?!/[A-Za-z]:/).*:.*@|/[A-Za-z]:/.*:.*@", re.DOTALL)
"""In a path, behind the letter of a drive: somebody meant another kind of store."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_KEPT: Final = 256
_KEPT_BYTES: Final = 16_384
"""Decoded records that are kept for the next reader: how many, and how big one may be as JSON."""

# Every index is one more page to write for each new task. The records themselves are in none: a tree of things that
# big is deep.
_SCHEMA: Final = (
    "CREATE TABLE task (owner TEXT NOT NULL, id TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL,"
    " live INTEGER NOT NULL, lease INTEGER, seq INTEGER NOT NULL, data BLOB NOT NULL)",
    "CREATE UNIQUE INDEX task_id ON task (owner, id)",
    "CREATE INDEX task_list ON task (owner, created, id)",
    "CREATE INDEX task_live ON task (owner, expires, live) WHERE live",
    "CREATE INDEX task_expires ON task (expires) WHERE expires < 9223372036854775807",
    "CREATE INDEX task_lease ON task (lease) WHERE lease IS NOT NULL",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)

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
# The second comparison is that of the index, which would not be used without it.
_PURGE = (
    "DELETE FROM task WHERE rowid IN"
    " (SELECT rowid FROM task WHERE expires < ? AND expires < 9223372036854775807 LIMIT 500)"
)
_NEXT_EXPIRY = "SELECT min(expires) FROM task WHERE expires < 9223372036854775807"
# Answered by the index alone. A renewed lease has a higher version, so none is passed by.
_LEASES = (
    "SELECT rowid, lease FROM task WHERE lease IS NOT NULL AND (lease, rowid) > (?, ?) ORDER BY lease, rowid LIMIT 500"
)
_LEASED = "SELECT id, seq, data, owner FROM task WHERE rowid = ? AND lease IS NOT NULL"


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
        self._kept: dict[tuple[str, str], TaskRecord] = {}
        self._keeping = threading.Lock()
        try:
            connection = _connect(self._path, timeout)
            try:
                _prepare(connection, self._path, timeout)
                self._reader = _connect(self._path, 0)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise StoreError(f"the store {self._path} can't be opened: {error}") from None
        self._reading = threading.Lock()
        self._writer = Writer(
            connection,
            self._path,
            timeout=timeout,
            watching=lambda: bool(self._watchers),
            notice=self._notice,
        )

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

        await self._writer.run(work, (owner, record.task_id))
        self._keep(owner, record, data)
        self._watchers.tell(record.owner, record.task_id)

    async def replace(self, record: TaskRecord, *, expected: int) -> None:
        owner, data = _key(record.owner), encode_record(record)
        expires, live, lease = _columns(record)
        key = (owner, record.task_id, expected)
        attempts = (
            (record.seq, data, *key, expires, live, lease),
            (record.seq, data, live, lease, *key, expires),
            (record.seq, data, live, lease, expires, *key),
        )

        def work(connection: sqlite3.Connection) -> None:
            for statement, row in zip(_REPLACE, attempts, strict=True):
                if connection.execute(statement, row).rowcount:
                    break
            else:
                raise Conflict(self._current(connection, owner, record.task_id))
            # With more time to live, what was expired counts again.
            if statement is _REPLACE[-1]:
                self._most.pop(owner, None)

        await self._writer.run(work, (owner, record.task_id))
        self._keep(owner, record, data)
        self._watchers.tell(record.owner, record.task_id)

    async def delete(self, owner: Owner, task_id: str) -> bool:
        key = (_key(owner), task_id)
        # Not `get`: what can't be read can be deleted.
        if not await self._read(_GET, key):
            return False

        deleted = await self._writer.run(lambda connection: connection.execute(_DELETE, key).rowcount > 0)
        if deleted:
            with self._keeping:
                self._kept.pop(key, None)
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
        # Piece by piece, so that nobody who wants to write has to wait for all of it.
        while piece := await self._writer.run(lambda connection: connection.execute(_PURGE, (moment,)).rowcount):
            purged += piece
        return purged

    async def next_expiry(self) -> datetime | None:
        ((moment,),) = await self._read(_NEXT_EXPIRY, ())
        return None if moment is None else _EPOCH + moment * _MILLISECOND

    async def leases(self) -> AsyncIterator[list[tuple[Hashable, int]]]:
        last, row = -_NEVER, 0
        while page := await self._read(_LEASES, (last, row)):
            yield page
            row, last = page[-1]

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
            await self._writer.run(lambda connection: task_id and self._look(connection, (owner, task_id)))
            self._writer.watch()
            yield changes

    async def close(self) -> None:
        """Write what was submitted, then close the file. What is called afterwards is a `StoreError`."""
        await self._writer.close()
        with self._reading:
            self._reader.close()

    async def _read(self, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            rows = self._writer.read(query, parameters)
            if rows is None:
                with self._reading:
                    rows = self._reader.execute(query, parameters).fetchall()
            return rows
        except UnicodeEncodeError:
            # An id with half a surrogate pair in it, which no task has.
            return []
        except sqlite3.Error as error:
            if not busy(error):
                raise StoreError(f"the store {self._path} can't be read: {error}") from None
        # Somebody repairs the log after a crash: wait for that on the other thread.
        return await self._writer.run(lambda connection: connection.execute(query, parameters).fetchall())

    def _record(self, owner: str, row: tuple[Any, ...]) -> TaskRecord:
        task_id, seq, data = row
        record = self._kept.get((owner, task_id))
        if record is None or record.seq != seq:
            try:
                record = self._keep(owner, decode_record(data, seq=seq), data)
            except StoreError as error:
                raise StoreError(f"in the store {self._path}, {error}") from None
        return record

    def _keep(self, owner: str, record: TaskRecord, data: bytes) -> TaskRecord:
        # Records never change, and no id is given twice: under its key and `seq` one is right for ever.
        if len(data) <= _KEPT_BYTES:
            with self._keeping:
                self._kept[owner, record.task_id] = record
                if len(self._kept) > _KEPT:
                    del self._kept[next(iter(self._kept))]
        return record

    def _current(self, connection: sqlite3.Connection, owner: str, task_id: str) -> TaskRecord | None:
        rows = connection.execute(_GET, (owner, task_id)).fetchall()
        return self._record(owner, rows[0]) if rows else None

    def _notice(self, connection: sqlite3.Connection) -> bool:
        """Whether another connection has written since the last call; tells about what is watched then."""
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
        """Whether the task is another than at the last look."""
        found = connection.execute(_SEQ, (_key(watched[0]), watched[1])).fetchone()
        seq = found[0] if found else 0
        before, self._seen[watched] = self._seen.get(watched), seq
        return before != seq


def _connect(path: str, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    # Enough KiB for the inner pages of the indexes of a million tasks.
    connection.execute("PRAGMA cache_size = -16384")
    # Beyond that, the operating system's own cache is read in place.
    connection.execute("PRAGMA mmap_size = 268435456")
    # A checkpoint waits for the disk, and is left to a thread that may.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def _prepare(connection: sqlite3.Connection, path: str, timeout: float) -> None:
    """Make the tables, unless they are there.

    Raises:
        StoreError: The file is somebody else's, or a later version's.
    """
    # Changing to the log fails at once while another process does the same, whatever the timeout.
    for pause in _pauses(timeout):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if pause is None or not busy(error):
                raise
            time.sleep(pause)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    with _transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables == 0:
            for statement in _SCHEMA:
                connection.execute(statement)
        elif application != _APPLICATION:
            raise StoreError(f"{path} is a SQLite file, but not a store of tasks: choose another name")
        elif version != _VERSION:
            advice = "upgrade pmcp_lab" if version > _VERSION else "it is from before the first release; use a new file"
            raise StoreError(f"the store {path} has version {version}, this pmcp_lab reads {_VERSION}: {advice}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _pauses(timeout: float) -> Iterator[float | None]:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        yield 0.02
    yield None


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
