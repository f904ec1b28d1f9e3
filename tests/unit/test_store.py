"""What a store promises, on the memory backend. (Other backends will run this suite too.)"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from pmcp_lab.errors import (
    ConcurrentModification,
    InvalidTransition,
    LabError,
    LimitExceeded,
    TaskNotFound,
    TaskNotReady,
    VariableError,
)
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import LOCAL, Job, Limits, TaskStore, resolve_owner
from pmcp_lab.tasks.backends import Conflict
from pmcp_lab.tasks.backends.memory import MemoryBackend
from pmcp_lab.tasks.limits import milliseconds

ANN = resolve_owner("ann")
BOB = resolve_owner("bob")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 8, 0, 0, 123_456, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> TaskStore:
    return TaskStore(MemoryBackend(), Limits(tasks_per_owner=5, max_ttl=10_000_000), clock=clock)


async def test_create(store: TaskStore) -> None:
    job = Job(tool="fit", arguments={"n": 1})
    made = await store.create(ANN, ttl=60_000, poll_interval=77, job=job, variables={"a": 1, "gone": None})
    assert made == await store.get(ANN, made.task_id)
    assert (made.ttl, made.poll_interval, made.job, made.variables, made.seq) == (
        60_000,
        77,
        job,
        {"a": 1},
        1,
    )
    assert made.created.microsecond == 123_000
    assert made.expires == made.created + timedelta(minutes=1)
    assert (await store.create(ANN)).ttl == store.limits.default_ttl


async def test_ttl_above_the_maximum_is_refused_not_clamped(store: TaskStore) -> None:
    assert (await store.create(ANN, ttl=10_000_000)).ttl == 10_000_000
    with pytest.raises(LimitExceeded, match="TTL") as refused:
        await store.create(ANN, ttl=10_000_001)
    assert refused.value.code == -32602


async def test_anonymous_owners_can_be_refused() -> None:
    store = TaskStore(MemoryBackend(), Limits(allow_anonymous=False))
    for owner in (LOCAL, resolve_owner(session_id="s"), resolve_owner("", "", "")):
        with pytest.raises(LimitExceeded, match="anonymous access"):
            await store.create(owner)
    await store.create(ANN)


async def test_a_foreign_task_is_a_missing_one(store: TaskStore) -> None:
    task = await store.create(ANN)
    calls = [
        store.get(BOB, task.task_id),
        store.get_result(BOB, task.task_id),
        store.update(BOB, task.task_id, message="x"),
        store.set_variables(BOB, task.task_id, {"x": 1}),
        store.complete(BOB, task.task_id, None),
        store.fail(BOB, task.task_id, {"code": -1, "message": "x"}),
        store.cancel(BOB, task.task_id),
        store.answer(BOB, task.task_id, {}),
        store.ask(BOB, task.task_id, "k", {}),
    ]
    for call in calls:
        with pytest.raises(TaskNotFound) as refused:
            await call
        assert str(refused.value) == f"task not found: {task.task_id}"
    assert (await store.list(BOB)).records == []
    assert await store.get(ANN, task.task_id) == task


async def test_owners_with_separators_never_meet(store: TaskStore) -> None:
    mine, other = resolve_owner("a"), resolve_owner("a:b")
    task = await store.create(other)
    assert (await store.list(mine)).records == []
    assert (await store.list(other)).records == [task]


async def test_one_write_changes_everything(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN)
    clock.pass_(seconds=1)
    changed = await store.update(ANN, task.task_id, message="half", progress=0.5, variables={"epoch": 1})
    assert (changed.message, changed.progress, changed.variables, changed.seq) == (
        "half",
        0.5,
        {"epoch": 1},
        2,
    )
    assert changed.updated == task.updated + timedelta(seconds=1)
    kept = await store.update(ANN, task.task_id, progress=1)
    assert (kept.message, kept.progress, kept.variables) == ("half", 1.0, {"epoch": 1})


@pytest.mark.parametrize("progress", [-0.1, 1.1, True, float("nan")])
async def test_progress_is_a_fraction(store: TaskStore, progress: float) -> None:
    task = await store.create(ANN)
    with pytest.raises(LabError, match="fraction"):
        await store.update(ANN, task.task_id, progress=progress)


async def test_the_clock_may_go_backwards_but_updated_does_not(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN)
    clock.pass_(seconds=-5)
    assert (await store.update(ANN, task.task_id, message="x")).updated == task.updated


@pytest.mark.parametrize("result", [{"content": []}, None, [], 0, False, ""])
async def test_any_json_is_a_result_null_included(store: TaskStore, result: Any) -> None:
    task = await store.create(ANN)
    with pytest.raises(TaskNotReady, match="not in terminal state"):
        await store.get_result(ANN, task.task_id)
    done = await store.complete(ANN, task.task_id, result)
    assert done.status is TaskStatus.COMPLETED
    assert await store.get_result(ANN, task.task_id) == result


async def test_failed_keeps_its_error_and_has_no_result(store: TaskStore) -> None:
    task = await store.create(ANN)
    error = {"code": -32050, "message": "boom", "data": {"x": 1}}
    failed = await store.fail(ANN, task.task_id, error)
    assert (failed.error, failed.message) == (error, "boom")
    with pytest.raises(TaskNotReady):
        await store.get_result(ANN, task.task_id)


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
async def test_nothing_follows_an_end_but_variables(store: TaskStore, end: str) -> None:
    task = await store.create(ANN)
    arguments: dict[str, list[Any]] = {"complete": [1], "fail": [{"code": -1, "message": "m"}], "cancel": []}
    await getattr(store, end)(ANN, task.task_id, *arguments[end])
    for again, given in arguments.items():
        with pytest.raises(InvalidTransition):
            await getattr(store, again)(ANN, task.task_id, *given)
    for change in ({"message": "late"}, {"progress": 0.5}):
        with pytest.raises(InvalidTransition):
            await store.update(ANN, task.task_id, **change)  # type: ignore[arg-type]
    with pytest.raises(InvalidTransition):
        await store.ask(ANN, task.task_id, "k", {})
    assert (await store.set_variables(ANN, task.task_id, {"late": 1})).variables == {"late": 1}


async def test_result_limits() -> None:
    store = TaskStore(MemoryBackend(), Limits(result_bytes=10))
    task = await store.create(ANN)
    with pytest.raises(LimitExceeded, match="11 bytes"):
        await store.complete(ANN, task.task_id, "é" * 4 + "a")
    with pytest.raises(LimitExceeded, match="JSON"):
        await store.complete(ANN, task.task_id, {1, 2})
    await store.complete(ANN, task.task_id, "é" * 4)


def nested(depth: int) -> Any:
    return 1 if depth == 0 else {"n": nested(depth - 1)}


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"deep": nested(11)}, "'deep' is nested deeper"),
        ({"long": "é" * 32_769}, "65538 bytes"),
        ({"inside": {"list": ["a" * 65_537]}}, "'inside'"),
        ({"mcp/x": 1}, "reserved"),
        ({"": 1}, "needs a name"),
        ({"n" * 257: 1}, "at most 256 bytes"),
        ({"bad": float("nan")}, "JSON"),
        ({"bad": object()}, "JSON"),
        ({f"v{n}": n for n in range(1_001)}, "at most 1000 variables"),
        ({f"v{n}": "x" * 65_000 for n in range(17)}, "1048576 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_variables_that_are_refused(store: TaskStore, variables: dict[str, Any], says: str) -> None:
    task = await store.create(ANN, variables={"kept": 1})
    with pytest.raises(VariableError, match=says):
        await store.set_variables(ANN, task.task_id, variables)
    assert (await store.get(ANN, task.task_id)).variables == {"kept": 1}
    with pytest.raises(VariableError, match=says):
        await store.create(ANN, variables=variables)
    assert len((await store.list(ANN)).records) == 1, "a refused create leaves nothing behind"


async def test_variables_at_the_limit_and_merging(store: TaskStore) -> None:
    task = await store.create(ANN, variables={"deep": nested(10), "long": "a" * 65_536, "a": {"x": 1}})
    merged = await store.set_variables(ANN, task.task_id, {"a": {"y": 2}, "long": None, "missing": None})
    assert merged.variables == {"deep": nested(10), "a": {"y": 2}}


async def test_stored_values_are_not_the_callers(store: TaskStore) -> None:
    mine = {"list": [1]}
    task = await store.create(ANN, variables=mine)
    mine["list"].append(2)
    assert (await store.get(ANN, task.task_id)).variables == {"list": [1]}


async def test_a_client_writes_its_own_names_only(store: TaskStore) -> None:
    task = await store.create(ANN, variables={"epoch": 1})
    await store.set_variables(ANN, task.task_id, {"note": "a"}, by_client=True)
    await store.set_variables(ANN, task.task_id, {"note": "b"}, by_client=True)
    for value in (2, None):
        with pytest.raises(VariableError, match="server's"):
            await store.set_variables(ANN, task.task_id, {"epoch": value}, by_client=True)


async def test_quota_counts_live_tasks_only(store: TaskStore, clock: Clock) -> None:
    tasks = [await store.create(ANN, ttl=1_000 if n == 0 else None) for n in range(5)]
    with pytest.raises(LimitExceeded, match="unfinished tasks") as refused:
        await store.create(ANN)
    assert refused.value.code == -32603
    await store.create(BOB)
    await store.cancel(ANN, tasks[1].task_id)
    await store.create(ANN)
    clock.pass_(seconds=2)
    await store.create(ANN)
    with pytest.raises(LimitExceeded):
        await store.create(ANN)


async def test_parallel_creates_never_exceed_the_quota(store: TaskStore) -> None:
    made = await asyncio.gather(*(store.create(ANN) for _ in range(64)), return_exceptions=True)
    assert sum(not isinstance(task, Exception) for task in made) == 5


async def test_expired_is_gone_everywhere_at_once(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN, ttl=1_000)
    done = await store.create(ANN, ttl=1_000)
    await store.complete(ANN, done.task_id, 1)
    clock.pass_(seconds=1)
    assert await store.get(ANN, task.task_id) == task, "expired means after the moment, not at it"
    clock.pass_(milliseconds=1)
    for call in (
        store.get(ANN, task.task_id),
        store.get_result(ANN, done.task_id),
        store.cancel(ANN, task.task_id),
        store.update(ANN, task.task_id, ttl=10_000),
        store.set_variables(ANN, task.task_id, {}),
    ):
        with pytest.raises(TaskNotFound):
            await call
    assert (await store.list(ANN)).records == []
    assert await store.cleanup_expired() == 2
    assert await store.cleanup_expired() == 0


async def test_the_expiry_can_be_moved(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN, ttl=1_000)
    await store.update(ANN, task.task_id, ttl=5_000)
    clock.pass_(seconds=2)
    assert (await store.get(ANN, task.task_id)).ttl == 5_000
    assert await store.cleanup_expired() == 0
    clock.pass_(seconds=4)
    assert await store.cleanup_expired() == 1


async def test_a_ttl_beyond_the_calendar_never_expires() -> None:
    store = TaskStore(MemoryBackend(), Limits(max_ttl=None))
    task = await store.create(ANN, ttl=2**62)
    assert (task.ttl, task.expires) == (2**62, None)


async def test_pages(clock: Clock) -> None:
    store = TaskStore(MemoryBackend(), clock=clock)
    made = []
    for n in range(7):
        clock.pass_(milliseconds=n % 2)  # some share their millisecond
        made.append(await store.create(ANN))
    expected = [task.task_id for task in sorted(made, key=lambda t: (t.created, t.task_id), reverse=True)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.list(ANN, cursor=cursor, limit=3)
        seen += [task.task_id for task in page.records]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == expected


async def test_a_cursor_outlives_its_task_but_not_its_owner(clock: Clock) -> None:
    store = TaskStore(MemoryBackend(), clock=clock)
    for _ in range(4):
        await store.create(ANN)
        clock.pass_(milliseconds=1)
    page = await store.list(ANN, limit=2)
    assert page.next_cursor is not None
    await store.backend.delete(ANN, page.records[-1].task_id)
    assert len((await store.list(ANN, cursor=page.next_cursor)).records) == 2
    for cursor in (page.next_cursor[:-4], "", "nonsense", "WzEsMl0=", "é", page.records[0].task_id):
        with pytest.raises(LabError, match="unknown cursor") as refused:
            await store.list(ANN, cursor=cursor)
        assert refused.value.code == -32602
    with pytest.raises(LabError, match="unknown cursor"):
        await store.list(BOB, cursor=page.next_cursor)


async def test_questions(store: TaskStore) -> None:
    task = await store.create(ANN)
    first = {"method": "elicitation/create", "params": {"message": "Sure?"}}
    asked = await store.ask(ANN, task.task_id, "a", first)
    assert (asked.status, asked.message) == (TaskStatus.INPUT_REQUIRED, "Sure?")
    await store.ask(ANN, task.task_id, "b", {"method": "elicitation/create", "params": {}})
    with pytest.raises(LabError, match="already asked"):
        await store.ask(ANN, task.task_id, "a", first)
    half = await store.answer(ANN, task.task_id, {"a": 1, "unknown": 2})
    assert (half.status, set(half.open_questions)) == (TaskStatus.INPUT_REQUIRED, {"b"})
    assert await store.answer(ANN, task.task_id, {"a": 9}) == half, "the first answer counts"
    both = await store.answer(ANN, task.task_id, {"b": None})
    assert (both.status, both.answers, both.state().input_requests) == (
        TaskStatus.WORKING,
        {"a": 1, "b": None},
        {},
    )


async def test_concurrent_variables_are_all_kept() -> None:
    store = TaskStore(SlowBackend())
    task = await store.create(ANN)
    await asyncio.gather(*(store.set_variables(ANN, task.task_id, {f"v{n}": n}) for n in range(32)))
    record = await store.get(ANN, task.task_id)
    assert record.variables == {f"v{n}": n for n in range(32)}
    assert record.seq == 33


class SlowBackend(MemoryBackend):
    """One that lets others in between reading and writing, as every real one does."""

    async def get(self, *key: Any) -> Any:
        record = await super().get(*key)
        await asyncio.sleep(0)
        return record

    async def replace(self, record: Any, *, expected: int) -> None:
        await asyncio.sleep(0)
        await super().replace(record, expected=expected)


async def test_a_race_that_is_never_won_ends() -> None:
    class Hopeless(MemoryBackend):
        async def replace(self, record: Any, *, expected: int) -> None:
            raise Conflict(await self.get(record.owner, record.task_id))

    store = TaskStore(Hopeless())
    task = await store.create(ANN)
    with pytest.raises(ConcurrentModification):
        await store.set_variables(ANN, task.task_id, {"a": 1})


async def test_one_of_two_ends_wins() -> None:
    store = TaskStore(SlowBackend())
    task = await store.create(ANN)
    ends = await asyncio.gather(
        store.complete(ANN, task.task_id, 1), store.cancel(ANN, task.task_id), return_exceptions=True
    )
    assert sum(isinstance(end, InvalidTransition) for end in ends) == 1


async def test_watch_sees_the_present_each_change_and_the_end(store: TaskStore) -> None:
    task = await store.create(ANN)

    async def look() -> list[tuple[int, str]]:
        async with store.watch(ANN, task.task_id) as feed:
            return [(record.seq, record.status) async for record in feed]

    watching = asyncio.create_task(look())
    await asyncio.sleep(0.01)
    await store.update(ANN, task.task_id, message="x")
    await asyncio.sleep(0.01)
    await store.complete(ANN, task.task_id, 1)
    assert await asyncio.wait_for(watching, 1) == [(1, "working"), (2, "working"), (3, "completed")]


async def test_watch_ends_with_the_task_when_it_expires() -> None:
    store = TaskStore(MemoryBackend())
    task = await store.create(ANN, ttl=50)
    async with asyncio.timeout(2), store.watch(ANN, task.task_id) as feed:
        assert await anext(feed) == task
        with pytest.raises(TaskNotFound):
            await anext(feed)
    async with store.watch(BOB, task.task_id) as feed:
        with pytest.raises(TaskNotFound):
            await anext(feed)


@pytest.mark.parametrize(
    "values",
    [
        {"tasks_per_owner": 0},
        {"default_ttl": 2, "max_ttl": 1},
        {"default_ttl": None},
        {"variable_depth": "10"},
        {"max_ttl": -1},
        {"nonsense": 1},
    ],
)
def test_limits_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Limits(**values)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (0, 0),
        (90, 90),
        ("250ms", 250),
        ("90s", 90_000),
        (" 1.5 h ", 5_400_000),
        ("5m", 300_000),
        ("2d", 172_800_000),
    ],
)
def test_durations(given: Any, expected: int | None) -> None:
    assert milliseconds(given) == expected


@pytest.mark.parametrize("given", [-1, "", "1", "1y", "-1s", "h", True, 1.5])
def test_what_is_not_a_duration(given: Any) -> None:
    with pytest.raises(ValueError, match="duration"):
        milliseconds(given)
