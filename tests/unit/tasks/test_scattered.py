"""A list of tasks that are scattered among others and among several owners: all of them, once, newest first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pmcp_lab.errors import LabError
from pmcp_lab.tasks import Job, Limits, Owner, TaskRecord, TaskStore
from pmcp_lab.tasks.backends.memory import MemoryBackend
from pmcp_lab.tasks.scattered import LOOKS, list_some
from tests.unit.backend_cases import Clock

OWNERS: list[Owner] = [("network", "a"), ("network", "b"), ("network", "c")]
MINE: Owner = ("session", "mine")


def mine(record: TaskRecord) -> bool:
    return record.job is not None and record.job.context.get("session") == "mine"


async def filled(plan: list[tuple[int, bool, int]]) -> tuple[TaskStore, list[str]]:
    """A store with tasks by owner, whether wanted, and milliseconds since the one before; the wanted, newest first."""
    clock, wanted = Clock(), []
    store = TaskStore(MemoryBackend(), Limits(tasks_per_owner=None), clock=clock)
    for owner, ours, later in plan:
        clock.pass_(milliseconds=later)
        job = Job(tool="t", context={"session": "mine" if ours else "theirs"})
        record = await store.create(OWNERS[owner], job=job)
        if ours:
            wanted.append(record)
    wanted.sort(key=lambda each: (each.created, each.task_id), reverse=True)
    return store, [record.task_id for record in wanted]


async def walked(store: TaskStore, limit: int, stride: int = 100) -> tuple[list[str], int]:
    """Every id that the pages give, and how many pages there were."""
    ids, cursor, pages = list[str](), None, 0
    while True:
        page = await list_some(store, OWNERS, mine, whose=MINE, cursor=cursor, limit=limit, stride=stride)
        assert len(page.records) <= limit
        ids += [record.task_id for record in page.records]
        pages += 1
        cursor = page.next_cursor
        if cursor is None:
            return ids, pages


@given(
    plan=st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 1)), max_size=40),
    limit=st.integers(1, 7),
    stride=st.integers(1, 9),
)
@settings(max_examples=150, deadline=None)
def test_every_task_once_and_newest_first(plan: Any, limit: int, stride: int) -> None:
    async def check() -> None:
        store, wanted = await filled(plan)
        ids, _ = await walked(store, limit, stride)
        assert ids == wanted

    asyncio.run(check())


async def test_a_page_looks_at_so_many_and_no_more() -> None:
    store, [needle] = await filled([(0, True, 1), *[(0, False, 1)] * 1_200])
    first = await list_some(store, OWNERS[:1], mine, whose=MINE)
    assert first.records == []
    assert first.next_cursor is not None, "there is more, though none was found yet"
    assert await walked(store, 50) == ([needle], -(-1_201 // (LOOKS * 100)))
    with pytest.raises(LabError, match="unknown cursor"):
        await list_some(store, OWNERS, mine, whose=("session", "theirs"), cursor=first.next_cursor)
