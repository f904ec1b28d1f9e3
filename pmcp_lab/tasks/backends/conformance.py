"""What every backend must do, as checks that need no test framework.

Run them against your own, each on an empty backend, from any test runner:

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_mine(check):
        asyncio.run(check(MyBackend(...)))

They run on asyncio. A check fails with `AssertionError`. Moments are taken from the present and lie in the future where
records expire, so that a backend that deletes expired records by the real clock is not disturbed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from pmcp_lab.errors import InvalidTransition
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks.backends import Backend, Changes, Conflict, Position, QuotaReached
from pmcp_lab.tasks.limits import Limits
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import Job, Lease, TaskRecord, new_task_id, truncated
from pmcp_lab.tasks.store import TaskStore

ANN: Owner = ("client", "ann")
BOB: Owner = ("client", "bob")
ODD_OWNERS: tuple[Owner, ...] = (
    ("client", "a"),
    ("client", "a:b"),
    ("client", "a", "b"),
    ("subject", "a", ""),
    ("subject", "", "a"),
    ("client", ""),
    ("client", "OWNER#a"),
    ("client", "{a}"),
    ("client", "a*"),
    ("client", 'a","b'),
    ("client", "a\x00b"),
    ("client", "\ud800"),
    ("client", "\udc00"),
    ("client", "{}"),
    ("client", "{}a"),
    ("client", "a/b"),
    ("client", "a/"),
    ("client", "urn:example:user#1"),
    ("client", "A"),
    ("client", "a\n\u2028 \u00e9 e\u0301 \U0001f40d"),
    ("client", "%"),
    ("local",),
)
"""No two of these are the same owner."""

HOUR = timedelta(hours=1)
MS = timedelta(milliseconds=1)

Check = Callable[[Backend], Awaitable[None]]
CHECKS: list[Check] = []
"""All checks; each wants a backend without records, and does not close it."""


def _check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def _now() -> datetime:
    return truncated(datetime.now(UTC))


def _record(owner: Owner = ANN, created: datetime | None = None, **fields: Any) -> TaskRecord:
    moment = created or _now()
    return TaskRecord(task_id=new_task_id(), owner=owner, created=moment, updated=moment, **fields)


async def _insert(backend: Backend, *records: TaskRecord, quota: int | None = None) -> None:
    for record in records:
        await backend.insert(record, quota=quota, now=record.created)


async def _lost(attempt: Awaitable[None]) -> TaskRecord | None:
    try:
        await attempt
    except Conflict as conflict:
        return conflict.current
    raise AssertionError("a compare-and-swap that should have lost was carried out")


@_check
async def keeps_every_field(backend: Backend) -> None:
    now = _now()
    full = _record(
        message="é\n",
        ttl=2**60,
        expires=now + HOUR,
        poll_interval=77,
        method="workflow",
        job=Job(tool="fit", arguments={"n": [1, None]}, context={"x": {}}),
        variables={"a": {"b": [1.5, True, None, "\x00"]}, "": 0},
        client_variables=frozenset({"a"}),
        progress=0.25,
        questions={"q": {"method": "elicitation/create", "params": {}}},
        answers={"q": None},
        lease=Lease(run="r#1", seconds=1.5, version=1, phase="asking"),
    )
    ended = _record(status=TaskStatus.FAILED, error={"code": -1, "message": "m", "data": None})
    null = _record(status=TaskStatus.COMPLETED, result=None)
    large = _record(variables={"large": "x" * 200_000})
    for record in (full, ended, null, large):
        await _insert(backend, record)
        assert await backend.get(ANN, record.task_id) == record
        changed = replace(record, message="changed", seq=2)
        await backend.replace(changed, expected=1)
        assert await backend.get(ANN, record.task_id) == changed


@_check
async def compares_before_it_swaps(backend: Backend) -> None:
    record = _record()
    assert await backend.get(ANN, record.task_id) is None
    assert await _lost(backend.replace(record, expected=1)) is None
    await _insert(backend, record)
    assert await _lost(_insert(backend, replace(record, message="other"))) == record, "insert replaces nothing"
    second = replace(record, message="second", seq=2)
    await backend.replace(second, expected=1)
    for expected in (1, 3):
        attempt = backend.replace(replace(record, message="late", seq=expected + 1), expected=expected)
        assert await _lost(attempt) == second, "a conflict tells what is there"
    assert await backend.get(ANN, record.task_id) == second


@_check
async def deletes(backend: Backend) -> None:
    record, kept = _record(), _record()
    await _insert(backend, record, kept)
    assert not await backend.delete(BOB, record.task_id)
    assert await backend.delete(ANN, record.task_id)
    assert not await backend.delete(ANN, record.task_id)
    assert await backend.get(ANN, record.task_id) is None
    assert await backend.page(ANN, after=None, limit=9, now=_now()) == [kept]
    await _insert(backend, record)
    assert await backend.get(ANN, record.task_id) == record


@_check
async def finds_nothing_under_odd_ids(backend: Backend) -> None:
    await _insert(backend, _record())
    # An id comes from the client, who may write anything.
    for task_id in ("", "*", "\x00", "\ud800", "..", "x" * 1_000, "é\n", '"', "%"):
        assert await backend.get(ANN, task_id) is None
        assert not await backend.delete(ANN, task_id)


@_check
async def keeps_owners_apart(backend: Backend) -> None:
    records = [replace(_record(owner), task_id="same-id") for owner in ODD_OWNERS]
    await _insert(backend, *records, quota=1)
    for record in records:
        assert await backend.get(record.owner, "same-id") == record
        assert await backend.page(record.owner, after=None, limit=99, now=_now()) == [record]
    assert await backend.delete(ODD_OWNERS[0], "same-id")
    for record in records[1:]:
        assert await backend.get(record.owner, "same-id") == record


@_check
async def counts_what_is_live(backend: Backend) -> None:
    now = _now()
    short, long, ending = _record(expires=now + HOUR), _record(expires=now + HOUR), _record()
    await _insert(backend, short, long, ending, quota=3)

    async def full(moment: datetime, owner: Owner = ANN, quota: int = 3) -> bool:
        record = _record(owner)
        try:
            await backend.insert(record, quota=quota, now=moment)
        except QuotaReached:
            assert await backend.get(owner, record.task_id) is None
            return True
        assert await backend.delete(owner, record.task_id)
        return False

    assert await full(now)
    assert not await full(now, BOB, 1)
    await backend.replace(replace(ending, status=TaskStatus.COMPLETED, result=1, seq=2), expected=1)
    assert not await full(now), "what has ended does not count"
    await _insert(backend, _record(), quota=3)
    assert await full(now)
    assert await full(now + HOUR), "expired means after the moment, not at it"
    await backend.replace(replace(long, expires=now + 3 * HOUR, seq=2), expected=1)
    assert not await full(now + HOUR + MS), "what has expired does not count"
    assert await full(now + HOUR + MS, quota=2), "what was given more time does count"


@_check
async def never_exceeds_the_quota(backend: Backend) -> None:
    await asyncio.gather(*(_insert(backend, _record(), quota=5) for _ in range(64)), return_exceptions=True)
    assert len(await backend.page(ANN, after=None, limit=99, now=_now())) == 5


@_check
async def lists_newest_first(backend: Backend) -> None:
    start = _now() - timedelta(minutes=1)
    # Several share a moment, and they come in no order.
    records = [_record(created=start + (n * 7 % 20 // 3) * MS) for n in range(20)]
    await _insert(backend, *records)
    ordered = sorted(records, key=lambda r: (r.created, r.task_id), reverse=True)
    for limit in (1, 3, 20, 21):
        seen: list[TaskRecord] = []
        after: Position | None = None
        while page := await backend.page(ANN, after=after, limit=limit, now=_now()):
            assert len(page) <= limit
            seen += page
            after = (page[-1].created, page[-1].task_id)
        assert seen == ordered
    third = ordered[2]
    assert await backend.delete(ANN, third.task_id)
    after = (third.created, third.task_id)
    assert await backend.page(ANN, after=after, limit=2, now=_now()) == ordered[3:5], "a position outlives its task"
    assert await backend.page(ANN, after=None, limit=0, now=_now()) == []
    assert await backend.page(BOB, after=None, limit=9, now=_now()) == []


@_check
async def lists_nothing_expired(backend: Backend) -> None:
    start = _now()
    records = [
        _record(created=start + n * MS, expires=None if n % 3 == 0 else start + (n % 3) * HOUR) for n in range(12)
    ]
    await _insert(backend, *records)
    for moment in (start, start + HOUR, start + HOUR + MS, start + 2 * HOUR + MS):
        expected = [record for record in reversed(records) if not record.expired(moment)]
        assert await backend.page(ANN, after=None, limit=99, now=moment) == expected
        assert await backend.page(ANN, after=None, limit=3, now=moment) == expected[:3], "a full page, if there is one"


@_check
async def purges_only_what_has_expired(backend: Backend) -> None:
    now = _now()
    gone, moved, kept, other = (
        _record(expires=now + HOUR),
        _record(expires=now + HOUR),
        _record(),
        _record(BOB, expires=now + 3 * HOUR),
    )
    assert await backend.next_expiry() is None
    await _insert(backend, gone, moved, kept, other)
    await backend.replace(replace(moved, expires=now + 3 * HOUR, seq=2), expected=1)
    next_expiry = await backend.next_expiry()
    assert next_expiry is None or next_expiry <= now + HOUR, "not later than the earliest"
    assert await backend.purge(now + HOUR) == 0
    assert await backend.purge(now + HOUR + MS) in (0, 1)
    assert await backend.page(ANN, after=None, limit=9, now=now + 2 * HOUR) == sorted(
        [replace(moved, expires=now + 3 * HOUR, seq=2), kept], key=lambda r: (r.created, r.task_id), reverse=True
    )
    assert await backend.get(BOB, other.task_id) == other
    assert await backend.purge(now + HOUR + MS) == 0


@_check
async def lists_every_lease(backend: Backend) -> None:
    def held(version: int) -> Lease:
        return Lease(run="r#1", seconds=9, version=version)

    async def listed() -> dict[str, tuple[Hashable, int]]:
        found = {}
        async for page in backend.leases():
            for key, version in page:
                record = await backend.leased(key)
                assert record is not None
                found[record.task_id] = (key, version)
        return found

    records = [_record(owner, lease=held(1)) for owner in (BOB, ANN, BOB)]
    await _insert(backend, *records, _record())
    before = await listed()
    assert {task_id: version for task_id, (_, version) in before.items()} == {r.task_id: 1 for r in records}
    assert await backend.leased(before[records[2].task_id][0]) == records[2]
    await backend.replace(replace(records[0], lease=held(2), seq=2), expected=1)
    await backend.replace(replace(records[1], lease=None, seq=2), expected=1)
    after = await listed()
    assert {task_id: version for task_id, (_, version) in after.items()} == {
        records[0].task_id: 2,
        records[2].task_id: 1,
    }
    assert {after[task_id][0] for task_id in after} < {key for key, _ in before.values()}, "a key stays the same"
    assert await backend.leased(before[records[1].task_id][0]) is None, "it has no lease any more"
    assert await backend.delete(BOB, records[2].task_id)
    assert await backend.leased(before[records[2].task_id][0]) is None
    assert set(await listed()) == {records[0].task_id}
    await backend.replace(replace(records[0], lease=held(-3), seq=3), expected=2)
    assert [version for _, version in (await listed()).values()] == [-3]


@_check
async def lists_more_leases_than_fit_a_page(backend: Backend) -> None:
    many = [_record(ANN if n % 2 else BOB, lease=Lease(run="r", seconds=1, version=1)) for n in range(1_100)]
    await _insert(backend, *many)
    found: dict[Hashable, int] = {}
    async for page in backend.leases():
        assert len(page) <= 1_000
        found.update(page)
    assert len(found) == len(many)


async def _hears_of(changes: Changes, task: TaskRecord) -> None:
    # What was written just before may still be on its way; an empty set tells of nothing in particular.
    while task.task_id not in await changes.wait():
        pass


@_check
async def tells_who_watches(backend: Backend) -> None:
    task, sibling, foreign = _record(), _record(), _record(BOB)
    await _insert(backend, task, sibling, foreign)
    async with (
        backend.watch(ANN, task.task_id) as one,
        backend.watch(ANN) as whole,
        backend.watch(BOB, foreign.task_id) as other,
    ):
        await backend.replace(replace(task, message="1", seq=2), expected=1)
        async with asyncio.timeout(10):
            await _hears_of(one, task)
            await _hears_of(whole, task)
            await backend.replace(replace(sibling, message="1", seq=2), expected=1)
            await _hears_of(whole, sibling)
            late = _record()
            await _insert(backend, late)
            await _hears_of(whole, late)
            await backend.delete(ANN, task.task_id)
            await _hears_of(one, task)
        for silent in (one, other):
            waiting = asyncio.ensure_future(silent.wait())
            done, _ = await asyncio.wait([waiting], timeout=0.3)
            assert not done, "a change of another task was told"
            waiting.cancel()


@_check
async def loses_no_variable(backend: Backend) -> None:
    store = TaskStore(backend)
    task = await store.create(ANN)
    await asyncio.gather(*(store.set_variables(ANN, task.task_id, {f"v{n}": n}) for n in range(32)))
    record = await store.get(ANN, task.task_id)
    assert record.variables == {f"v{n}": n for n in range(32)}
    assert record.seq == 33


@_check
async def ends_a_task_once(backend: Backend) -> None:
    store = TaskStore(backend, Limits(tasks_per_owner=None))
    for _ in range(8):
        task = await store.create(ANN)
        ends = await asyncio.gather(
            *(store.complete(ANN, task.task_id, n) for n in range(4)),
            store.cancel(ANN, task.task_id),
            return_exceptions=True,
        )
        won = [end for end in ends if isinstance(end, TaskRecord)]
        assert len(won) == 1
        assert all(isinstance(end, InvalidTransition | TaskRecord) for end in ends)
        assert await store.get(ANN, task.task_id) == won[0]
