"""Servers that tests start; `started` runs one that serves HTTP and prints its URL."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(**more: str) -> dict[str, str]:
    """This process' environment, with this checkout on the path."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def started(module: str, *arguments: str) -> AbstractContextManager[str]:
    """The URL that `python -m module` prints on its first line; the process ends with the block."""
    return serving([sys.executable, "-m", module, *arguments])


@contextmanager
def serving(command: list[str]) -> Iterator[str]:
    """The same of any command."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        if not url.startswith("http://"):
            raise RuntimeError(f"{command} did not start:\n{url}\n{process.stdout.read()}")
        # What else it writes must not fill the pipe.
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        drain.start()
        yield url
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
