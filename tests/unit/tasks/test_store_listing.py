"""Lists: newest first, page by page, with cursors that can't be misused and records that can't be read."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from pmcp_lab.errors import LabError, StoreError
from pmcp_lab.tasks import Lease, Limits, TaskRecord, TaskStore, resolve_owner
from pmcp_lab.tasks.backends import Backend
from pmcp_lab.tasks.cursor import _signature, encode_cursor
from tests.unit.backend_cases import CASES, Clock
from tests.unit.tasks.test_leases import look_twice

ANN = resolve_owner("ann")
BOB = resolve_owner("bob")


async def test_pages(store: TaskStore, clock: Clock) -> None:
    store = TaskStore(store.backend, clock=clock)
    made = []
    for n in range(7):
        clock.pass_(milliseconds=n % 2)  # some share their millisecond
        made.append(await store.create(ANN))
    expected = sorted(made, key=lambda task: (task.created, task.task_id), reverse=True)
    seen: list[TaskRecord] = []
    sizes: list[int] = []
    cursor: str | None = None
    while not sizes or cursor is not None:
        page = await store.list(ANN, cursor=cursor, limit=3)
        seen += page.records
        sizes.append(len(page.records))
        cursor = page.next_cursor
    assert seen == expected
    assert sizes == [3, 3, 1]
    for limit in (0, -1):
        empty = await store.list(ANN, limit=limit)
        assert (empty.records, empty.next_cursor) == ([], None)
    assert (await store.list(ANN, limit=7)).next_cursor is None


async def test_a_cursor_outlives_its_task(store: TaskStore, clock: Clock) -> None:
    for _ in range(4):
        await store.create(ANN)
        clock.pass_(milliseconds=1)
    page = await store.list(ANN, limit=2)
    assert page.next_cursor is not None
    await store.backend.delete(ANN, page.records[-1].task_id)
    assert len((await store.list(ANN, cursor=page.next_cursor)).records) == 2


def signed(owner: tuple[str, ...], moment: Any, task_id: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps([moment, task_id, _signature(owner, moment, task_id)]).encode()).decode()


async def test_an_unknown_cursor_is_refused(store: TaskStore) -> None:
    task = await store.create(ANN)
    good = encode_cursor(ANN, (task.created, task.task_id))
    tampered = good[:10] + ("A" if good[10] != "A" else "B") + good[11:]
    for cursor in (
        *("", "nonsense", "é", "WzEsMl0=", "bnVsbA==", task.task_id, good[:-4], tampered, good + "=", "A" * 100_000),
        encode_cursor(BOB, (task.created, task.task_id)),
        # Anybody can work out the signature: whatever is signed must not reach a backend unless it is a position.
        *(signed(ANN, moment, "x") for moment in (1.5, True, "1", None, 10**30, -(10**30), float("nan"))),
        *(signed(ANN, 1, task_id) for task_id in (1, None, ["x"], {"a": 1}, "x" * 5_000)),
    ):
        with pytest.raises(LabError, match="unknown cursor") as refused:
            await store.list(ANN, cursor=cursor)
        assert refused.value.code == -32602
    for odd in ("\x00", "\ud800", "é" * 40, "\U0001f40d" * 40, ""):
        assert (await store.list(ANN, cursor=signed(ANN, 1, odd))).records == []


# --- records that can't be read ---

Spoil = Callable[[Any, TaskRecord, bytes], Awaitable[None]]


async def spoil_redis(backend: Any, task: TaskRecord, data: bytes) -> None:
    await backend._client.hset(f"{backend._base(task.owner)}:t:{task.task_id}", "d", data)


async def spoil_dynamodb(backend: Any, task: TaskRecord, data: bytes) -> None:
    from pmcp_lab.tasks.backends.dynamodb_items import task_key

    await backend._table.call(
        "update_item",
        Key=task_key(task.owner, task.task_id),
        UpdateExpression="SET #d = :d",
        ExpressionAttributeNames={"#d": "data"},
        ExpressionAttributeValues={":d": {"B": data}},
    )


async def spoil_sqlite(backend: Any, task: TaskRecord, data: bytes) -> None:
    await backend._writer.run(lambda c: c.execute("UPDATE task SET data = ? WHERE id = ?", (data, task.task_id)))
    backend._kept.clear()


SPOILERS: dict[str, Spoil] = {"sqlite": spoil_sqlite, "redis": spoil_redis, "dynamodb": spoil_dynamodb}
"""The memory backend stores no bytes."""


@pytest.fixture(params=[case for case in CASES if case.name in SPOILERS], ids=lambda case: case.name)
async def spoiled(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Backend, Spoil]]:
    async with request.param.make() as backend:
        yield backend, SPOILERS[request.param.name]


@pytest.mark.parametrize("data", [b"\xff\x00", b"{}", b"", b"[" * 10_000, b'{"task":{"status":"lost"}}'])
async def test_a_damaged_record_hides_no_other(
    spoiled: tuple[Backend, Spoil], data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    backend, spoil = spoiled
    store = TaskStore(backend, Limits(tasks_per_owner=None))
    past = Lease(run="r#1", seconds=0.1, version=1)
    made = [await store.create(ANN, lease=past) for _ in range(9)]
    newest = sorted(made, key=lambda task: (task.created, task.task_id), reverse=True)
    damaged, whole = newest[1:4], [newest[0], *newest[4:]]
    for task in damaged:
        await spoil(backend, task, data or b" ")
    with caplog.at_level(logging.WARNING):
        page = await store.list(ANN, limit=2)
        assert page.records == whole[:2], "a full page"
        assert (await store.list(ANN, cursor=page.next_cursor, limit=9)).records == whole[2:]
        assert (await store.list(ANN)).records == whole
        found: list[TaskRecord] = []
        await look_twice(store, found)
        assert {task.task_id for task in found} == {task.task_id for task in whole}
    assert "can't be read" in caplog.text
    for call in (store.get(ANN, damaged[0].task_id), TaskStore(backend).cancel(ANN, damaged[0].task_id)):
        with pytest.raises(StoreError, match="can't be read") as unreadable:
            await call
        assert unreadable.value.code == -32603
    assert await backend.delete(ANN, damaged[0].task_id), "it can be got rid of"


@pytest.mark.parametrize("spoiled", [case for case in CASES if case.name in ("redis", "dynamodb")], indirect=True)
async def test_a_stored_version_that_is_none(spoiled: tuple[Backend, Spoil]) -> None:
    backend, _ = spoiled
    task = await TaskStore(backend).create(ANN)
    if hasattr(backend, "_base"):
        await backend._client.hset(f"{backend._base(ANN)}:t:{task.task_id}", "v", "many")  # type: ignore[attr-defined]
    else:
        from pmcp_lab.tasks.backends.dynamodb_items import task_key

        key, no_version = task_key(ANN, task.task_id), "REMOVE #version"
        await backend._table.call(  # type: ignore[attr-defined]
            "update_item", Key=key, UpdateExpression=no_version, ExpressionAttributeNames={"#version": "version"}
        )
    with pytest.raises(StoreError):
        await TaskStore(backend).get(ANN, task.task_id)
    assert (await TaskStore(backend).list(ANN)).records == []
