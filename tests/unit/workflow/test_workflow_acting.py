"""What a person does about a workflow that stands: leaves a step out, has everything taken back; and what a server does
by itself after a crash, as often as it may.
"""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError

from pmcp_lab.protocol.workflow_wire import Action, StepStatus
from pmcp_lab.server import Tasks
from pmcp_lab.tasks import LOCAL
from pmcp_lab.tasks.leases import leased
from pmcp_lab.workflow import SequentialWorkflow, from_step, task_variable
from tests.unit.flow import Flow, Shop, over, release, statuses


@pytest.fixture
def shop() -> Shop:
    return Shop()


def skip(step: str, reason: str = "done by hand") -> Action:
    return Action(kind="skip", step=step, reason=reason)


# --- leaving a step out ---


async def test_a_failed_step_is_left_out_for_a_reason(shop: Shop) -> None:
    shop.broken["upload"] = 1
    flow = Flow(release(), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        assert begun.skippable == "upload"
        state = await visitor.get(task=begun.task_id, action=skip("upload"))
        text = "\n".join(visitor.texts)
    assert (state.status, statuses(state)) == ("completed", ["completed", "skipped", "completed"])
    left = state.steps[1]
    assert (left.by, left.reason) == ("person", "done by hand")
    assert [(one.outcome, one.by) for one in left.attempts] == [("failed", "server"), ("skipped", "person")]
    assert "Step 'upload' is skipped by a person: done by hand." in text
    assert shop.ran == ["build", "upload", "announce"]


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (skip("build"), "step 'build' is over: it is completed"),
        (skip("approve"), "step 'approve' asks a person: it is answered, not skipped"),
        (skip("announce"), "does not stand at step 'announce'"),
        (skip("uplaod"), "has no step 'uplaod'. Did you mean 'upload'"),
        (skip("upload", "  "), "skipped for a reason: give one"),
        (Action(kind="undo"), "has done nothing that can be taken back"),
    ],
)
async def test_what_can_not_be_left_out_stays(shop: Shop, action: Action, why: str) -> None:
    workflow = release(execution="client")
    asked = SequentialWorkflow().step("approve", execution="manual", question="Sure?").steps
    flow = Flow(workflow.model_copy(update={"steps": (*workflow.steps[:2], *asked, workflow.steps[2])}), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        before = await flow.record(begun)
        with pytest.raises(MCPError, match=why) as refused:
            await visitor.get(task=begun.task_id, action=action)
        assert refused.value.code == -32602
        assert await flow.record(begun) == before


async def test_no_skip_leads_around_a_question(shop: Shop) -> None:
    flow = Flow(
        SequentialWorkflow("w", "W")
        .step("ask", execution="manual", question="Sure?")
        .step("tell", "announce", {"text": "x"}, execution="client"),
        *shop.tools,
    )
    async with flow.visitor() as visitor:
        begun = await visitor.get()
        assert begun.skippable is None
        for step in ("ask", "tell"):
            with pytest.raises(MCPError, match="answered, not skipped|does not stand"):
                await visitor.get(task=begun.task_id, action=skip(step))
    assert shop.ran == []


async def test_an_action_names_its_task(shop: Shop) -> None:
    flow = Flow(release(), *shop.tools)
    async with flow.visitor() as visitor:
        for raw, why in (({"kind": "skip"}, "name the workflow's task"), ({"kind": "jump"}, "told to skip or to undo")):
            with pytest.raises(MCPError, match=why):
                await visitor.client.get_prompt("release", {"version": "1"}, meta={"run.pmcp/action": raw})  # type: ignore[arg-type]
    assert (await flow.tasks.store.list(LOCAL)).records == []


# --- taking back ---


class Places:
    """A tool that puts something somewhere, and one that takes it away."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.stuck: dict[str, int] = {}

    def put(self, at: str) -> str:
        self.done.append(f"put {at}")
        return at

    def drop(self, at: str) -> None:
        self.done.append(f"drop {at}")
        if self.stuck.get(at, 0) > 0:
            self.stuck[at] -= 1
            raise ToolError(f"{at} is locked")

    def workflow(self) -> SequentialWorkflow:
        found = SequentialWorkflow("w", "W")
        for name in ("a", "b"):
            undo = ("drop", {"at": from_step(name)})
            found = found.step(name, "put", {"at": name}, bind=name, undo=undo, retryable=True, backoff=0)
        return found.step("c", "put", {"at": "c"}, execution="client").step("d", "put", {"at": "d"})


async def test_what_was_done_is_taken_back_the_last_first() -> None:
    places = Places()
    flow = Flow(places.workflow(), places.put, places.drop)
    async with flow.visitor() as visitor:
        begun = await visitor.get()
        state = await visitor.get(task=begun.task_id, action=Action(kind="undo", reason="a mistake"))
        text = "\n".join(visitor.texts)
    assert places.done == ["put a", "put b", "drop b", "drop a"]
    assert [step.undone for step in state.steps] == ["undone", "undone", None, None]
    assert state.ending is not None
    assert (state.status, state.ending.kind, state.ending.reason) == ("completed", "undone", "a mistake")
    facts = (await flow.record(state)).result["structuredContent"]
    assert (facts["completed"], facts["taken_back"]) == (False, ["b", "a"])
    assert [(one.outcome, one.by) for one in state.steps[0].attempts] == [("completed", "server"), ("undone", "undo")]
    assert "Step 'b' is taken back." in text
    assert "was ended to be undone: a mistake. Taken back: b, a." in text


@pytest.mark.parametrize(("times", "undone"), [(2, "undone"), (9, "failed")])
async def test_what_is_not_taken_back_is_said(times: int, undone: str) -> None:
    places = Places()
    places.stuck["b"] = times
    flow = Flow(places.workflow(), places.put, places.drop)
    async with flow.visitor() as visitor:
        begun = await visitor.get()
        state = await visitor.get(task=begun.task_id, action=Action(kind="undo"))
        text = visitor.texts[-1]
    # It is tried three times, and the rest is taken back all the same.
    assert places.done[2:] == ["drop b"] * 3 + ["drop a"]
    assert [step.undone for step in state.steps[:2]] == ["undone", undone]
    if undone == "failed":
        assert "b is locked" in str(state.steps[1].reason)
        assert "NOT taken back, look after it: b." in text
        assert (await flow.record(state)).result["structuredContent"]["not_taken_back"] == ["b"]


async def test_what_has_no_value_to_be_taken_back_with_is_said_and_the_rest_is_taken_back() -> None:
    places = Places()
    workflow = (
        SequentialWorkflow("w", "W")
        .step("a", "put", {"at": "a"}, undo=("drop", {"at": "a"}))
        .step("b", "put", {"at": "b"}, undo=("drop", {"at": task_variable("where")}))
        .step("c", "put", {"at": "c"}, execution="client")
    )
    flow = Flow(workflow, places.put, places.drop)
    async with flow.visitor() as visitor:
        begun = await visitor.get()
        state = await visitor.get(task=begun.task_id, action=Action(kind="undo"))
    assert places.done == ["put a", "put b", "drop a"]
    assert [step.undone for step in state.steps] == ["undone", "failed", None]
    assert "it can't be taken back: " in str(state.steps[1].reason)
    assert (await flow.record(state)).result["structuredContent"]["not_taken_back"] == ["b"]


# --- by itself, as often as it may ---


async def test_a_step_that_ends_its_process_each_time_is_not_tried_for_ever(tmp_path: Any) -> None:
    ran, tasks = list[int](), Tasks(f"sqlite:///{tmp_path}/tasks.db", lease=0.2)

    async def deadly(n: int) -> int:
        ran.append(n)
        record = (await tasks.store.list(LOCAL)).records[0]
        # As if its process ended here: its lease is nobody's, and what it writes is refused.
        await tasks.store.change(LOCAL, record.task_id, lambda found: leased(found, f"gone#{len(ran)}", 0.1))
        return n

    flow = Flow(SequentialWorkflow("w", "W").step("a", "deadly", {"n": 1}, retryable=True), deadly, tasks=tasks)
    async with flow.visitor() as visitor:
        begun = await visitor.get()
        with anyio.fail_after(10):
            async with tasks.store.watch(LOCAL, begun.task_id) as feed:
                async for record in feed:
                    if len(ran) == 3 and record.lease is None:
                        break
        await anyio.sleep(0.5)
        raw = await visitor.task(begun.task_id)
    assert len(ran) == 3
    step = raw["_meta"]["_workflow.progress"]["steps"][0]
    assert step["status"] == StepStatus.FAILED
    assert [one["outcome"] for one in step["attempts"]] == ["interrupted"] * 3
    await tasks.close()


async def test_who_was_asked_is_in_the_attempts(shop: Shop) -> None:
    flow = Flow(SequentialWorkflow("w", "W").step("ask", execution="manual", question="Sure?"), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get()
        await visitor.about("tasks/update", begun.task_id, inputResponses={"ask#1": {"action": "accept"}})
        state = await over(visitor, begun.task_id)
    (attempt,) = state.steps[0].attempts
    assert (attempt.by, attempt.outcome) == ("person", "completed")
    assert attempt.started is not None
    assert attempt.ended is not None
    assert attempt.started <= attempt.ended
