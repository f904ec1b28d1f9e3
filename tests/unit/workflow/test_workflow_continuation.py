"""A client does a step: what is recorded, what is said of it, how the server goes on, and who may not."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError

from pmcp_lab.errors import LabError, TaskNotFound
from pmcp_lab.protocol import workflow_wire
from pmcp_lab.protocol.workflow_wire import Action, Recorded, StepStatus
from pmcp_lab.server import Tasks
from pmcp_lab.tasks import LOCAL, resolve_owner
from pmcp_lab.workflow import SequentialWorkflow, Workflows, from_step, prompt_arg, task_variable
from tests.unit.flow import MODES, Flow, Shop, release, statuses

LATER = {"file": from_step("artifact", "file.path")}
"""Arguments of `upload` without its bucket: the client has to call it."""


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.mark.parametrize("mode", MODES)
async def test_a_failure_is_recorded_and_so_is_the_success_after_it(shop: Shop, mode: str) -> None:
    flow = Flow(release(arguments=LATER, retryable=True), *shop.tools)
    async with flow.visitor(mode) as visitor:
        begun = await visitor.get({"version": "1"})
        shop.broken["upload"] = 1
        state = await visitor.call("upload", {"file": "1.zip", "bucket": "b"}, task=begun.task_id)
        assert state.recorded == Recorded(step="upload", status=StepStatus.FAILED)
        assert state.pause is not None
        assert (state.pause.kind, state.pause.retryable) == ("toolError", True)
        variables = (await flow.record(begun)).variables
        assert variables["_workflow.result.upload"]["isError"] is True
        state = await visitor.call("upload", {"file": "1.zip", "bucket": "b"}, task=begun.task_id)
    assert state.recorded == Recorded(step="upload", status=StepStatus.COMPLETED)
    # The server went on with what was left, and that was the end.
    assert (state.status, state.ran, shop.ran[-1]) == ("completed", ("announce",), "announce")
    variables = (await flow.record(begun)).variables
    assert "_workflow.pause_reason" not in variables
    assert workflow_wire.read_result(variables["_workflow.result.upload"]).value == "b/1.zip"
    assert {step["name"]: step.get("by") for step in variables["_workflow.progress"]["steps"]} == {
        "build": "server",
        "upload": "client",
        "announce": "server",
    }


async def test_a_call_that_is_refused_as_a_request_is_recorded_too(shop: Shop) -> None:
    def upload(file: str, bucket: str) -> str:
        raise MCPError(-32050, "no such bucket", {"bucket": bucket})

    flow = Flow(release(arguments=LATER), shop.build, upload, shop.announce)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        with pytest.raises(MCPError, match="no such bucket") as refused:
            await visitor.call("upload", {"file": "1.zip", "bucket": "b"}, task=begun.task_id)
    assert refused.value.code == -32050
    assert refused.value.data["bucket"] == "b"
    state = workflow_wire.read_error(refused.value.data)
    assert state is not None
    assert state.recorded == Recorded(step="upload", status=StepStatus.FAILED)
    assert (await flow.record(begun)).variables["_workflow.pause_reason"]["error"] == "no such bucket"


async def test_what_no_step_wants_is_kept_aside_and_changes_nothing_else(shop: Shop) -> None:
    flow = Flow(release(arguments=LATER), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        before = (await flow.record(begun)).variables
        state = await visitor.call("build", {"version": "2"}, task=begun.task_id)
        assert state.recorded == Recorded(extra=True)
        after = (await flow.record(begun)).variables
        assert after["_workflow.extra.build"]["isError"] is False
        assert {name: after[name] for name in before} == before
        shop.broken["build"] = 1
        state = await visitor.call("build", {"version": "3"}, task=begun.task_id)
        assert state.recorded is not None
        assert state.recorded.refused == "no open step wants 'build'"


async def test_steps_of_one_tool_are_told_apart_by_name(shop: Shop) -> None:
    workflow = (
        SequentialWorkflow("w", "W")
        .step("one", "announce", execution="client")
        .step("two", "announce", execution="client")
    )
    flow = Flow(workflow, shop.announce)
    async with flow.visitor() as visitor:
        begun = await visitor.get()
        state = await visitor.call("announce", {"text": "2"}, task=begun.task_id, step="two")
        assert statuses(state) == ["pending", "completed"]
        state = await visitor.call("announce", {"text": "1"}, task=begun.task_id)
        assert (state.status, statuses(state)) == ("completed", ["completed", "completed"])


@pytest.mark.parametrize("fails", [False, True], ids=["done", "fails"])
async def test_an_optional_step_of_the_client_is_waited_for(shop: Shop, fails: bool) -> None:
    flow = Flow(release(execution="client", optional=True), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        assert begun.pause is not None
        assert (begun.pause.kind, statuses(begun)) == ("clientStep", ["completed", "pending", "pending"])
        shop.broken["upload"] = int(fails)
        state = await visitor.call("upload", {"file": "1.zip", "bucket": "b"}, task=begun.task_id)
    how = StepStatus.FAILED if fails else StepStatus.COMPLETED
    assert state.recorded == Recorded(step="upload", status=how)
    assert (state.status, statuses(state)) == ("completed", ["completed", how.value, "completed"])
    assert shop.ran == ["build", "upload", "announce"]


async def test_an_optional_step_that_was_skipped_may_still_be_done_by_a_client(shop: Shop) -> None:
    workflow = release(optional=True, arguments={"bucket": task_variable("b"), "file": "f"})
    last = workflow.steps[-1].model_copy(update={"execution": "client"})
    flow = Flow(workflow.model_copy(update={"steps": (*workflow.steps[:-1], last)}), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        assert statuses(begun) == ["completed", "skipped", "pending"]
        state = await visitor.call("upload", {"file": "f", "bucket": "b"}, task=begun.task_id)
        assert state.recorded == Recorded(step="upload", status=StepStatus.COMPLETED)
        assert statuses(state) == ["completed", "completed", "pending"]
        state = await visitor.call("announce", {"text": "1 is out"}, task=begun.task_id)
        assert (state.status, shop.ran) == ("completed", ["build", "upload", "announce"])


async def test_a_step_of_the_servers_own_is_not_done_by_a_client(shop: Shop) -> None:
    flow = Flow(release(arguments=LATER, execution="server"), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
        assert [call.target for call in begun.calls if call.step == "upload"] == []
        state = await visitor.call("upload", {"file": "1.zip", "bucket": "b"}, task=begun.task_id)
    assert state.recorded == Recorded(extra=True)
    assert statuses(state)[1] == "pending"


async def test_resources_are_read_by_the_client_one_by_one(shop: Shop) -> None:
    workflow = (
        SequentialWorkflow("w", "W")
        .argument("topic")
        .step("read", resources=["docs://{topic}/a", "docs://{topic}/b"], execution="client")
        .step("tell", "announce", {"text": prompt_arg("topic")})
    )

    def page(topic: str, page: str) -> str:
        return f"{topic} {page}"

    flow = Flow(workflow, shop.announce, resources={"docs://{topic}/{page}": page})
    async with flow.visitor() as visitor:
        begun = await visitor.get({"topic": "x"})
        assert [(call.kind, call.target) for call in begun.calls[:2]] == [
            ("read", "docs://x/a"),
            ("read", "docs://x/b"),
        ]
        state = await visitor.read("docs://x/b", task=begun.task_id)
        assert state.recorded == Recorded(step="read", status=StepStatus.PENDING)
        assert [call.target for call in state.calls if call.kind == "read"] == ["docs://x/a"]
        state = await visitor.read("docs://x/a", task=begun.task_id)
    assert (state.status, state.ran) == ("completed", ("tell",))
    kept = workflow_wire.read_result((await flow.record(begun)).variables["_workflow.result.read"])
    assert kept.text == "x b\nx a"


# --- who may not, and what is over ---


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_for_no_workflow_is_refused_before_it_runs(mode: str) -> None:
    tasks, ran = Tasks("memory://"), list[int]()

    def work() -> int:
        ran.append(1)
        return 1

    flow = Flow(SequentialWorkflow("w", "W").step("a", "work", execution="client"), work, tasks=tasks)
    plain_task = await tasks.store.create(LOCAL)
    foreign = await tasks.store.create(resolve_owner("somebody"), method="w")
    async with flow.visitor(mode) as visitor:
        for task_id, why in (
            ("nope", "not found"),
            (foreign.task_id, "not found"),
            (plain_task.task_id, "no workflow's|none of workflow"),
        ):
            for go in (visitor.call("work", task=task_id), visitor.get(task=task_id)):
                with pytest.raises(MCPError, match=why) as refused:
                    await go
                assert refused.value.code == -32602
    assert ran == []
    assert (await tasks.store.get(LOCAL, plain_task.task_id)).variables == {}


async def test_two_sets_of_workflows_on_a_server_know_their_own() -> None:
    def work() -> int:
        return 1

    flow = Flow(SequentialWorkflow("w", "W").step("a", "work", execution="client"), work)
    Workflows([SequentialWorkflow("v", "V").step("a", "work", execution="client")], flow.tasks).attach(flow.server)
    async with flow.visitor() as visitor:
        for name in ("w", "v"):
            visitor.name = name
            begun = await visitor.get()
            assert (await visitor.call("work", task=begun.task_id)).status == "completed"
        other = await flow.tasks.store.create(LOCAL)
        with pytest.raises(MCPError, match="no workflow's"):
            await visitor.call("work", task=other.task_id)


async def test_a_workflow_that_is_over_stays_so(shop: Shop) -> None:
    flow = Flow(release(arguments=LATER), *shop.tools)
    async with flow.visitor() as visitor:
        finished = await visitor.get({"version": "1"})
        await visitor.about("tasks/cancel", finished.task_id, result={"uploaded": "by hand"})
        record = await flow.record(finished)
        assert (record.status, record.result["structuredContent"]) == ("completed", {"uploaded": "by hand"})
        # What it waited for before is told no more.
        assert record.message == "its client has finished it"
        cancelled = await visitor.get({"version": "1"})
        await visitor.about("tasks/cancel", cancelled.task_id)
        assert (await flow.record(cancelled)).status == "cancelled"
        for begun in (finished, cancelled):
            ran, before = list(shop.ran), (await flow.record(begun)).variables
            for step in (None, "upload"):
                with pytest.raises(MCPError, match="the workflow is over") as refused:
                    await visitor.call("upload", {"file": "1.zip", "bucket": "b"}, task=begun.task_id, step=step)
                assert refused.value.code == -32602
            again = await visitor.get(task=begun.task_id)
            assert (again.calls, again.pause) == ((), None)
            with pytest.raises(MCPError, match="the workflow is over"):
                await visitor.get(task=begun.task_id, action=Action(kind="undo"))
            assert shop.ran == ran
            assert (await flow.record(begun)).variables == before


async def test_a_workflow_that_was_rewritten_is_not_gone_on_with(shop: Shop) -> None:
    tasks = Tasks("memory://")
    first = Flow(release(arguments=LATER), *shop.tools, tasks=tasks)
    async with first.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
    changed = Flow(release(arguments=LATER).step("more", "announce"), *shop.tools, store=tasks.store)
    async with changed.visitor() as visitor:
        with pytest.raises(MCPError, match="another version of workflow 'release'"):
            await visitor.get(task=begun.task_id)


# --- several at a time ---


async def test_of_racing_continuations_no_result_is_lost() -> None:
    gate, there = asyncio.Event(), 0

    async def put(n: int) -> int:
        nonlocal there
        there += 1
        if there == 6:
            gate.set()
        await gate.wait()
        return n

    workflow = SequentialWorkflow("w", "W")
    for number in range(5):
        workflow = workflow.step(f"s{number}", "put", execution="client")
    flow = Flow(workflow, put)
    async with flow.visitor() as visitor:
        begun = await visitor.get()
        states = []

        async def do(n: int, step: str) -> None:
            states.append(await visitor.call("put", {"n": n}, task=begun.task_id, step=step))

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(do, number, f"s{number}")
            # One of them twice.
            group.start_soon(do, 9, "s0")
    record = await flow.record(begun)
    assert record.status == "completed"
    found = workflow_wire.read_task(begun.task_id, record.status, record.variables)
    assert found is not None
    values = [step.result.value for step in found.steps if step.result]
    extra = [workflow_wire.read_result(record.variables[name]).value for name in record.variables if ".extra." in name]
    refused = [state.recorded for state in states if state.recorded and state.recorded.refused]
    assert values[1:] == [1, 2, 3, 4]
    assert sorted([values[0], *extra]) in ([0], [9], [0, 9])
    # The second of the two is kept aside, or came when all was over and was told so.
    assert len(extra) + len(refused) == 1


async def test_two_continuations_of_the_last_open_step_let_the_rest_run_once(shop: Shop) -> None:
    flow = Flow(release(arguments=LATER), *shop.tools)
    async with flow.visitor() as visitor:
        for _ in range(5):
            shop.ran.clear()
            begun = await visitor.get({"version": "1"})
            calls = [
                visitor.call("upload", {"file": "1.zip", "bucket": each}, task=begun.task_id) for each in ("a", "b")
            ]
            await asyncio.gather(*calls)
            assert (await flow.record(begun)).status == "completed"
            assert shop.ran.count("announce") == 1


async def test_who_resumes_what_another_leads_waits_and_runs_nothing_twice(shop: Shop) -> None:
    entered, gate = asyncio.Event(), asyncio.Event()

    async def upload(file: str, bucket: str) -> str:
        shop.ran.append("upload")
        entered.set()
        await gate.wait()
        return ""

    flow = Flow(release(), shop.build, upload, shop.announce)
    async with flow.visitor() as one, flow.visitor() as other, anyio.create_task_group() as group:
        group.start_soon(one.get, {"version": "1"})
        await entered.wait()
        task_id = (await flow.tasks.store.list(LOCAL)).records[0].task_id
        resumed = []

        async def resume() -> None:
            resumed.append(await other.get(task=task_id))

        group.start_soon(resume)
        await anyio.sleep(0.02)
        gate.set()
    assert resumed[0].status == "completed"
    assert shop.ran == ["build", "upload", "announce"]


# --- from Python ---


async def test_the_servers_process_resumes_for_an_owner(shop: Shop) -> None:
    shop.broken["upload"] = 1
    flow = Flow(release(retryable=True), *shop.tools)
    async with flow.visitor() as visitor:
        begun = await visitor.get({"version": "1"})
    state = await flow.workflows.resume(begun.task_id)
    assert (state.status, state.ran) == ("completed", ("upload", "announce"))
    # Once more changes nothing.
    assert (await flow.workflows.resume(begun.task_id)).ran == ()
    ann = resolve_owner("ann")
    theirs = await flow.tasks.store.create(ann)
    with pytest.raises(TaskNotFound):
        await flow.workflows.resume(theirs.task_id)
    with pytest.raises(LabError, match="no workflow's"):
        await flow.workflows.resume(theirs.task_id, owner=ann)
    # A task of hers is led as hers.
    record = await flow.record(begun)
    fresh = {**record.variables, "_workflow.progress": _begun(record.variables["_workflow.progress"])}
    hers = await flow.tasks.store.create(ann, method="release", variables=fresh, job=record.job)
    assert (await flow.workflows.resume(hers.task_id, owner=ann)).status == "completed"


def _begun(progress: Any) -> Any:
    return {
        **progress,
        "steps": [{"name": one["name"], "tool": one["tool"], "status": "pending"} for one in progress["steps"]],
    }


# --- what PMCP left ---


async def test_a_task_that_pmcp_began_is_gone_on_with(shop: Shop) -> None:
    flow = Flow(release(arguments=LATER), *shop.tools)
    variables = {
        "_workflow.progress": {
            "goal": "release: Build",
            "schemaVersion": 1,
            "steps": [
                {"name": "build", "tool": "build", "status": "completed"},
                {"name": "upload", "tool": "upload", "status": "failed"},
                {"name": "announce", "tool": "announce", "status": "pending"},
            ],
        },
        "_workflow.result.build": {"file": {"path": "old.zip"}},
        "_workflow.result.upload": {"error": "socket closed"},
        "_workflow.pause_reason": {"type": "toolError", "failedStep": "upload", "error": "socket closed"},
    }
    old = await flow.tasks.store.create(LOCAL, method="release", variables=variables)
    async with flow.visitor() as visitor:
        state = await visitor.get({"version": "1"}, task=old.task_id)
        assert state.calls == ()
        state = await visitor.call("upload", {"file": "old.zip", "bucket": "b"}, task=old.task_id, step="upload")
        assert state.recorded == Recorded(step="upload", status=StepStatus.COMPLETED)
        # PMCP keeps no arguments: who goes on says them again.
        assert state.pause is not None
        state = await visitor.get({"version": "1"}, task=old.task_id)
    assert (state.status, shop.ran) == ("completed", ["upload", "announce"])
