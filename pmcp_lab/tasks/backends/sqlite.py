"""Records in one SQLite file, which several processes may use at once: the durable default.

Write-ahead log with `synchronous=NORMAL`. An acknowledged write survives whatever happens to the process; a power
cut or a crash of the operating system may undo the last ones (those since the last checkpoint), never half of one
(https://sqlite.org/pragma.html#pragma_synchronous). The file must not lie on a network drive
(https://sqlite.org/wal.html).

Reads are done on the caller's thread: finding a row takes less time than waking another thread.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks.backends import Conflict, Position, QuotaReached
from pmcp_lab.tasks.backends.sqlite_writer import Writer
from pmcp_lab.tasks.backends.watching import LocalChanges, Watchers
from pmcp_lab.tasks.codec import decode_record, encode_record
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import TaskRecord

_APPLICATION: Final = 0x504D4350  # "PMCP"
_VERSION: Final = 1
_NEVER: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LOG: Final = 4_096
"""Entries of the change log that are kept. Whoever is further behind looks at everything it watches."""

_KEPT: Final = 2_048
_KEPT_BYTES: Final = 16_384
"""Decoded records that are kept for the next reader: how many, and how big one may be as JSON."""

_SCHEMA: Final = (
    "CREATE TABLE task (key INTEGER PRIMARY KEY, owner TEXT NOT NULL, id TEXT NOT NULL, created INTEGER NOT NULL,"
    " expires INTEGER NOT NULL, live INTEGER NOT NULL, lease INTEGER, seq INTEGER NOT NULL, data BLOB NOT NULL)",
    "CREATE UNIQUE INDEX task_id ON task (owner, id)",
    "CREATE INDEX task_order ON task (owner, created, id, expires)",
    "CREATE INDEX task_live ON task (owner, expires, live) WHERE live",
    "CREATE INDEX task_expires ON task (expires) WHERE expires < 9223372036854775807",
    "CREATE INDEX task_lease ON task (lease) WHERE lease IS NOT NULL",
    "CREATE TABLE change (n INTEGER PRIMARY KEY, owner TEXT NOT NULL, id TEXT NOT NULL)",
    # What is live counts per owner, so that nothing is counted unless the quota is near. Expired tasks are in it.
    "CREATE TABLE owner (owner TEXT PRIMARY KEY, live INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TRIGGER born AFTER INSERT ON task WHEN new.live BEGIN"
    " INSERT INTO owner VALUES (new.owner, 1) ON CONFLICT DO UPDATE SET live = live + 1; END",
    "CREATE TRIGGER ended AFTER UPDATE OF live ON task WHEN old.live <> new.live BEGIN"
    " UPDATE owner SET live = live + new.live - old.live WHERE owner = new.owner; END",
    "CREATE TRIGGER deleted AFTER DELETE ON task WHEN old.live BEGIN"
    " UPDATE owner SET live = live - 1 WHERE owner = old.owner; END",
    "CREATE TRIGGER emptied AFTER UPDATE ON owner WHEN new.live = 0 BEGIN"
    " DELETE FROM owner WHERE owner = new.owner; END",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)

_GET = "SELECT key, seq, data FROM task WHERE owner = ? AND id = ?"
_LIVE = "SELECT live FROM owner WHERE owner = ?"
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM task WHERE owner = ? AND live AND expires >= ? LIMIT ?)"
_INSERT = (
    "INSERT INTO task (key, owner, id, created, expires, live, lease, seq, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# Each touches more indexes than the one before: progress none, an end those of what is live and leased.
_REPLACE = (
    "UPDATE task SET seq = ?, data = ?"
    " WHERE owner = ? AND id = ? AND seq = ? AND expires = ? AND live = ? AND lease IS ? RETURNING key",
    "UPDATE task SET seq = ?, data = ?, live = ?, lease = ?"
    " WHERE owner = ? AND id = ? AND seq = ? AND expires = ? RETURNING key",
    "UPDATE task SET seq = ?, data = ?, live = ?, lease = ?, expires = ?"
    " WHERE owner = ? AND id = ? AND seq = ? RETURNING key",
)
_DELETE = "DELETE FROM task WHERE owner = ? AND id = ?"
_FIRST_PAGE = "SELECT key, seq, data FROM task WHERE owner = ? AND expires >= ? ORDER BY created DESC, id DESC LIMIT ?"
_NEXT_PAGE = (
    "SELECT key, seq, data FROM task WHERE owner = ? AND (created, id) < (?, ?) AND expires >= ?"
    " ORDER BY created DESC, id DESC LIMIT ?"
)
# The second comparison is that of the index, which would not be used without it.
_PURGE = (
    "DELETE FROM task WHERE key IN (SELECT key FROM task WHERE expires < ? AND expires < 9223372036854775807 LIMIT 500)"
)
_NEXT_EXPIRY = "SELECT min(expires) FROM task WHERE expires < 9223372036854775807"
_LAPSED = "SELECT key, seq, data FROM task WHERE lease IS NOT NULL AND lease < ? ORDER BY lease LIMIT ?"
_IDS = "SELECT id FROM task WHERE owner = ?"
_LOGGED = "INSERT INTO change (owner, id) VALUES (?, ?)"
_FORGET = "DELETE FROM change WHERE n <= ?"
_CHANGED = "SELECT n, owner, id FROM change WHERE n > ? ORDER BY n"
_LAST_CHANGE = "SELECT coalesce(max(n), 0) FROM change"


def open_url(url: str) -> SqliteBackend:
    """For `sqlite:///relative.db` and `sqlite:////absolute.db`; made if it is not there, its folder is not."""
    parts = urlsplit(url)
    if parts.netloc:
        raise StoreError(f"a SQLite store's file comes after three slashes: sqlite:///{parts.netloc}, not {url}")
    if parts.query or parts.fragment:
        raise StoreError(f"a SQLite store takes no options: {url}")
    path = unquote(parts.path[1:])
    if not path:
        raise StoreError("a SQLite store needs a file: sqlite:///tasks.db, or sqlite:////var/lib/tasks.db")
    if path == ":memory:":
        raise StoreError("for a store in memory, use memory://")
    return SqliteBackend(path)


class SqliteBackend:
    """Records in a table, each as one value beside the columns it is looked up by.

    Args:
        path: The file; beside it lie `-wal` and `-shm` while it is open.
        timeout: Seconds to wait for another process that writes.

    Raises:
        StoreError: The file can't be opened, or is something else.
    """

    def __init__(self, path: str | Path, *, timeout: float = 30) -> None:
        self._path = str(path)
        self._watchers = Watchers()
        self._seen = 0
        self._kept: dict[int, TaskRecord] = {}
        self._keeping = threading.Lock()
        try:
            connection = _connect(self._path, timeout)
            try:
                _prepare(connection, self._path, timeout)
                self._reader = _connect(self._path, 0)
                self._undone(connection)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise StoreError(f"the store {self._path} can't be opened: {error}") from None
        self._reading = threading.Lock()
        self._writer = Writer(
            connection, self._path, watching=lambda: bool(self._watchers), look=self._look, undone=self._undone
        )

    async def get(self, owner: Owner, task_id: str) -> TaskRecord | None:
        rows = await self._read(_GET, (_key(owner), task_id))
        return self._decoded(rows)[0] if rows else None

    async def insert(self, record: TaskRecord, *, quota: int | None, now: datetime) -> None:
        owner, moment, data = _key(record.owner), _since_epoch(now), encode_record(record)
        row = (owner, record.task_id, _since_epoch(record.created), *_columns(record), record.seq, data)

        def work(connection: sqlite3.Connection) -> int:
            if quota is not None:
                counted = connection.execute(_LIVE, (owner,)).fetchone()
                if counted and counted[0] >= quota:
                    (exactly,) = connection.execute(_COUNT, (owner, moment, quota)).fetchone()
                    if exactly >= quota:
                        raise QuotaReached
            # A number of the log is never used again, unlike one that SQLite chooses.
            key = self._log(connection, owner, record.task_id)
            try:
                connection.execute(_INSERT, (key, *row))
            except sqlite3.IntegrityError:
                raise Conflict(self._current(connection, owner, record.task_id)) from None
            return key

        self._keep(await self._writer.run(work), record, data)
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

        def work(connection: sqlite3.Connection) -> int:
            for statement, row in zip(_REPLACE, attempts, strict=True):
                found = connection.execute(statement, row).fetchall()
                if found:
                    self._log(connection, owner, record.task_id)
                    return int(found[0][0])
            raise Conflict(self._current(connection, owner, record.task_id))

        self._keep(await self._writer.run(work), record, data)
        self._watchers.tell(record.owner, record.task_id)

    async def delete(self, owner: Owner, task_id: str) -> bool:
        if await self.get(owner, task_id) is None:
            return False
        key = (_key(owner), task_id)

        def work(connection: sqlite3.Connection) -> bool:
            if connection.execute(_DELETE, key).rowcount == 0:
                return False
            self._log(connection, *key)
            return True

        deleted = await self._writer.run(work)
        if deleted:
            self._watchers.tell(owner, task_id)
        return deleted

    async def page(self, owner: Owner, *, after: Position | None, limit: int, now: datetime) -> list[TaskRecord]:
        key, moment = _key(owner), _since_epoch(now)
        if after is None:
            return self._decoded(await self._read(_FIRST_PAGE, (key, moment, limit)))
        place = (_since_epoch(after[0]), after[1])
        return self._decoded(await self._read(_NEXT_PAGE, (key, *place, moment, limit)))

    async def purge(self, now: datetime) -> int:
        moment, purged = _since_epoch(now), 0
        # Piece by piece, so that nobody who wants to write has to wait for all of it.
        while piece := await self._writer.run(lambda connection: connection.execute(_PURGE, (moment,)).rowcount):
            purged += piece
        return purged

    async def next_expiry(self) -> datetime | None:
        ((moment,),) = await self._read(_NEXT_EXPIRY, ())
        return None if moment is None else _EPOCH + moment * _MILLISECOND

    async def lapsed(self, now: datetime, *, limit: int) -> list[TaskRecord]:
        return self._decoded(await self._read(_LAPSED, (_since_epoch(now), limit)))

    @asynccontextmanager
    async def watch(self, owner: Owner, task_id: str | None = None) -> AsyncIterator[LocalChanges]:
        """Changes by this process are told at once, those by others within 50 ms to half a second.

        The file is looked at only while somebody watches: 20 times a second while others write, else twice.
        """
        with self._watchers.watch(owner, task_id) as changes:
            await self._writer.run(self._look)
            yield changes

    async def close(self) -> None:
        """Write what was submitted, then close the file. What is called afterwards is a `StoreError`."""
        await asyncio.to_thread(self._writer.close)
        with self._reading:
            self._reader.close()

    async def _read(self, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            with self._reading:
                return self._reader.execute(query, parameters).fetchall()
        except UnicodeEncodeError:
            # An id with half a surrogate pair in it, which no task has.
            return []
        except sqlite3.Error as error:
            if not _busy(error):
                raise StoreError(f"the store {self._path} can't be read: {error}") from None
        # Somebody repairs the log after a crash: wait for that on the other thread.
        return await self._writer.run(lambda connection: connection.execute(query, parameters).fetchall())

    def _decoded(self, rows: list[tuple[Any, ...]]) -> list[TaskRecord]:
        kept = self._kept
        found: list[TaskRecord] = []
        try:
            for key, seq, data in rows:
                record = kept.get(key)
                if record is None or record.seq != seq:
                    record = self._keep(key, decode_record(data, seq=seq), data)
                found.append(record)
        except StoreError as error:
            raise StoreError(f"in the store {self._path}, {error}") from None
        return found

    def _keep(self, key: int, record: TaskRecord, data: bytes) -> TaskRecord:
        # Records never change, and no key is used twice: under its key and `seq` it is right for ever.
        if len(data) <= _KEPT_BYTES:
            with self._keeping:
                self._kept[key] = record
                while len(self._kept) > _KEPT:
                    del self._kept[next(iter(self._kept))]
        return record

    def _current(self, connection: sqlite3.Connection, owner: str, task_id: str) -> TaskRecord | None:
        rows = connection.execute(_GET, (owner, task_id)).fetchall()
        return self._decoded(rows)[0] if rows else None

    def _log(self, connection: sqlite3.Connection, owner: str, task_id: str) -> int:
        number = connection.execute(_LOGGED, (owner, task_id)).lastrowid or 0
        self._seen = number
        if number % 256 == 0:
            connection.execute(_FORGET, (number - _LOG,))
        return number

    def _undone(self, connection: sqlite3.Connection) -> None:
        (self._seen,) = connection.execute(_LAST_CHANGE).fetchone()

    def _look(self, connection: sqlite3.Connection) -> None:
        """Tell what other processes have written since this one last wrote or looked."""
        rows = connection.execute(_CHANGED, (self._seen,)).fetchall()
        if not rows:
            return
        missed = rows[0][0] > self._seen + 1
        self._seen = rows[-1][0]
        changes = ((tuple(json.loads(key)), task_id) for _, key, task_id in rows)
        for owner, task_id in self._everything_watched(connection) if missed else changes:
            self._watchers.tell(owner, task_id)

    def _everything_watched(self, connection: sqlite3.Connection) -> Iterator[tuple[Owner, str]]:
        for owner, one in self._watchers.watched():
            if one is not None:
                yield owner, one
            else:
                for (task_id,) in connection.execute(_IDS, (_key(owner),)).fetchall():
                    yield owner, task_id


def _connect(path: str, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    # Enough KiB for the inner pages of the indexes of a million tasks.
    connection.execute("PRAGMA cache_size = -16384")
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
            if pause is None or not _busy(error):
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
            raise StoreError(
                f"the store {path} has version {version}, and this pmcp_lab reads version {_VERSION}: upgrade pmcp_lab"
            )


def _busy(error: sqlite3.Error) -> bool:
    # The low byte is the kind of error, the rest its circumstances.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


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
        None if record.lease is None else _since_epoch(record.lease.until),
    )
