"""What a stdio server writes to stderr: all of it, and what it wrote while something ran."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Callable
from typing import TextIO

KEPT = 64_000
"""Bytes of a server's stderr that are told, and kept of one that has ended."""


OVERHEARD = 4_000
"""Characters that are told of what was written while something ran, the last ones."""


class StderrLog:
    """A server's stderr in a real (unlinked) file: a notebook's `sys.stderr` has no descriptor to give away."""

    def __init__(self) -> None:
        self.file: TextIO = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._last = b""
        self._size = 0
        # Read from any thread, closed from the connection's.
        self._lock = threading.Lock()

    def add(self, text: str) -> None:
        """Put a line of ours between the server's."""
        with self._lock:
            if not self.file.closed:
                # Past the file's buffer: the server writes to the same descriptor.
                os.write(self.file.fileno(), f"{text}\n".encode())

    def text(self, limit: int = 64_000) -> str:
        """The last `limit` bytes, without terminal colours."""
        return self.between(0, limit=limit)

    @property
    def size(self) -> int:
        """Bytes that were written so far."""
        with self._lock:
            return self._measured()

    def between(self, begin: int, end: int | None = None, limit: int = KEPT) -> str:
        """What was written from one byte to another, without terminal colours: the last `limit` bytes of it.

        Once it is closed, no more than the last `KEPT` bytes of all are known.
        """
        with self._lock:
            end = min(self._measured(), end if end is not None else self._measured())
            data = self._read(max(begin, end - limit), end)
        return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", data.decode("utf-8", "replace"))

    def _measured(self) -> int:
        return self._size if self.file.closed else os.fstat(self.file.fileno()).st_size

    def _read(self, begin: int, end: int) -> bytes:
        if not self.file.closed:
            return os.pread(self.file.fileno(), max(0, end - begin), begin)
        first = self._size - len(self._last)
        return self._last[max(0, begin - first) : max(0, end - first)]

    def close(self) -> None:
        """Give the file back, and keep what it said last."""
        with self._lock:
            if not self.file.closed:
                size = self._measured()
                self._last, self._size = self._read(max(0, size - KEPT), size), size
                self.file.close()

    def tail(self, lines: int = 12) -> str:
        return "\n".join(self.text().rstrip().splitlines()[-lines:])


class Overheard:
    """What was written from now on until `stop`, by whatever ran on the server meanwhile.

    Args:
        log: Gives the log of the process that runs now: a server that is started anew writes to another.
    """

    def __init__(self, log: Callable[[], StderrLog | None]) -> None:
        self._log = log
        self._first = log()
        self._begin = self._first.size if self._first is not None else 0
        self._last: StderrLog | None = None
        self._end: int | None = None

    def stop(self) -> None:
        self._last = self._log()
        self._end = self._last.size if self._last is not None else None

    def text(self) -> str:
        """The last `OVERHEARD` characters of it."""
        last = self._last or self._log()
        spans = [(self._first, self._begin), *([(last, 0)] if last is not self._first else [])]
        parts = [log.between(begin, self._end if log is last else None) for log, begin in spans if log is not None]
        text = "\n".join(part.strip("\n") for part in parts if part.strip())
        return text if len(text) <= OVERHEARD else "…" + text[1 - OVERHEARD :]
