"""Every way from one status to another through a store, on every backend: what is done, and what is refused how."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pmcp_lab.errors import InvalidTransition, TaskNotReady
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import NO_RESULT, TaskRecord, TaskStore, resolve_owner

WORKING, INPUT, DONE, FAILED, CANCELLED = TaskStatus
ENDS = {DONE, FAILED, CANCELLED}
ANN = resolve_owner("ann")
ERROR = {"code": -32050, "message": "boom", "data": {"x": 1}}
QUESTION = {"method": "elicitation/create", "params": {"message": "Sure?"}}


async def task_that_is(status: TaskStatus, store: TaskStore) -> TaskRecord:
    task = await store.create(ANN)
    match status:
        case TaskStatus.INPUT_REQUIRED:
            return await store.ask(ANN, task.task_id, "q", QUESTION)
        case TaskStatus.COMPLETED:
            return await store.complete(ANN, task.task_id, 1)
        case TaskStatus.FAILED:
            return await store.fail(ANN, task.task_id, ERROR)
        case TaskStatus.CANCELLED:
            return await store.cancel(ANN, task.task_id)
        case _:
            return task


def suggestion(start: TaskStatus, target: TaskStatus) -> str | None:
    return "terminal" if start in ENDS else "already" if start is target else None


async def refused(call: Awaitable[Any], task: TaskRecord, target: TaskStatus) -> None:
    with pytest.raises(InvalidTransition) as error:
        await call
    said = error.value
    assert str(said) == f"invalid transition from {task.status} to {target} for task {task.task_id}"
    assert (said.code, said.task_id, said.current, said.target) == (-32602, task.task_id, task.status, target)
    expected = suggestion(task.status, target)
    assert said.suggested_action is not None
    assert expected is not None
    assert expected in said.suggested_action


@pytest.mark.parametrize("start", TaskStatus)
async def test_update_makes_the_eight_moves_and_refuses_the_other_seventeen(
    store: TaskStore, start: TaskStatus
) -> None:
    for target in TaskStatus:
        task = await task_that_is(start, store)
        call = store.update(ANN, task.task_id, status=target)
        if start not in ENDS and start is not target:
            moved = await call
            assert (moved.status, moved.seq) == (target, task.seq + 1)
            assert await store.get(ANN, task.task_id) == moved
        else:
            await refused(call, task, target)
            assert await store.get(ANN, task.task_id) == task, "a refusal changes nothing"
        await store.backend.delete(ANN, task.task_id)


Path = tuple[str, Callable[[TaskStore, str], Awaitable[TaskRecord]], TaskStatus]
PATHS: list[Path] = [
    ("complete", lambda store, task_id: store.complete(ANN, task_id, {"n": 1}), DONE),
    ("fail", lambda store, task_id: store.fail(ANN, task_id, ERROR), FAILED),
    ("cancel", lambda store, task_id: store.cancel(ANN, task_id), CANCELLED),
    ("ask", lambda store, task_id: store.ask(ANN, task_id, "another", QUESTION), INPUT),
]


@pytest.mark.parametrize("start", TaskStatus)
async def test_complete_fail_cancel_and_ask_from_every_status(store: TaskStore, start: TaskStatus) -> None:
    for name, call, target in PATHS:
        task = await task_that_is(start, store)
        if start in ENDS:
            await refused(call(store, task.task_id), task, target)
            assert await store.get(ANN, task.task_id) == task
        else:
            moved = await call(store, task.task_id)
            assert moved.status is target, name
            assert (moved.result is NO_RESULT) == (target is not DONE)
            assert (moved.error is None) == (target is not FAILED)
            assert await store.get(ANN, task.task_id) == moved
        await store.backend.delete(ANN, task.task_id)


@pytest.mark.parametrize("start", TaskStatus)
async def test_answer_from_every_status(store: TaskStore, start: TaskStatus) -> None:
    task = await task_that_is(start, store)
    after = await store.answer(ANN, task.task_id, {"q": {"action": "accept"}})
    if start is INPUT:
        assert (after.status, after.answers, after.message) == (WORKING, {"q": {"action": "accept"}}, None)
    else:
        assert after == task, "nothing to answer: nothing is written"


async def test_an_end_with_open_questions_stays_an_end(store: TaskStore) -> None:
    task = await task_that_is(INPUT, store)
    done = await store.complete(ANN, task.task_id, 1)
    assert await store.answer(ANN, task.task_id, {"q": 1}) == done


@pytest.mark.parametrize("start", [DONE, FAILED, CANCELLED])
async def test_nothing_follows_an_end_but_variables_and_ttl(store: TaskStore, start: TaskStatus) -> None:
    task = await task_that_is(start, store)
    for change in ({"message": "late"}, {"progress": 0.5}):
        await refused(store.update(ANN, task.task_id, **change), task, start)  # type: ignore[arg-type]
    changed = await store.update(ANN, task.task_id, variables={"late": 1}, ttl="150m")
    assert (changed.status, changed.variables, changed.ttl) == (start, {"late": 1}, 9_000_000)


async def test_questions_are_answered_one_by_one(store: TaskStore) -> None:
    task = await store.create(ANN)
    asked = await store.ask(ANN, task.task_id, "a", QUESTION)
    assert (asked.status, asked.message) == (INPUT, "Sure?")
    await store.ask(ANN, task.task_id, "b", {"method": "elicitation/create", "params": None})
    half = await store.answer(ANN, task.task_id, {"a": 1, "unknown": 2})
    assert (half.status, set(half.open_questions)) == (INPUT, {"b"})
    assert await store.answer(ANN, task.task_id, {"a": 9}) == half, "the first answer counts"
    both = await store.answer(ANN, task.task_id, {"b": None})
    assert (both.status, both.answers, both.state().input_requests) == (WORKING, {"a": 1, "b": None}, {})


@pytest.mark.parametrize("result", [{"content": []}, None, [], 0, False, ""])
async def test_any_json_is_a_result_null_included(store: TaskStore, result: Any) -> None:
    task = await store.create(ANN)
    done = await store.complete(ANN, task.task_id, result)
    assert done.status is DONE
    assert await store.get_result(ANN, task.task_id) == result
    assert (await store.get(ANN, task.task_id)).result is not NO_RESULT


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (WORKING, "is not in terminal state (it is working)"),
        (INPUT, "is not in terminal state (it is input_required)"),
        (FAILED, "has no result: it ended failed"),
        (CANCELLED, "has no result: it ended cancelled"),
    ],
)
async def test_only_a_completed_task_has_a_result(store: TaskStore, start: TaskStatus, says: str) -> None:
    task = await task_that_is(start, store)
    with pytest.raises(TaskNotReady) as error:
        await store.get_result(ANN, task.task_id)
    assert str(error.value) == f"task {task.task_id} {says}"
    assert (error.value.code, error.value.task_id, error.value.status) == (-32602, task.task_id, start)


async def test_failed_keeps_its_error(store: TaskStore) -> None:
    task = await store.create(ANN)
    failed = await store.fail(ANN, task.task_id, ERROR)
    assert (failed.error, failed.message) == (ERROR, "boom")
    assert await store.get(ANN, task.task_id) == failed
