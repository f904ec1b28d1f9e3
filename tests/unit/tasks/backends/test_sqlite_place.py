"""The file of a SQLite store is taken away, replaced or written over while it is open."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks import Limits, TaskStore
from pmcp_lab.tasks.backends.sqlite import SqliteBackend
from tests.unit.crash import ROOT

ANN = ("client", "ann")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


def opened(path: Path) -> TaskStore:
    return TaskStore(SqliteBackend(path), Limits(tasks_per_owner=None))


async def refused(store: TaskStore, within: float = 1.0) -> StoreError:
    """What writing says at last, which it must do within so many seconds; and goes on to say."""
    end = time.monotonic() + within + 0.2
    while True:
        try:
            await store.create(ANN)
        except StoreError as error:
            with pytest.raises(StoreError):
                await store.create(ANN)
            with pytest.raises(StoreError):
                await store.list(ANN)
            return error
        assert time.monotonic() < end, "writes go on into nothing"
        await asyncio.sleep(0.01)


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def delete(path: Path) -> None:
    path.unlink()


def move_away(path: Path) -> None:
    path.rename(beside(path, ".old"))


def delete_the_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def rename_over(path: Path) -> None:
    beside(path, ".backup").replace(path)


def delete_the_log(path: Path) -> None:
    beside(path, "-wal").unlink()


def delete_the_index(path: Path) -> None:
    beside(path, "-shm").unlink()


def delete_all(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        beside(path, suffix).unlink()


def cut_off(path: Path) -> None:
    os.truncate(path, 0)


def write_a_backup_over(path: Path) -> None:
    shutil.copyfile(beside(path, ".backup"), path)


def write_another_store_over(path: Path) -> None:
    other = beside(path, ".other")
    asyncio.run(SqliteBackend(other).close())
    shutil.copyfile(other, path)


def write_something_else_over(path: Path) -> None:
    path.write_bytes(b"not a database" * 1_000)


async def with_a_backup(path: Path) -> TaskStore:
    """A store with two tasks, and beside it a copy of its file with one."""
    for _ in range(2):
        store = opened(path)
        await store.create(ANN)
        await store.close()
        if not beside(path, ".backup").exists():
            shutil.copyfile(path, beside(path, ".backup"))
    return opened(path)


@pytest.mark.parametrize(
    "fault",
    [
        delete,
        move_away,
        delete_the_folder,
        rename_over,
        delete_the_log,
        delete_the_index,
        delete_all,
        cut_off,
        write_a_backup_over,
        write_another_store_over,
        write_something_else_over,
    ],
    ids=lambda fault: fault.__name__,
)
async def test_it_is_noticed_within_a_second_of_writing(path: Path, fault: Callable[[Path], None]) -> None:
    store = await with_a_backup(path)
    await store.create(ANN)
    await asyncio.to_thread(fault, path)
    said = str(await refused(store))
    assert str(path) in said
    assert "while it was open, and nothing is written any more" in said
    assert "restart" in said
    await store.close()


async def test_who_only_reads_is_told_too(path: Path) -> None:
    store = await with_a_backup(path)
    await store.list(ANN)
    delete(path)
    await asyncio.sleep(0.5)
    with pytest.raises(StoreError, match="deleted"):
        await store.list(ANN)
    await store.close()


async def test_who_waits_for_a_change_is_told(path: Path) -> None:
    store = await with_a_backup(path)
    task = await store.create(ANN)
    async with store.watch(ANN, task.task_id) as feed, asyncio.timeout(5):
        await anext(feed)
        delete(path)
        with pytest.raises(StoreError, match="deleted"):
            await anext(feed)
    await store.close()


async def test_a_file_that_is_put_back_is_used_again(path: Path) -> None:
    store = await with_a_backup(path)
    move_away(path)
    await refused(store)
    beside(path, ".old").rename(path)
    await asyncio.sleep(0.5)
    await store.create(ANN)
    count = len((await store.list(ANN)).records)
    await store.close()
    store = opened(path)
    assert len((await store.list(ANN)).records) == count, "nothing that was acknowledged is lost"
    await store.close()


HOLDS_ON = """
import asyncio, sys
from pathlib import Path
from tests.unit.tasks.backends.test_sqlite_place import ANN, opened

async def main(path):
    store = opened(path)
    for n in range(3):
        await store.create(ANN)
    print("idle", flush=True)
    sys.stdin.readline()
    await store.close()

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_server_begins_anew_beside_one_that_has_lost_its_file(path: Path) -> None:
    old = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", HOLDS_ON, str(path)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert old.stdout is not None
    assert await asyncio.to_thread(old.stdout.readline) == "idle\n"
    delete(path)
    new = opened(path)
    await new.create(ANN)
    assert await asyncio.to_thread(old.communicate, "\n") == ("", None)
    assert old.returncode == 0
    await new.create(ANN)
    other = opened(path)
    assert len((await other.list(ANN)).records) == 2, "the old one has tidied up what is not its own"
    await other.close()
    await new.close()


LOSES_ITS_LOG = """
import asyncio, os, sys
from pathlib import Path
from tests.unit.tasks.backends.test_sqlite_place import ANN, delete_the_log, opened, refused

async def main(path):
    store = opened(path)
    for n in range(3):
        await store.create(ANN)
    delete_the_log(path)
    await refused(store)
    await asyncio.sleep(0.2)
    os.kill(os.getpid(), 9)

asyncio.run(main(Path(sys.argv[1])))
"""


def test_what_was_acknowledged_is_saved_from_a_log_that_was_deleted(path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", LOSES_ITS_LOG, str(path)], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=False
    )

    async def count() -> int:
        store = opened(path)
        try:
            return len((await store.list(ANN)).records)
        finally:
            await store.close()

    assert asyncio.run(count()) >= 3


def touch(path: Path, mode: int) -> None:
    path.chmod(mode)
    os.utime(path)


async def test_a_file_may_be_touched_and_given_other_rights(path: Path) -> None:
    store = await with_a_backup(path)
    for mode in (0o600, 0o644):
        touch(path, mode)
        await asyncio.sleep(0.5)
        await store.create(ANN)
    await store.close()
