"""What only the DynamoDB backend promises: true conflicts, places instead of a counter, the table itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed: pip install 'pmcp_lab[dynamodb]'")

from msgspec.structs import replace

from pmcp_lab.errors import LimitExceeded, MissingExtra, StoreError
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import Limits, TaskStore, open_store
from pmcp_lab.tasks.backends import Conflict, QuotaReached
from pmcp_lab.tasks.backends.dynamodb import DynamoBackend, create_table, drop_table
from pmcp_lab.tasks.backends.dynamodb_feed import PolledChanges
from pmcp_lab.tasks.backends.dynamodb_items import insert_task, partition, task_key
from pmcp_lab.tasks.record import TaskRecord, new_task_id, truncated
from tests.unit.storage_servers import dynamodb_endpoint

ANN = ("client", "ann")
MS = timedelta(milliseconds=1)


def now() -> datetime:
    return truncated(datetime.now(UTC))


def record(**fields: Any) -> TaskRecord:
    moment = now()
    return TaskRecord(task_id=new_task_id(), **({"owner": ANN, "created": moment, "updated": moment} | fields))


class Recorded(DynamoBackend):
    """Counts the operations it sends, and can lose an answer."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sent: list[str] = []
        call = self._table.call

        async def counted(operation: str, **arguments: Any) -> Any:
            self.sent.append(operation)
            return await call(operation, **arguments)

        self._table.call = counted  # type: ignore[method-assign]

    def taken(self) -> list[str]:
        sent, self.sent = self.sent, []
        return sent

    async def slots(self) -> dict[str, str]:
        found = [item async for item in self._all(ANN, "SLOT#", "#SK, #task_id")]
        return {item["task_id"]["S"]: item["SK"]["S"] for item in found}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    url = f"dynamodb://pmcp-lab-test-{new_task_id()}?region=eu-central-1&endpoint={dynamodb_endpoint()}"
    await create_table(url)
    yield url
    await drop_table(url)


@pytest.fixture
async def backend(url: str) -> AsyncIterator[Recorded]:
    backend = Recorded(url)
    yield backend
    await backend.close()


async def test_requests_per_operation(backend: Recorded) -> None:
    await backend.insert(record(), quota=10_000, now=now())
    assert backend.taken() == ["query", "transact_write_items"], "an owner's places are looked at once per limit"
    task, free = record(), record()
    await backend.insert(task, quota=10_000, now=now())
    assert set(backend.taken()) == {"transact_write_items"}
    await backend.insert(free, quota=None, now=now())
    assert backend.taken() == ["put_item"]
    await backend.get(ANN, task.task_id)
    assert backend.taken() == ["get_item"]
    await backend.replace(replace(task, message="x", seq=2), expected=1)
    assert backend.taken() == ["update_item"]
    await backend.replace(replace(task, status=TaskStatus.COMPLETED, result=1, seq=3), expected=2)
    assert backend.taken() == ["transact_write_items"]
    assert len(await backend.page(ANN, after=None, limit=50, now=now())) == 3
    assert backend.taken() == ["query", "batch_get_item"]
    assert await backend.purge(now()) == 0
    assert await backend.next_expiry() is None
    assert backend.taken() == []


async def test_a_conflict_reports_what_is_there_without_another_request(backend: Recorded, url: str) -> None:
    task = record()
    await backend.insert(task, quota=5, now=now())
    other = DynamoBackend(url)
    theirs = replace(task, status=TaskStatus.CANCELLED, seq=2)
    await other.replace(theirs, expected=1)
    await other.close()
    for mine in (replace(task, message="late", seq=2), replace(task, status=TaskStatus.COMPLETED, result=1, seq=2)):
        backend._remember(ANN, task.task_id, backend._seats[ANN, task.task_id]._replace(version=1))
        backend.taken()
        with pytest.raises(Conflict) as conflict:
            await backend.replace(mine, expected=1)
        assert conflict.value.current == theirs
        assert len(backend.taken()) == 1, "a failed condition is not tried again"
    with pytest.raises(Conflict) as conflict:
        await backend.insert(replace(task, message="again"), quota=5, now=now())
    assert conflict.value.current == theirs
    assert await backend.slots() == {}


async def test_another_process_may_end_a_task(backend: Recorded, url: str) -> None:
    task = record()
    await backend.insert(task, quota=1, now=now())
    with pytest.raises(QuotaReached):
        await backend.insert(record(), quota=1, now=now())
    other = Recorded(url)
    await other.replace(replace(task, status=TaskStatus.COMPLETED, result=None, seq=2), expected=1)
    assert other.taken() == ["get_item", "transact_write_items"]
    await other.close()
    await backend.insert(record(), quota=1, now=now())


async def test_64_parallel_creates_of_two_clients_keep_the_quota(backend: Recorded, url: str) -> None:
    other = DynamoBackend(url)
    stores = [TaskStore(each, Limits(tasks_per_owner=7)) for each in (backend, other)]
    made = await asyncio.gather(*(stores[n % 2].create(ANN) for n in range(64)), return_exceptions=True)
    assert sum(isinstance(one, LimitExceeded) for one in made) == 57
    tasks = [one for one in made if isinstance(one, TaskRecord)]
    assert len(tasks) == len(await backend.slots()) == 7
    # What ends makes room, whoever ends it, and exactly as much.
    await asyncio.gather(*(stores[n % 2].complete(ANN, task.task_id, n) for n, task in enumerate(tasks[:3])))
    made = await asyncio.gather(*(stores[n % 2].create(ANN) for n in range(16)), return_exceptions=True)
    assert sum(isinstance(one, TaskRecord) for one in made) == 3
    await other.close()


async def test_the_place_of_an_expired_task_is_free_and_a_late_end_does_not_disturb(backend: Recorded) -> None:
    moment = now()
    short = record(expires=moment + 10 * MS)
    await backend.insert(short, quota=1, now=moment)
    later = moment + 11 * MS
    new = record(created=later, updated=later)
    await backend.insert(new, quota=1, now=later)
    # It was loaded before it expired, and is written after its place was given away.
    await backend.replace(replace(short, status=TaskStatus.COMPLETED, result=1, seq=2), expected=1)
    assert await backend.slots() == {new.task_id: "SLOT#0"}
    with pytest.raises(QuotaReached):
        await backend.insert(record(), quota=1, now=later)
    assert await backend.delete(ANN, new.task_id)
    assert await backend.slots() == {}


async def test_a_lower_limit_counts_what_a_higher_one_let_in(backend: Recorded, url: str) -> None:
    for _ in range(6):
        await backend.insert(record(), quota=100, now=now())
    other = DynamoBackend(url)
    with pytest.raises(QuotaReached):
        await other.insert(record(), quota=6, now=now())
    await other.insert(record(), quota=7, now=now())
    await other.close()


async def test_pages_hold_across_requests(backend: Recorded) -> None:
    start = now()
    records = [record(created=start + n // 3 * MS, variables={"x": "y" * 3000}) for n in range(230)]
    await asyncio.gather(*(backend.insert(each, quota=None, now=start) for each in records))
    ordered = sorted(records, key=lambda each: (each.created, each.task_id), reverse=True)
    assert await backend.page(ANN, after=None, limit=300, now=start) == ordered
    store, seen, cursor = TaskStore(backend), [], None
    backend.taken()
    while True:
        page = await store.list(ANN, cursor=cursor)
        seen += page.records
        assert backend.taken() == ["query", "batch_get_item"]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == ordered


async def test_a_page_leaps_over_what_has_expired(backend: Recorded) -> None:
    start = now()
    old = [record(created=start - MS, variables={"n": n}) for n in range(3)]
    expired = [record(created=start + n * MS, expires=start + timedelta(minutes=1)) for n in range(200)]
    await asyncio.gather(*(backend.insert(each, quota=None, now=start) for each in (*old, *expired)))
    backend.taken()
    later = start + timedelta(minutes=2)
    page = await backend.page(ANN, after=None, limit=2, now=later)
    assert page == sorted(old, key=lambda each: each.task_id, reverse=True)[:2]
    assert backend.taken() == ["query", "query", "batch_get_item"]


async def test_a_write_whose_answer_was_lost_is_not_a_conflict(backend: Recorded) -> None:
    put = insert_task(record(), None, now())
    backend._lost(put["Item"], put["Item"])
    with pytest.raises(Conflict):
        backend._lost(put["Item"], insert_task(record(), None, now())["Item"])


async def test_expiry_in_seconds_is_never_too_early(backend: Recorded) -> None:
    task = record(expires=datetime(2026, 11, 21, 8, 0, 0, 1000, tzinfo=UTC))
    await backend.insert(task, quota=None, now=now())
    item = await backend._read(ANN, task.task_id)
    assert item is not None
    assert int(item["expires_at"]["N"]) * 1000 > int(item["expires"]["N"]) == 1_795_248_000_001
    await backend.replace(replace(task, expires=None, seq=2), expected=1)
    item = await backend._read(ANN, task.task_id)
    assert item is not None
    assert "expires_at" not in item


async def test_too_large_for_an_item(backend: Recorded) -> None:
    store = TaskStore(backend)
    task = await store.create(ANN)
    with pytest.raises(LimitExceeded, match="DynamoDB item"):
        await store.complete(ANN, task.task_id, "x" * 400_000)
    assert await store.get(ANN, task.task_id) == task
    await store.complete(ANN, task.task_id, "x" * 300_000)


async def test_owners_of_any_length() -> None:
    long = [("client", "é" * 2000 + end) for end in "ab"]
    assert len({partition(owner) for owner in long}) == 2
    assert all(len(partition(owner)) < 2048 for owner in long)
    assert task_key(ANN, "x") == {"PK": {"S": "OWNER#o:client:ann"}, "SK": {"S": "TASK#x"}}


async def test_a_watcher_hears_of_other_clients(backend: Recorded, url: str) -> None:
    other = DynamoBackend(url)
    mine, theirs = TaskStore(backend), TaskStore(other)
    task = await mine.create(ANN)
    async with mine.watch(ANN, task.task_id) as feed, backend.watch(ANN) as whole, asyncio.timeout(20):
        assert (await anext(feed)).status is TaskStatus.WORKING
        await theirs.complete(ANN, task.task_id, {"n": 1})
        assert (await anext(feed)).result == {"n": 1}
        assert await whole.wait() == {task.task_id}
        await other.delete(ANN, task.task_id)
        assert await whole.wait() == {task.task_id}
    await other.close()


async def test_looks_become_rare_while_nothing_happens() -> None:
    looks = 0
    versions = {"a": 1}

    async def look() -> dict[str, int]:
        nonlocal looks
        looks += 1
        return dict(versions)

    changes = PolledChanges(look, (0.01, 0.1), versions)
    waiting = asyncio.create_task(changes.wait())
    await asyncio.sleep(0.6)
    assert 3 <= looks <= 15, "100 times at the first pause"
    changes.tell("a", 2)
    assert await waiting == {"a"}
    assert changes._pause == 0.01
    versions["a"] = 2
    waiting = asyncio.create_task(changes.wait())
    await asyncio.sleep(0.1)
    assert not waiting.done(), "what was told is not found again"
    versions["b"] = 1
    assert await waiting == {"b"}


async def test_clear_errors(url: str) -> None:
    missing = open_store(url.replace("pmcp-lab-test", "no-such"))
    with pytest.raises(StoreError, match="create_table"):
        await missing.create(ANN)
    await missing.close()
    for wrong in ("dynamodb://", "dynamodb://t/path", "dynamodb://t?regoin=x"):
        with pytest.raises(StoreError, match="dynamodb://table"):
            open_store(wrong)


@pytest.mark.timeout(60)
async def test_nothing_listens_there(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store("dynamodb://tasks?region=eu-central-1&endpoint=http://127.0.0.1:1")
    with pytest.raises(StoreError, match=r"'tasks' at http://127\.0\.0\.1:1 can't be used"):
        await store.create(ANN)
    await store.close()


def test_without_aiobotocore_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("pmcp_lab.tasks.backends.dynamodb")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("aiobotocore", "aiobotocore.config", "aiobotocore.session"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"pmcp_lab\[dynamodb\]"):
        open_store("dynamodb://tasks")
