"""The life of a task: the 46 behaviours a state machine of tasks has to have, by number."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from pmcp_lab.errors import InvalidTransition
from pmcp_lab.protocol import MOVES, TaskStatus, legacy, modern
from pmcp_lab.tasks import LOCAL, TaskRecord, TaskStore
from pmcp_lab.tasks.backends.memory import MemoryBackend

WORKING, INPUT, DONE, FAILED, CANCELLED = TaskStatus
ENDS = {DONE, FAILED, CANCELLED}
VALID = {(WORKING, INPUT), (INPUT, WORKING)} | {(start, end) for start in (WORKING, INPUT) for end in ENDS}
NOW = datetime(2026, 11, 21, 8, 0, 0, 250_000, tzinfo=UTC)


def record(**changes: object) -> TaskRecord:
    return TaskRecord(**{"task_id": "t-1", "owner": LOCAL, "created": NOW, "updated": NOW, **changes})  # type: ignore[arg-type]


async def stored(status: TaskStatus) -> tuple[TaskStore, TaskRecord]:
    store = TaskStore(MemoryBackend())
    task = await store.create(LOCAL)
    return store, task if status is WORKING else await store.update(LOCAL, task.task_id, status=status)


@pytest.mark.parametrize("status", TaskStatus, ids=lambda status: f"{list(TaskStatus).index(status) + 1}-{status}")
def test_terminal(status: TaskStatus) -> None:
    assert status.terminal == (status in ENDS)


@pytest.mark.parametrize("target", TaskStatus)
@pytest.mark.parametrize("start", TaskStatus)
async def test_moves_6_to_37(start: TaskStatus, target: TaskStatus) -> None:
    """Predicate and store agree on every cell of the 5 × 5 table, and a refusal names the task and both ends."""
    assert start.can_become(target) == ((start, target) in VALID)
    store, task = await stored(start)
    if (start, target) in VALID:
        assert (await store.update(LOCAL, task.task_id, status=target)).status is target
        return
    with pytest.raises(InvalidTransition) as refused:
        await store.update(LOCAL, task.task_id, status=target)
    text = str(refused.value)
    assert text == f"invalid transition from {start} to {target} for task {task.task_id}"
    assert (refused.value.task_id, refused.value.current, refused.value.target) == (
        task.task_id,
        start,
        target,
    )
    assert refused.value.code == -32602
    assert (await store.get(LOCAL, task.task_id)) == task


def test_table_31_32() -> None:
    assert {(start, end) for start in TaskStatus for end in MOVES[start]} == VALID
    assert len(VALID) == 8


async def test_new_record_38_to_40() -> None:
    task = await TaskStore(MemoryBackend()).create(LOCAL)
    assert task.status is WORKING
    assert uuid.UUID(task.task_id).version == 4
    assert len(task.task_id) == 36
    assert task.task_id == task.task_id.lower()
    assert task.created == task.updated


def test_expiry_41_42() -> None:
    kept = record(ttl=60_000, expires=NOW + timedelta(minutes=1))
    assert not kept.expired(NOW)
    assert not kept.expired(NOW + timedelta(minutes=1))
    assert kept.expired(NOW + timedelta(minutes=1, milliseconds=1))
    assert not record().expired(datetime.max.replace(tzinfo=UTC))


@pytest.mark.parametrize("encode", [legacy.encode_task, modern.encode_task])
def test_variables_on_the_wire_43_to_46(encode: object) -> None:
    assert callable(encode)
    assert "_meta" not in encode(record().state())
    wire = encode(record(variables={"epoch": 3, "nothing": None}).state())
    assert wire["_meta"] == {"epoch": 3, "nothing": None}
    assert "variables" not in wire
