"""The log of a SQLite store (`-wal`): how big it may become, and how it is moved into the file."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from pmcp_lab.tasks.backends.sqlite_file import LOG, PAGE, StoreFile, begin_turn, size, turn, turn_of_file
from pmcp_lab.tasks.backends.sqlite_place import Place
from pmcp_lab.tasks.backends.sqlite_trouble import TROUBLE, trouble

_EVERY: Final = 524_288
"""Bytes written here, about, between two looks at how big the log is: others write to it as well."""

_PER_WRITE: Final = 6 * PAGE
"""Bytes that a write puts into the log besides the record: a page for each index, and that on which the record is."""

_LOUD: Final = 16_777_216
"""Bytes from which on it is said that the log can't be begun anew."""

_CHECKPOINT_TIMEOUT: Final = 5.0
"""Seconds to wait, at most, for somebody else who moves the log: it must not grow faster than that one works."""

_WAITING: Final = (500, 20)
"""Milliseconds in which nobody may write, at most, so that those can finish who write, or read what was there before:
the first time, and while that has been in vain."""

_ELSEWHERE: Final = -1
"""Instead of the number of pages in the log: somebody else is moving it."""

_log = logging.getLogger(__name__)


class Log:
    """Decides when the log is to be moved.

    SQLite begins it anew when all of it is in the file and nobody reads it, so it stays as big as it may become.
    Whoever goes on reading an old state for long makes it grow nevertheless.
    """

    def __init__(self, file: StoreFile, place: Place) -> None:
        self._path = file.path
        self._real = file.real
        self._file = Path(file.real + "-wal")
        self._place = place
        self._written = 0
        self._limit = LOG
        self._stuck = False
        self._said = False
        self._begun = False
        self.due = file.writable and size(self._file) > LOG
        """Whether it is to be moved before anything else is written."""

    def wrote(self, connection: sqlite3.Connection, writes: int, data: int) -> None:
        """Count what was committed: so many writes, of so many bytes altogether."""
        self._written += data + writes * _PER_WRITE
        if self._written >= _EVERY:
            self._written = 0
            self.due = size(self._file) > self._limit
        if not self._begun:
            self._begin(connection)

    def move(self, connection: sqlite3.Connection) -> None:
        """Move it into the file, so that it is begun anew. Nobody here may write meanwhile.

        Waits for the disk, and some seconds for others.

        Raises:
            StoreError: The file is gone, or another one.
        """
        try:
            with self._place.writing():
                self._move(connection)
        finally:
            self.due = False

    def save(self, connection: sqlite3.Connection) -> None:
        """Move what is in it, because it has no name any more."""
        with suppress(*TROUBLE):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _move(self, connection: sqlite3.Connection) -> None:
        if self._begin_anew(connection):
            self._stuck, self._said, self._limit = False, False, LOG
            return
        left = size(self._file)
        if left > _LOUD and not self._said:
            self._said = True
            _log.warning(
                "the log %s-wal has grown to %d MB, because another program goes on reading an old state of the store",
                self._path,
                left >> 20,
            )
        self._stuck, self._limit = True, left + LOG // 4

    def _begin_anew(self, connection: sqlite3.Connection) -> bool:
        end = time.monotonic() + _CHECKPOINT_TIMEOUT
        try:
            while True:
                # Others may write meanwhile. What they write is moved by the second step, for which they have to wait.
                (_, frames, _) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if frames != _ELSEWHERE:
                    base = turn(connection)
                    connection.execute(f"PRAGMA busy_timeout = {_WAITING[self._stuck]}")
                    (blocked, frames, _) = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
                    if not blocked:
                        # Written here, because the first write to a log waits for the disk.
                        self._begin(connection, base)
                        return True
                if frames != _ELSEWHERE or self._stuck or time.monotonic() > end:
                    return False
                time.sleep(0.02)
                if size(self._file) <= self._limit:
                    return True
        except TROUBLE as error:
            _log.warning("%s", trouble(error, self._path, "moved out of its log"))
            return False
        finally:
            connection.execute("PRAGMA busy_timeout = 0")

    def _begin(self, connection: sqlite3.Connection, base: int | None = None) -> None:
        self._begun = False
        # While somebody else writes, the next write will do.
        with suppress(*TROUBLE):
            begin_turn(connection, turn_of_file(self._real) if base is None else base)
            self._begun = True
