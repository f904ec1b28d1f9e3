"""How a command ends: its exit status, and the one line that says why."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

from pmcp_lab.errors import LabError

FAILED = 1
"""The command can't do its work."""
WRONG_COMMAND_LINE = 2
FAULTS = 3
"""What was looked at has faults, which were printed."""
TOOL_FAILED = 4
"""A tool was called, and said that it failed."""
INTERRUPTED = 130

_LONGEST = 400
"""Characters of an error that is shown whole."""


def stop(message: str, *, status: int = FAILED) -> NoReturn:
    """End the process with one line on stderr."""
    print(f"pmcp-lab: {message}", file=sys.stderr)
    raise SystemExit(status)


def one_line(error: LabError) -> str:
    """An error on one line; of a long one, as with what a server wrote before it went away, the first and last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    whole = " ".join(lines)
    return whole if len(whole) <= _LONGEST else f"{lines[0]}: {lines[-1]}"


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM is a Ctrl-C within: what was started ends, and what is to be written is."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
