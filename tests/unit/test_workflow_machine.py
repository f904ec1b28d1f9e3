"""Random workflows, failures, cancellations and crashes: no step runs twice unless it may, no result is lost, and
however it went, following the handoff ends where an undisturbed run ends.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from mcp.server.mcpserver.exceptions import ToolError
from msgspec.structs import replace

from pmcp_lab.protocol import handoff
from pmcp_lab.protocol.handoff import NextCall, WorkflowState
from pmcp_lab.tasks import LOCAL
from pmcp_lab.workflow import SequentialWorkflow, from_step, task_variable
from tests.unit.flow import Flow, Visitor

KINDS = ["plain", "plain", "client", "manual", "variable", "missing", "optional"]
CLIENT = 99
"""The argument by which a call of the client is told from one of the server."""

shapes = st.lists(st.tuples(st.sampled_from(KINDS), st.booleans(), st.booleans()), min_size=1, max_size=5)
"""Kind, whether it may run twice, whether it needs the one before."""


def written(shape: list[tuple[str, bool, bool]]) -> SequentialWorkflow:
    workflow, last = SequentialWorkflow("w", "W"), None
    for number, (kind, retryable, needs) in enumerate(shape):
        name, arguments = f"s{number}", dict[str, Any]({"step": number})
        if needs and last is not None:
            arguments["needs"] = from_step(last)
        if kind == "variable":
            arguments["extra"] = task_variable(f"v{number}")
        if kind == "manual":
            asked = {"question": "How many?", "answer": {"n": "integer"}}
            workflow = workflow.step(name, execution="manual", bind=name, **asked)
        else:
            tool = "must" if kind == "missing" else "work"
            execution = "client" if kind == "client" else "auto"
            more = {"optional": kind == "optional", "retryable": retryable, "execution": execution}
            workflow = workflow.step(name, tool, arguments, bind=name, **more)
        last = None if kind == "optional" else name
    return workflow


class WorkflowMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.ran: Counter[int] = Counter()
        """How often the server ran each step."""
        self.failing: dict[int, int] = {}
        self.held: int | None = None
        self.entered = asyncio.Event()
        self.kept: dict[str, Any] = {}
        """Results as they were first recorded as completed."""
        self.state: WorkflowState | None = None
        self.visitor: Visitor
        self.leaving = asyncio.Event()
        self.visiting: asyncio.Task[None] | None = None

    def teardown(self) -> None:
        try:
            if self.state is not None:
                self.failing.clear()
                self.finish()
        finally:
            self.runner.run(self._leave())
            self.runner.close()

    @initialize(shape=shapes, failing=st.dictionaries(st.integers(0, 4), st.integers(1, 2), max_size=3))
    def begin(self, shape: list[tuple[str, bool, bool]], failing: dict[int, int]) -> None:
        async def work(step: int, needs: Any = None, extra: int = 0) -> int:
            if extra != CLIENT:
                self.ran[step] += 1
            if self.held == step:
                self.entered.set()
                await asyncio.Event().wait()
            if self.failing.get(step, 0) > 0:
                self.failing[step] -= 1
                raise ToolError("not now")
            return 10 * step

        async def must(step: int, extra: int, needs: Any = None) -> int:
            return await work(step, needs, extra)

        self.shape, self.failing = shape, dict(failing)
        self.flow = Flow(written(shape), work, must)
        self.go(lambda visitor: visitor.get())

    async def _visit(self, there: asyncio.Event) -> None:
        async with self.flow.visitor() as self.visitor:
            there.set()
            await self.leaving.wait()

    async def _leave(self) -> None:
        self.leaving.set()
        if self.visiting is not None:
            await self.visiting

    def go(self, do: Any) -> None:
        async def visit() -> WorkflowState:
            if self.visiting is None:
                there = asyncio.Event()
                # A client is left by the task that has entered it.
                self.visiting = asyncio.create_task(self._visit(there))
                await there.wait()
            await do(self.visitor)
            task_id = (await self.flow.tasks.store.list(LOCAL)).records[0].task_id
            await self._quiet()
            raw = await self.visitor.task(task_id)
            found = handoff.read_task(task_id, raw["status"], raw["_meta"])
            assert found is not None
            return found

        self.state = self.runner.run(visit())

    async def _quiet(self) -> None:
        """Once what goes on behind an answer has come to rest."""
        while True:
            pending = [task for task in asyncio.all_tasks() if "_go_on" in repr(task.get_coro())]
            if not pending:
                return
            await asyncio.wait(pending)

    async def follow(self, visitor: Visitor, call: NextCall, task: str) -> None:
        match call.kind:
            case "call":
                arguments = {name: value for name, value in call.arguments.items() if name not in call.missing}
                await visitor.call(call.target, arguments | {"extra": CLIENT}, task=task, step=call.step)
            case "answer":
                response = {"action": "accept", "content": {"n": 10 * int(str(call.step)[1:])}}
                await visitor.about("tasks/update", task, inputResponses={call.target: response})
            case "variable":
                await visitor.about("run.pmcp/tasks/set_variables", task, variables={call.target: 1})
            case _:
                await visitor.get(task=task)

    @property
    def open(self) -> bool:
        return self.state is not None and self.state.status in ("working", "input_required")

    # --- what can happen ---

    @precondition(lambda self: self.open and self.state.calls)
    @rule(data=st.data())
    def take_a_call(self, data: st.DataObject) -> None:
        assert self.state is not None
        call, task = data.draw(st.sampled_from(self.state.calls)), self.state.task_id
        if call.kind == "call" and any("<" in str(value) for value in call.arguments.values()):
            # It needs what an earlier call gives.
            call = self.state.calls[0]
        self.go(lambda visitor: self.follow(visitor, call, task))

    @rule()
    def resume(self) -> None:
        """Also one that is over, which changes nothing."""
        assert self.state is not None
        task = self.state.task_id
        self.go(lambda visitor: visitor.get(task=task))

    @precondition(lambda self: self.open)
    @rule(crash=st.booleans(), step=st.integers(0, 4))
    def interrupt(self, crash: bool, step: int) -> None:
        """Resume, and leave in the middle of a step; when it is a crash, nothing is written any more."""
        assert self.state is not None
        task, store = self.state.task_id, self.flow.tasks.store

        async def leave(visitor: Visitor) -> None:
            self.held, self.entered = step, asyncio.Event()
            resuming = asyncio.create_task(visitor.get(task=task))
            entering = asyncio.create_task(self.entered.wait())
            await asyncio.wait([resuming, entering], return_when=asyncio.FIRST_COMPLETED)
            entering.cancel()
            before = await store.get(LOCAL, task)
            resuming.cancel()
            await asyncio.wait([resuming])
            self.held = None
            async with store.watch(LOCAL, task) as feed:
                async for after in feed:
                    if after.lease is None:
                        break
            if crash and before.lease is not None:
                # As the store would be if the process had ended there.
                gone = replace(before.lease, seconds=0.05)
                await store.change(LOCAL, task, lambda found: replace(before, lease=gone, seq=found.seq))

        self.go(leave)

    # --- what must hold ---

    @invariant()
    def no_step_runs_twice_unless_it_may(self) -> None:
        for number, (_, retryable, _) in enumerate(getattr(self, "shape", ())):
            assert retryable or self.ran[number] <= 1, f"step {number} ran {self.ran[number]} times"

    @invariant()
    def no_result_is_lost(self) -> None:
        for step in () if self.state is None else self.state.steps:
            if step.name in self.kept:
                assert step.status == "completed"
            if step.status == "completed":
                assert step.result is not None
                assert self.kept.setdefault(step.name, step.result.raw) == step.result.raw

    def finish(self) -> None:
        """Follow the handoff, which leads to the end."""
        for _ in range(30):
            assert self.state is not None
            if not self.open:
                break
            task = self.state.task_id
            first = next(iter(self.state.calls), NextCall(kind="resume", target="w"))
            self.go(lambda visitor, call=first, task=task: self.follow(visitor, call, task))
        assert self.state is not None
        assert self.state.status == "completed"
        self.no_step_runs_twice_unless_it_may()
        self.no_result_is_lost()
        for number, (step, (kind, _, _)) in enumerate(zip(self.state.steps, self.shape, strict=True)):
            if kind != "optional" or step.status == "completed":
                assert step.status == "completed"
                assert step.result is not None
                assert step.result.value == ({"n": 10 * number} if kind == "manual" else 10 * number)


def test_random_workflows() -> None:
    run_state_machine_as_test(
        WorkflowMachine,
        settings=settings(
            max_examples=20,
            stateful_step_count=6,
            # To explain a failure, every line would be traced.
            phases=[Phase.generate, Phase.shrink],
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
