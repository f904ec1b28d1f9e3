"""How a command ends: its exit status, and the one line that says why."""

from __future__ import annotations

import sys
from typing import NoReturn

from pmcp_lab.errors import LabError

FAILED = 1
"""The command can't do its work."""
WRONG_COMMAND_LINE = 2
FAULTS = 3
"""What was looked at has faults, which were printed."""
INTERRUPTED = 130


def stop(message: str, *, status: int = FAILED) -> NoReturn:
    """End the process with one line on stderr."""
    print(f"pmcp-lab: {message}", file=sys.stderr)
    raise SystemExit(status)


def one_line(error: LabError) -> str:
    """The first line of an error, and the last of what a server wrote before it went away."""
    head, *rest = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return f"{head} {rest[-1]}" if rest else head
