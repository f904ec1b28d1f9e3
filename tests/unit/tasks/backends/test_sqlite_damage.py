"""Files that are damaged, and disks that are full: what is said, and what still works."""

from __future__ import annotations

import logging
import random
import re
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from pmcp_lab.errors import LabError, StoreError
from pmcp_lab.tasks import Job, Limits, TaskStore
from pmcp_lab.tasks.backends.sqlite import SqliteBackend
from pmcp_lab.tasks.backends.sqlite_file import PAGE

ANN = ("client", "ann")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


def opened(path: Path) -> TaskStore:
    return TaskStore(SqliteBackend(path, timeout=0.3), Limits(tasks_per_owner=None))


async def filled(path: Path) -> list[str]:
    """A file with records of all sizes, some of which expire; their ids."""
    chance, store, ids = random.Random(1), opened(path), []
    for n in range(200):
        task = await store.create(
            ANN,
            job=Job(tool="train", arguments={"n": n}),
            variables={"text": "x" * chance.choice([3, 10, 10, 300, 9_000])},
            ttl=chance.choice([None, 10_000]),
        )
        ids.append(task.task_id)
        if n % 3 == 0:
            await store.complete(ANN, task.task_id, {"n": n})
    await store.close()
    return ids


def spoil_page(path: Path, name: str) -> None:
    """Write zeros over the first page of a table or an index."""
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    spoil(path, (root - 1) * PAGE, bytes(PAGE))


def spoil(path: Path, start: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


@pytest.mark.parametrize("name", ["task", "task_id", "task_list"])
async def test_a_damaged_page_is_said_with_what_to_do(path: Path, name: str) -> None:
    ids = await filled(path)
    spoil_page(path, name)
    store = opened(path)
    said = []
    for call in (
        store.list(ANN),
        store.get(ANN, ids[7]),
        store.create(ANN),
        store.set_variables(ANN, ids[9], {"x": 1}),
    ):
        try:
            await call
        except StoreError as error:
            said.append(str(error))
    assert said
    for text in said:
        assert text.startswith(f"the file of the store {path} is damaged (database disk image is malformed)")
        assert f"sqlite3 {path} .recover" in text
    await store.close()


async def test_damage_found_while_opening(path: Path) -> None:
    await filled(path)
    spoil(path, 100, bytes(PAGE - 100))
    with pytest.raises(StoreError, match=rf"the file of the store {path} is damaged .*\.recover"):
        opened(path)
    await filled(text := path.with_name("text.db"))
    spoil(text, place_of(text, b"CREATE INDEX") + 6, b"\xe2")
    with pytest.raises(StoreError, match=rf"the file of the store {text} is damaged .*\.recover"):
        opened(text)
    await filled(other := path.with_name("other.db"))
    spoil(other, 0, bytes(PAGE))
    with pytest.raises(StoreError, match=rf"{other} is not a SQLite file.*restore it if it was one"):
        opened(other)


def place_of(path: Path, text: bytes) -> int:
    return path.read_bytes().index(text)


async def test_a_damaged_record_is_left_out_of_a_page(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ids = await filled(path)
    with closing(sqlite3.connect(path)) as connection:
        for n, data in ((5, "substr(data, 1, 100)"), (6, "CAST('[]' AS BLOB)"), (7, "x'ff'"), (8, "17"), (9, "'{}'")):
            connection.execute(f"UPDATE task SET data = {data} WHERE id = ?", (ids[n],))
        connection.commit()
    store = opened(path)
    with caplog.at_level(logging.WARNING):
        page = await store.list(ANN, limit=195)
    assert {record.task_id for record in page.records} == {*ids} - {*ids[5:10]}, "others take their place"
    assert len(caplog.messages) >= 5
    assert all(str(path) in message for message in caplog.messages)
    for n in range(5, 10):
        with pytest.raises(StoreError, match=f"in the store {path}, a stored task can't be read"):
            await store.get(ANN, ids[n])
    await store.close()


async def test_an_id_that_is_no_text_hides_no_other(path: Path) -> None:
    ids = await filled(path)
    places = places_of(path, ids[3])
    assert len(places) == 3, "in the table, and in two indexes"
    for place in places:
        spoil(path, place, b"\xff")
        store = opened(path)
        assert {record.task_id for record in (await store.list(ANN, limit=500)).records} >= {*ids} - {ids[3]}
        assert (await store.get(ANN, ids[4])).task_id == ids[4]
        await store.close()
        spoil(path, place, ids[3][-1].encode())


def places_of(path: Path, task_id: str) -> list[int]:
    """Where an id ends, but that in the record itself."""
    return [
        found.end() - 1
        for found in re.finditer(task_id.encode(), path.read_bytes())
        if found.string[found.start() - 1 : found.start()] != b'"'
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_damaged_is_said_or_does_not_matter(
    path: Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    ids = await filled(path)
    whole, chance = whole_of(path), random.Random(seed)
    for _ in range(25):
        put(path, damaged(whole, chance))
        await use(path, ids, chance)


def whole_of(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, data: bytes) -> None:
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
    path.write_bytes(data)


def damaged(whole: bytes, chance: random.Random) -> bytes:
    data = bytearray(whole)
    page = chance.randrange(len(data) // PAGE) * PAGE
    match chance.randrange(5):
        case 0:
            for _ in range(chance.choice([1, 3, 20, 200])):
                data[chance.randrange(len(data))] = chance.randrange(256)
        case 1:
            data[page : page + PAGE] = chance.choice([bytes(PAGE), chance.randbytes(PAGE)])
        case 2:
            del data[chance.randrange(len(data)) :]
        case 3:
            for _ in range(chance.choice([1, 3, 8])):
                data[page + chance.randrange(100)] = chance.randrange(256)
        case _:
            for _ in range(chance.choice([1, 3])):
                data[chance.randrange(PAGE)] = chance.randrange(256)
    return bytes(data)


async def use(path: Path, ids: list[str], chance: random.Random) -> None:
    """Everything that can be done; any error but ours fails."""
    try:
        store = opened(path)
    except StoreError:
        return
    a, b, c = chance.sample(ids, 3)
    calls = (
        lambda: store.list(ANN, limit=500),
        lambda: store.get(ANN, a),
        lambda: store.update(ANN, b, message="x"),
        lambda: store.create(ANN),
        lambda: store.backend.next_expiry(),
        lambda: store.backend.purge(store.now() + timedelta(days=1)),
        lambda: store.backend.delete(ANN, c),
        store.close,
    )
    for call in calls:
        try:
            await call()
        except LabError:
            continue


async def test_a_full_disk(path: Path) -> None:
    store = opened(path)
    task = await store.create(ANN)
    connection = store.backend._writer._connection  # type: ignore[attr-defined]
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(StoreError, match=rf"{path} can't be written: the disk is full; nothing .* is lost"):
        await store.create(ANN, variables={"text": "x" * 9_000})
    assert await store.get(ANN, task.task_id) == task
    connection.execute("PRAGMA max_page_count = 100000")
    await store.create(ANN, variables={"text": "x" * 9_000})
    await store.close()
