"""Random operations by several owners, on a store and on a model of thirty lines: they must agree, on every backend.

Time runs ahead of the real clock in steps of half an hour, so that backends that expire by it are not disturbed.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pmcp_lab.errors import InvalidTransition, QuotaExceeded, TaskNotFound
from pmcp_lab.protocol import MOVES, TaskStatus
from pmcp_lab.tasks import Limits, TaskStore, resolve_owner
from pmcp_lab.tasks.record import truncated
from tests.unit.backend_cases import CASES, BackendCase

OWNERS = [resolve_owner("a"), resolve_owner("a:b"), resolve_owner(client_id="a")]
QUOTA = 4

owners = st.sampled_from(OWNERS)
names = st.sampled_from(["x", "y", "z"])
values = st.none() | st.integers(-3, 3) | st.text(max_size=3)


class StoreMachine(RuleBasedStateMachine):
    tasks = Bundle("tasks")

    case: BackendCase

    def __init__(self) -> None:
        super().__init__()
        self.now = truncated(datetime.now(UTC))
        self.runner = asyncio.Runner()
        self.opened = AsyncExitStack()
        backend = self.runner.run(self.opened.enter_async_context(self.case.make()))
        self.store = TaskStore(backend, Limits(tasks_per_owner=QUOTA), clock=lambda: self.now)
        # (owner, id) → [status, variables, result, expires]
        self.model: dict[tuple[Any, str], list[Any]] = {}

    def teardown(self) -> None:
        self.runner.run(self.opened.aclose())
        self.runner.close()

    def do(self, operation: Any) -> Any:
        try:
            return self.runner.run(operation)
        except (InvalidTransition, QuotaExceeded, TaskNotFound) as error:
            return type(error)

    def there(self, owner: Any, task_id: str) -> list[Any] | None:
        task = self.model.get((owner, task_id))
        return None if task is None or self.now > task[3] else task

    @rule(
        target=tasks,
        owner=owners,
        ttl=st.sampled_from(["1h", "5h"]),
        variables=st.dictionaries(names, values),
    )
    def create(self, owner: Any, ttl: str, variables: dict[str, Any]) -> str:
        live = [
            task
            for (whose, _), task in self.model.items()
            if whose == owner and self.now <= task[3] and not task[0].terminal
        ]
        made = self.do(self.store.create(owner, ttl=ttl, variables=variables))
        if len(live) >= QUOTA:
            assert made is QuotaExceeded
            return "none"
        kept = {name: value for name, value in variables.items() if value is not None}
        self.model[owner, made.task_id] = [
            TaskStatus.WORKING,
            kept,
            None,
            made.expires,
        ]
        return str(made.task_id)

    @rule(task_id=tasks, owner=owners, target_status=st.sampled_from(TaskStatus))
    def move(self, task_id: str, owner: Any, target_status: TaskStatus) -> None:
        task = self.there(owner, task_id)
        match target_status:
            case TaskStatus.COMPLETED:
                operation: Any = self.store.complete(owner, task_id, {"by": str(owner)})
            case TaskStatus.FAILED:
                operation = self.store.fail(owner, task_id, {"code": -1, "message": "m"})
            case TaskStatus.CANCELLED:
                operation = self.store.cancel(owner, task_id)
            case _:
                operation = self.store.update(owner, task_id, status=target_status)
        outcome = self.do(operation)
        if task is None:
            assert outcome is TaskNotFound
        elif target_status not in MOVES[task[0]]:
            assert outcome is InvalidTransition
        else:
            task[0] = target_status
            task[2] = {"by": str(owner)} if target_status is TaskStatus.COMPLETED else None

    @rule(task_id=tasks, owner=owners, variables=st.dictionaries(names, values))
    def set_variables(self, task_id: str, owner: Any, variables: dict[str, Any]) -> None:
        task = self.there(owner, task_id)
        outcome = self.do(self.store.set_variables(owner, task_id, variables))
        if task is None:
            assert outcome is TaskNotFound
            return
        merged = {**task[1], **variables}
        task[1] = {name: value for name, value in merged.items() if value is not None}

    @rule(hours=st.sampled_from([0, 0.5, 2]))
    def time_passes(self, hours: float) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def clean(self) -> None:
        gone = [key for key, task in self.model.items() if self.now > task[3]]
        assert self.do(self.store.cleanup_expired()) <= len(gone)

    @invariant()
    def agree(self) -> None:
        for owner in OWNERS:
            expected = {key[1] for key in self.model if key[0] == owner and self.there(*key) is not None}
            page = self.do(self.store.list(owner, limit=1_000))
            assert {record.task_id for record in page.records} == expected
            assert page.records == sorted(page.records, key=lambda r: (r.created, r.task_id), reverse=True)
        for key in self.model:
            task, record = self.there(*key), self.do(self.store.get(*key))
            if task is None:
                assert record is TaskNotFound
                continue
            assert (record.status, record.variables) == (task[0], task[1])
            assert record.state().result == task[2]


EXAMPLES = {"memory": 60, "sqlite": 25}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_store_machine(case: BackendCase) -> None:
    run_state_machine_as_test(
        type("Machine", (StoreMachine,), {"case": case}),
        settings=settings(
            max_examples=EXAMPLES.get(case.name, 8),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
