"""Processes that write big records to one SQLite store until they are killed, and how big its log becomes.

`python -m tests.unit.sqlite_writers PATH KILLS AT_ONCE` kills so many of them, so many at once, and prints what it saw.
They are forked, so that a killed one has a successor at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pmcp_lab.tasks import Limits, TaskStore
from pmcp_lab.tasks.backends.sqlite import SqliteBackend
from tests.unit.crash import ROOT

OWNER = ("client", "ann")
TASKS = 2
"""Tasks that each process writes to at the same time."""


@dataclass
class Seen:
    """Bytes of the log at its biggest, and the last number that was acknowledged of each task."""

    peak: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)


def kill(path: Path, kills: int, at_once: int) -> Seen:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.sqlite_writers", str(path), str(kills), str(at_once)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Seen(**json.loads(done.stdout))


# --- the process that kills, and those that it kills ---


def run(path: Path, kills: int, at_once: int) -> Seen:
    chance, seen = random.Random(1), Seen()
    log = path.with_name(path.name + "-wal")

    def measure() -> None:
        seen.peak = max(seen.peak, log.stat().st_size)

    for _ in range(kills // at_once):
        writers = [fork(path) for _ in range(at_once)]
        for _, reader in writers:
            assert os.read(reader, 1), "a writer has failed"
        end = time.monotonic() + chance.choice([0.01, 0.1, 0.3]) * chance.random()
        while time.monotonic() < end:
            measure()
            time.sleep(0.002)
        for pid, _ in writers:
            os.kill(pid, signal.SIGKILL)
        for pid, reader in writers:
            os.waitpid(pid, 0)
            with os.fdopen(reader) as lines:
                for line in lines.read().splitlines(keepends=True):
                    # The last line may be cut off.
                    if line.endswith("\n") and line.strip():
                        task_id, number = line.split()
                        seen.acknowledged[task_id] = int(number)
        measure()
    return seen


def fork(path: Path) -> tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            asyncio.run(write(path, writer))
        finally:
            os._exit(1)
    os.close(writer)
    return pid, reader


async def write(path: Path, acknowledged: int) -> None:
    store = TaskStore(SqliteBackend(path), Limits(tasks_per_owner=None))
    os.write(acknowledged, b"\n")

    async def task(number: int) -> None:
        task = await store.create(OWNER)
        while True:
            number += 1
            # Small ones, those of some pages, and those of a megabyte.
            texts = {0: 16, 1: 1}.get(number % 50, 0)
            values = {f"text {n}": chr(97 + number % 26) * 60_000 for n in range(texts)}
            await store.set_variables(OWNER, task.task_id, {"number": number, **values})
            os.write(acknowledged, f"{task.task_id} {number}\n".encode())
            await store.set_variables(OWNER, task.task_id, dict.fromkeys(values))
            await asyncio.sleep(0)

    await asyncio.gather(*(task(25 * n) for n in range(TASKS)))


if __name__ == "__main__":
    print(json.dumps(asdict(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))))
