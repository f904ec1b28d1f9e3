"""What an error of SQLite means for a store, said to whoever keeps it."""

from __future__ import annotations

import shlex
import shutil
import sqlite3
from pathlib import Path
from typing import Final

from pmcp_lab.errors import StoreError

Trouble = sqlite3.Error | UnicodeDecodeError
"""What reading may raise: where a file is damaged, what should be text is none, in SQLite's own messages as well."""

TROUBLE: Final = (sqlite3.Error, UnicodeDecodeError)


def kind(error: Trouble) -> int:
    """SQLite's primary code: the low byte is the kind of error, the rest its circumstances."""
    if isinstance(error, UnicodeDecodeError) or illegible(error) or str(error).startswith("no such "):
        return sqlite3.SQLITE_CORRUPT
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def busy(error: Trouble) -> bool:
    """Whether somebody else is using what was asked for."""
    return kind(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def illegible(error: Trouble) -> bool:
    """Whether a text in a row is none."""
    return isinstance(error, sqlite3.Error) and "decode to UTF-8" in str(error)


def damaged(error: Trouble) -> bool:
    """Whether what lies in the file is not what SQLite has put there."""
    return kind(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def trouble(error: Trouble, path: str, what: str) -> StoreError:
    """The error as one that names the file and says what to do.

    Args:
        path: The file, as its user names it.
        what: "opened", "read" or "written".
    """
    code = kind(error)
    head = f"the store {path} can't be {what}: "
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return StoreError(f"the store {path} is closed")
    if damaged(error):
        return damage(path, error)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _full(path)):
        return StoreError(f"{head}the disk is full; nothing that was acknowledged is lost, make room to go on")
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(f"{head}the disk reports an error ({error}): see the system's log before you trust it again")
    if code == sqlite3.SQLITE_READONLY:
        return read_only(path)
    if busy(error):
        return StoreError(f"{head}another program has kept it locked too long ({error})")
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreError(head + _closed_door(Path(path), error))
    return StoreError(f"{head}{error}")


def damage(path: str, what: object) -> StoreError:
    quoted, saved = shlex.quote(path), shlex.quote(f"{path}.saved")
    return StoreError(
        f"the file of the store {path} is damaged ({what}): stop the servers that use it, save what can be read with "
        f"sqlite.org's shell (sqlite3 {quoted} .recover | sqlite3 {saved}), and put that file or a backup in its "
        f"place, without the old {path}-wal and {path}-shm"
    )


def read_only(path: str) -> StoreError:
    return StoreError(f"the store {path} can only be read: its file or its folder may not be written")


def _full(path: str) -> bool:
    try:
        # What is written at once is a page of the log, or 32 KiB of its index.
        return shutil.disk_usage(Path(path).absolute().parent).free < 65_536
    except OSError:
        return False


def _closed_door(path: Path, error: Trouble) -> str:
    folder = path.absolute().parent
    if not folder.is_dir():
        return f"there is no folder {folder}: make it first"
    return f"{error}; may this user read and write it, and the folder {folder}?"
