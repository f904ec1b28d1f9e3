"""A person's answer decides, and nothing passes an open or refused question: whoever asks, whichever way."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult

from pmcp_lab.protocol import workflow_wire
from pmcp_lab.protocol.task import from_timestamp
from pmcp_lab.protocol.workflow_wire import StepStatus
from pmcp_lab.server import Tasks
from pmcp_lab.tasks import LOCAL, Limits, open_store
from pmcp_lab.workflow import SequentialWorkflow, from_step, prompt_arg
from tests.unit.flow import MODES, Flow, Shop, Visitor, over, statuses, until


@pytest.fixture
def shop() -> Shop:
    return Shop()


def asking(**approve: Any) -> SequentialWorkflow:
    """Builds, asks, uploads and announces."""
    approve = {"answer": {"ok": "boolean"}, "proceed_if": "ok"} | approve
    guarded = approve.pop("guarded", False)
    return (
        SequentialWorkflow("release", "Build a version and publish it")
        .argument("version", "What to release")
        .argument("channel", "Where to", required=False)
        .step(
            "build", "build", {"version": prompt_arg("version")}, bind="artifact", undo=("announce", {"text": "gone"})
        )
        .step("approve", execution="manual", question="Publish {version}{channel}?", bind="said", **approve)
        .step(
            "upload",
            "upload",
            {"file": from_step("artifact", "file.path"), "bucket": "b"},
            guarded=guarded,
            bind="place",
        )
        .step("announce", "announce", {"text": from_step("place")})
    )


YES = {"action": "accept", "content": {"ok": True}}
NO = {"action": "accept", "content": {"ok": False}}
DECLINE = {"action": "decline"}
UPLOAD = {"file": "1.zip", "bucket": "b"}


async def answer(visitor: Visitor, task: str, response: dict[str, Any], number: int = 1) -> None:
    await visitor.about("tasks/update", task, inputResponses={f"approve#{number}": response})


# --- a no is a no ---


@pytest.mark.parametrize("response", [NO, DECLINE], ids=["no", "decline"])
@pytest.mark.parametrize(
    ("on_no", "status", "kind", "later"),
    [
        ("stop", "completed", "stopped", "pending"),
        ("skip", "completed", "skipped", "skipped"),
        ("fail", "failed", "failed", "pending"),
    ],
)
async def test_a_no_ends_it_as_its_author_says(
    shop: Shop, response: dict[str, Any], on_no: str, status: str, kind: str, later: str
) -> None:
    flow = Flow(asking(on_no=on_no), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        await answer(visitor, begun.task_id, response)
        state = await over(visitor, begun.task_id)
        again = await visitor.get(task=begun.task_id)
    assert (state.status, statuses(state)) == (status, ["completed", "refused", later, later])
    refused = state.steps[1]
    assert refused.by == "person"
    assert refused.answer is not None
    assert refused.answer["action"] == response["action"]
    assert [(one.outcome, one.by) for one in refused.attempts] == [("refused", "person")]
    why = "the person declined" if response is DECLINE else "the answer was no: ok is no"
    assert refused.reason == why
    assert state.ending is not None
    assert (state.ending.kind, state.ending.step, state.ending.reason) == (kind, "approve", why)
    record = await flow.record(state)
    assert why in str(record.message)
    assert again.ending == state.ending
    assert why in visitor.texts[-1]
    assert "upload" not in shop.ran
    # What was done is taken back, unless that is how it was meant to end.
    assert shop.ran == (["build"] if on_no == "skip" else ["build", "announce"])
    assert state.steps[0].undone == (None if on_no == "skip" else "undone")
    if on_no == "fail":
        assert record.error is not None
        assert record.error["data"]["failed"]["step"] == "approve"
    else:
        facts = record.result["structuredContent"]
        assert facts["completed"] is (on_no == "skip")
        assert facts[kind]["step"] == "approve"


async def test_a_yes_goes_on(shop: Shop) -> None:
    flow = Flow(asking(), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        await answer(visitor, begun.task_id, YES)
        state = await over(visitor, begun.task_id)
    assert (state.status, shop.ran) == ("completed", ["build", "upload", "announce"])
    assert state.steps[1].answer == YES
    assert (await flow.record(state)).result["structuredContent"]["outputs"]["said"] == {"ok": True}


@pytest.mark.parametrize(("channel", "goes"), [("beta", True), ("stable", True), ("none", False)])
async def test_one_of_several_values_is_a_yes(shop: Shop, channel: str, goes: bool) -> None:
    fields = {"channel": {"type": "string", "enum": ["beta", "stable", "none"]}}
    flow = Flow(asking(answer=fields, proceed_if={"channel": ["beta", "stable"]}), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        await answer(visitor, begun.task_id, {"action": "accept", "content": {"channel": channel}})
        state = await over(visitor, begun.task_id)
    assert ("upload" in shop.ran) is goes
    assert state.steps[1].status == (StepStatus.COMPLETED if goes else StepStatus.REFUSED)


async def test_true_is_not_one(shop: Shop) -> None:
    flow = Flow(asking(answer={"n": "number"}, proceed_if={"n": 1}), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        with pytest.raises(MCPError, match="n: True is not of type 'number'"):
            await answer(visitor, begun.task_id, {"action": "accept", "content": {"n": True}})


async def test_what_was_dismissed_is_asked_again_when_somebody_wants_it(shop: Shop) -> None:
    flow = Flow(asking(), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        await answer(visitor, begun.task_id, {"action": "cancel"})
        with anyio.fail_after(5):
            while True:
                raw = await visitor.task(begun.task_id)
                state = workflow_wire.read_task(begun.task_id, raw["status"], raw["_meta"])
                assert state is not None
                if state.pause is not None and "dismissed" in state.pause.message:
                    break
                await anyio.sleep(0.005)
        assert statuses(state) == ["completed", "pending", "pending", "pending"]
        # Nobody has decided, so nothing is to be had behind it.
        assert [call.kind for call in state.calls] == ["resume"]
        with pytest.raises(MCPError, match="a person has to agree"):
            await visitor.call("upload", UPLOAD, task=begun.task_id)
        state = await visitor.get(task=begun.task_id)
        assert [call.target for call in state.calls if call.kind == "answer"] == ["approve#2"]
        await answer(visitor, begun.task_id, YES, 2)
        assert (await over(visitor, begun.task_id)).status == "completed"


async def test_an_old_client_says_no_as_well(shop: Shop) -> None:
    async def decline(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="decline")

    flow = Flow(asking(), *shop.tools)
    async with flow.visitor("legacy", elicitation_callback=decline) as visitor:
        begun = await visitor.get({"version": "1"})
        result = await visitor.about("tasks/result", begun.task_id)
    assert result["structuredContent"]["completed"] is False
    assert "was stopped at step approve: the person declined" in result["content"][0]["text"]
    assert "upload" not in shop.ran


# --- what does not fit is no answer ---


@pytest.mark.parametrize(
    "content", [{"ok": "yes"}, {}, {"ok": None}, [], {"ok": {"deep": True}}], ids=lambda content: str(content)
)
async def test_an_answer_that_does_not_fit_is_refused_and_not_recorded(shop: Shop, content: Any) -> None:
    flow = Flow(asking(), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        before = await flow.record(begun)
        with pytest.raises(MCPError, match="the answer to step 'approve' does not fit its form") as refused:
            await answer(visitor, begun.task_id, {"action": "accept", "content": content})
        assert refused.value.code == -32602
        assert await flow.record(begun) == before
        await answer(visitor, begun.task_id, YES)
        assert (await over(visitor, begun.task_id)).status == "completed"


# --- nothing passes an open question ---


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("step", ["upload", None])
async def test_a_step_behind_a_question_is_not_to_be_had(shop: Shop, mode: str, step: str | None) -> None:
    flow = Flow(asking(), *shop.tools)
    async with flow.visitor(mode) as visitor:
        begun = await visitor.get({"version": "1"})
        assert {call.step for call in begun.calls} == {"approve"}
        assert "upload" not in visitor.texts[-1]
        before = await flow.record(begun)
        with pytest.raises(MCPError, match="step 'approve' comes first: a person has to agree to it") as refused:
            await visitor.call("upload", UPLOAD, task=begun.task_id, step=step)
        assert refused.value.code == -32602
        said = workflow_wire.read_error(refused.value.data)
        assert said is not None
        assert said.recorded is not None
        assert said.recorded.refused == refused.value.message
        assert await flow.record(begun) == before
        # Other arguments do not make it another step.
        with pytest.raises(MCPError, match="a person has to agree"):
            await visitor.call("upload", {"file": "x", "bucket": "y"}, task=begun.task_id)
        # What no step wants is kept aside.
        state = await visitor.call("build", {"version": "2"}, task=begun.task_id)
        assert state.recorded is not None
        assert state.recorded.extra
    assert shop.ran == ["build", "build"]


async def test_a_question_is_not_passed_by_doing_its_own_tool(shop: Shop) -> None:
    workflow = (
        SequentialWorkflow("release", "R")
        .argument("version")
        .step("upload", "upload", {"file": prompt_arg("version"), "bucket": "b"}, execution="manual", question="Sure?")
    )
    flow = Flow(workflow, *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        assert [(call.kind, call.target) for call in begun.calls] == [
            ("answer", "upload#1"),
            ("call", "answer_release"),
        ]
        for step in (None, "upload"):
            with pytest.raises(MCPError, match="a person has to agree"):
                await visitor.call("upload", {"file": "1", "bucket": "b"}, task=begun.task_id, step=step)
    assert shop.ran == []


async def test_a_resource_behind_a_question_is_not_read_for_its_step(shop: Shop) -> None:
    read: list[str] = []

    def page() -> str:
        read.append("page")
        return "page"

    workflow = (
        SequentialWorkflow("w", "W")
        .step("ask", execution="manual", question="Sure?")
        .step("read", resources=["docs://page"], execution="client")
    )
    flow = Flow(workflow, *shop.tools, resources={"docs://page": page})
    async with flow.visitor() as visitor:
        begun = await visitor.get()
        with pytest.raises(MCPError, match="a person has to agree"):
            await visitor.read("docs://page", task=begun.task_id)
    assert read == []


@pytest.mark.parametrize(
    ("step", "tool", "why"),
    [
        ("build", "build", "step 'build' is over: it is completed"),
        ("nope", "build", "has no step 'nope'"),
        ("upload", "build", "step 'approve' comes first"),
        ("approve", "build", "a person has to agree"),
    ],
)
async def test_a_call_for_the_wrong_step_is_refused_before_it_runs(shop: Shop, step: str, tool: str, why: str) -> None:
    flow = Flow(asking(), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        before, ran = await flow.record(begun), list(shop.ran)
        with pytest.raises(MCPError, match=why):
            await visitor.call(tool, {"version": "1"}, task=begun.task_id, step=step)
        assert (await flow.record(begun), shop.ran) == (before, ran)


async def test_what_was_skipped_to_its_end_is_not_called_on(shop: Shop) -> None:
    flow = Flow(asking(on_no="skip"), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        await answer(visitor, begun.task_id, NO)
        await over(visitor, begun.task_id)
        before = await flow.record(begun)
        for step in (None, "upload"):
            with pytest.raises(MCPError, match="the workflow is over.*the rest was skipped"):
                await visitor.call("upload", UPLOAD, task=begun.task_id, step=step)
        with pytest.raises(MCPError, match="the workflow is over"):
            await visitor.client.call_tool("answer_release", {"task_id": begun.task_id, "step": "approve", **YES})
        assert await flow.record(begun) == before
    assert "upload" not in shop.ran


# --- a tool that runs in its turn or not at all ---


@pytest.mark.parametrize("mode", MODES)
async def test_a_guarded_tool_runs_in_its_turn_or_not_at_all(shop: Shop, mode: str) -> None:
    tasks = Tasks("memory://")

    @tasks.tool(support="optional")
    def upload(file: str, bucket: str) -> str:
        return shop.upload(file, bucket)

    flow = Flow(asking(guarded=True), shop.build, shop.announce, tasks=tasks)
    async with flow.visitor(mode) as visitor:
        outside: list[dict[str, Any]] = [{}, {"task": {}}] if mode == "legacy" else [{}]
        for more in outside:
            with pytest.raises(MCPError, match="runs only as step 'upload' of workflow 'release'") as refused:
                await visitor.raw_call("upload", UPLOAD, **more)
            assert refused.value.code == -32602
        begun = await visitor.get({"version": "1"})
        for more in outside:
            meta = workflow_wire.continuation_meta(begun.task_id, "upload")
            with pytest.raises(MCPError, match="a person has to agree"):
                await visitor.raw_call("upload", UPLOAD, _meta=meta, **more)
    assert "upload" not in shop.ran


async def test_a_guarded_tool_is_called_for_its_step_with_its_arguments(shop: Shop) -> None:
    workflow = (
        SequentialWorkflow("w", "W")
        .step("first", "announce", {"text": "go"}, execution="client")
        .step("put", "upload", {"file": "f"}, guarded=True, retryable=True)
    )
    flow = Flow(workflow, *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get()
        assert [call.step for call in begun.calls] == ["first"]
        with pytest.raises(MCPError, match="it is not the turn of step 'put'"):
            await visitor.call("upload", {"file": "f", "bucket": "b"}, task=begun.task_id, step="put")
        state = await visitor.call("announce", {"text": "go"}, task=begun.task_id)
        assert state.calls[0].step == "put"
        for wrong in ({"file": "g", "bucket": "b"}, {"bucket": "b"}, {"file": "f", "bucket": "b", "force": True}):
            with pytest.raises(MCPError, match="with other arguments|runs in its turn"):
                await visitor.call("upload", wrong, task=begun.task_id, step="put")
        assert shop.ran == ["announce"]
        shop.broken["upload"] = 1
        state = await visitor.call("upload", {"file": "f", "bucket": "b"}, task=begun.task_id)
        assert state.recorded == workflow_wire.Recorded(step="put", status=StepStatus.FAILED)
        state = await visitor.call("upload", {"file": "f", "bucket": "b"}, task=begun.task_id)
    assert (state.status, shop.ran) == ("completed", ["announce", "upload", "upload"])
    assert [(one.outcome, one.by) for one in state.steps[1].attempts] == [("failed", "client"), ("completed", "client")]


async def test_of_two_calls_of_a_guarded_tool_one_runs() -> None:
    ran, gate, entered = list[str](), asyncio.Event(), asyncio.Event()

    async def put(n: int) -> int:
        ran.append("put")
        entered.set()
        await gate.wait()
        return n

    flow = Flow(SequentialWorkflow("w", "W").step("a", "put", execution="client", guarded=True), put)
    async with flow.visitor() as visitor:
        begun = await visitor.get()
        first = asyncio.create_task(visitor.call("put", {"n": 1}, task=begun.task_id))
        await entered.wait()
        with pytest.raises(MCPError, match="being done just now|runs only as a step"):
            await visitor.call("put", {"n": 2}, task=begun.task_id)
        gate.set()
        state = await first
    assert (state.status, ran) == ("completed", ["put"])


# --- two calls, one step ---


async def test_racing_calls_of_one_tool_never_land_in_two_steps() -> None:
    ran, both = list[int](), asyncio.Event()

    async def put(n: int) -> int:
        ran.append(n)
        if len(ran) == 2:
            both.set()
        await both.wait()
        return n

    workflow = SequentialWorkflow("w", "W")
    for number in range(2):
        workflow = workflow.step(f"s{number}", "put", execution="client")
    flow = Flow(workflow, put)
    async with flow.visitor() as visitor:
        begun = await visitor.get()
        states = await asyncio.gather(*(visitor.call("put", {"n": n}, task=begun.task_id) for n in (1, 2)))
    landed = [state.recorded.step for state in states if state.recorded and state.recorded.step]
    assert landed == ["s0"]
    record = await flow.record(begun)
    assert record.status == "working"
    assert "_workflow.extra.put" in record.variables


async def test_a_call_is_matched_by_tool_and_arguments() -> None:
    def put(n: int, more: str = "") -> int:
        return n

    workflow = SequentialWorkflow("w", "W")
    for number in (1, 2):
        workflow = workflow.step(f"s{number}", "put", {"n": number}, execution="client")
    flow = Flow(workflow, put)
    async with flow.visitor() as visitor:
        begun = await visitor.get()
        state = await visitor.call("put", {"n": 3}, task=begun.task_id)
        assert state.recorded is not None
        assert state.recorded.extra
        state = await visitor.call("put", {"n": 2}, task=begun.task_id)
        assert statuses(state) == ["pending", "completed"]
        state = await visitor.call("put", {"n": 1, "more": "what no step says is free"}, task=begun.task_id)
    assert state.status == "completed"


# --- every client can answer ---


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_that_can_not_be_asked_has_a_tool(shop: Shop, mode: str) -> None:
    flow = Flow(asking(), *shop.tools)
    async with flow.visitor(mode) as visitor:
        begun = await visitor.get({"version": "1"})
        (call,) = [call for call in begun.calls if call.kind == "call"]
        assert (call.target, call.arguments) == ("answer_release", {"task_id": begun.task_id, "step": "approve"})
        assert call.missing == ("action", "content")
        text = visitor.texts[-1]
        assert f'Call answer_release with {{"task_id":"{begun.task_id}","step":"approve"}}' in text
        for said in ("A person has to decide this", "never decide it yourself", '"required":["ok"]'):
            assert said in text
        listed = {tool.name: tool for tool in (await visitor.client.list_tools()).tools}
        content = listed["answer_release"].input_schema["properties"]["content"]
        assert content["anyOf"][0]["properties"] == {"ok": {"type": "boolean"}}
        assert listed["answer_release"].input_schema["properties"]["step"]["enum"] == ["approve"]
        arguments = {"task_id": begun.task_id, "step": "approve"}
        before = await flow.record(begun)
        for wrong, why in (
            ({"action": "accept", "content": {"ok": "yes"}}, "does not fit its form"),
            ({"action": "accept"}, "'ok' is a required property"),
            ({**YES, "step": "upload"}, "asks nothing at a step 'upload'"),
            ({**YES, "task_id": "nope"}, "not found"),
        ):
            with pytest.raises(MCPError, match=why):
                await visitor.client.call_tool("answer_release", {**arguments, **wrong})
        assert await flow.record(begun) == before
        result = await visitor.client.call_tool("answer_release", {**arguments, **YES})
        assert "is complete" in result.content[0].text
        with pytest.raises(MCPError, match="over"):
            await visitor.client.call_tool("answer_release", {**arguments, **YES})
    record = await flow.record(begun)
    assert (record.status, shop.ran) == ("completed", ["build", "upload", "announce"])
    # It is kept as if it had come the other way.
    assert record.answers == {"approve#1": YES}


async def test_a_client_that_can_be_asked_is_not_told_of_the_tool(shop: Shop) -> None:
    async def nobody(context: Any, params: Any) -> ElicitResult:
        raise AssertionError("it is not asked here")

    flow = Flow(asking(), *shop.tools)
    async with flow.visitor(elicitation_callback=nobody) as visitor:
        begun = await visitor.get({"version": "1"})
        assert [call.kind for call in begun.calls] == ["answer"]
        assert "answer_release" not in visitor.texts[-1]


async def test_a_no_by_the_tool_is_a_no(shop: Shop) -> None:
    flow = Flow(asking(), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        arguments = {"task_id": begun.task_id, "step": "approve", "action": "decline"}
        result = await visitor.client.call_tool("answer_release", arguments)
        assert "was stopped at step approve: the person declined" in result.content[0].text
    assert "upload" not in shop.ran


async def test_no_step_answers_for_a_person(shop: Shop) -> None:
    from pmcp_lab.errors import WorkflowInvalid
    from pmcp_lab.workflow import Workflows

    flow = Flow(asking(), *shop.tools)
    cheat = SequentialWorkflow("cheat").step(
        "a", "answer_release", {"task_id": "t", "step": "approve", "action": "accept"}
    )
    with pytest.raises(WorkflowInvalid, match="no tool 'answer_release'"):
        Workflows([cheat], flow.tasks).attach(flow.server)


# --- deadlines ---


@pytest.mark.parametrize(
    ("otherwise", "status", "uploaded"),
    [
        ("stop", "completed", False),
        ("skip", "completed", False),
        ("fail", "failed", False),
        ({"ok": True}, "completed", True),
        ({"ok": False}, "completed", False),
    ],
    ids=str,
)
async def test_what_nobody_answers_decides_itself(shop: Shop, otherwise: Any, status: str, uploaded: bool) -> None:
    flow = Flow(asking(within="80ms", otherwise=otherwise), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        assert begun.pause is not None
        assert begun.pause.deadline is not None
        assert begun.pause.deadline in visitor.texts[-1]
        state = await over(visitor, begun.task_id)
    assert state.status == status
    assert ("upload" in shop.ran) is uploaded
    assert state.steps[1].by == "server"
    if isinstance(otherwise, str):
        assert state.steps[1].reason == "nobody answered within 80ms"


async def test_a_bare_number_is_seconds(shop: Shop) -> None:
    flow = Flow(asking(within=1, otherwise="stop"), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        assert begun.pause is not None
        deadline = from_timestamp(begun.pause.deadline)
        assert deadline is not None
        assert 0.5 < (deadline - flow.tasks.store.now()).total_seconds() <= 1
        state = await over(visitor, begun.task_id)
    assert state.steps[1].reason == "nobody answered within 1 s"


async def test_an_answer_in_time_is_what_counts(shop: Shop) -> None:
    flow = Flow(asking(within="250ms", otherwise="stop"), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        await answer(visitor, begun.task_id, YES)
        state = await over(visitor, begun.task_id)
        await anyio.sleep(0.3)
    assert (state.status, shop.ran) == ("completed", ["build", "upload", "announce"])


@pytest.mark.parametrize("late", [False, True], ids=["started in time", "started late"])
async def test_a_deadline_outlives_its_server(shop: Shop, tmp_path: Any, late: bool) -> None:
    url, workflow = f"sqlite:///{tmp_path}/tasks.db", asking(within="700ms", otherwise="stop")
    first = Flow(workflow, *shop.tools, tasks=Tasks(url, lease=0.2))
    async with first.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
    await first.tasks.close()
    # The timer of the first server must not be what acts.
    for timers in first.workflows._deadlines.values():
        for timer in timers.values():
            timer.cancel()
    if late:
        await anyio.sleep(0.8)
    second = Flow(workflow, *shop.tools, tasks=Tasks(url, lease=0.2))
    second.tasks.start()
    with anyio.fail_after(5):
        async with second.tasks.store.watch(LOCAL, begun.task_id) as feed:
            async for record in feed:
                last = record
    record = last
    assert record.result["structuredContent"]["stopped"]["reason"] == "nobody answered within 700ms"
    assert (record.updated - record.created).total_seconds() >= 0.7
    await second.tasks.close()


async def test_a_dismissed_question_keeps_its_deadline(shop: Shop) -> None:
    flow = Flow(asking(within="300ms", otherwise="stop"), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        await answer(visitor, begun.task_id, {"action": "cancel"})
        again = await visitor.get(task=begun.task_id)
        assert again.pause is not None
        assert begun.pause is not None
        assert again.pause.deadline == begun.pause.deadline
        assert (await over(visitor, begun.task_id)).ending is not None


async def test_an_optional_argument_that_is_absent_leaves_nothing_in_the_text(shop: Shop) -> None:
    flow = Flow(asking(), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        assert begun.pause is not None
        assert begun.pause.message.endswith("Publish 1?")
        assert "{channel}" not in "".join(visitor.texts)


async def test_who_does_not_own_it_does_not_answer_it(shop: Shop) -> None:
    from pmcp_lab.tasks import resolve_owner

    store = open_store("memory://", Limits())
    flow = Flow(asking(), *shop.tools, tasks=Tasks(store))
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        record = await flow.record(begun)
        theirs = await store.create(
            resolve_owner("ann"), method="release", variables=dict(record.variables), job=record.job
        )
        arguments = {"task_id": theirs.task_id, "step": "approve", **YES}
        with pytest.raises(MCPError, match="not found"):
            await visitor.client.call_tool("answer_release", arguments)
        with pytest.raises(MCPError, match="not found"):
            await visitor.call("upload", UPLOAD, task=theirs.task_id)


async def test_an_unanswered_question_says_until_when_in_its_record(shop: Shop) -> None:
    flow = Flow(asking(within="1h", otherwise="stop").model_copy(update={"ttl": "2h"}), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        state = await until(visitor, begun.task_id, "inputRequired")
    assert state.steps[1].deadline == (begun.pause and begun.pause.deadline)
