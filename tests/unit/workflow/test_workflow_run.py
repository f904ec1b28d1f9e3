"""A workflow as its clients see it: it runs, pauses for every reason there is, is continued, and ends."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import stdio_client
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult

from pmcp_lab.demo import build
from pmcp_lab.protocol import workflow_wire
from pmcp_lab.protocol.workflow_wire import Action, StepStatus
from pmcp_lab.server import Tasks
from pmcp_lab.workflow import SequentialWorkflow, from_step, task_variable, template
from tests.unit.flow import MODES, Flow, Shop, Visitor, accepts, release, statuses, until
from tests.unit.jsonrpc import DEMO, TasksClient, serve


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.mark.parametrize("mode", MODES)
async def test_what_the_server_can_do_it_does(shop: Shop, mode: str) -> None:
    flow = Flow(release(), *shop.tools)
    async with flow.visitor(mode) as visitor:
        state = await visitor.get({"version": "1.0"})
        assert (state.status, statuses(state), state.pause, state.calls) == ("completed", ["completed"] * 3, None, ())
        assert shop.ran == ["build", "upload", "announce"]
        task = await visitor.task(state.task_id)
    assert task["status"] == "completed"
    kept = workflow_wire.read_task(state.task_id, "completed", task["_meta"])
    assert kept is not None
    assert [step.result.value for step in kept.steps if step.result] == [
        {"file": {"path": "1.0.zip"}, "size": 3},
        "b/1.0.zip",
        # A tool that returns nothing has a result all the same.
        None if kept.steps[2].result is None else kept.steps[2].result.value,
    ]
    assert len([step for step in kept.steps if step.result]) == 3
    record = await flow.record(state)
    assert record.result["structuredContent"] == {
        "completed": True,
        "steps_completed": 3,
        "outputs": {"artifact": {"file": {"path": "1.0.zip"}, "size": 3}},
    }


async def test_a_client_that_knows_nothing_can_follow_the_text(shop: Shop) -> None:
    flow = Flow(
        release(arguments={"file": from_step("artifact", "file.path")}, guidance="Ask for {version}"), *shop.tools
    )
    async with flow.visitor() as visitor:
        state = await visitor.get({"version": "1.0"})
        text = "\n\n".join(visitor.texts)
    said = [
        "I want to build a version",
        'version: "1.0"',
        "Here's my plan",
        "2. upload - Put a file into a bucket.",
        "Calling tool 'build'",
        "Tool result",
        "1.0.zip",
        "Ask for 1.0",
        "Step 'upload' lacks bucket.",
        "To continue the workflow",
        '1. Call upload with {"file":"1.0.zip"}',
        "it also needs bucket",
        '2. Call announce with {"text":"1.0 is out"}',
    ]
    places = [text.find(each) for each in said]
    assert -1 not in places, [each for each, at in zip(said, places, strict=True) if at < 0]
    assert places == sorted(places)
    assert state.task_id not in text
    # The same calls are read from the text alone, as of a server of PMCP.
    bare = workflow_wire.read_prompt(
        {
            "messages": [{"role": "user", "content": {"type": "text", "text": text}}],
            "_meta": {
                "task_id": "t",
                "steps": [{"name": step.name, "status": step.status, "tool": step.tool} for step in state.steps],
                "pause_reason": state.pause and state.pause.raw,
            },
        }
    )
    assert bare is not None
    assert [(call.target, call.step, call.arguments) for call in bare.calls] == [
        (call.target, call.step, call.arguments) for call in state.calls
    ]


# --- every reason to pause, and that its own calls lead on from it ---


async def _follow(visitor: Visitor, task: str, values: dict[str, Any]) -> workflow_wire.WorkflowState:
    """Do what the handoff says, one call after the other, until the workflow is done."""
    state = await visitor.get(task=task)
    for _ in range(10):
        if state.status == "completed":
            return state
        call = state.calls[0]
        arguments = {**call.arguments, **{name: values[name] for name in call.missing}}
        match call.kind:
            case "call":
                state = await visitor.call(call.target, arguments, task=task, step=call.step)
            case "read":
                state = await visitor.read(call.target, task=task)
            case "variable":
                await visitor.about("run.pmcp/tasks/set_variables", task, variables={call.target: values[call.target]})
                state = await visitor.get(task=task)
            case "answer":
                response = {"action": "accept", "content": {"ok": True}}
                await visitor.about("tasks/update", task, inputResponses={call.target: response})
                state = await visitor.get(task=task)
            case _:
                state = await visitor.get(task=task)
    raise AssertionError(f"the handoff leads nowhere: {state}")


PAUSES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "unresolvableParams",
        {"arguments": {"file": from_step("artifact", "file.name"), "bucket": "b"}},
        {"blockedStep": "upload", "missingParam": "file", "suggestedTool": "upload"},
    ),
    (
        "unresolvableParams",
        {"arguments": {"bucket": task_variable("bucket"), "file": "f"}},
        {"blockedStep": "upload", "missingParam": "bucket", "suggestedTool": "upload"},
    ),
    (
        "schemaMismatch",
        {"arguments": {"file": "f"}},
        {"blockedStep": "upload", "missingFields": ["bucket"], "suggestedTool": "upload"},
    ),
    (
        "toolError",
        {"retryable": True, "broken": "upload"},
        {"failedStep": "upload", "retryable": True, "suggestedTool": "upload"},
    ),
    (
        "toolError",
        {"broken": "upload", "skipped": True},
        {"failedStep": "upload", "retryable": False, "suggestedTool": "upload"},
    ),
    (
        "unresolvedDependency",
        {"optional": True, "broken": "upload", "bind": "place", "retryable": True},
        {"blockedStep": "announce", "missingOutput": "place", "producingStep": "upload", "suggestedTool": "upload"},
    ),
    ("resourceError", {"resources": ["docs://notes"]}, {"blockedStep": "upload", "uri": "docs://notes"}),
    ("clientStep", {"execution": "client"}, {"blockedStep": "upload", "suggestedTool": "upload"}),
    (
        "inputRequired",
        {"execution": "manual", "question": "Really {version}?", "answer": {}},
        {"blockedStep": "upload", "question": "upload#1"},
    ),
]


@pytest.mark.parametrize(("kind", "upload", "fields"), PAUSES, ids=lambda one: one if isinstance(one, str) else "")
async def test_every_pause_is_reached_and_its_own_calls_lead_on(
    shop: Shop, kind: str, upload: dict[str, Any], fields: dict[str, Any]
) -> None:
    upload = dict(upload)
    skipped = upload.pop("skipped", False)
    if tool := upload.pop("broken", None):
        shop.broken[tool] = 1
    workflow = release(**upload)
    if kind == "unresolvedDependency":
        last = workflow.steps[-1].model_copy(update={"arguments": {"text": from_step("place")}})
        workflow = workflow.model_copy(update={"steps": (*workflow.steps[:-1], last)})
    away = True

    def notes() -> str:
        if away:
            raise ResourceError("the notes are away")
        return "the notes"

    flow = Flow(workflow, *shop.tools, resources={"docs://notes": notes})
    async with flow.visitor() as visitor:
        state = await visitor.get({"version": "1.0"})
        assert state.pause is not None
        assert state.pause.kind == kind
        assert {name: state.pause.raw.get(name) for name in fields} == fields
        assert state.status == ("input_required" if kind == "inputRequired" else "working")
        before = await flow.record(state)
        assert before.lease is None
        assert before.variables["_workflow.pause_reason"] == state.pause.raw
        assert "announce" not in shop.ran
        away = False
        if skipped:
            # It can't be repeated, so nothing is listed, and a person has to look after it.
            assert state.calls == ()
            assert "may not be repeated" in visitor.texts[-1]
            state = await visitor.get(task=state.task_id, action=Action(kind="skip", step="upload", reason="by hand"))
        state = await _follow(visitor, state.task_id, {"file": "f", "bucket": "b"})
    assert set(statuses(state)) == ({"completed", "skipped"} if skipped else {"completed"})
    assert shop.ran.count("build") == 1
    assert shop.ran.count("announce") == 1
    assert (await flow.record(state)).status == "completed"


# --- retries, time-outs, what is optional ---


async def test_a_retryable_step_is_tried_again_at_once_and_others_never(shop: Shop) -> None:
    shop.broken["upload"] = 2
    flow = Flow(release(retryable=True, retries=2, backoff=0), *shop.tools)
    async with flow.visitor() as visitor:
        assert (await visitor.get({"version": "1"})).status == "completed"
        assert shop.ran.count("upload") == 3
        shop.broken["announce"] = 1
        state = await visitor.get({"version": "1"})
        assert shop.ran.count("announce") == 2
        # Nor when somebody asks for it.
        again = await visitor.get(task=state.task_id)
        assert shop.ran.count("announce") == 2
    assert again.pause == state.pause
    assert again.pause is not None
    assert not again.pause.retryable


async def test_a_step_has_its_time(shop: Shop) -> None:
    async def upload(file: str, bucket: str) -> str:
        await anyio.sleep(30)
        return ""

    flow = Flow(release(timeout=0.02), shop.build, upload, shop.announce)
    async with flow.visitor() as visitor:
        state = await visitor.get({"version": "1"})
    assert state.pause is not None
    assert state.pause.kind == "toolError"
    assert "longer than 0.02 s" in state.pause.message


async def test_an_optional_step_stops_nothing(shop: Shop) -> None:
    shop.broken["upload"] = 1
    flow = Flow(release(optional=True), *shop.tools)
    async with flow.visitor() as visitor:
        failed = await visitor.get({"version": "1"})
    skipping = Flow(release(optional=True, arguments={"bucket": task_variable("b"), "file": "f"}), *shop.tools)
    async with skipping.visitor() as visitor:
        skipped = await visitor.get({"version": "1"})
    assert (failed.status, statuses(failed)) == ("completed", ["completed", "failed", "completed"])
    assert (skipped.status, statuses(skipped)) == ("completed", ["completed", "skipped", "completed"])


@pytest.mark.parametrize("mode", MODES)
async def test_an_answer_moves_the_workflow_by_itself(shop: Shop, mode: str) -> None:
    workflow = (
        SequentialWorkflow("ask", "Ask")
        .step("sure", execution="manual", question="Sure?", answer={"ok": "boolean"}, bind="said", proceed_if="ok")
        .step("tell", "announce", {"text": template("said")})
    )
    flow = Flow(workflow, *shop.tools)
    async with flow.visitor(mode, elicitation_callback=accepts) as visitor:
        state = await visitor.get()
        assert state.status == "input_required"
        if mode == "legacy":
            # This generation carries the question while somebody waits for the result.
            result = await visitor.about("tasks/result", state.task_id)
            assert result["structuredContent"]["outputs"] == {"said": {"ok": True}}
        else:
            answer = {"sure#1": {"action": "accept", "content": {"ok": True}}}
            await visitor.about("tasks/update", state.task_id, inputResponses=answer)
        state = await until(visitor, state.task_id, "completed")
    assert shop.ran == ["announce"]
    assert [step.by for step in state.steps] == ["person", "server"]


async def test_a_variable_moves_the_workflow_by_itself(shop: Shop) -> None:
    flow = Flow(release(arguments={"bucket": task_variable("bucket", "name"), "file": "f"}), *shop.tools)
    async with flow.visitor() as visitor:
        state = await visitor.get({"version": "1"})
        variables = {"bucket": {"name": "gold"}}
        await visitor.about("run.pmcp/tasks/set_variables", state.task_id, variables=variables)
        state = await until(visitor, state.task_id, "completed")
        assert state.steps[1].result is not None
        assert state.steps[1].result.value == "gold/f"
        for name in ("_workflow.progress", "_workflow.result.upload"):
            with pytest.raises(MCPError, match="workflow's own"):
                await visitor.about("run.pmcp/tasks/set_variables", state.task_id, variables={name: 1})


async def test_a_resource_whose_name_has_no_value_yet_is_read_once_it_has(shop: Shop) -> None:
    workflow = (
        SequentialWorkflow("w", "W")
        .step("read", resources=["docs://{page}"], values={"page": task_variable("page")})
        .step("tell", "announce", {"text": "read"})
    )

    def about(page: str) -> str:
        return f"page {page}"

    flow = Flow(workflow, *shop.tools, resources={"docs://{page}": about})
    async with flow.visitor() as visitor:
        begun = await visitor.get()
        assert begun.pause is not None
        found = {name: begun.pause.raw.get(name) for name in ("type", "blockedStep", "missingParam", "variable")}
        assert found == {
            "type": "unresolvableParams",
            "blockedStep": "read",
            "missingParam": "page",
            "variable": "page",
        }
        variables = {"page": "seven"}
        await visitor.about("run.pmcp/tasks/set_variables", begun.task_id, variables=variables)
        state = await until(visitor, begun.task_id, "completed")
    assert state.steps[0].result is not None
    assert "page seven" in str(state.steps[0].result.raw["content"])
    assert shop.ran == ["announce"]


# --- a step's call is a call like any other ---


async def test_steps_pass_through_the_whole_server(shop: Shop) -> None:
    seen: list[tuple[str, str]] = []

    async def guard(ctx: Any, call_next: Any) -> Any:
        name = str((ctx.params or {}).get("name"))
        seen.append((ctx.method, name))
        if name == "announce":
            raise MCPError(-32001, "not for you")
        return await call_next(ctx)

    flow = Flow(release(), *shop.tools, middleware=[guard])
    async with flow.visitor() as visitor:
        state = await visitor.get({"version": "1"})
    calls = [each for each in seen if each[0] in ("prompts/get", "tools/call")]
    assert calls == [("prompts/get", "release"), *(("tools/call", each) for each in ("build", "upload", "announce"))]
    assert state.pause is not None
    assert state.pause.raw["error"] == "not for you"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("support", ["optional", "required"])
async def test_a_tool_that_can_be_a_task_is_a_step_as_well(mode: str, support: Any) -> None:
    tasks = Tasks("memory://")

    @tasks.tool(support=support)
    async def slow(n: int) -> int:
        return 2 * n

    workflow = (
        SequentialWorkflow("w", "W").step("a", "slow", {"n": 4}, bind="x").step("b", "slow", {"n": from_step("x")})
    )
    flow = Flow(workflow, tasks=tasks)
    async with flow.visitor(mode) as visitor:
        state = await visitor.get()
    assert state.status == "completed"
    record = await flow.record(state)
    assert record.result["structuredContent"]["outputs"] == {"x": 8}


async def test_progress_counts_steps_and_never_falls(shop: Shop) -> None:
    async def upload(file: str, bucket: str, ctx: Context[Any, Any]) -> str:
        await ctx.report_progress(50, 100, "half")
        await ctx.report_progress(10, 100, "less")
        return ""

    workflow = (
        SequentialWorkflow("w", "W")
        .step("a", "upload", {"file": "f", "bucket": "b"})
        .step("b", "upload", {"file": "f", "bucket": "b"}, execution="client")
        .step("c", "upload", {"file": "f", "bucket": "b"})
        .step("d", "announce", {"text": "done"})
    )
    flow = Flow(workflow, upload, shop.announce)
    async with flow.visitor() as visitor:
        state = await visitor.get()
        assert (await flow.record(state)).progress == 0.25
        state = await visitor.call("upload", {"file": "f", "bucket": "b"}, task=state.task_id)
    assert state.status == "completed"
    assert [(at, total) for at, total, _ in visitor.progress] == [(1.5, 4), (2, 4), (2.5, 4), (3, 4), (4, 4)]


# --- what can't be begun, and what is too big ---


async def test_arguments_are_looked_at_before_anything_is_made(shop: Shop) -> None:
    workflow = release().argument("count", type="integer").model_copy(update={"instructions": ("{count} times",)})
    flow = Flow(workflow, *shop.tools)
    async with flow.visitor() as visitor:
        with pytest.raises(MCPError) as refused:
            await visitor.get({"count": "many", "verison": "1"})
    assert refused.value.code == -32602
    for what in ("version: missing", "'many' is not a whole number", "verison: not an argument"):
        assert what in refused.value.message
    assert (await flow.tasks.store.list(("local",))).records == []


async def test_no_result_is_too_big_to_be_kept(shop: Shop) -> None:
    deep: Any = "x"
    for _ in range(30):
        deep = [deep]

    def big(n: int) -> dict[str, Any]:
        return {"text": "x" * 200_000, "deep": deep, "n": n}

    workflow = (
        SequentialWorkflow("w", "W")
        .step("a", "big", {"n": 1}, bind="x")
        .step("b", "big", {"n": 2})
        .step("c", "announce", {"text": from_step("x", "text")}, execution="client")
        .step("d", "announce", {"text": from_step("x", "text")})
    )
    flow = Flow(workflow, big, *shop.tools)
    async with flow.visitor() as visitor:
        state = await visitor.get()
        assert statuses(state) == ["completed", "completed", "pending", "pending"]
        shown = workflow_wire.read_task(state.task_id, "working", (await visitor.task(state.task_id))["_meta"])
        assert shown is not None
        assert shown.steps[0].result is not None
        assert shown.steps[0].result.omitted
        state = await visitor.call("announce", {"text": "mine"}, task=state.task_id, step="c")
    assert state.status == "completed"
    assert (await flow.record(state)).result["structuredContent"]["outputs"]["x"]["text"] == "x" * 200_000


async def test_a_listed_workflow_says_what_it_takes(shop: Shop) -> None:
    flow = Flow(release().argument("count", type="integer", required=False).instruction("{count}"), *shop.tools)
    async with flow.visitor() as visitor:
        listed = (await visitor.client.list_prompts()).prompts[0].model_dump(by_alias=True, exclude_none=True)
    assert [(one["name"], one["required"]) for one in listed["arguments"]] == [("version", True), ("count", False)]
    steps = workflow_wire.read_listed(listed)
    assert steps is not None
    assert [(step.name, step.tool, step.status) for step in steps] == [
        (name, name, StepStatus.PENDING) for name in ("build", "upload", "announce")
    ]


# --- every transport ---


@pytest.mark.parametrize(("transport", "mode"), [("stdio", "legacy"), *(("http", mode) for mode in MODES)])
async def test_it_is_the_same_over_every_transport(mode: str, transport: str) -> None:
    async with AsyncExitStack() as stack:
        target: Any = stdio_client(DEMO) if transport == "stdio" else await stack.enter_async_context(serve(build()))
        client = await stack.enter_async_context(
            Client(target, mode=mode, extensions=[TasksClient()], elicitation_callback=_to_the_team)
        )
        visitor = Visitor(client, "sales_report")
        state = await visitor.get({"region": "east", "months": "2"})
        assert statuses(state) == ["completed", "completed", "pending", "pending", "pending"]
        call = state.calls[0]
        state = await visitor.call(call.target, {**call.arguments, "text": "Fine."}, task=state.task_id)
        assert state.status == "input_required"
        if mode == "legacy":
            await visitor.about("tasks/result", state.task_id)
        else:
            answer = {state.calls[0].target: {"action": "accept", "content": {"to": "team"}}}
            await visitor.about("tasks/update", state.task_id, inputResponses=answer)
        state = await until(visitor, state.task_id, "completed")
    assert set(statuses(state)) == {"completed"}


async def _to_the_team(context: Any, params: Any) -> ElicitResult:
    return ElicitResult(action="accept", content={"to": "team"})
