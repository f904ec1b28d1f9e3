"""The log of a SQLite store stays small, whoever is killed, reads or writes."""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pmcp_lab.tasks import Limits, TaskStore
from pmcp_lab.tasks.backends.sqlite import SqliteBackend
from tests.unit.crash import ROOT
from tests.unit.sqlite_writers import OWNER, Seen, kill

MOST = 16_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


def log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def opened(path: Path) -> TaskStore:
    return TaskStore(SqliteBackend(path), Limits(tasks_per_owner=None))


async def write(store: TaskStore, task_id: str, times: int, *, texts: int = 16) -> int:
    """Records of a megabyte; how big the log became."""
    peak = 0
    for n in range(times):
        values = {f"text {k}": chr(97 + n % 26) * 60_000 for k in range(texts)}
        await store.set_variables(OWNER, task_id, values)
        peak = max(peak, log(Path(store.backend._path)).stat().st_size)  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    return peak


async def check(path: Path, seen: Seen) -> None:
    store = opened(path)
    for task_id, number in seen.acknowledged.items():
        assert (await store.get(OWNER, task_id)).variables["number"] >= number, "an acknowledged write is lost"
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_big_records(path: Path) -> None:
    store = opened(path)
    task = await store.create(OWNER)
    assert await write(store, task.task_id, 60) < MOST
    await store.close()


async def test_many_big_records_at_once(path: Path) -> None:
    store = opened(path)
    tasks = [await store.create(OWNER) for _ in range(40)]
    assert max(await asyncio.gather(*(write(store, task.task_id, 2) for task in tasks))) < MOST
    await store.close()


async def test_killed_writers_leave_a_small_log(path: Path) -> None:
    seen = await asyncio.to_thread(kill, path, 40, 1)
    assert seen.peak < MOST
    await check(path, seen)


async def test_killed_writers_on_one_file_leave_a_small_log(path: Path) -> None:
    seen = await asyncio.to_thread(kill, path, 40, 2)
    assert seen.peak < MOST
    await check(path, seen)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Another program that reads what was there at first, until it is left."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM task").fetchone()
        yield
        connection.execute("ROLLBACK")


async def test_a_log_that_a_reader_keeps_is_said_once_and_becomes_small_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(path)
    task = await store.create(OWNER)
    with caplog.at_level(logging.WARNING), reading(path):
        # Nothing is refused: it would have to be given up for a backup that takes long.
        assert await write(store, task.task_id, 40) > MOST
    assert len(caplog.messages) == 1
    assert f"{log(path)} has grown" in caplog.text
    await write(store, task.task_id, 12)
    assert log(path).stat().st_size < MOST
    await store.close()


async def test_a_log_that_was_left_is_moved_at_the_opening(path: Path) -> None:
    process = subprocess.run(  # noqa: ASYNC221
        [sys.executable, "-c", LEAVES_A_LOG, str(path)], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=False
    )
    assert process.returncode == -signal.SIGKILL
    assert log(path).stat().st_size > 2 * MOST
    store = opened(path)
    assert log(path).stat().st_size < MOST
    assert (await store.list(OWNER)).records[0].variables["number"] == 39
    await store.close()


LEAVES_A_LOG = """
import asyncio, os, signal, sqlite3, sys
from pathlib import Path
from tests.unit.sqlite_writers import OWNER
from tests.unit.tasks.backends.test_sqlite_log import opened, reading

async def main(path):
    store = opened(path)
    task = await store.create(OWNER)
    with reading(path):
        for n in range(40):
            values = {f"text {k}": chr(97 + n % 26) * 60_000 for k in range(16)}
            await store.set_variables(OWNER, task.task_id, {"number": n, **values})
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_one_of_two_is_killed_while_it_moves_the_log(path: Path) -> None:
    store = opened(path)
    task = await store.create(OWNER)
    await write(store, task.task_id, 9)
    other = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", MOVES_THE_LOG, f"{path}-shm"], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert await asyncio.to_thread(other.stdout.readline) == "moving\n"
    writing = asyncio.create_task(write(store, task.task_id, 12))
    done, _ = await asyncio.wait([writing], timeout=1)
    assert not done, "the log grows faster than somebody else moves it"
    assert log(path).stat().st_size < MOST
    assert len((await store.list(OWNER)).records) == 1, "who reads does not wait"
    assert not writing.done()
    other.send_signal(signal.SIGKILL)
    other.wait()
    other.stdout.close()
    assert await asyncio.wait_for(writing, 10) < MOST
    await store.close()


# The byte that whoever moves a log locks: https://sqlite.org/walformat.html#locking_primitives
MOVES_THE_LOG = """
import fcntl, sys, time
with open(sys.argv[1], "r+b") as index:
    fcntl.lockf(index, fcntl.LOCK_EX, 1, 121)
    print("moving", flush=True)
    time.sleep(60)
"""


async def test_nothing_is_written_before_a_log_that_is_due_is_moved(path: Path) -> None:
    store = opened(path)
    task = await store.create(OWNER)
    due = store.backend._writer._log  # type: ignore[attr-defined]
    for _ in range(5):
        due.due = True
        await store.set_variables(OWNER, task.task_id, {"n": 1})
        assert not due.due
    await store.close()
