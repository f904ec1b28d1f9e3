"""Whether the file that is open is still the one that the store's path names."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks.backends.sqlite_file import StoreFile, belongs

_EVERY: Final = 0.4
"""Seconds between two looks, so that two of them are within a second."""

Mark = tuple[int, int]
"""Device and inode."""


class Place:
    """Looks at the file now and then, when it is used.

    A file that is put back can be used again. Nothing is opened anew: what was acknowledged is in the file that is
    gone, and only whoever took it away knows which one is to be believed.
    """

    def __init__(self, file: StoreFile) -> None:
        self._path = file.path
        self._named = Path(file.path).absolute()
        self._real = file.real
        self._frozen = file.frozen
        try:
            status = self._named.stat()
        except OSError as error:
            raise StoreError(f"the store {file.path} was taken away while it was opened: {error.strerror}") from None
        self._mark, self._written = _mark(status), status.st_mtime_ns
        self._beside = {name: _beside(name) for name in (Path(f"{file.real}-wal"), Path(f"{file.real}-shm"))}
        self._suspected = False
        self._next = 0.0
        self.trouble: str | None = None
        """What was found at the last look."""
        self.log_lost = False
        """Whether all that is wrong is that the log's name is gone: it can still be moved into the file."""

    def check(self) -> None:
        """Look, unless somebody has just done so.

        Raises:
            StoreError: The file is gone, or another one.
        """
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY
            self.trouble = self._look()
        if self.trouble is not None:
            raise StoreError(self.trouble)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around what moves the log into the file, whose time of change is not suspicious afterwards.

        Raises:
            StoreError: See `check`; looks in any case, and a suspicion is enough.
        """
        self._next = 0.0
        self.check()
        if self._suspected:
            raise StoreError(self._overwritten())
        yield
        with suppress(OSError):
            self._written = self._named.stat().st_mtime_ns

    def _look(self) -> str | None:
        path, self.log_lost = self._path, False
        try:
            status = self._named.stat()
        except (FileNotFoundError, NotADirectoryError):
            return (
                f"the file of the store {path} was deleted or moved away while it was open, and nothing is written "
                "any more: put it back to go on, or restart to begin with an empty store"
            )
        except OSError:
            # Whoever has no right to look any more, because it gave it up, knows nothing.
            return None
        if _mark(status) != self._mark:
            return (
                f"the file of the store {path} was replaced by another while it was open, and nothing is written any "
                f"more: put the old one back to go on, or restart, without {path}-wal and -shm, to use the new one"
            )
        for name, mark in self._beside.items():
            if mark != (found := _beside(name)):
                if self._frozen:
                    return self._changed()
                self.log_lost = found is None and name.name.endswith("-wal")
                return (
                    f"{name}, which belongs to the store {path}, was deleted or replaced while it was open, and "
                    "nothing is written any more: restart to go on"
                )
        if status.st_mtime_ns == self._written:
            self._suspected = False
            return None
        if self._frozen:
            return self._changed()
        # Somebody has moved the log into the file, or written over it. A look may deceive while that goes on.
        if status.st_size and belongs(self._real):
            self._written, self._suspected = status.st_mtime_ns, False
            return None
        suspected, self._suspected = self._suspected, True
        return self._overwritten() if suspected else self.trouble

    def _overwritten(self) -> str:
        path = self._path
        return (
            f"the file of the store {path} was overwritten while it was open, and nothing is written any more: stop "
            f"the servers that use it, put the file in its place again, without {path}-wal and {path}-shm, and restart"
        )

    def _changed(self) -> str:
        return f"the store {self._path}, which can only be read here, was written by somebody else: open it again"


def _mark(status: os.stat_result) -> Mark:
    return status.st_dev, status.st_ino


def _beside(file: Path) -> Mark | None:
    try:
        return _mark(file.stat())
    except OSError:
        return None
