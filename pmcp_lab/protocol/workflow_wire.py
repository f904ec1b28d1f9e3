"""Workflows on the wire: how far one is, why it paused, what its client can do about that. Written by servers, read
by clients; no I/O, and nothing of how steps run.

A workflow is a prompt whose `prompts/get` makes a task. Its state is said in three places:

* `_meta` of the `prompts/get` result: PMCP's own keys (`task_id`, `task_status`, `steps`, `pause_reason`), and all of
  it once more, with what PMCP has no place for, under `run.pmcp/workflow`.
* `_meta` of a continuation's result, under `run.pmcp/workflow` alone. A continuation is a `tools/call` or
  `resources/read` with `continuation_meta` in its own `_meta`.
* The variables of the task (`_workflow.…`), for whoever only looks at that.

`_meta` of a listed prompt says under `run.pmcp/workflow` which steps it has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

from pmcp_lab.protocol.loose import as_list, as_mapping, as_text
from pmcp_lab.protocol.workflow_state import (
    ACTION,
    CALLS,
    EXTRA,
    PAUSE,
    PROGRESS,
    RESULT,
    SCHEMA_VERSION,
    STEP,
    TASK_ID,
    TO_CONTINUE,
    VARIABLES,
    WORKFLOW,
    Action,
    Attempt,
    CallKind,
    Ending,
    EndingKind,
    Execution,
    NextCall,
    PauseReason,
    Recorded,
    StepResult,
    StepState,
    StepStatus,
    Undone,
    WorkflowState,
    ending_text,
    text_of,
    wall,
)
from pmcp_lab.protocol.workflow_text import calls_in_text

__all__ = [
    "ACTION",
    "CALLS",
    "EXTRA",
    "PAUSE",
    "PROGRESS",
    "RESULT",
    "SCHEMA_VERSION",
    "STEP",
    "TASK_ID",
    "TO_CONTINUE",
    "VARIABLES",
    "WORKFLOW",
    "Action",
    "Attempt",
    "CallKind",
    "Ending",
    "EndingKind",
    "Execution",
    "NextCall",
    "PauseReason",
    "Recorded",
    "StepResult",
    "StepState",
    "StepStatus",
    "Undone",
    "WorkflowState",
    "ending_text",
    "text_of",
    "wall",
]

_EXECUTIONS: Final[tuple[Any, ...]] = get_args(Execution)
_CALL_KINDS: Final[tuple[Any, ...]] = get_args(CallKind)
_UNDONE: Final[tuple[Any, ...]] = get_args(Undone)
_ENDINGS: Final[tuple[Any, ...]] = get_args(EndingKind)


def continuation_meta(task_id: str, step: str | None = None) -> dict[str, Any]:
    """`_meta` of a `tools/call` or `resources/read` that does a step; without `step`, of a resuming `prompts/get`."""
    return {TASK_ID: task_id} | ({} if step is None else {STEP: step})


def read_continuation(meta: object) -> tuple[str, str | None] | None:
    """The task and the step that a request's `_meta` names; None when it names no task."""
    if not isinstance(meta, Mapping) or not isinstance(meta.get(TASK_ID), str) or not meta[TASK_ID]:
        return None
    return meta[TASK_ID], as_text(meta.get(STEP))


def action_meta(task_id: str, action: Action) -> dict[str, Any]:
    """`_meta` of a resuming `prompts/get` that wants more than going on."""
    about = {"kind": action.kind, "step": action.step, "reason": action.reason or None}
    return {TASK_ID: task_id, ACTION: _set(**about)}


def read_action(meta: object) -> Action | None:
    """What a resuming `prompts/get` wants; None when it just wants to go on.

    Raises:
        ValueError: It wants what nobody knows.
    """
    raw = meta.get(ACTION) if isinstance(meta, Mapping) else None
    if raw is None:
        return None
    raw = as_mapping(raw)
    match raw.get("kind"):
        case "skip":
            return Action(kind="skip", step=as_text(raw.get("step")), reason=as_text(raw.get("reason")) or "")
        case "undo":
            return Action(kind="undo", reason=as_text(raw.get("reason")) or "")
        case other:
            raise ValueError(f"a workflow can be told to skip or to undo, not {other!r}")


# --- writing ----------------------------------------------------------------------------------------------


def prompt_meta(state: WorkflowState) -> dict[str, Any]:
    """`_meta` of a `prompts/get` result."""
    meta: dict[str, Any] = {
        "task_id": state.task_id,
        "task_status": state.status,
        "steps": [{"name": step.name, "status": _pmcp(step.status).value} for step in state.steps],
    }
    if state.pause is not None:
        meta["pause_reason"] = dict(state.pause.raw)
    return meta | call_meta(state)


def call_meta(state: WorkflowState) -> dict[str, Any]:
    """What is added to `_meta` of a continuation's result."""
    body: dict[str, Any] = {"taskId": state.task_id, "taskStatus": state.status}
    body |= _set(name=state.name, goal=state.goal)
    body["steps"] = [encode_step(step) for step in state.steps]
    if state.pause is not None:
        body["pauseReason"] = dict(state.pause.raw)
    body["calls"] = [encode_call(call) for call in state.calls]
    if state.ending is not None:
        body["ending"] = encode_ending(state.ending)
    if (recorded := state.recorded) is not None:
        status = None if recorded.status is None else recorded.status.value
        body["recorded"] = _set(
            step=recorded.step, status=status, extra=recorded.extra or None, refused=recorded.refused
        )
    return {WORKFLOW: body | ({"ran": list(state.ran)} if state.ran else {})}


def encode_step(step: StepState) -> dict[str, Any]:
    """One step, as in the progress variable; its result is not part of it."""
    raw: dict[str, Any] = {"name": step.name}
    if step.tool is not None:
        raw["tool"] = step.tool
    raw["status"] = _pmcp(step.status).value
    if step.running:
        raw["running"] = True
    if step.execution != "auto":
        raw["execution"] = step.execution
    if step.status is StepStatus.REFUSED:
        raw["refused"] = True
    for name in ("by", "reason", "deadline", "undo", "undone"):
        if (value := getattr(step, name)) is not None:
            raw[name] = value
    for name in ("arguments", "answer"):
        if (given := getattr(step, name)) is not None:
            raw[name] = dict(given)
    if step.attempts:
        raw["attempts"] = [
            _set(started=one.started, ended=one.ended, outcome=one.outcome, by=one.by) for one in step.attempts
        ]
    return raw


def encode_ending(ending: Ending) -> dict[str, Any]:
    answer = None if ending.answer is None else dict(ending.answer)
    return _set(kind=ending.kind, step=ending.step, reason=ending.reason or None, answer=answer)


def encode_call(call: NextCall) -> dict[str, Any]:
    return _set(
        kind=call.kind,
        step=call.step,
        target=call.target,
        arguments=dict(call.arguments) if call.kind == "call" else None,
        missing=list(call.missing) or None,
        guidance=call.guidance,
        request=None if call.request is None else dict(call.request),
    )


# --- reading ----------------------------------------------------------------------------------------------


def read_prompt(raw: Mapping[str, Any]) -> WorkflowState | None:
    """The workflow in a `GetPromptResult`, also PMCP's; None when it is an ordinary prompt.

    PMCP says what to call in the text of its last message alone: there it is read.
    """
    meta = as_mapping(raw.get("_meta"))
    state = _body(meta.get(WORKFLOW))
    if state is not None:
        return state
    task_id = as_text(meta.get("task_id"))
    if task_id is None:
        return None
    steps = _steps(meta.get("steps"))
    pause = read_pause(meta.get("pause_reason"))
    calls = calls_in_text(raw.get("messages"), steps, pause) or _calls_of(steps, pause)
    status = as_text(meta.get("task_status")) or "working"
    return WorkflowState(task_id=task_id, status=status, steps=steps, pause=pause, calls=calls)


def read_call(raw: Mapping[str, Any]) -> WorkflowState | None:
    """The workflow in a continuation's result; None when the server says nothing of it (PMCP's never does)."""
    return _body(as_mapping(raw.get("_meta")).get(WORKFLOW))


def read_error(data: object) -> WorkflowState | None:
    """The workflow in `error.data` of a continuation that failed as a request."""
    return read_call(as_mapping(data))


def read_task(task_id: str, status: str, variables: Mapping[str, Any]) -> WorkflowState | None:
    """The workflow in the variables of its task, with results; None when the task is none."""
    progress = as_mapping(variables.get(PROGRESS))
    if not progress:
        return None
    results = {name: read_result(variables[RESULT + name]) for name in _names(variables, RESULT)}
    steps = _steps(progress.get("steps"), results)
    pause = read_pause(variables.get(PAUSE))
    listed = variables.get(CALLS)
    live = status in ("working", "input_required")
    calls = _calls(listed) if isinstance(listed, list) else _calls_of(steps, pause)
    return WorkflowState(
        task_id=task_id,
        status=status,
        name=as_text(progress.get("name")),
        goal=as_text(progress.get("goal")),
        steps=steps,
        pause=pause if live else None,
        calls=calls if live else (),
        ending=read_ending(progress.get("ending")),
    )


def read_listed(prompt: Mapping[str, Any]) -> tuple[StepState, ...] | None:
    """The steps of a workflow in `prompts/list`; None for an ordinary prompt (PMCP's look like those)."""
    body = as_mapping(prompt.get("_meta")).get(WORKFLOW)
    return _steps(body.get("steps")) if isinstance(body, Mapping) else None


def read_result(stored: Any) -> StepResult:
    """A step's result: a `CallToolResult`, or PMCP's other encodings, `{"error": text}` and the bare value."""
    if isinstance(stored, Mapping) and isinstance(stored.get("content"), list):
        omitted = "_meta" in stored and as_mapping(as_mapping(stored["_meta"]).get(WORKFLOW)).get("omitted") is True
        return StepResult(dict(stored), value_of(stored), stored.get("isError") is True, omitted)
    if isinstance(stored, Mapping) and set(stored) == {"error"} and isinstance(stored["error"], str):
        raw: dict[str, Any] = {"content": [_block(stored["error"])], "isError": True}
        return StepResult(raw, stored["error"], is_error=True)
    text = stored if isinstance(stored, str) else json.dumps(stored, ensure_ascii=False)
    structured = dict(stored) if isinstance(stored, Mapping) else {"result": stored}
    return StepResult({"content": [_block(text)], "structuredContent": structured, "isError": False}, stored)


def value_of(result: Mapping[str, Any]) -> Any:
    """What later steps see of a `CallToolResult`."""
    structured = result.get("structuredContent")
    if structured is not None:
        return structured["result"] if isinstance(structured, Mapping) and set(structured) == {"result"} else structured
    text = text_of(result)
    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


_SENTENCES: Final = {
    "unresolvableParams": "Step {step!r} needs a value for {missing}.",
    "schemaMismatch": "Step {step!r} lacks {missing}.",
    "toolError": "Step {step!r} failed: {error}",
    "unresolvedDependency": "Step {step!r} needs {missing}, which step {producer!r} did not give.",
    "resourceError": "Step {step!r} could not read {missing}: {error}",
    "clientStep": "Step {step!r} is for the client to do.",
    "inputRequired": "Step {step!r} waits for a person's answer.",
}


def read_pause(raw: object) -> PauseReason | None:
    """A pause reason, of a known kind or not; None when there is none."""
    raw = as_mapping(raw)
    kind = as_text(raw.get("type"))
    if kind is None:
        return None
    step = as_text(raw.get("blockedStep")) or as_text(raw.get("failedStep")) or ""
    listed = raw.get("missingFields")
    missing = tuple(str(name) for name in listed) if isinstance(listed, list) else ()
    one = next((raw[key] for key in ("missingParam", "missingOutput", "uri") if isinstance(raw.get(key), str)), None)
    missing = missing or (() if one is None else (one,))
    producer = as_text(raw.get("producingStep"))
    sentence = _SENTENCES.get(kind, "Step {step!r} is paused: " + kind + ".")
    said = sentence.format(
        step=step, missing=", ".join(missing) or "something", producer=producer, error=raw.get("error")
    )
    return PauseReason(
        kind=kind,
        step=step,
        message=as_text(raw.get("message")) or said,
        missing=missing,
        tool=as_text(raw.get("suggestedTool")),
        retryable=raw.get("retryable") is True,
        interrupted=raw.get("interrupted") is True,
        producer=producer,
        deadline=as_text(raw.get("deadline")),
        raw=dict(raw),
    )


def read_ending(raw: object) -> Ending | None:
    """Why a workflow ends before its last step; None when it does not."""
    raw = as_mapping(raw)
    kind: Any = raw.get("kind")
    if kind not in _ENDINGS:
        return None
    answer = raw.get("answer")
    return Ending(
        kind=kind,
        step=as_text(raw.get("step")),
        reason=as_text(raw.get("reason")) or "",
        answer=dict(answer) if isinstance(answer, Mapping) else None,
    )


def _body(body: object) -> WorkflowState | None:
    body = as_mapping(body)
    task_id = as_text(body.get("taskId"))
    if task_id is None:
        return None
    recorded = body.get("recorded")
    return WorkflowState(
        task_id=task_id,
        status=as_text(body.get("taskStatus")) or "working",
        name=as_text(body.get("name")),
        goal=as_text(body.get("goal")),
        steps=_steps(body.get("steps")),
        pause=read_pause(body.get("pauseReason")),
        calls=_calls(body.get("calls")),
        ending=read_ending(body.get("ending")),
        recorded=_recorded(recorded) if isinstance(recorded, Mapping) else None,
        ran=tuple(name for name in as_list(body.get("ran")) if isinstance(name, str)),
    )


def _recorded(raw: Mapping[str, Any]) -> Recorded:
    status = None if raw.get("status") is None else _status(raw["status"])
    return Recorded(
        step=as_text(raw.get("step")),
        status=status,
        extra=raw.get("extra") is True,
        refused=as_text(raw.get("refused")),
    )


def _steps(listed: object, results: Mapping[str, StepResult] | None = None) -> tuple[StepState, ...]:
    found = []
    for raw in map(as_mapping, as_list(listed)):
        name, arguments, answer = as_text(raw.get("name")), raw.get("arguments"), raw.get("answer")
        execution: Any = raw.get("execution")
        undone: Any = raw.get("undone")
        if name is None:
            continue
        found.append(
            StepState(
                name=name,
                status=StepStatus.REFUSED if raw.get("refused") is True else _status(raw.get("status")),
                tool=as_text(raw.get("tool")),
                running=raw.get("running") is True,
                execution=execution if execution in _EXECUTIONS else "auto",
                by=as_text(raw.get("by")),
                arguments=dict(arguments) if isinstance(arguments, Mapping) else None,
                answer=dict(answer) if isinstance(answer, Mapping) else None,
                reason=as_text(raw.get("reason")),
                deadline=as_text(raw.get("deadline")),
                undo=as_text(raw.get("undo")),
                undone=undone if undone in _UNDONE else None,
                attempts=tuple(
                    Attempt(**{key: as_text(one.get(key)) for key in ("started", "ended", "outcome", "by")})
                    for one in map(as_mapping, as_list(raw.get("attempts")))
                ),
                result=(results or {}).get(name),
            )
        )
    return tuple(found)


def _status(value: object) -> StepStatus:
    return next((status for status in StepStatus if status == value), StepStatus.PENDING)


def _calls(listed: object) -> tuple[NextCall, ...]:
    found = []
    for raw in map(as_mapping, as_list(listed)):
        kind: Any = raw.get("kind")
        target = as_text(raw.get("target"))
        if kind in _CALL_KINDS and target is not None:
            request = raw.get("request")
            found.append(
                NextCall(
                    kind=kind,
                    target=target,
                    step=as_text(raw.get("step")),
                    arguments=as_mapping(raw.get("arguments")),
                    missing=tuple(str(name) for name in as_list(raw.get("missing"))),
                    guidance=as_text(raw.get("guidance")),
                    request=dict(request) if isinstance(request, Mapping) else None,
                )
            )
    return tuple(found)


def _calls_of(steps: Iterable[StepState], pause: PauseReason | None) -> tuple[NextCall, ...]:
    """What there is to do where only the steps are known: the tools of those that are open, in order."""
    if pause is None:
        return ()
    found = []
    for step in steps:
        again = step.status is StepStatus.FAILED and step.name == pause.step and pause.retryable
        if step.tool is not None and (step.status is StepStatus.PENDING or again):
            missing = pause.missing if step.name == pause.step and pause.producer is None else ()
            found.append(NextCall(kind="call", target=step.tool, step=step.name, missing=missing))
    return tuple(found)


def _names(variables: Mapping[str, Any], start: str) -> list[str]:
    return [name.removeprefix(start) for name in variables if name.startswith(start)]


def _block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _set(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _pmcp(status: StepStatus) -> StepStatus:
    """As PMCP knows it."""
    return StepStatus.FAILED if status is StepStatus.REFUSED else status
