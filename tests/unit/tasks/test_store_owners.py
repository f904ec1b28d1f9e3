"""Whose task it is: nobody reaches, sees or even suspects another owner's, and limits hold per owner."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pmcp_lab.errors import LimitExceeded, TaskNotFound
from pmcp_lab.tasks import LOCAL, Limits, Owner, TaskStore, resolve_owner
from pmcp_lab.tasks.backends.conformance import ODD_OWNERS
from pmcp_lab.tasks.backends.memory import MemoryBackend
from pmcp_lab.tasks.owner import owner_key
from tests.unit.backend_cases import Clock

ANN = resolve_owner("ann")
BOB = resolve_owner("bob")

Call = Callable[[TaskStore, Owner, str], Coroutine[Any, Any, Any]]
CALLS: list[Call] = [
    lambda store, owner, task_id: store.get(owner, task_id),
    lambda store, owner, task_id: store.get_result(owner, task_id),
    lambda store, owner, task_id: store.update(owner, task_id, message="x"),
    lambda store, owner, task_id: store.set_variables(owner, task_id, {"x": 1}),
    lambda store, owner, task_id: store.complete(owner, task_id, None),
    lambda store, owner, task_id: store.fail(owner, task_id, {"code": -1, "message": "x"}),
    lambda store, owner, task_id: store.cancel(owner, task_id),
    lambda store, owner, task_id: store.ask(owner, task_id, "k", {}),
    lambda store, owner, task_id: store.answer(owner, task_id, {}),
    lambda store, owner, task_id: store.leases.claim(owner, task_id, "r", 5),
    lambda store, owner, task_id: store.leases.heartbeat(owner, task_id, "r"),
    lambda store, owner, task_id: store.leases.release(owner, task_id, "r"),
]


class Counted:
    """A backend that tells what is asked of the one behind it."""

    clock_skew = 0.0

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self.backend, name)


async def outcome(store: TaskStore, call: Call, task_id: str) -> tuple[Any, ...]:
    counted = Counted(store.backend)
    with pytest.raises(TaskNotFound) as refused:
        await call(TaskStore(counted), BOB, task_id)  # type: ignore[arg-type]
    error = refused.value
    shape = {name: str(value).replace(task_id, "id") for name, value in vars(error).items()}
    return type(error), error.code, str(error).replace(task_id, "id"), shape, error.__cause__, counted.asked


async def test_a_foreign_task_is_a_missing_one_and_costs_the_same(store: TaskStore) -> None:
    task = await store.create(ANN)
    for call in CALLS:
        foreign, missing = await outcome(store, call, task.task_id), await outcome(store, call, "0" * 36)
        assert foreign == missing
        assert foreign[:3] == (TaskNotFound, -32602, "task not found: id")
        assert foreign[-1] == ["get"], "one look, as for a task that never was"
    assert (await store.list(BOB)).records == []
    assert await store.get(ANN, task.task_id) == task


async def test_owners_of_any_characters_never_meet(store: TaskStore) -> None:
    one_each = TaskStore(store.backend, Limits(tasks_per_owner=1))
    tasks = {owner: await one_each.create(owner) for owner in ODD_OWNERS}
    for owner, task in tasks.items():
        assert (await one_each.list(owner)).records == [task]
        with pytest.raises(LimitExceeded):
            await one_each.create(owner)
    for owner, task in itertools.islice(tasks.items(), 4):
        for other in ODD_OWNERS:
            if other != owner:
                with pytest.raises(TaskNotFound):
                    await one_each.get(other, task.task_id)


def test_keys_of_owners_are_all_different() -> None:
    parts = ["", "a", ":", "a:b", "#", "/", "{}", "{a}", "%3A", "\x00", "\ud800", "\U0001f40d", "*"]
    owners = [owner for n in (1, 2, 3) for owner in itertools.product(parts, repeat=n)]
    keys = {owner_key(owner) for owner in owners}
    assert len(keys) == len(owners)
    assert not [key for key in keys if set(key) & set("{}#*")]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, LOCAL),
        ({"subject": "", "client_id": "", "session_id": ""}, LOCAL),
        ({"session_id": "s"}, ("session", "s")),
        ({"client_id": "c", "session_id": "s"}, ("client", "c")),
        ({"subject": "u", "client_id": "c", "issuer": "i"}, ("subject", "i", "u")),
        ({"subject": "u"}, ("subject", "", "u")),
    ],
)
def test_the_best_identity_there_is_owns_the_task(given: dict[str, str], expected: Owner) -> None:
    assert resolve_owner(**given) == expected


async def test_anonymous_owners_can_be_refused() -> None:
    store = TaskStore(MemoryBackend(), Limits(allow_anonymous=False))
    for owner in (LOCAL, resolve_owner(session_id="s"), resolve_owner("", "", ""), ("client", "")):
        with pytest.raises(LimitExceeded, match="anonymous access") as refused:
            await store.create(owner)
        assert refused.value.code == -32603
    await store.create(ANN)
    await TaskStore(MemoryBackend()).create(LOCAL)


async def test_quota_counts_live_tasks_only(store: TaskStore, clock: Clock) -> None:
    tasks = [await store.create(ANN, ttl=1 if n == 0 else None) for n in range(5)]
    with pytest.raises(LimitExceeded, match="5 unfinished tasks: cancel some or wait") as refused:
        await store.create(ANN)
    assert refused.value.code == -32603
    await store.create(BOB)
    await store.cancel(ANN, tasks[1].task_id)
    await store.create(ANN)
    clock.pass_(seconds=2)
    await store.create(ANN)
    with pytest.raises(LimitExceeded):
        await store.create(ANN)


async def test_two_hundred_finished_tasks_lock_nobody_out() -> None:
    store = TaskStore(MemoryBackend(), Limits(tasks_per_owner=1))
    for _ in range(200):
        await store.complete(ANN, (await store.create(ANN)).task_id, 1)
    assert len((await store.list(ANN, limit=300)).records) == 200
