"""What store operations cost: beside a hundred times as many tasks, and beside bare SQLite. Microseconds.

Both arms of a ratio take turns in one run, and the median of the rounds counts. `PMCP_LAB_MCP1_PYTHON` names a Python
that has mcp 1.30; its InMemoryTaskStore is then measured too.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import statistics
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from pmcp_lab.tasks import Job, Limits, TaskRecord, TaskStore, open_store
from pmcp_lab.tasks.backends.sqlite import _NEXT_PAGE, SqliteBackend, _key, _since_epoch
from pmcp_lab.tasks.codec import encode_record
from pmcp_lab.tasks.cursor import decode_cursor

FEW, MANY = 1_000, 100_000
ROUNDS = 9
OPERATIONS = 200
PAGE = 50
OWNER = ("client", "bench")
JOB = Job(tool="train", arguments={"epochs": 3})
VARIABLES = {"epoch": 1, "loss": 0.25}
# One owner has all tasks, and a quota they come near: the worst case of counting.
LIMITS = Limits(tasks_per_owner=10 * MANY)

Operation = Callable[[], Awaitable[object]]


async def timed(operations: Sequence[Operation], clock: Callable[[], float] = time.perf_counter) -> float:
    gc.collect()
    gc.disable()
    try:
        began = clock()
        for operation in operations:
            await operation()
        return (clock() - began) / len(operations) * 1e6
    finally:
        gc.enable()


def median_ratio(some: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(some, others, strict=True))


def line(name: str, *figures: Sequence[float], ratio: float) -> None:
    shown = "  ".join(f"{statistics.median(values):8.1f} [{min(values):.1f}..{max(values):.1f}]" for values in figures)
    print(f"  {name:32} {shown}  ratio {ratio:.2f}")


async def create(store: TaskStore) -> TaskRecord:
    return await store.create(OWNER, job=JOB, variables=VARIABLES)


@asynccontextmanager
async def filled(url: str, count: int) -> AsyncIterator[tuple[TaskStore, list[str]]]:
    """A store with so many tasks, and ids from all over it."""
    store = open_store(url, LIMITS)
    ids: list[str] = []
    for start in range(0, count, 500):
        ids += [task.task_id for task in await asyncio.gather(*(create(store) for _ in range(min(500, count - start))))]
    try:
        yield store, ids[:: count // FEW]
    finally:
        await store.close()


@pytest.fixture(params=["memory", "sqlite"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    if request.param == "memory":
        return "memory://", "memory://"
    return f"sqlite:///{tmp_path}/few.db", f"sqlite:///{tmp_path}/many.db"


async def test_cost_does_not_grow_with_the_store(urls: tuple[str, str]) -> None:
    async with filled(urls[0], FEW) as few, filled(urls[1], MANY) as many:
        kinds: dict[str, Callable[[TaskStore, str], Operation]] = {
            "create": lambda store, _: lambda: create(store),
            "get": lambda store, task_id: lambda: store.get(OWNER, task_id),
            "update": lambda store, task_id: lambda: store.update(OWNER, task_id, variables={"epoch": 2}),
        }
        costs: dict[tuple[str, int], list[float]] = {}
        for turn in range(ROUNDS + 1):
            for name, make in kinds.items():
                # Who comes first takes turns as well.
                for size, (store, ids) in [(FEW, few), (MANY, many)][:: 1 if turn % 2 else -1]:
                    chosen = [ids[(turn * OPERATIONS + n) * 7 % len(ids)] for n in range(OPERATIONS)]
                    cost = await timed([make(store, task_id) for task_id in chosen])
                    if turn:
                        costs.setdefault((name, size), []).append(cost)
    print(f"\n{urls[0].partition(':')[0]}, {FEW} and {MANY} tasks of one owner")
    ratios = {}
    for name in kinds:
        small, large = costs[name, FEW], costs[name, MANY]
        ratios[name] = median_ratio(large, small)
        line(name, small, large, ratio=ratios[name])
    # The aim is 1.3 everywhere. SQLite may miss it on a busy machine: records all over a big file lie on as many
    # pages, which are in no CPU's cache (bare SELECTs grow by 1.6 to 1.9). A bare dict grows by up to a microsecond.
    memory = urls[0] == "memory://"
    limits = {"create": 1.3, "get": 1.3, "update": 1.3} if memory else {"create": 1.5, "get": 1.6, "update": 1.5}
    for name, limit in limits.items():
        assert ratios[name] <= limit or statistics.median(costs[name, MANY]) <= statistics.median(costs[name, FEW]) + 1
    if urls[0] == "memory://":
        assert statistics.median(costs["get", MANY]) <= 8


async def test_a_page_costs_a_page(urls: tuple[str, str]) -> None:
    async with filled(urls[0], FEW) as few, filled(urls[1], MANY) as many:
        costs: dict[tuple[str, int], list[float]] = {}
        places: dict[tuple[str, int], tuple[TaskStore, str | None]] = {}
        for size, (store, _) in ((FEW, few), (MANY, many)):
            cursors: list[str | None] = [None]
            while (page := await store.list(OWNER, cursor=cursors[-1], limit=PAGE)).next_cursor:
                cursors.append(page.next_cursor)
            for name, index in (("first", 0), ("middle", len(cursors) // 2), ("last", -1)):
                places[name, size] = store, cursors[index]

        def read(store: TaskStore, cursor: str | None) -> Operation:
            return lambda: store.list(OWNER, cursor=cursor, limit=PAGE)

        for turn in range(ROUNDS + 1):
            for place, (store, cursor) in places.items():
                cost = await timed([read(store, cursor)] * 20)
                if turn:
                    costs.setdefault(place, []).append(cost)
    print(f"\n{urls[0].partition(':')[0]}, pages of {PAGE} of {FEW} and {MANY} tasks")
    growth = {}
    for name in ("first", "middle", "last"):
        growth[name] = median_ratio(costs[name, MANY], costs[name, FEW])
        line(f"{name} page", costs[name, FEW], costs[name, MANY], ratio=growth[name])
    assert max(growth.values()) <= 2
    medians = [statistics.median(costs[name, MANY]) for name in ("first", "middle", "last")]
    assert max(medians) <= 1.5 * min(medians)


def bare(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE task (owner, id, created, data, PRIMARY KEY (owner, id))")
    connection.execute("CREATE INDEX task_order ON task (owner, created, id)")
    return connection


async def test_sqlite_beside_bare_sqlite(tmp_path: Path) -> None:
    store = TaskStore(SqliteBackend(tmp_path / "tasks.db"), Limits(tasks_per_owner=10 * MANY))
    data = encode_record(await create(store))
    connection = bare(tmp_path / "bare.db")
    count = 0

    async def insert() -> None:
        nonlocal count
        count += 1
        connection.execute("INSERT INTO task VALUES ('bench', ?, ?, ?)", (str(uuid.uuid4()), count, data))

    async def create_32() -> None:
        await asyncio.gather(*(create(store) for _ in range(32)))

    async def select() -> None:
        connection.execute(
            "SELECT id, created, data FROM task WHERE owner = 'bench' AND (created, id) < (?, '')"
            " ORDER BY created DESC, id DESC LIMIT ?",
            (count // 2, PAGE),
        ).fetchall()

    raw, alone, together = [], [], []
    for turn in range(ROUNDS + 1):
        inserted = await timed([insert] * 320)
        one = await timed([lambda: create(store)] * 320)
        many = await timed([create_32] * 10) / 32
        if turn:
            raw.append(inserted)
            alone.append(one)
            together.append(many)
    await asyncio.gather(*(create(store) for _ in range(FEW)))
    middle = (await store.list(OWNER, limit=FEW // 2)).next_cursor
    selects, warm = [], []
    for turn in range(ROUNDS + 1):
        selected = await timed([select] * 20)
        listed = await timed([lambda: store.list(OWNER, cursor=middle, limit=PAGE)] * 20)
        if turn:
            selects.append(selected)
            warm.append(listed)
    connection.close()
    await store.close()
    print(f"\nsqlite beside bare SQLite (WAL, synchronous=NORMAL, {len(data)} bytes a record)")
    line("autocommit INSERT", raw, ratio=1)
    line("create, one after another", alone, ratio=median_ratio(alone, raw))
    line("create, 32 at a time", together, ratio=median_ratio(together, raw))
    line(f"SELECT of {PAGE}", selects, ratio=1)
    line("list page", warm, ratio=median_ratio(warm, selects))
    assert median_ratio(together, raw) <= 1.5
    assert median_ratio(warm, selects) <= 2
    # The aim is 1.5. A create writes the pages of two more indexes (what is live, expiry), and the log is moved into
    # the file after 10 MB, with everybody waiting.
    assert median_ratio(alone, raw) <= 2.6


async def test_pages_that_this_process_never_read(tmp_path: Path) -> None:
    """Each page once, by a connection that has just been opened, and the same rows by a bare one. CPU time."""
    path = tmp_path / "tasks.db"
    store = TaskStore(SqliteBackend(path), LIMITS)
    for _ in range(FEW // PAGE):
        await asyncio.gather(*(create(store) for _ in range(PAGE)))
    cursors: list[str] = []
    while cursor := (await store.list(OWNER, cursor=cursors[-1] if cursors else None, limit=PAGE)).next_cursor:
        cursors.append(cursor)
    places = [decode_cursor(OWNER, cursor) for cursor in cursors]
    selects, pages = [], []

    async def bare_pages() -> float:
        connection = sqlite3.connect(path, isolation_level=None)
        rows = [(_key(OWNER), _since_epoch(created), task_id, 0, PAGE) for created, task_id in places]
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()

        async def select() -> None:
            connection.execute(_NEXT_PAGE, rows.pop()).fetchall()

        try:
            return await timed([select] * len(rows), time.process_time)
        finally:
            connection.close()

    async def our_pages() -> float:
        after = TaskStore(SqliteBackend(path))
        left = list(cursors)

        async def page() -> None:
            await after.list(OWNER, cursor=left.pop(), limit=PAGE)

        try:
            return await timed([page] * len(left), time.process_time)
        finally:
            await after.close()

    for turn in range(3 * ROUNDS + 1):
        first, second = (bare_pages, our_pages)[:: 1 if turn % 2 else -1]
        costs = {first: await first(), second: await second()}
        if turn:
            selects.append(costs[bare_pages])
            pages.append(costs[our_pages])
    await store.close()
    ratio = median_ratio(pages, selects)
    print(f"\nsqlite, pages of {PAGE} that nobody has read, each once")
    line(f"SELECT of {PAGE}", selects, ratio=1)
    line("list page", pages, ratio=ratio)
    # Each record is decoded, to see that it can be.
    assert ratio <= 6


async def longest_stall(work: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds for which the event loop came to nothing else, at most."""
    gaps: list[float] = []

    async def beat() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    gc.collect()
    beating = asyncio.create_task(beat())
    await asyncio.sleep(0.05)
    await work()
    beating.cancel()
    return max(gaps) * 1e3


@pytest.mark.parametrize(("count", "size"), [(20_000, 10), (2_000, 60_000)])
async def test_a_purge_does_not_stall_the_loop(urls: tuple[str, str], count: int, size: int) -> None:
    async def stall() -> float:
        store = open_store(urls[0], LIMITS)
        hour, big = 3_600, {"text": "x" * size}
        for _ in range(count // 200):
            await asyncio.gather(*(store.create(OWNER, ttl=hour, variables=big) for _ in range(200)))
        stalled = await longest_stall(lambda: store.backend.purge(store.now() + timedelta(hours=2)))
        assert not (await store.list(OWNER)).records
        await store.close()
        return stalled

    stalls = [await stall() for _ in range(5)]
    print(f"\n{urls[0].partition(':')[0]}, {count} tasks of {size} bytes are purged")
    print(f"  the loop stalls, at most: {statistics.median(stalls):.0f} ms [{min(stalls):.0f}..{max(stalls):.0f}]")
    assert statistics.median(stalls) <= 50


async def test_the_log_of_sqlite(tmp_path: Path) -> None:
    """How big it becomes, while many tasks write small and big records."""
    path = tmp_path / "tasks.db"
    store = TaskStore(SqliteBackend(path), LIMITS)
    peak = 0

    async def write(task: TaskRecord, size: int) -> None:
        nonlocal peak
        for n in range(OPERATIONS):
            values = {f"text {k}": chr(97 + n % 26) * min(size, 60_000) for k in range(size // 60_000 + 1)}
            await store.set_variables(OWNER, task.task_id, values)
            peak = max(peak, log_size(path))

    sizes = (10, 10, 10, 60_000, 900_000)
    await asyncio.gather(*[write(await create(store), size) for size in sizes])
    await store.close()
    print(f"\nsqlite, records of {', '.join(map(str, sizes))} bytes, {OPERATIONS} times each")
    print(f"  the log has at most {peak / 1e6:.1f} MB")
    assert peak <= 16e6


def log_size(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


MCP1 = """
import asyncio, time
from mcp.shared.experimental.tasks.in_memory_task_store import InMemoryTaskStore
from mcp.types import TaskMetadata

async def main():
    for count in (1_000, 3_000):
        store = InMemoryTaskStore()
        ids = []
        for _ in range(count):
            ids.append((await store.create_task(TaskMetadata(ttl=3_600_000))).taskId)
        figures = []
        for operation in (
            lambda n: store.create_task(TaskMetadata(ttl=3_600_000)),
            lambda n: store.get_task(ids[n]),
            lambda n: store.update_task(ids[n], status_message="x"),
            lambda n: store.list_tasks(),
        ):
            began = time.perf_counter()
            for n in range(30):
                await operation(n)
            figures.append((time.perf_counter() - began) / 30 * 1e6)
        names = ("create", "get", "update", "page")
        print(f"  {count} tasks:", *(f"{name} {figure:.0f}" for name, figure in zip(names, figures)))

asyncio.run(main())
"""


def test_mcp_1_30_for_comparison() -> None:
    python = os.environ.get("PMCP_LAB_MCP1_PYTHON")
    if python is None:
        print("\nmcp 1.30: not measured; name a Python that has it in PMCP_LAB_MCP1_PYTHON")
        return
    done = subprocess.run([python, "-c", MCP1], capture_output=True, text=True, check=True)
    print(f"\nmcp 1.30 InMemoryTaskStore\n{done.stdout}")
