"""Which files a SQLite store opens, and what becomes of those that it does not."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks import Limits, TaskStore, open_store
from pmcp_lab.tasks.backends.sqlite import SqliteBackend
from tests.unit.crash import ROOT

ANN = ("client", "ann")


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def opened(path: Path) -> TaskStore:
    return TaskStore(SqliteBackend(path, timeout=0.3), Limits(tasks_per_owner=None))


async def refused(path: Path) -> str:
    with pytest.raises(StoreError) as refusal:
        await opened(path).close()
    return str(refusal.value)


# --- files that are somebody else's ---


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def text(path: Path) -> None:
    path.write_text("my diary\n" * 1_000)


def short(path: Path) -> None:
    path.write_text("x")


def a_database(path: Path) -> None:
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE mine (x)")


def a_header_alone(path: Path) -> None:
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")


def with_a_log_of_a_crash(path: Path) -> None:
    """All that is in it is in its log."""
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA journal_mode = WAL'); c.execute('CREATE TABLE mine (x)'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert beside(path, "-wal").stat().st_size > 0


def with_a_journal_of_a_crash(path: Path) -> None:
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('CREATE TABLE mine (x)'); c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN');"
        "[c.execute('INSERT INTO mine VALUES (randomblob(3000))') for _ in range(50)]; os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert beside(path, "-journal").stat().st_size > 0


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def all_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    "make", [text, short, a_database, a_header_alone, with_a_log_of_a_crash, with_a_journal_of_a_crash]
)
async def test_a_file_that_is_not_ours_is_left_as_it_is(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "mine.db"
    make(path)
    before, changed = all_of(tmp_path), path.stat().st_mtime_ns
    said = await refused(path)
    assert str(path) in said
    assert "another name" in said
    assert all_of(tmp_path) == before
    assert path.stat().st_mtime_ns == changed


async def test_a_file_in_use_elsewhere_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.db"
    a_database(path)
    with closing(connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "not a store" in await refused(path)
        other.execute("INSERT INTO mine VALUES (1)")
        other.execute("COMMIT")
        assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)


async def test_an_empty_file_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    path.touch()
    store = opened(path)
    task = await store.create(ANN)
    await store.close()
    store = opened(path)
    assert (await store.list(ANN)).records == [task]
    await store.close()


async def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, word in (("", "folder"), ("pipe", "no ordinary file"), ("nix/tasks.db", "make it first")):
        assert word in await refused(tmp_path / name)
    assert "name of a file" in await refused(Path("\0.db"))
    with pytest.raises(StoreError, match="name of a file"):
        open_store(f"sqlite:///{tmp_path}/a%00b.db")


@pytest.mark.parametrize("name", ["with spaces.db", "100%.db", "a%20b.db", "who?.db", "#1.db", "ü&=.db", "file:x.db"])
async def test_names(tmp_path: Path, name: str) -> None:
    store = opened(tmp_path / name)
    task = await store.create(ANN)
    other = opened(tmp_path / name)
    assert (await other.list(ANN)).records == [task]
    assert names(tmp_path) == {name, f"{name}-wal", f"{name}-shm"}
    await store.close()
    await other.close()
    assert names(tmp_path) == {name}


async def test_a_link_and_another_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "tasks.db").symlink_to(tmp_path / "there" / "tasks.db")
    monkeypatch.chdir(tmp_path / "here")
    store = opened(Path("tasks.db"))
    await store.create(ANN)
    monkeypatch.chdir(tmp_path)
    await asyncio.sleep(0.5)
    await store.create(ANN)
    assert (tmp_path / "there" / "tasks.db-wal").exists()
    await store.close()


# --- locks ---


async def test_a_store_that_another_program_is_writing_to_can_be_opened_and_read(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    store = opened(path)
    task = await store.create(ANN)
    await store.close()
    with closing(connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        store = opened(path)
        assert (await store.list(ANN)).records == [task]
        with pytest.raises(StoreError, match=r"another program.*locked"):
            await store.create(ANN)
        other.execute("ROLLBACK")
        await store.create(ANN)
        await store.close()


async def test_a_new_file_that_another_program_has_locked(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    with closing(connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "locked" in await refused(path)
        other.execute("ROLLBACK")
    await opened(path).close()


# --- files that can only be read ---

READER = """
import asyncio, os, sys
from pmcp_lab.errors import StoreError
from pmcp_lab.tasks import Limits, TaskStore
from pmcp_lab.tasks.backends.sqlite import SqliteBackend

async def main(path):
    # Loads what it takes while that can be read.
    await asyncio.to_thread(os.getuid)
    if os.getuid() == 0:
        # Root may do everything.
        os.setgid(65534)
        os.setuid(65534)
    try:
        store = TaskStore(SqliteBackend(path), Limits(tasks_per_owner=None))
    except StoreError as error:
        print("refused", error)
        return
    owner = ("client", "ann")
    records = (await store.list(owner)).records
    print(*sorted(record.message for record in records), flush=True)
    for record in records:
        assert await store.get(owner, record.task_id) == record
        for write in (store.create(owner), store.cancel(owner, record.task_id), store.cleanup_expired()):
            try:
                await write
            except StoreError as error:
                said = str(error)
    async with store.watch(owner, records[0].task_id) as feed:
        await anext(feed)
        print(said, flush=True)
        sys.stdin.readline()
        try:
            print(sorted([record.message for record in (await store.list(owner)).records]))
        except StoreError as error:
            print(error)
    await store.close()

asyncio.run(main(sys.argv[1]))
"""


class Reader:
    """A process that may not write: not to the file, and not beside it."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", READER, str(path)],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> str:
        return self.process.communicate("\n")[0].strip()


def allow(path: Path, mode: int) -> None:
    path.chmod(mode)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that others can reach, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


async def filled(path: Path) -> None:
    store = opened(path)
    for message in ("one", "two"):
        await store.create(ANN, message=message)
    await store.close()


@pytest.mark.parametrize("writable", ["nothing", "file", "folder"])
async def test_a_store_where_nothing_can_be_written_is_read(public: Path, writable: str) -> None:
    path = public / "tasks.db"
    await filled(path)
    allow(path, 0o666 if writable == "file" else 0o444)
    allow(public, 0o777 if writable == "folder" else 0o555)
    reader = Reader(path)
    assert reader.line() == "one two"
    assert reader.line() == f"the store {path} can only be read: its file or its folder may not be written"
    assert reader.go_on() == "['one', 'two']"
    assert reader.process.returncode == 0
    assert names(public) == {"tasks.db"}


async def test_a_store_that_others_write_meanwhile_is_read(public: Path) -> None:
    path = public / "tasks.db"
    await filled(path)
    store = opened(path)
    await store.create(ANN, message="three")
    allow(public, 0o555)
    reader = Reader(path)
    assert reader.line() == "one three two"
    assert "can only be read" in reader.line()
    await store.create(ANN, message="four")
    assert reader.go_on() == "['four', 'one', 'three', 'two']"
    await store.close()


async def test_a_store_that_somebody_begins_to_write_is_not_read_half(public: Path) -> None:
    path = public / "tasks.db"
    await filled(path)
    allow(path, 0o644)
    allow(public, 0o755)
    reader = Reader(path)
    assert reader.line() == "one two"
    assert "can only be read" in reader.line()
    store = opened(path)
    await store.create(ANN, message="three")
    await asyncio.sleep(0.5)
    assert (
        reader.go_on() == f"the store {path}, which can only be read here, was written by somebody else: open it again"
    )
    await store.close()


async def test_a_log_that_can_not_be_read_is_not_left_out(public: Path) -> None:
    path, copy = public / "tasks.db", public / "copy"
    store = opened(path)
    await store.create(ANN, message="in the log")
    copy.mkdir()
    for suffix in ("", "-wal"):
        shutil.copyfile(beside(path, suffix), copy / f"tasks.db{suffix}")
    await store.close()
    allow(copy, 0o555)
    reader = Reader(copy / "tasks.db")
    said = reader.line()
    assert said.startswith("refused")
    assert f"its log {copy}/tasks.db-wal" in said
    reader.go_on()
    allow(copy, 0o755)
    store = opened(copy / "tasks.db")
    assert [task.message for task in (await store.list(ANN)).records] == ["in the log"]
    await store.close()


# --- logs that are not the file's ---


async def write(path: Path, count: int) -> None:
    store = opened(path)
    for _ in range(count):
        await store.create(ANN)
    await store.close()


def killed(path: Path) -> None:
    """A process that creates a task, and is killed."""
    code = (
        "import asyncio, os, sys; from pathlib import Path\n"
        "from tests.unit.tasks.backends.test_sqlite_file import ANN, opened\n"
        "async def main():\n"
        "    await opened(Path(sys.argv[1])).create(ANN)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert beside(path, "-wal").stat().st_size > 0


async def test_the_log_of_a_crash_is_not_poured_over_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    await write(path, 3)
    shutil.copyfile(path, tmp_path / "backup")
    await write(path, 50)
    killed(path)
    shutil.copyfile(tmp_path / "backup", path)
    before = all_of(tmp_path)
    said = await refused(path)
    assert f"the log {path}-wal is not that of {path}" in said
    assert {name: data for name, data in all_of(tmp_path).items() if not name.endswith("-shm")} == {
        name: data for name, data in before.items() if not name.endswith("-shm")
    }
    beside(path, "-wal").unlink()
    beside(path, "-shm").unlink()
    store = opened(path)
    assert len((await store.list(ANN)).records) == 3
    await store.close()


async def test_the_log_of_a_crash_is_used_with_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    for n in range(5):
        await write(path, 2)
        killed(path)
        store = opened(path)
        assert len((await store.list(ANN)).records) == 3 * (n + 1)
        await store.close()


async def test_the_log_of_a_store_that_was_deleted_is_not_that_of_the_next(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    await write(path, 3)
    killed(path)
    path.unlink()
    store = opened(path)
    assert (await store.list(ANN)).records == []
    await store.create(ANN)
    await store.close()
    store = opened(path)
    assert len((await store.list(ANN)).records) == 1
    await store.close()


async def test_a_shell_may_write_and_tidy_up_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    store = opened(path)
    for n in range(6):
        await store.create(ANN)
        with closing(connect(path)) as shell:
            shell.execute(("UPDATE task SET seq = seq", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)")[n % 3])
        os.utime(path)
        await asyncio.sleep(0.45)
        assert len((await store.list(ANN)).records) == n + 1
    await store.close()
    store = opened(path)
    assert len((await store.list(ANN)).records) == 6
    await store.close()
