"""What is special about SQLite: several processes, files that are something else, and crashes."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pmcp_lab.errors import LimitExceeded, StoreError
from pmcp_lab.tasks import Limits, TaskStore
from pmcp_lab.tasks.backends.sqlite import (
    _COUNT,
    _FIRST_PAGE,
    _GET,
    _LEASED,
    _LEASES,
    _NEXT_EXPIRY,
    _NEXT_PAGE,
    _PURGE,
    SqliteBackend,
)
from tests.unit.crash import ROOT, crash

ANN = ("client", "ann")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


def test_killed_writers_lose_nothing(path: Path) -> None:
    account = crash(f"sqlite:///{path}", rounds=8)
    assert account.counts["created"] >= 16
    assert account.counts["completed"] > 0
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


ELSEWHERE = """
import asyncio, sys
from pmcp_lab.errors import LimitExceeded
from pmcp_lab.tasks import Limits, TaskStore
from pmcp_lab.tasks.backends.sqlite import SqliteBackend

async def main(path, task_id, name):
    store = TaskStore(SqliteBackend(path), Limits(tasks_per_owner=20))
    owner = ("client", "ann")
    async def create():
        try:
            await store.create(owner)
        except LimitExceeded:
            return 0
        return 1
    print("ready", flush=True)
    sys.stdin.readline()
    await asyncio.gather(*(store.set_variables(owner, task_id, {f"{name}{n}": n}) for n in range(16)))
    print(sum(await asyncio.gather(*(create() for _ in range(32)))), flush=True)
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


def elsewhere(*arguments: str) -> subprocess.Popen[str]:
    """A process that has opened the store, and waits for a line before it goes on."""
    process = subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, *arguments],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


async def test_two_processes_on_one_file(path: Path) -> None:
    store = TaskStore(SqliteBackend(path), Limits(tasks_per_owner=20))
    task = await store.create(ANN)
    others = [elsewhere(str(path), task.task_id, name) for name in "xy"]
    async with store.watch(ANN, task.task_id) as feed, asyncio.timeout(20):
        assert await anext(feed) == task
        for other in others:
            assert other.stdin is not None
            other.stdin.write("\n")
            other.stdin.flush()
        changed = await anext(feed)
        assert changed.variables, "another process's writes are told"
        while len(changed.variables) < 32:
            changed = await anext(feed)
    made = [int((await asyncio.to_thread(other.communicate))[0]) for other in others]
    assert sum(made) == 19, "the quota holds across processes"
    record = await store.get(ANN, task.task_id)
    assert record.variables == {f"{name}{n}": n for name in "xy" for n in range(16)}
    with pytest.raises(LimitExceeded):
        await store.create(ANN)
    await store.close()


async def test_an_owner_is_told_of_what_others_write(path: Path) -> None:
    here, there = SqliteBackend(path), SqliteBackend(path)
    mine, theirs = TaskStore(here), TaskStore(there)
    tasks = [await mine.create(ANN) for _ in range(3)]
    async with here.watch(ANN) as whole, here.watch(ANN, tasks[0].task_id) as one, asyncio.timeout(5):
        await theirs.cancel(ANN, tasks[1].task_id)
        assert await whole.wait() == frozenset(), "something has changed, here is not said what"
        await theirs.cancel(ANN, tasks[0].task_id)
        assert await one.wait() == {tasks[0].task_id}
    await mine.close()
    await theirs.close()


async def test_writes_wait_for_another_process(path: Path) -> None:
    store = TaskStore(SqliteBackend(path, timeout=10))
    present = await store.create(ANN)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    making = [asyncio.ensure_future(store.create(ANN)) for _ in range(8)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in making), "the loop goes on while another writes"
    assert (await store.list(ANN)).records == [present], "who reads does not wait"
    other.execute("COMMIT")
    other.close()
    made = await asyncio.gather(*making)
    assert {task.task_id for task in (await store.list(ANN)).records} == {task.task_id for task in [present, *made]}
    await store.close()


async def test_a_store_used_from_two_event_loops(path: Path) -> None:
    store = TaskStore(SqliteBackend(path), Limits(tasks_per_owner=None))

    async def create_many() -> None:
        await asyncio.gather(*(store.create(ANN) for _ in range(100)))

    threads = [threading.Thread(target=lambda: asyncio.run(create_many())) for _ in range(3)]
    for thread in threads:
        thread.start()
    await create_many()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert len((await store.list(ANN, limit=1_000)).records) == 400
    await store.close()


async def test_a_closed_store_says_so(path: Path) -> None:
    before, others = threading.active_count(), threading.enumerate()
    store = TaskStore(SqliteBackend(path))
    task = await store.create(ANN)
    async with store.watch(ANN, task.task_id):
        assert threading.active_count() == before + 1
    await store.close()
    await store.close()
    assert threading.active_count() <= before + 1, "asyncio keeps the one that waited for the end"
    assert not any(thread.name == "pmcp-lab-sqlite" and thread not in others for thread in threading.enumerate())
    for call in (store.create(ANN), store.get(ANN, task.task_id), store.list(ANN), store.cleanup_expired()):
        with pytest.raises(StoreError, match=str(path)):
            await call


async def test_writes_under_way_are_finished_by_close(path: Path) -> None:
    store = TaskStore(SqliteBackend(path))
    creating = [asyncio.create_task(store.create(ANN)) for _ in range(20)]
    await asyncio.sleep(0)
    await store.close()
    made = [task.task_id for task in await asyncio.gather(*creating)]
    again = TaskStore(SqliteBackend(path))
    assert {record.task_id for record in (await again.list(ANN)).records} == set(made)
    await again.close()


def other_file(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_files_that_are_something_else(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"not a database" * 1_000)
    with pytest.raises(StoreError, match=str(path)):
        SqliteBackend(path)
    path.unlink()
    other_file(path, "CREATE TABLE mine (x)")
    with pytest.raises(StoreError, match="not a store of tasks"):
        SqliteBackend(path)
    path.unlink()
    asyncio.run(SqliteBackend(path).close())
    other_file(path, "PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="version 99"):
        SqliteBackend(path)
    with pytest.raises(StoreError, match=str(tmp_path)):
        SqliteBackend(tmp_path)


async def test_damaged_records_and_a_file_that_can_not_be_written(path: Path) -> None:
    before = TaskStore(SqliteBackend(path))
    task = await before.create(ANN)
    await before.close()
    backend = SqliteBackend(path, timeout=0.1)
    store = TaskStore(backend)
    other_file(path, "UPDATE task SET data = x'ff'")
    with pytest.raises(StoreError, match=str(path)):
        await store.get(ANN, task.task_id)
    with pytest.raises(StoreError, match=str(path)):
        await backend.replace(replace(task, seq=9), expected=8)
    busy = sqlite3.connect(path, isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        await store.create(ANN)
    busy.execute("ROLLBACK")
    busy.close()
    assert (await store.create(ANN)).seq == 1
    await store.close()


async def test_a_cancelled_writer_disturbs_nobody(path: Path) -> None:
    store = TaskStore(SqliteBackend(path))
    tasks = [asyncio.create_task(store.create(ANN)) for _ in range(10)]
    await asyncio.sleep(0)
    # The first one has not had to wait.
    for task in tasks[1::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(outcome, asyncio.CancelledError) for outcome in done] == [False, True] * 5
    await store.create(ANN)
    await store.close()


@pytest.mark.parametrize(
    ("query", "parameters", "index"),
    [
        (_GET, ("o", "i"), "task_id"),
        (_COUNT, ("o", 1, 5), "COVERING INDEX task_live"),
        (_FIRST_PAGE, ("o", 1, 50), "task_list"),
        (_NEXT_PAGE, ("o", 1, "i", 1, 50), "task_list"),
        (_PURGE, (1,), "task_expires"),
        (_NEXT_EXPIRY, (), "COVERING INDEX task_expires"),
        (_LEASES, ("o", 1, 5, 5), "COVERING INDEX task_live"),
        (_LEASED, (1,), "INTEGER PRIMARY KEY"),
    ],
)
async def test_no_query_scans_or_sorts(path: Path, query: str, parameters: tuple[Any, ...], index: str) -> None:
    await SqliteBackend(path).close()
    connection = sqlite3.connect(path)
    plan = " / ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", parameters))
    connection.close()
    assert index in plan
    assert "TEMP B-TREE" not in plan
    assert "SCAN task" not in plan or query is _NEXT_EXPIRY


async def test_a_record_read_again_is_not_decoded_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = TaskStore(SqliteBackend(path)), TaskStore(SqliteBackend(path))
    task = await here.create(ANN)
    read = await there.get(ANN, task.task_id)
    assert read == task
    assert await there.get(ANN, task.task_id) is read
    changed = await here.update(ANN, task.task_id, message="x")
    assert await here.get(ANN, task.task_id) is changed
    assert (await there.list(ANN)).records == [changed], "another process's change is seen"
    await there.backend.delete(ANN, task.task_id)
    again = replace(task, message="same id, same seq, another task")
    await here.backend.insert(again, quota=None, now=task.created)
    assert await there.get(ANN, task.task_id) == await here.get(ANN, task.task_id) == again
    monkeypatch.setattr("pmcp_lab.tasks.backends.sqlite._KEPT", 2)
    for _ in range(5):
        await there.create(ANN)
    assert len((await there.list(ANN)).records) == 6
    assert isinstance(there.backend, SqliteBackend)
    assert len(there.backend._kept) + len(there.backend._kept_before) <= 4
    await here.close()
    await there.close()


async def test_moments_are_kept_to_the_end_of_the_calendar(path: Path) -> None:
    backend = SqliteBackend(path)
    store = TaskStore(backend, Limits(max_ttl=None))
    last = datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
    task = replace(await store.create(ANN), expires=last, seq=2)
    await backend.replace(task, expected=1)
    assert await store.get(ANN, task.task_id) == task
    assert await backend.next_expiry() == last
    await store.close()


async def test_who_asks_after_a_change_hears_of_it_though_it_is_to_be_committed(tmp_path: Path) -> None:
    store = TaskStore(SqliteBackend(tmp_path / "tasks.db"))
    first, second = await store.create(ANN), await store.create(ANN)
    # In one turn: the first write is done at once, the second waits for the end of the turn.
    _, _, found = await asyncio.gather(
        store.update(ANN, first.task_id, message="at once"),
        store.update(ANN, second.task_id, message="soon"),
        store.get(ANN, second.task_id),
    )
    assert found.message == "soon"
    await store.close()


async def test_a_loop_writes_itself_what_the_thread_was_in_the_way_of(tmp_path: Path) -> None:
    store = TaskStore(SqliteBackend(tmp_path / "tasks.db"))
    writer = store.backend._writer  # type: ignore[attr-defined]
    begun, over = threading.Event(), threading.Event()

    def serve() -> None:
        with writer._turn():
            begun.set()
            over.wait(5)

    thread = threading.Thread(target=serve)
    thread.start()
    begun.wait(5)
    loop = asyncio.get_running_loop()
    loop.call_later(0.1, over.set)
    names = await asyncio.gather(*(writer.run(lambda _: threading.current_thread()) for _ in range(5)))
    thread.join()
    assert set(names) == {threading.current_thread()}
    await store.close()
