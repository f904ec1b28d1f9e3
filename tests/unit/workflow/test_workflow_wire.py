"""What is said of a workflow on the wire is read as it was meant; PMCP's own shapes are read too."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_lab.protocol import workflow_wire as wire
from pmcp_lab.protocol.workflow_wire import (
    Action,
    Attempt,
    Ending,
    NextCall,
    Recorded,
    StepState,
    StepStatus,
    WorkflowState,
)
from tests.unit.protocol.test_protocol_wire import JSON

NAMES = st.text(min_size=1, max_size=12)
ARGUMENTS = st.dictionaries(NAMES, JSON, max_size=3)
STEPS = st.builds(
    StepState,
    name=NAMES,
    status=st.sampled_from(StepStatus),
    tool=st.none() | NAMES,
    running=st.booleans(),
    execution=st.sampled_from(["auto", "server", "client", "manual"]),
    by=st.none() | st.sampled_from(["server", "client", "person"]),
    arguments=st.none() | ARGUMENTS,
    answer=st.none() | ARGUMENTS,
    reason=st.none() | NAMES,
    deadline=st.none() | NAMES,
    undo=st.none() | NAMES,
    undone=st.sampled_from([None, "undone", "failed"]),
    attempts=st.lists(
        st.builds(Attempt, started=NAMES, ended=st.none() | NAMES, outcome=st.none() | NAMES, by=st.none() | NAMES),
        max_size=2,
    ).map(tuple),
)
ENDINGS = st.builds(
    Ending,
    kind=st.sampled_from(["stopped", "skipped", "failed", "undone"]),
    step=st.none() | NAMES,
    reason=st.just("") | NAMES,
    answer=st.none() | ARGUMENTS,
)
PAUSES: list[dict[str, Any]] = [
    {"type": "unresolvableParams", "blockedStep": "upload", "missingParam": "bucket", "suggestedTool": "put"},
    {"type": "schemaMismatch", "blockedStep": "upload", "missingFields": ["a", "b"], "suggestedTool": "put"},
    {"type": "toolError", "failedStep": "upload", "error": "gone", "retryable": True, "suggestedTool": "put"},
    {
        "type": "unresolvedDependency",
        "blockedStep": "upload",
        "missingOutput": "artifact",
        "producingStep": "build",
        "suggestedTool": "make",
    },
    {"type": "resourceError", "blockedStep": "notes", "uri": "docs://x", "error": "no such thing", "retryable": True},
    {"type": "clientStep", "blockedStep": "look", "suggestedTool": "look"},
    {"type": "inputRequired", "blockedStep": "ask", "message": "Sure?", "deadline": "2026-01-01T00:00:00.000Z"},
    {"type": "somethingNew", "blockedStep": "x"},
]
CALLS = st.one_of(
    st.builds(
        NextCall,
        kind=st.just("call"),
        target=NAMES,
        step=st.none() | NAMES,
        arguments=ARGUMENTS,
        missing=st.lists(NAMES, max_size=2).map(tuple),
        guidance=st.none() | NAMES,
    ),
    st.builds(NextCall, kind=st.sampled_from(["read", "variable", "resume"]), target=NAMES, step=NAMES),
    st.builds(NextCall, kind=st.just("answer"), target=NAMES, request=ARGUMENTS),
)
STATES = st.builds(
    WorkflowState,
    task_id=NAMES,
    status=st.sampled_from(["working", "input_required", "completed"]),
    steps=st.lists(STEPS, max_size=3).map(tuple),
    name=st.none() | NAMES,
    goal=st.none() | NAMES,
    pause=st.sampled_from([None, *map(wire.read_pause, PAUSES)]),
    calls=st.lists(CALLS, max_size=3).map(tuple),
    ending=st.none() | ENDINGS,
    recorded=st.none()
    | st.builds(Recorded, step=NAMES, status=st.sampled_from(StepStatus))
    | st.builds(Recorded, extra=st.just(True))
    | st.builds(Recorded, refused=NAMES),
    ran=st.lists(NAMES, max_size=2).map(tuple),
)


def sent(value: Any) -> Any:
    return json.loads(json.dumps(value))


@given(STATES)
def test_a_state_survives_the_wire(state: WorkflowState) -> None:
    assert wire.read_prompt(sent({"messages": [], "_meta": wire.prompt_meta(state)})) == state
    assert wire.read_call(sent({"content": [], "_meta": {"mine": 1, **wire.call_meta(state)}})) == state
    assert wire.read_error(sent({"mine": 1, "_meta": wire.call_meta(state)})) == state


@given(STATES)
def test_pmcp_finds_its_own_keys(state: WorkflowState) -> None:
    meta = wire.prompt_meta(state)
    assert (meta["task_id"], meta["task_status"]) == (state.task_id, state.status)
    # It has no word for what a person refused.
    words = {step.name: "failed" if step.status == "refused" else step.status.value for step in state.steps}
    assert all(each["status"] in ("pending", "completed", "failed", "skipped") for each in meta["steps"])
    assert len(words) != len(state.steps) or meta["steps"] == [
        {"name": name, "status": status} for name, status in words.items()
    ]
    assert meta.get("pause_reason") == (None if state.pause is None else state.pause.raw)


@given(STATES)
def test_the_variables_of_a_task_say_the_same(state: WorkflowState) -> None:
    progress: dict[str, Any] = {
        "goal": state.goal,
        "name": state.name,
        "steps": [wire.encode_step(step) for step in state.steps],
    }
    if state.ending is not None:
        progress["ending"] = wire.encode_ending(state.ending)
    variables: dict[str, Any] = {wire.PROGRESS: progress, wire.CALLS: [wire.encode_call(call) for call in state.calls]}
    if state.pause is not None:
        variables[wire.PAUSE] = state.pause.raw
    found = wire.read_task(state.task_id, state.status, sent(variables))
    live = state.status != "completed"
    left = {} if live else {"calls": (), "pause": None}
    assert found == replace(state, recorded=None, ran=(), **left)


@given(JSON, st.sampled_from(["_meta", "messages", "steps", "pause_reason"]))
def test_nothing_that_is_sent_breaks_a_reader(value: Any, key: str) -> None:
    wire.read_prompt({key: value})
    wire.read_prompt({"messages": value, "_meta": {"task_id": "t", key: value, wire.WORKFLOW: value}})
    wire.read_prompt({"_meta": {wire.WORKFLOW: {"taskId": "t", "steps": value, "calls": value, "recorded": value}}})
    wire.read_error(value)
    wire.read_task("t", "working", {wire.PROGRESS: value, wire.PAUSE: value, wire.CALLS: value})
    wire.read_task("t", "working", {wire.PROGRESS: {"steps": value}, f"{wire.RESULT}x": value})
    wire.read_continuation(value)
    wire.read_listed({"_meta": value})
    wire.read_listed({"_meta": {wire.WORKFLOW: {"steps": value}}})


@pytest.mark.parametrize("raw", PAUSES, ids=lambda raw: str(raw["type"]))
def test_every_pause_says_what_is_wrong_and_where(raw: dict[str, Any]) -> None:
    pause = wire.read_pause(raw)
    assert pause is not None
    assert pause.kind == raw["type"]
    assert pause.step == raw.get("blockedStep", raw.get("failedStep"))
    assert pause.tool == raw.get("suggestedTool")
    assert pause.message
    assert "None" not in pause.message
    assert all(name in pause.message for name in pause.missing)


# What PMCP sends: keys in snake case, no list of calls but their text, no tools in `steps`.
PMCP: dict[str, Any] = {
    "description": "Ship",
    "messages": [
        {"role": "user", "content": {"type": "text", "text": "I want to ship"}},
        {
            "role": "assistant",
            "content": {
                "type": "text",
                "text": "Step 'upload' failed: Internal error: socket closed. It can be retried.\n\n"
                "To continue the workflow, make these calls:\n\n"
                '1. Call upload_file with {"bucket":"<prompt arg bucket>","file":"a.zip"}\n'
                "   Note: the bucket of the team\n"
                "2. Call unknown with {}\n"
                '3. Call announce with {"text":"<field \'a.b\' from release>"}',
            },
        },
    ],
    "_meta": {
        "task_id": "9f1c",
        "task_status": "working",
        "steps": [
            {"name": "build", "status": "completed"},
            {"name": "upload", "status": "failed"},
            {"name": "announce", "status": "pending"},
        ],
        "pause_reason": {
            "type": "toolError",
            "failedStep": "upload",
            "error": "Internal error: socket closed",
            "retryable": True,
            "suggestedTool": "upload_file",
        },
    },
}


def test_a_handoff_of_pmcp_is_read_from_its_text() -> None:
    state = wire.read_prompt(PMCP)
    assert state is not None
    assert (state.task_id, state.status, state.done) == ("9f1c", "working", 1)
    assert [(call.target, call.step, call.missing) for call in state.calls] == [
        ("upload_file", "upload", ("bucket",)),
        ("announce", "announce", ("text",)),
    ]
    assert state.calls[0].arguments == {"bucket": "<prompt arg bucket>", "file": "a.zip"}
    assert state.calls[0].guidance == "the bucket of the team"


def test_a_step_of_pmcp_that_may_not_run_again_is_nobodys_call() -> None:
    meta = PMCP["_meta"] | {"pause_reason": PMCP["_meta"]["pause_reason"] | {"retryable": False}}
    listed = {"role": "assistant", "content": {"type": "text", "text": "To continue the workflow\n\n1. Call x with {}"}}
    state = wire.read_prompt({"messages": [listed], "_meta": meta})
    assert state is not None
    assert [(call.target, call.step) for call in state.calls] == [("x", "announce")]


def test_a_task_of_pmcp_says_what_to_call() -> None:
    variables = {
        wire.PROGRESS: {
            "goal": "ship: Build and ship",
            "schemaVersion": 1,
            "steps": [
                {"name": "build", "tool": "run_build", "status": "completed"},
                {"name": "notes", "status": "skipped"},
                {"name": "upload", "tool": "upload_file", "status": "pending"},
            ],
        },
        wire.PAUSE: {
            "type": "schemaMismatch",
            "blockedStep": "upload",
            "missingFields": ["bucket"],
            "suggestedTool": "upload_file",
        },
        f"{wire.RESULT}build": {"ok": True},
        "mine": 1,
    }
    state = wire.read_task("t", "working", variables)
    assert state is not None
    assert [call.target for call in state.calls] == ["upload_file"]
    assert state.calls[0].missing == ("bucket",)
    assert state.steps[0].result is not None
    assert state.steps[0].result.value == {"ok": True}
    assert wire.read_task("t", "working", {"mine": 1}) is None


@pytest.mark.parametrize(
    ("stored", "value", "is_error"),
    [
        ({"content": [{"type": "text", "text": '{"ok": true}'}], "isError": False}, {"ok": True}, False),
        ({"content": [], "structuredContent": {"result": 5}, "isError": False}, 5, False),
        ({"content": [], "structuredContent": {"result": None}}, None, False),
        ({"content": [{"type": "text", "text": "no"}], "isError": True}, "no", True),
        ({"content": [{"type": "text", "text": "{not json"}]}, "{not json", False),
        ({"content": [{"type": "text", "text": "12"}]}, "12", False),
        ({"error": "no"}, "no", True),
        ({"error": "no", "more": 1}, {"error": "no", "more": 1}, False),
        ([1, 2], [1, 2], False),
        ("text", "text", False),
    ],
)
def test_every_encoding_of_a_result_is_read(stored: Any, value: Any, is_error: bool) -> None:
    result = wire.read_result(stored)
    assert (result.value, result.is_error) == (value, is_error)
    # Once read, it is in the one encoding.
    again = wire.read_result(sent(result.raw))
    assert (again.value, again.is_error) == (value, is_error)


@pytest.mark.parametrize("action", [Action(kind="skip", step="s", reason="why"), Action(kind="undo")])
def test_an_action_is_read_as_it_was_meant(action: Action) -> None:
    meta = sent(wire.action_meta("t", action))
    assert wire.read_action(meta) == action
    assert wire.read_continuation(meta) == ("t", None)


@pytest.mark.parametrize("raw", [{"kind": "jump"}, "skip", 3, {}])
def test_what_is_no_action_is_refused(raw: Any) -> None:
    with pytest.raises(ValueError, match="told to skip or to undo"):
        wire.read_action({wire.ACTION: raw})
    assert wire.read_action({}) is None


@pytest.mark.parametrize(
    ("asked", "closed"),
    [
        ({}, True),
        ({"status": "running"}, True),
        ({"status": "refused", "answer": {"action": "decline"}}, True),
        ({"status": "failed"}, True),
        # Somebody agreed; what failed is the tool.
        ({"status": "failed", "answer": {"action": "accept"}}, False),
        ({"status": "completed", "answer": {"action": "accept"}}, False),
        ({"status": "skipped"}, False),
    ],
)
def test_a_wall_is_what_nobody_has_agreed_to(asked: dict[str, Any], closed: bool) -> None:
    status = StepStatus(asked.get("status", "pending")) if asked.get("status") != "running" else StepStatus.PENDING
    step = StepState(name="ask", execution="manual", status=status, answer=asked.get("answer"))
    done = StepState(name="build", status=StepStatus.COMPLETED)
    assert wire.wall([done, step, StepState(name="later", execution="manual")]) == ("ask" if closed else "later")
    assert wire.wall([done]) is None


def test_a_continuation_names_its_task_and_step() -> None:
    assert wire.read_continuation(wire.continuation_meta("t", "s")) == ("t", "s")
    assert wire.read_continuation(wire.continuation_meta("t")) == ("t", None)
    assert wire.read_continuation({"taskId": "t"}) is None
    assert wire.read_continuation(None) is None
