"""The file of a SQLite store: whether it is one, how it is made, and how it is opened.

A file that is something else is looked at without a lock and without its log: neither its bytes nor its journal mode
change, and nothing appears beside it. It must not be opened in any other way, not even to read its first bytes: closing
such a file would take away the locks that SQLite holds on it elsewhere in this process
(https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks.backends.sqlite_trouble import TROUBLE, busy, damaged, kind, trouble

_APPLICATION: Final = 0x504D4350  # "PMCP"
_VERSION: Final = 5

PAGE: Final = 2_048
"""Bytes of a page. A new task writes six of them into the log; with SQLite's 4,096 that has to be moved twice as often,
and with 1,024 big records are chains of many."""

LOG: Final = 10_485_760
"""Bytes of the log after which it is moved into the file. That much of the disk it keeps, to be written again."""

# Every index is one more page to write for each new task. The records themselves are in none: a tree of things that
# big is deep.
_SCHEMA: Final = (
    # Which log belongs to which file, see `belongs`.
    "CREATE TABLE log (turn INTEGER NOT NULL, base INTEGER NOT NULL)",
    "CREATE TABLE task (owner TEXT NOT NULL, id TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL,"
    " live INTEGER NOT NULL, lease INTEGER, seq INTEGER NOT NULL, data BLOB NOT NULL)",
    "CREATE UNIQUE INDEX task_id ON task (owner, id)",
    "CREATE INDEX task_list ON task (owner, created, id)",
    # For quotas and, across all owners, for leases.
    "CREATE INDEX task_live ON task (owner, expires, lease, live) WHERE live",
    "CREATE INDEX task_expires ON task (expires) WHERE expires < 9223372036854775807",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)

# What was recovered from a damaged file may have lost the row, which then says nothing.
_TURNS = "SELECT coalesce(max(turn), 0), coalesce(max(base), 0) FROM log"
_BEGIN_TURN = "UPDATE log SET base = turn, turn = ? WHERE turn = ?"

_READ_ONLY = "mode=ro"
_ALONE = "immutable=1"
"""The file without its log, and without locks."""


class StoreFile:
    """A store's file, open.

    Args:
        path: As its user names it, for messages.
        timeout: Seconds to wait for a program that has locked it.

    Attributes:
        real: Where it lies, whatever becomes of links and of the working directory.
        connection: The first connection to it.
        writable: Whether it can be written.
        frozen: Whether it is taken for granted that nobody else writes it.

    Raises:
        StoreError: It can't be opened, or is something else.
    """

    def __init__(self, path: str, timeout: float) -> None:
        if "\0" in path:
            raise StoreError(f"{path!r} can't be the name of a file")
        self.path = path
        self.real = os.path.realpath(path)
        self._how = ""
        there = _look(path, self.real)
        if there and size(Path(self.real + "-wal")) and not belongs(self.real, look_again=True):
            raise StoreError(
                f"the log {path}-wal is not that of {path}, which was put there without it: delete {path}-wal and "
                f"{path}-shm to use the file as it is, or put back the one that the log belongs to"
            )
        try:
            if there and not _may_write(self.real):
                self.connection = self._open_to_read()
                return
            try:
                self.connection = self._open(timeout)
            except sqlite3.OperationalError as error:
                # Nothing can be put beside it.
                if not there or kind(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                    raise
                self.connection = self._open_to_read()
        except TROUBLE as error:
            raise trouble(error, path, "opened") from None

    @property
    def writable(self) -> bool:
        return not self._how

    @property
    def frozen(self) -> bool:
        return self._how == _ALONE

    def connect(self) -> sqlite3.Connection:
        """One more connection to it, which never waits."""
        return _connect(self.real, 0, self._how)

    def _open(self, timeout: float) -> sqlite3.Connection:
        with _closed_in_trouble(_connect(self.real, timeout)) as connection:
            if connection.execute("PRAGMA page_count").fetchone() == (0,):
                _make(connection, self.real)
            _check(connection, self.path)
            # Changing to the log fails at once while another process does the same, whatever the timeout.
            for pause in _pauses(timeout):
                try:
                    connection.execute("PRAGMA journal_mode = WAL")
                    break
                except sqlite3.OperationalError as error:
                    if pause is None or not busy(error):
                        raise
                    time.sleep(pause)
            turn(connection)
        return connection

    def _open_to_read(self) -> sqlite3.Connection:
        # While somebody has it open for writing, both lie beside it.
        log = size(Path(self.real + "-wal"))
        if log or Path(self.real + "-shm").exists():
            try:
                return self._opened_to_read(_READ_ONLY)
            except sqlite3.OperationalError as error:
                if kind(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                    raise
                if log:
                    raise StoreError(
                        f"the store {self.path} can't be opened: its log {self.path}-wal was never moved into it, and "
                        "here nothing can be written; copy both to where one may write, and open them there"
                    ) from None
        return self._opened_to_read(_ALONE)

    def _opened_to_read(self, how: str) -> sqlite3.Connection:
        self._how = how
        with _closed_in_trouble(_connect(self.real, 0, how)) as connection:
            _check(connection, self.path)
            turn(connection)
        return connection


def size(file: Path) -> int:
    """Bytes in a file; 0 when there is none."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def begin_turn(connection: sqlite3.Connection, base: int) -> None:
    """Say in the log that it stands on the file whose turn this is, unless it says already on which.

    Raises:
        sqlite3.Error: It could not be written; somebody else may be writing.
    """
    connection.execute(_BEGIN_TURN, (secrets.randbits(62), base))


def turn(connection: sqlite3.Connection) -> int:
    """The turn of the file together with its log."""
    (found, _) = connection.execute(_TURNS).fetchone()
    return int(found)


def turn_of_file(real: str) -> int:
    """The turn of the file without its log."""
    with closing(_connect(real, 0, _ALONE)) as connection:
        return turn(connection)


def belongs(real: str, *, look_again: bool = False) -> bool:
    """Whether the log beside a store was begun on the file as it is now.

    Each log begins with a turn of its own, and names that of the file below it (`base`), which becomes the log's own
    when the log is moved into it. A file with neither of the two was put under the log by somebody.

    Args:
        look_again: When it is not: a look while somebody moves the log may deceive.
    """
    for pause in (0.0, 0.05, 0.2) if look_again else (0.0,):
        time.sleep(pause)
        if _belongs(real):
            return True
    return False


def _belongs(real: str) -> bool:
    try:
        found = turn_of_file(real)
        with closing(_connect(real, 0, _READ_ONLY)) as connection:
            return found in connection.execute(_TURNS).fetchone()
    except TROUBLE as error:
        # Whatever else keeps one from looking proves nothing.
        return not damaged(error)


def _look(path: str, real: str) -> bool:
    """Whether there is a store; false when there is nothing or an empty file.

    Raises:
        StoreError: There is something else.
    """
    try:
        status = Path(real).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StoreError(f"the store {path} can't be opened: {error.strerror}") from None
    if stat.S_ISDIR(status.st_mode):
        raise StoreError(f"the store {path} can't be opened: that is a folder; name a file in it, {path}/tasks.db")
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"the store {path} can't be opened: that is no ordinary file")
    if status.st_size == 0:
        return False
    try:
        with closing(_connect(real, 0, _ALONE)) as connection:
            _check(connection, path)
    except TROUBLE as error:
        if kind(error) == sqlite3.SQLITE_NOTADB:
            raise StoreError(
                f"{path} is not a SQLite file, and was left as it is: choose another name, or restore it if it was one"
            ) from None
        raise trouble(error, path, "opened") from None
    return True


def _check(connection: sqlite3.Connection, path: str) -> None:
    """Raise `StoreError` unless the file is a store of this version."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise StoreError(f"{path} is a SQLite file, but not a store of tasks: choose another name")
    if version != _VERSION:
        advice = "upgrade pmcp_lab" if version > _VERSION else "it is from before the first release; use a new file"
        raise StoreError(f"the store {path} has version {version}, this pmcp_lab reads {_VERSION}: {advice}")


def _may_write(real: str) -> bool:
    return os.access(real, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _connect(real: str, timeout: float, how: str = "") -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{Path(real).as_uri()}?{how}" if how else real,
        uri=bool(how),
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
    )
    with _closed_in_trouble(connection):
        if how == _ALONE:
            # First, because the size in its header need not be that of the file while its log is moved into it.
            connection.execute("PRAGMA writable_schema = ON")
        # Enough KiB for the inner pages of the indexes of a million tasks. The file is not mapped into memory: whoever
        # cuts it off would end this process.
        connection.execute("PRAGMA cache_size = -16384")
        connection.execute("PRAGMA synchronous = NORMAL")
        # A checkpoint waits for the disk, and is left to a thread that may.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA journal_size_limit = {LOG}")
    return connection


@contextmanager
def _closed_in_trouble(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


def _make(connection: sqlite3.Connection, real: str) -> None:
    """Make the tables, unless another process was faster."""
    # With a journal, so that the file is a store by itself from its first moment, whatever becomes of its log.
    # The pragma begins to write: before the transaction it would leave a file that is nobody's, and after the
    # beginning of one by `IMMEDIATE` it would come too late.
    connection.execute("BEGIN")
    with _transaction(connection):
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables:
            return
        # Left by a store that was deleted. Nobody else can have begun to use this one.
        for beside in ("-wal", "-shm"):
            with suppress(OSError):
                Path(real + beside).unlink()
        for statement in _SCHEMA:
            connection.execute(statement)
        first = secrets.randbits(62)
        connection.execute("INSERT INTO log VALUES (?, ?)", (first, first))


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
