"""A file that one process works on at a time. The system lets go of it when the process ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

BUSY = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}
TRIES = 5
"""Times to begin anew because the lock was just deleted."""


class HeldFile:
    """A file, and the lock beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_path = path.with_suffix(".lock")
        self._lock: int | None = None

    def hold(self) -> bool:
        """Take it for this process; whether nobody else has it. Holding it twice is fine.

        Where the file system has no locks, it is taken for free.
        """
        if self._lock is not None:
            return True
        try:
            for folder in reversed([self.path.parent, *self.path.parent.parents]):
                folder.mkdir(mode=0o700, exist_ok=True)  # `parents=True` would leave those above open to others
            for _ in range(TRIES):
                descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    _lock(descriptor)
                except OSError as error:
                    if error.errno in BUSY:
                        os.close(descriptor)
                        return False
                if self._still_there(descriptor):
                    self._lock = descriptor
                    return True
                os.close(descriptor)
        except OSError:
            return True  # which writing it will say
        return False

    def _still_there(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._lock_path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let others have it."""
        descriptor, self._lock = self._lock, None
        if descriptor is not None:
            if not self.path.exists() and sys.platform != "win32":
                self._lock_path.unlink(missing_ok=True)
            os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
