"""A terminal with a program in it, as a person sees it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyte

from tests.unit.processes import nursery

TIMEOUT = 30.0
"""Seconds in which anything has to appear, on a machine that has a lot to do."""
AS_USUAL = {"TERM": "xterm-256color", "NO_COLOR": "", "FORCE_COLOR": "", "COLUMNS": "", "LINES": ""}
"""Of the environment; what is empty is taken away."""


class Terminal:
    """What is on the screen; it is looked at while something is waited for.

    Attributes:
        raw: All that was written to it.
    """

    def __init__(self, pid: int, descriptor: int, columns: int, lines: int) -> None:
        self.pid = pid
        self.raw = ""
        self._fd = descriptor
        self._screen = pyte.HistoryScreen(columns, lines, history=1_000)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def rows(self) -> list[str]:
        """Those with something on them, also the ones that have left at the top."""
        past = ["".join(line[x].data for x in range(self._screen.columns)) for line in self._screen.history.top]
        return [row.rstrip() for row in [*past, *self._screen.display] if row.strip()]

    @property
    def text(self) -> str:
        return "\n".join(self.rows)

    def look(self, seconds: float = 0.0) -> bool:
        """Take in what is written within this time; False once the program has ended."""
        end = time.monotonic() + seconds
        while select.select([self._fd], [], [], max(0.0, end - time.monotonic()))[0]:
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                return False
            if not data:
                return False
            self.raw += data.decode(errors="replace")
            self._stream.feed(data)
        return True

    def until(self, seen: str | Callable[[str], bool]) -> str:
        """Wait for a text, or for what is true of all of it; returns what is on the screen then."""
        end = time.monotonic() + TIMEOUT
        while not (seen in self.text if isinstance(seen, str) else seen(self.text)):
            assert time.monotonic() < end, f"{seen} did not appear:\n{self.text}"
            assert self.look(0.05) or (isinstance(seen, str) and seen in self.text), f"it ended:\n{self.text}"
        return self.text

    def end(self) -> list[str]:
        """Wait for the end of the program; returns the rows that it leaves."""
        end = time.monotonic() + TIMEOUT
        while self.look(0.05):
            assert time.monotonic() < end, f"it does not end:\n{self.text}"
        return self.rows

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def resize(self, columns: int, lines: int = 24) -> None:
        """As when a window is made smaller; what is on the screen is cut, which a real terminal wraps."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen.resize(lines, columns)


@contextmanager
def terminal(
    scenario: str,
    *,
    columns: int = 100,
    lines: int = 24,
    stdout: Path | None = None,
    **env: str,
) -> Iterator[Terminal]:
    """Run a scenario of `tests.unit.waits` in one.

    Args:
        stdout: Where its output goes, in place of the terminal.
        env: On top of its environment.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    output = theirs if stdout is None else os.open(stdout, os.O_WRONLY | os.O_CREAT, 0o600)
    pid = nursery().fork(["tests.unit.waits", scenario], {**AS_USUAL, **env}, [theirs, output, theirs])
    for descriptor in {theirs, output}:
        os.close(descriptor)
    try:
        yield Terminal(pid, ours, columns, lines)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.close(ours)
