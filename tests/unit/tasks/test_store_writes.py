"""What creating and updating a task writes, and what is refused before anything is written."""

from __future__ import annotations

import copy
import uuid
from datetime import timedelta
from typing import Any

import pytest

from pmcp_lab.errors import LabError, LimitExceeded
from pmcp_lab.tasks import Job, Limits, TaskStore, resolve_owner
from pmcp_lab.tasks.backends.memory import MemoryBackend
from tests.unit.backend_cases import Clock

ANN = resolve_owner("ann")
NAN = float("nan")
CYCLE: list[Any] = []
CYCLE.append(CYCLE)


async def test_a_new_task(store: TaskStore) -> None:
    job = Job(tool="fit", arguments={"n": 1}, context={"x": [None]})
    made = await store.create(ANN, ttl=60, poll_interval=0.077, job=job, variables={"a": 1, "gone": None})
    assert made == await store.get(ANN, made.task_id)
    assert (made.ttl, made.poll_interval, made.job, made.variables, made.seq) == (60_000, 77, job, {"a": 1}, 1)
    assert made.created == made.updated == store.now()
    assert made.expires == made.created + timedelta(minutes=1)
    assert uuid.UUID(made.task_id).version == 4
    plain = await store.create(ANN)
    assert (plain.ttl, plain.poll_interval) == (3_600_000, 1_000)


async def test_one_write_changes_everything(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN)
    clock.pass_(seconds=1)
    changed = await store.update(ANN, task.task_id, message="half", progress=0.5, variables={"epoch": 1})
    assert (changed.message, changed.progress, changed.variables, changed.seq) == ("half", 0.5, {"epoch": 1}, 2)
    assert changed.updated == task.updated + timedelta(seconds=1)
    kept = await store.update(ANN, task.task_id, progress=1)
    assert (kept.message, kept.progress, kept.variables) == ("half", 1.0, {"epoch": 1})


async def test_what_was_given_out_never_changes(store: TaskStore, clock: Clock) -> None:
    first = await store.create(ANN, variables={"n": [1]})
    was = [(copy.deepcopy(first), first)]
    for write in (
        lambda: store.update(ANN, first.task_id, message="half", variables={"n": [2]}),
        lambda: store.leases.claim(ANN, first.task_id, "me", 5),
        lambda: store.ask(ANN, first.task_id, "q", {"method": "elicitation/create"}),
        lambda: store.answer(ANN, first.task_id, {"q": {}}),
        # Nothing to do: the record is its own successor.
        lambda: store.change(ANN, first.task_id, lambda same: same),
        lambda: store.complete(ANN, first.task_id, {"content": []}),
    ):
        clock.pass_(seconds=1)
        record = await write()
        was.append((copy.deepcopy(record), record))
        was.append((copy.deepcopy(read := await store.get(ANN, first.task_id)), read))
        assert all(then == now for then, now in was)
    assert [record.seq for _, record in was[1::2]] == [2, 3, 4, 5, 5, 6]


async def test_the_clock_may_go_backwards_but_updated_does_not(store: TaskStore, clock: Clock) -> None:
    task = await store.create(ANN)
    clock.pass_(seconds=-5)
    assert (await store.update(ANN, task.task_id, message="x")).updated == task.updated


@pytest.fixture
def small(clock: Clock) -> TaskStore:
    return TaskStore(MemoryBackend(), Limits(result_bytes=40, argument_bytes=40, max_ttl=10_000), clock=clock)


@pytest.mark.parametrize("progress", [-0.1, 1.1, True, NAN, "half"])
async def test_progress_is_a_fraction(small: TaskStore, progress: Any) -> None:
    task = await small.create(ANN)
    with pytest.raises(LabError, match="fraction") as refused:
        await small.update(ANN, task.task_id, progress=progress)
    assert refused.value.code == -32602


@pytest.mark.parametrize("owner", [(), "ann", ["client", "ann"], ("client", None), None])
async def test_an_owner_is_a_tuple_of_texts(small: TaskStore, owner: Any) -> None:
    with pytest.raises(TypeError, match="tuple of texts"):
        await small.create(owner)


@pytest.mark.parametrize("value", [NAN, float("inf"), {1, 2}, {"x": object()}, CYCLE, {("a", 1): 2}])
async def test_what_is_not_json_is_refused_by_every_operation(small: TaskStore, value: Any) -> None:
    with pytest.raises(LimitExceeded, match="the arguments can't be written as JSON") as refused:
        await small.create(ANN, job=Job(tool="t", arguments={"x": value}))
    assert refused.value.code == -32602
    assert (await small.list(ANN)).records == []
    task = await small.create(ANN)
    asked = await small.ask(ANN, task.task_id, "q", {"params": {}})
    for call, what, code in (
        (small.complete(ANN, task.task_id, value), "result", -32603),
        (small.fail(ANN, task.task_id, {"message": "m", "data": value}), "error", -32603),
        (small.ask(ANN, task.task_id, "r", {"params": {"x": value}}), "question", -32603),
        (small.answer(ANN, task.task_id, {"q": value}), "answers", -32602),
    ):
        with pytest.raises(LimitExceeded, match=f"the {what} can't be written as JSON") as refused:
            await call
        assert refused.value.code == code
    assert await small.get(ANN, task.task_id) == asked


async def test_what_is_too_big_is_refused_by_every_operation(small: TaskStore) -> None:
    big = "é" * 20
    with pytest.raises(LimitExceeded, match="arguments would be"):
        await small.create(ANN, job=Job(tool="t", arguments={"x": big}))
    task = await small.create(ANN)
    for key in ("p", "q"):
        await small.ask(ANN, task.task_id, key, {"params": {}})
    for call, what in (
        (small.complete(ANN, task.task_id, big), "result would be 42 bytes; at most 40"),
        (small.fail(ANN, task.task_id, {"message": big}), "error would be 54 bytes"),
        (small.ask(ANN, task.task_id, "r", {"params": big}), "question would be"),
        (small.answer(ANN, task.task_id, {"q": big}), "answers would be"),
    ):
        with pytest.raises(LimitExceeded, match=what):
            await call
    await small.answer(ANN, task.task_id, {"p": "x" * 25})
    with pytest.raises(LimitExceeded, match="answers would be"):
        await small.answer(ANN, task.task_id, {"q": "x" * 25})
    await small.complete(ANN, task.task_id, "é" * 19)


async def test_stored_values_are_not_the_callers_and_the_same_on_every_backend(store: TaskStore) -> None:
    mine: dict[Any, Any] = {"list": [1], 2: (3, 4)}
    kept = {"list": [1], "2": [3, 4]}
    task = await store.create(ANN, variables={"v": mine}, job=Job(tool="t", arguments=mine, context=mine))
    await store.ask(ANN, task.task_id, "q", {"params": mine})
    await store.answer(ANN, task.task_id, {"q": mine})
    done = await store.complete(ANN, task.task_id, mine)
    failed = await store.fail(ANN, (await store.create(ANN)).task_id, {"data": mine})
    mine["list"].append(2)
    for record in (done, await store.get(ANN, task.task_id)):
        assert record.job == Job(tool="t", arguments=kept, context=kept)
        assert (record.variables, record.result) == ({"v": kept}, kept)
        assert (record.questions, record.answers) == ({"q": {"params": kept}}, {"q": kept})
    assert failed.error == {"data": kept}


async def test_half_a_surrogate_pair_and_nul_are_kept_everywhere(store: TaskStore) -> None:
    odd = "\x00\ud83d é \U0001f40d"
    task = await store.create(ANN, message=odd, variables={odd: odd}, job=Job(tool=odd, arguments={odd: odd}))
    done = await store.complete(ANN, task.task_id, {odd: odd}, message=odd)
    assert await store.get(ANN, task.task_id) == done
    assert (done.result, done.variables, done.message) == ({odd: odd}, {odd: odd}, odd)


async def test_a_thousand_ids_differ() -> None:
    store = TaskStore(MemoryBackend(), Limits(tasks_per_owner=None))
    assert len({(await store.create(ANN)).task_id for _ in range(1_000)}) == 1_000
