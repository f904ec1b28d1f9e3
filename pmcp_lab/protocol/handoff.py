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
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Literal, get_args

WORKFLOW: Final = "run.pmcp/workflow"
"""`_meta` key of everything said here."""

TASK_ID: Final = "_task_id"
"""`_meta` key of a request: the workflow's task. On the prompt itself it resumes the workflow."""

STEP: Final = "run.pmcp/step"
"""`_meta` key of a continuation: which step it is for, where several would do."""

VARIABLES: Final = "_workflow."
"""Start of the names of variables that are the workflow's own: no client writes them."""

PROGRESS: Final = f"{VARIABLES}progress"
PAUSE: Final = f"{VARIABLES}pause_reason"
CALLS: Final = f"{VARIABLES}handoff"
RESULT: Final = f"{VARIABLES}result."
EXTRA: Final = f"{VARIABLES}extra."

SCHEMA_VERSION: Final = 1
"""Of the progress variable. A reader ignores what it does not know."""

TO_CONTINUE: Final = "To continue the workflow"
"""How the text of a handoff begins; each call is a numbered line `1. Call <tool> with <arguments as JSON>`."""


class StepStatus(StrEnum):
    """How a step stands. A step that runs is `pending`, and says so beside it."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


Execution = Literal["auto", "server", "client", "manual"]
"""Who does a step: the server if it can, only the server, only the client, a person who is asked."""

CallKind = Literal["call", "read", "answer", "variable", "resume"]

_EXECUTIONS: Final[tuple[Any, ...]] = get_args(Execution)
_CALL_KINDS: Final[tuple[Any, ...]] = get_args(CallKind)


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step gave, whatever encoding it was stored in.

    Args:
        raw: As a `CallToolResult`.
        value: What later steps see: the structured content (a sole `result` unwrapped), else the text, as JSON if it
            is an object or a list.
        omitted: The result was too big for a variable, and only its server has it.
    """

    raw: Mapping[str, Any]
    value: Any
    is_error: bool = False
    omitted: bool = False

    @property
    def text(self) -> str:
        """The texts in it, joined by newlines: of a failed step, why it failed."""
        return text_of(self.raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    """One step.

    Args:
        tool: None for a step that only reads resources or only asks.
        running: Somebody is at it; in a task that nobody runs any more, somebody was.
        execution: Who does it.
        by: Who did it: "server", "client" or "person".
        arguments: What its tool was called with, unless that is too big to say.
        result: Where results are at hand: read from a task.
    """

    name: str
    status: StepStatus = StepStatus.PENDING
    tool: str | None = None
    running: bool = False
    execution: Execution = "auto"
    by: str | None = None
    arguments: Mapping[str, Any] | None = None
    result: StepResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseReason:
    """Why the workflow does not go on by itself.

    Args:
        kind: PMCP's "unresolvableParams", "schemaMismatch", "toolError", "unresolvedDependency"; or "resourceError",
            "clientStep" (it is the client's to do), "inputRequired" (a person is asked). May be another one.
        step: Where it stands.
        message: One sentence for people.
        missing: Names of the arguments, or of the output, that are not there or don't fit.
        tool: What could be called.
        retryable: Whether the step may run again.
        interrupted: Nobody knows whether the step has run: its process ended.
        producer: The step whose output is missing.
        raw: As it came.
    """

    kind: str
    step: str
    message: str
    missing: tuple[str, ...] = ()
    tool: str | None = None
    retryable: bool = False
    interrupted: bool = False
    producer: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextCall:
    """One thing the client can do; those of a handoff are in the order of the steps.

    Args:
        kind: "call" a tool, "read" a resource (both with `continuation_meta`), "answer" a question of the task,
            set a "variable" of the task, or "resume": get the prompt again with the task's id.
        step: The step it does.
        target: The tool's name, the resource's URI, the question's key, the variable's name, or the prompt's name.
        arguments: Of the tool; where a value is not known, a text such as `<output from build>` stands for it.
        missing: The arguments the caller has to find.
        guidance: For whoever does it.
        request: The question, as `elicitation/create`.
    """

    kind: CallKind
    target: str
    step: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    guidance: str | None = None
    request: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of a continuation.

    Args:
        step: The step its result was recorded for.
        status: How the step stands since.
        extra: No step wanted it, and it was kept as an extra result of its tool.
        refused: Why nothing was recorded.
    """

    step: str | None = None
    status: StepStatus | None = None
    extra: bool = False
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowState:
    """A workflow at one moment.

    Args:
        status: Of its task; text, because a client shows what it does not know.
        name: Of its prompt; None when the server does not say.
        calls: What the client can do next.
        recorded: In the answer to a continuation.
        ran: Steps the server ran on this request.
    """

    task_id: str
    status: str
    steps: tuple[StepState, ...] = ()
    name: str | None = None
    goal: str | None = None
    pause: PauseReason | None = None
    calls: tuple[NextCall, ...] = ()
    recorded: Recorded | None = None
    ran: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        """How many steps need nothing more."""
        return sum(step.status in (StepStatus.COMPLETED, StepStatus.SKIPPED) for step in self.steps)


def continuation_meta(task_id: str, step: str | None = None) -> dict[str, Any]:
    """`_meta` of a `tools/call` or `resources/read` that does a step; without `step`, of a resuming `prompts/get`."""
    return {TASK_ID: task_id} | ({} if step is None else {STEP: step})


def read_continuation(meta: object) -> tuple[str, str | None] | None:
    """The task and the step that a request's `_meta` names; None when it names no task."""
    if not isinstance(meta, Mapping) or not isinstance(meta.get(TASK_ID), str) or not meta[TASK_ID]:
        return None
    return meta[TASK_ID], _text(meta.get(STEP))


# --- writing ----------------------------------------------------------------------------------------------


def prompt_meta(state: WorkflowState) -> dict[str, Any]:
    """`_meta` of a `prompts/get` result."""
    meta: dict[str, Any] = {
        "task_id": state.task_id,
        "task_status": state.status,
        "steps": [{"name": step.name, "status": step.status.value} for step in state.steps],
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
    if (recorded := state.recorded) is not None:
        status = None if recorded.status is None else recorded.status.value
        body["recorded"] = _set(
            step=recorded.step, status=status, extra=recorded.extra or None, refused=recorded.refused
        )
    return {WORKFLOW: body | ({"ran": list(state.ran)} if state.ran else {})}


def encode_step(step: StepState) -> dict[str, Any]:
    """One step, as in the progress variable; its result is not part of it."""
    return {
        **_set(name=step.name, tool=step.tool),
        "status": step.status.value,
        **_set(
            running=step.running or None,
            execution=None if step.execution == "auto" else step.execution,
            by=step.by,
            arguments=None if step.arguments is None else dict(step.arguments),
        ),
    }


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
    meta = _mapping(raw.get("_meta"))
    state = _body(meta.get(WORKFLOW))
    if state is not None:
        return state
    task_id = _text(meta.get("task_id"))
    if task_id is None:
        return None
    steps = _steps(meta.get("steps"))
    pause = read_pause(meta.get("pause_reason"))
    calls = _calls_in_text(raw.get("messages"), steps, pause) or _calls_of(steps, pause)
    status = _text(meta.get("task_status")) or "working"
    return WorkflowState(task_id=task_id, status=status, steps=steps, pause=pause, calls=calls)


def read_call(raw: Mapping[str, Any]) -> WorkflowState | None:
    """The workflow in a continuation's result; None when the server says nothing of it (PMCP's never does)."""
    return _body(_mapping(raw.get("_meta")).get(WORKFLOW))


def read_error(data: object) -> WorkflowState | None:
    """The workflow in `error.data` of a continuation that failed as a request."""
    return read_call(_mapping(data))


def read_task(task_id: str, status: str, variables: Mapping[str, Any]) -> WorkflowState | None:
    """The workflow in the variables of its task, with results; None when the task is none."""
    progress = _mapping(variables.get(PROGRESS))
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
        name=_text(progress.get("name")),
        goal=_text(progress.get("goal")),
        steps=steps,
        pause=pause if live else None,
        calls=calls if live else (),
    )


def read_listed(prompt: Mapping[str, Any]) -> tuple[StepState, ...] | None:
    """The steps of a workflow in `prompts/list`; None for an ordinary prompt (PMCP's look like those)."""
    body = _mapping(prompt.get("_meta")).get(WORKFLOW)
    return _steps(body.get("steps")) if isinstance(body, Mapping) else None


def read_result(stored: Any) -> StepResult:
    """A step's result: a `CallToolResult`, or PMCP's other encodings, `{"error": text}` and the bare value."""
    if isinstance(stored, Mapping) and isinstance(stored.get("content"), list):
        omitted = "_meta" in stored and _mapping(_mapping(stored["_meta"]).get(WORKFLOW)).get("omitted") is True
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


def text_of(result: Mapping[str, Any]) -> str:
    """The texts in a `CallToolResult`, those of embedded resources too, joined by newlines."""
    blocks = result.get("content")
    texts = []
    for block in blocks if isinstance(blocks, list) else ():
        if not isinstance(block, Mapping):
            continue
        text = _mapping(block.get("resource")).get("text") if block.get("type") == "resource" else block.get("text")
        if isinstance(text, str):
            texts.append(text)
    return "\n".join(texts)


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
    raw = _mapping(raw)
    kind = _text(raw.get("type"))
    if kind is None:
        return None
    step = _text(raw.get("blockedStep")) or _text(raw.get("failedStep")) or ""
    listed = raw.get("missingFields")
    missing = tuple(str(name) for name in listed) if isinstance(listed, list) else ()
    one = next((raw[key] for key in ("missingParam", "missingOutput", "uri") if isinstance(raw.get(key), str)), None)
    missing = missing or (() if one is None else (one,))
    producer = _text(raw.get("producingStep"))
    sentence = _SENTENCES.get(kind, "Step {step!r} is paused: " + kind + ".")
    said = sentence.format(
        step=step, missing=", ".join(missing) or "something", producer=producer, error=raw.get("error")
    )
    return PauseReason(
        kind=kind,
        step=step,
        message=_text(raw.get("message")) or said,
        missing=missing,
        tool=_text(raw.get("suggestedTool")),
        retryable=raw.get("retryable") is True,
        interrupted=raw.get("interrupted") is True,
        producer=producer,
        raw=dict(raw),
    )


def _body(body: object) -> WorkflowState | None:
    body = _mapping(body)
    task_id = _text(body.get("taskId"))
    if task_id is None:
        return None
    recorded = body.get("recorded")
    return WorkflowState(
        task_id=task_id,
        status=_text(body.get("taskStatus")) or "working",
        name=_text(body.get("name")),
        goal=_text(body.get("goal")),
        steps=_steps(body.get("steps")),
        pause=read_pause(body.get("pauseReason")),
        calls=_calls(body.get("calls")),
        recorded=_recorded(recorded) if isinstance(recorded, Mapping) else None,
        ran=tuple(name for name in _list(body.get("ran")) if isinstance(name, str)),
    )


def _recorded(raw: Mapping[str, Any]) -> Recorded:
    status = None if raw.get("status") is None else _status(raw["status"])
    return Recorded(
        step=_text(raw.get("step")), status=status, extra=raw.get("extra") is True, refused=_text(raw.get("refused"))
    )


def _steps(listed: object, results: Mapping[str, StepResult] | None = None) -> tuple[StepState, ...]:
    found = []
    for raw in map(_mapping, _list(listed)):
        name, arguments = _text(raw.get("name")), raw.get("arguments")
        execution: Any = raw.get("execution")
        if name is None:
            continue
        found.append(
            StepState(
                name=name,
                status=_status(raw.get("status")),
                tool=_text(raw.get("tool")),
                running=raw.get("running") is True,
                execution=execution if execution in _EXECUTIONS else "auto",
                by=_text(raw.get("by")),
                arguments=dict(arguments) if isinstance(arguments, Mapping) else None,
                result=(results or {}).get(name),
            )
        )
    return tuple(found)


def _status(value: object) -> StepStatus:
    return next((status for status in StepStatus if status == value), StepStatus.PENDING)


def _calls(listed: object) -> tuple[NextCall, ...]:
    found = []
    for raw in map(_mapping, _list(listed)):
        kind: Any = raw.get("kind")
        target = _text(raw.get("target"))
        if kind in _CALL_KINDS and target is not None:
            request = raw.get("request")
            found.append(
                NextCall(
                    kind=kind,
                    target=target,
                    step=_text(raw.get("step")),
                    arguments=_mapping(raw.get("arguments")),
                    missing=tuple(str(name) for name in _list(raw.get("missing"))),
                    guidance=_text(raw.get("guidance")),
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


_LINE: Final = re.compile(r"\s*\d+\.\s+Call\s+[`'\"]?(?P<tool>[^\s`'\"]+)[`'\"]?\s+with\s+`?(?P<arguments>\{.*\})`?\s*")
_NOTE: Final = re.compile(r"\s+Note:\s*(?P<note>.*\S)\s*")
_UNKNOWN: Final = re.compile(r"<(?:prompt arg|output from|field '.*' from|variable) .*>|<field .*>")


def _calls_in_text(messages: object, steps: tuple[StepState, ...], pause: PauseReason | None) -> tuple[NextCall, ...]:
    """The calls that the text of a handoff lists, each for the first open step with its tool that is not taken."""
    texts = [_text(_mapping(_mapping(message).get("content")).get("text")) for message in _list(messages)]
    text = next((text for text in reversed(texts) if text is not None and TO_CONTINUE in text), "")
    again = pause is not None and pause.retryable
    waiting = [one for one in steps if one.status is StepStatus.PENDING or (one.status is StepStatus.FAILED and again)]
    found: list[NextCall] = []
    for line in text[text.find(TO_CONTINUE) :].splitlines():
        if (note := _NOTE.fullmatch(line)) is not None and found:
            found.append(replace(found.pop(), guidance=note["note"]))
        # PMCP lists a step that only reads resources as a tool of this name.
        if (match := _LINE.fullmatch(line)) is None or match["tool"] == "unknown":
            continue
        try:
            arguments = _mapping(json.loads(match["arguments"]))
        except (ValueError, RecursionError):
            arguments = {}
        step = next((one for one in waiting if one.tool in (None, match["tool"])), None)
        if step is not None:
            waiting.remove(step)
        missing = tuple(
            name for name, value in arguments.items() if isinstance(value, str) and _UNKNOWN.fullmatch(value)
        )
        found.append(
            NextCall(
                kind="call",
                target=match["tool"],
                step=None if step is None else step.name,
                arguments=arguments,
                missing=missing,
            )
        )
    return tuple(found)


def _names(variables: Mapping[str, Any], start: str) -> list[str]:
    return [name.removeprefix(start) for name in variables if name.startswith(start)]


def _block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _set(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _mapping(value: object) -> dict[str, Any]:
    return {str(key): member for key, member in value.items()} if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
