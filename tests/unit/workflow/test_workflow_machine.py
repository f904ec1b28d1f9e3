"""Random workflows, failures, answers, deadlines, cancellations, crashes, and clients that call out of turn: nothing
behind a question runs before a person has agreed to it, no step runs twice unless it may, no result is lost, and
however it went, following the handoff ends where an undisturbed run ends.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, event, settings
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
from mcp.shared.exceptions import MCPError
from msgspec.structs import replace

from pmcp_lab.protocol import workflow_wire
from pmcp_lab.protocol.workflow_wire import Action, NextCall, StepStatus, WorkflowState, wall
from pmcp_lab.server import Tasks
from pmcp_lab.tasks import LOCAL, Limits, TaskStore
from pmcp_lab.tasks.backends.memory import MemoryBackend
from pmcp_lab.workflow import SequentialWorkflow, from_step, task_variable
from tests.unit.flow import Flow, Visitor

KINDS = ["plain", "plain", "client", "ask", "ask", "late", "variable", "missing", "optional", "guarded", "undo"]
ASK = ("ask", "late")
NO = ["stop", "skip", "fail"]
CLIENT = "client"
"""By this a call of the client is told from one of the server, where a tool takes it."""

shapes = st.lists(
    st.tuples(st.sampled_from(KINDS), st.booleans(), st.booleans(), st.sampled_from(NO), st.sampled_from([*NO, "yes"])),
    min_size=1,
    max_size=6,
)
"""Kind, whether it may run twice, whether it needs the one before, what a no does, and what a deadline does."""

Shape = list[tuple[str, bool, bool, str, str]]


def written(shape: Shape) -> SequentialWorkflow:
    workflow, last = SequentialWorkflow("w", "W", ttl="30d"), None
    for number, (kind, retryable, needs, no, late) in enumerate(shape):
        name, arguments = f"s{number}", dict[str, Any]({"step": number})
        if needs and last is not None:
            arguments["needs"] = from_step(last)
        if kind == "variable":
            arguments["extra"] = task_variable(f"v{number}")
        if kind in ASK:
            asked: dict[str, Any] = {"question": "How many?", "answer": {"n": "integer", "ok": "boolean"}}
            asked |= {"proceed_if": "ok", "on_no": no}
            if kind == "late":
                default = {"n": 10 * number, "ok": True} if late == "yes" else late
                asked |= {"within": "1h", "otherwise": default}
            workflow = workflow.step(name, execution="manual", bind=name, **asked)
        else:
            tool = {"missing": "must", "guarded": "guard"}.get(kind, "work")
            execution = "client" if kind == "client" else "auto"
            more: dict[str, Any] = {"optional": kind == "optional", "retryable": retryable, "execution": execution}
            more |= {"guarded": kind == "guarded"}
            more |= {"undo": ("back", {"step": number})} if kind == "undo" else {}
            workflow = workflow.step(name, tool, arguments, bind=name, **more)
        last = None if kind == "optional" else name
    return workflow


class WorkflowMachine(RuleBasedStateMachine):
    runs = 0
    did: ClassVar[Counter[str]] = Counter()
    """How many machines ran, and what happened in them."""

    def __init__(self) -> None:
        super().__init__()
        type(self).runs += 1
        self.runner = asyncio.Runner()
        self.ran: Counter[int] = Counter()
        """How often the server ran each step."""
        self.taken_back: list[int] = []
        self.agreed: set[int] = set()
        self.wrong: list[str] = []
        """What ran that must not."""
        self.failing: dict[int, int] = {}
        self.held: int | None = None
        self.entered = asyncio.Event()
        self.kept: dict[str, Any] = {}
        """Results as they were first recorded as completed."""
        self.later = timedelta()
        self.skipped: set[int] = set()
        self.undoing = False
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

    @initialize(
        shape=shapes,
        failing=st.dictionaries(st.integers(0, 5), st.integers(1, 2), max_size=3),
        cut=st.none() | st.integers(0, 3),
        crash=st.booleans(),
    )
    def begin(self, shape: Shape, failing: dict[int, int], cut: int | None, crash: bool) -> None:
        async def do(step: int, who: str) -> int:
            self.allowed(step)
            if who != CLIENT:
                self.ran[step] += 1
            if self.held == step:
                self.entered.set()
                await asyncio.Event().wait()
            if self.failing.get(step, 0) > 0:
                self.failing[step] -= 1
                raise ToolError("not now")
            return 10 * step

        async def work(step: int, needs: Any = None, extra: int = 0, who: str = "") -> int:
            return await do(step, who)

        async def must(step: int, extra: int, needs: Any = None, who: str = "") -> int:
            return await do(step, who)

        async def guard(step: int, needs: Any = None) -> int:
            before = [number for number in range(step) if shape[number][0] not in ("optional", *ASK)]
            settled = await self.settled_now()
            done = {number for number in before if f"s{number}" in settled}
            if len(done) != len(before):
                self.wrong.append(f"guarded step {step} ran before {set(before) - done}")
            return await do(step, "")

        async def back(step: int) -> None:
            self.taken_back.append(step)

        self.shape, self.failing = shape, dict(failing)
        store = TaskStore(MemoryBackend(), Limits(max_ttl=None), clock=lambda: datetime.now(UTC) + self.later)
        self.flow = Flow(written(shape), work, must, guard, back, tasks=Tasks(store, lease=0.5))
        if cut is None:
            self.go(lambda visitor: visitor.get())
        else:
            self.go(lambda visitor: self.leave(visitor, None, cut, crash=crash))

    def allowed(self, step: int) -> None:
        for number, (kind, *_) in enumerate(self.shape[:step]):
            if kind in ASK and number not in self.agreed:
                self.wrong.append(f"step {step} ran, and nobody has agreed at step {number}")

    async def settled_now(self) -> set[str]:
        """The steps that need nothing more, as it is written at this moment."""
        record = (await self.flow.tasks.store.list(LOCAL)).records[0]
        steps = record.variables["_workflow.progress"]["steps"]
        return {each["name"] for each in steps if each["status"] in ("completed", "skipped")}

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
            found = workflow_wire.read_task(task_id, raw["status"], raw["_meta"])
            assert found is not None
            return found

        self.state = self.runner.run(visit())

    async def _quiet(self) -> None:
        """Once what goes on behind an answer has come to rest."""
        while True:
            names = ("_go_on", "_by_itself")
            pending = [task for task in asyncio.all_tasks() if any(name in repr(task.get_coro()) for name in names)]
            if not pending:
                return
            await asyncio.wait(pending)

    async def follow(self, visitor: Visitor, call: NextCall, task: str) -> None:
        match call.kind:
            case "call" if call.target == "answer_w":
                number = int(str(call.step)[1:])
                await self.say_yes(visitor, number, task, tool=True)
            case "call":
                await self.call(visitor, call, task, step=call.step)
            case "answer":
                await self.say_yes(visitor, int(str(call.step)[1:]), task)
            case "variable":
                await visitor.about("run.pmcp/tasks/set_variables", task, variables={call.target: 1})
            case _:
                await visitor.get(task=task)

    async def call(self, visitor: Visitor, call: NextCall, task: str, *, step: str | None) -> WorkflowState:
        arguments = {name: value for name, value in call.arguments.items() if name not in call.missing}
        arguments |= {name: 1 for name in call.missing if name == "extra"}
        if call.target != "guard":
            arguments["who"] = CLIENT
        return await visitor.call(call.target, arguments, task=task, step=step)

    async def say_yes(self, visitor: Visitor, number: int, task: str, *, tool: bool = False) -> None:
        self.agreed.add(number)
        content = {"n": 10 * number, "ok": True}
        await self.say(visitor, number, task, {"action": "accept", "content": content}, tool=tool)

    async def say(self, visitor: Visitor, number: int, task: str, response: dict[str, Any], *, tool: bool) -> None:
        if tool:
            await visitor.client.call_tool("answer_w", {"task_id": task, "step": f"s{number}", **response})
            return
        assert self.state is not None
        key = next(call.target for call in self.state.calls if call.kind == "answer")
        await visitor.about("tasks/update", task, inputResponses={key: response})

    @property
    def open(self) -> bool:
        return self.state is not None and self.state.status in ("working", "input_required")

    @property
    def asked(self) -> bool:
        return self.open and any(call.kind == "answer" for call in self.seen.calls)

    @property
    def seen(self) -> WorkflowState:
        assert self.state is not None
        return self.state

    def note(self, what: str) -> None:
        event(what)
        self.did[what] += 1

    # --- what can happen ---

    @precondition(lambda self: self.open and self.state.calls)
    @rule(data=st.data())
    def take_a_call(self, data: st.DataObject) -> None:
        call, task = data.draw(st.sampled_from(self.seen.calls)), self.seen.task_id
        if call.kind == "call" and any("<" in str(value) for value in call.arguments.values()):
            # It needs what an earlier call gives.
            call = self.seen.calls[0]
        self.note(f"a call: {call.kind}")
        self.go(lambda visitor: self.follow(visitor, call, task))

    @rule()
    def resume(self) -> None:
        """Also one that is over, which changes nothing."""
        task = self.seen.task_id
        self.go(lambda visitor: visitor.get(task=task))

    @precondition(lambda self: self.asked)
    @rule(how=st.sampled_from(["no", "decline", "cancel", "misfit", "twice"]), tool=st.booleans())
    def answer(self, how: str, tool: bool) -> None:
        call = next(call for call in self.seen.calls if call.kind == "answer")
        number, task = int(str(call.step)[1:]), self.seen.task_id
        said: dict[str, Any] = {
            "no": {"action": "accept", "content": {"n": 1, "ok": False}},
            "decline": {"action": "decline"},
            "cancel": {"action": "cancel"},
            "misfit": {"action": "accept", "content": {"n": "many", "ok": True}},
            "twice": {"action": "accept", "content": {"n": 10 * number, "ok": True}},
        }[how]
        tool = tool and how != "cancel"
        self.note(f"an answer: {how}")
        before = self.seen

        async def say(visitor: Visitor) -> None:
            if how == "twice":
                self.agreed.add(number)
                both = (
                    self.say(visitor, number, task, said, tool=True),
                    self.say(visitor, number, task, said, tool=False),
                )
                await asyncio.gather(*both, return_exceptions=True)
                return
            with pytest.raises(MCPError, match="does not fit its form") if how == "misfit" else nullcontext():
                await self.say(visitor, number, task, said, tool=tool)

        self.go(say)
        state = self.seen.steps[number]
        if how in ("no", "decline"):
            assert state.status is StepStatus.REFUSED
            assert state.by == "person"
            assert not self.open
        elif how == "misfit":
            assert self.seen == before
        elif how == "cancel":
            assert state.status is StepStatus.PENDING
            assert self.open

    @precondition(lambda self: self.open and self.state.pause is not None and self.state.pause.deadline)
    @rule()
    def let_the_deadline_pass(self) -> None:
        pause = self.seen.pause
        assert pause is not None
        number, task = int(pause.step[1:]), self.seen.task_id
        self.note("a deadline")
        if self.shape[number][4] == "yes":
            self.agreed.add(number)
        self.later += timedelta(hours=2)
        self.go(lambda _: self.flow.workflows.resume(task, again=False))
        expected = StepStatus.COMPLETED if self.shape[number][4] == "yes" else StepStatus.REFUSED
        assert self.seen.steps[number].status is expected
        assert [each.by for each in self.seen.steps[number].attempts][-1] == "server"

    @precondition(lambda self: self.open and self.state.skippable)
    @rule()
    def skip(self) -> None:
        step, task = str(self.seen.skippable), self.seen.task_id
        self.note("a skip")
        self.skipped.add(int(step[1:]))
        self.go(lambda visitor: visitor.get(task=task, action=Action(kind="skip", step=step, reason="by hand")))
        found = self.seen.steps[int(step[1:])]
        assert (found.status, found.by, found.reason) == (StepStatus.SKIPPED, "person", "by hand")

    @precondition(lambda self: self.open and any(each.undo and each.status == "completed" for each in self.state.steps))
    @rule()
    def undo(self) -> None:
        task = self.seen.task_id
        self.note("an undo")
        self.undoing = True
        self.go(lambda visitor: visitor.get(task=task, action=Action(kind="undo", reason="changed my mind")))
        assert not self.open

    @rule(step=st.integers(0, 5), named=st.booleans(), how=st.sampled_from(["call", "skip", "plain"]))
    def call_out_of_turn(self, step: int, named: bool, how: str) -> None:
        """Whatever a client that does not follow the handoff does: nothing runs behind a question."""
        if step >= len(self.shape) or self.shape[step][0] in ASK:
            return
        task, kind = self.seen.task_id, self.shape[step][0]
        tool = {"missing": "must", "guarded": "guard"}.get(kind, "work")
        closed = wall(self.seen.steps)
        behind = closed is not None and int(closed[1:]) < step
        settled = self.seen.steps[step].settled
        arguments: dict[str, Any] = {"step": step} | ({} if tool == "guard" else {"who": CLIENT})
        arguments |= {"extra": 1} if tool == "must" else {}

        async def call(visitor: Visitor) -> None:
            try:
                if how == "skip":
                    action = Action(kind="skip", step=f"s{step}", reason="no matter")
                    await visitor.get(task=task, action=action)
                elif how == "plain" and tool == "guard":
                    result = await visitor.client.call_tool(tool, arguments)
                    raise AssertionError(f"a guarded tool ran: {result}")
                elif how == "call":
                    await visitor.call(tool, arguments, task=task, step=f"s{step}" if named else None)
                else:
                    return
            except MCPError as error:
                self.note("a refusal" + (" behind a question" if behind else ""))
                if error.code != -32602:
                    raise
                return
            if how == "skip":
                self.skipped.add(step)
            assert not behind or settled or how != "skip", f"step {step} was skipped behind a question"

        self.go(call)

    @precondition(lambda self: self.open and any(call.kind == "call" for call in self.state.calls))
    @rule(data=st.data())
    def race(self, data: st.DataObject) -> None:
        """Two calls for one step at the same time land in one step."""
        calls = [
            call
            for call in self.seen.calls
            if call.kind == "call" and not any("<" in str(value) for value in call.arguments.values())
        ]
        if not calls:
            return
        call, task = data.draw(st.sampled_from(calls)), self.seen.task_id
        if call.target == "answer_w":
            return
        self.note("a race")
        before = {step.name: step.status for step in self.seen.steps}

        async def both(visitor: Visitor) -> None:
            states = await asyncio.gather(
                *(self.call(visitor, call, task, step=None) for _ in range(2)), return_exceptions=True
            )
            landed = {each.recorded.step for each in states if isinstance(each, WorkflowState) and each.recorded}
            assert landed <= {call.step, None}, landed
            for each in states:
                assert isinstance(each, WorkflowState | MCPError), repr(each)

        self.go(both)
        for step in self.seen.steps:
            if step.by == CLIENT and before[step.name] != step.status:
                assert step.name == call.step

    @precondition(lambda self: self.open)
    @rule(crash=st.booleans(), step=st.integers(0, 5))
    def interrupt(self, crash: bool, step: int) -> None:
        """Resume, and leave in the middle of a step; when it is a crash, nothing is written any more."""
        task = self.seen.task_id
        self.go(lambda visitor: self.leave(visitor, task, step, crash=crash))

    async def leave(self, visitor: Visitor, task: str | None, step: int, *, crash: bool) -> None:
        store = self.flow.tasks.store
        self.held, self.entered = step, asyncio.Event()
        getting = asyncio.create_task(visitor.get(task=task))
        entering = asyncio.create_task(self.entered.wait())
        await asyncio.wait([getting, entering], return_when=asyncio.FIRST_COMPLETED)
        entering.cancel()
        before = (await store.list(LOCAL)).records[0]
        getting.cancel()
        await asyncio.wait([getting])
        self.held = None
        async with store.watch(LOCAL, before.task_id) as feed:
            async for after in feed:
                if after.lease is None or after.lease.free:
                    break
        if crash and before.lease is not None and not before.lease.free:
            # As the store would be if the process had ended there, and another one goes on.
            self.note("a crash")
            gone = replace(before.lease, seconds=0.05)
            await store.change(LOCAL, before.task_id, lambda found: replace(before, lease=gone, seq=found.seq))
            await visitor.get(task=before.task_id)

    # --- what must hold ---

    @invariant()
    def nothing_runs_behind_a_question(self) -> None:
        assert self.wrong == []

    @invariant()
    def no_step_runs_twice_unless_it_may(self) -> None:
        for number, (kind, retryable, *_) in enumerate(getattr(self, "shape", ())):
            if kind != "guarded":
                assert retryable or self.ran[number] <= 1, f"step {number} ran {self.ran[number]} times"

    @invariant()
    def nothing_behind_a_question_is_offered(self) -> None:
        if self.state is None or (closed := wall(self.state.steps)) is None:
            return
        for call in self.state.calls:
            if call.step is not None and call.kind != "resume":
                assert int(call.step[1:]) <= int(closed[1:])
                assert call.kind in ("answer", "variable") or call.step != closed or call.target == "answer_w"

    @invariant()
    def no_result_is_lost(self) -> None:
        for step in () if self.state is None else self.state.steps:
            if step.name in self.kept:
                assert step.status == "completed"
            if step.status == "completed":
                assert step.result is not None
                assert self.kept.setdefault(step.name, step.result.raw) == step.result.raw

    @invariant()
    def what_is_taken_back_was_done(self) -> None:
        for step in () if self.state is None else self.state.steps:
            number = int(step.name[1:])
            assert (step.undone == "undone") == (number in self.taken_back)
            assert step.undone is None or step.status == "completed"

    def finish(self) -> None:
        """Follow the handoff, and look after what may not be repeated: that leads to the end."""
        for _ in range(40):
            if not self.open:
                break
            task, pause = self.seen.task_id, self.seen.pause
            first = next(iter(self.seen.calls), None)
            if first is None and pause is not None and (step := self.seen.skippable) is not None:
                self.skipped.add(int(step[1:]))
                skip = Action(kind="skip", step=step, reason="looked after")
                self.go(lambda visitor, task=task, skip=skip: visitor.get(task=task, action=skip))
                continue
            call = first or NextCall(kind="resume", target="w")
            if call.kind == "call" and any("<" in str(value) for value in call.arguments.values()):
                # What it needs was skipped.
                self.skipped.add(int(str(call.step)[1:]))
                skip = Action(kind="skip", step=str(call.step), reason="nothing to do it with")
                self.go(lambda visitor, task=task, skip=skip: visitor.get(task=task, action=skip))
                continue
            self.go(lambda visitor, call=call, task=task: self.follow(visitor, call, task))
        state = self.seen
        assert state.status in ("completed", "failed"), state
        for check in (
            self.nothing_runs_behind_a_question,
            self.no_step_runs_twice_unless_it_may,
            self.no_result_is_lost,
            self.what_is_taken_back_was_done,
        ):
            check()
        self.note(f"an end: {state.ending.kind if state.ending else 'all done'}")
        if state.ending is not None:
            kinds = {"skip": "skipped", "stop": "stopped", "fail": "failed"}
            if state.ending.kind == "undone":
                assert self.undoing
            else:
                number = int(str(state.ending.step)[1:])
                assert state.ending.kind in (kinds[self.shape[number][3]], kinds.get(self.shape[number][4], ""))
            assert (state.status == "failed") == (state.ending.kind == "failed")
            if state.ending.kind != "skipped":
                assert all(each.undone for each in state.steps if each.undo and each.status == "completed")
            return
        for number, (step, (kind, *_)) in enumerate(zip(state.steps, self.shape, strict=True)):
            if number in self.skipped and step.status == "skipped":
                continue
            if kind != "optional" or step.status == "completed":
                assert step.status == "completed"
                assert step.result is not None
                said = {"n": 10 * number, "ok": True} if kind in ASK else 10 * number
                assert step.result.value == said


def test_random_workflows() -> None:
    run_state_machine_as_test(
        WorkflowMachine,
        settings=settings(
            # More by hand: PMCP_LAB_MACHINES=2000
            max_examples=int(os.environ.get("PMCP_LAB_MACHINES", "25")),
            stateful_step_count=8,
            # To explain a failure, every line would be traced.
            phases=[Phase.generate, Phase.shrink],
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
    print(f"\n  {WorkflowMachine.runs} machines: {dict(sorted(WorkflowMachine.did.items()))}")
