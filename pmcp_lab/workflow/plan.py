"""What comes next in a workflow. Pure functions from how far it is to how far it is then: no I/O, no clock.

Whoever changes a task does it with these inside one compare-and-swap, so that what is decided always fits what is
recorded, however many change it at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from jsonschema import Draft202012Validator

from pmcp_lab.protocol.handoff import WORKFLOW, PauseReason, StepResult, StepState, StepStatus, read_pause, read_result
from pmcp_lab.workflow.checking import ToolSchemas
from pmcp_lab.workflow.definition import SequentialWorkflow, Step
from pmcp_lab.workflow.resolving import (
    Absent,
    Scope,
    Unresolved,
    fill,
    placeholders,
    texts,
    told,
    value,
)

OPEN = frozenset({StepStatus.PENDING, StepStatus.FAILED, StepStatus.SKIPPED})
"""How a step stands that a client may still do."""


@dataclass(frozen=True)
class Progress:
    """How far a workflow is.

    Args:
        workflow: What it does.
        states: One per step, in order.
        results: By step, of those that have one.
        pause: Why it stands.
        arguments: Of the prompt.
        variables: Of the task, without the workflow's own.
        questions: Keys of what a person was asked.
        answers: Responses to those, by key.
        positions: Of the steps, by name.
    """

    workflow: SequentialWorkflow
    states: tuple[StepState, ...]
    results: Mapping[str, StepResult] = field(default_factory=dict)
    pause: PauseReason | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    questions: frozenset[str] = frozenset()
    answers: Mapping[str, Any] = field(default_factory=dict)
    positions: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.positions:
            object.__setattr__(self, "positions", {step.name: at for at, step in enumerate(self.workflow.steps)})

    def state(self, step: str) -> StepState:
        return self.states[self.positions[step]]

    @cached_property
    def scope(self) -> Scope:
        """What steps take their values from."""
        outputs = {}
        for step, state in zip(self.workflow.steps, self.states, strict=True):
            result = self.results.get(step.name)
            if step.bind is not None and state.status is StepStatus.COMPLETED and result is not None:
                outputs[step.bind] = result.value
        return Scope(self.workflow, self.arguments, outputs, self.variables)

    @property
    def running(self) -> Step | None:
        """The step somebody is at."""
        return next((s for s, state in zip(self.workflow.steps, self.states, strict=True) if state.running), None)

    @cached_property
    def settled(self) -> int:
        """How many steps need nothing more."""
        return sum(
            state.status in (StepStatus.COMPLETED, StepStatus.SKIPPED)
            or (state.status is StepStatus.FAILED and step.optional)
            for step, state in zip(self.workflow.steps, self.states, strict=True)
        )

    def with_step(self, step: str, *, more: Mapping[str, Any] | None = None, **changes: Any) -> Progress:
        """With another state of a step, and `more` about the whole."""
        at = self.positions[step]
        states = (*self.states[:at], replace(self.states[at], **changes), *self.states[at + 1 :])
        return replace(self, states=states, **(more or {}))

    def paused(self, reason: Mapping[str, Any] | None) -> Progress:
        return replace(self, pause=read_pause(reason))

    def finished(self, step: str, raw: Mapping[str, Any], by: str) -> Progress:
        """With a step's result; one that says `isError` has failed."""
        result = read_result(raw)
        status = StepStatus.FAILED if result.is_error else StepStatus.COMPLETED
        results = {**self.results, step: result}
        return self.with_step(step, more={"results": results}, status=status, running=False, by=by)


# --- what comes next ---


@dataclass(frozen=True, slots=True)
class Run:
    """Read these resources, then call this step's tool, if it has one."""

    step: Step
    arguments: Mapping[str, Any]
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Put this question to a person."""

    step: Step
    key: str
    request: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing more the server can do; `Progress.pause` says why."""


@dataclass(frozen=True, slots=True)
class Done:
    """Every step is settled."""


Move = Run | Ask | Wait | Done


class _Blocked(Exception):
    """A step can't be run by the server now."""

    def __init__(self, reason: Mapping[str, Any], *, for_want: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.for_want = for_want


def start(workflow: SequentialWorkflow, arguments: Mapping[str, str]) -> Progress:
    """A workflow before its first step."""
    states = tuple(StepState(name=one.name, tool=one.tool, execution=one.execution) for one in workflow.steps)
    return Progress(workflow, states, arguments=dict(arguments))


def advance(progress: Progress, tools: Mapping[str, ToolSchemas], *, again: bool = False) -> tuple[Progress, Move]:
    """Go to where something has to be done.

    Args:
        again: Somebody asked to try once more: failed steps that may run again do.
    """
    for step in progress.workflow.steps:
        state = progress.state(step.name)
        if state.status in (StepStatus.COMPLETED, StepStatus.SKIPPED):
            continue
        if state.status is StepStatus.FAILED:
            if step.optional:
                continue
            if not (again and may_run_again(step, progress)):
                kept = progress.pause if progress.pause is not None and progress.pause.step == step.name else None
                return replace(progress, pause=kept or read_pause(failure(step, progress))), Wait()
        try:
            progress, move = _attempt(progress, step, tools)
        except _Blocked as blocked:
            if not (step.optional and blocked.for_want):
                return progress.paused(blocked.reason), Wait()
            progress = progress.with_step(step.name, status=StepStatus.SKIPPED, running=False)
            continue
        if isinstance(move, Run):
            shown = dict(move.arguments) if step.tool is not None else None
            begun = {"status": StepStatus.PENDING, "running": True, "by": None, "arguments": shown}
            return progress.with_step(step.name, more={"pause": None}, **begun), move
        if isinstance(move, Ask):
            reason = {"type": "inputRequired", "blockedStep": step.name, "question": move.key}
            text = str(move.request["params"]["message"])
            return progress.paused(_said(reason, f"Step {step.name!r} waits for an answer: {text}")), move
        if progress.state(step.name).status is StepStatus.FAILED and not step.optional:
            return progress.paused(failure(step, progress)), Wait()
    return (progress if progress.pause is None else replace(progress, pause=None)), Done()


def step_for(
    progress: Progress, *, tool: str | None = None, uri: str | None = None, step: str | None = None
) -> Step | None:
    """The open step that a client's call of a tool, or its reading of a resource, does.

    Where the workflow stands comes first, then the steps in order, then what was skipped.

    Args:
        step: Only this one.
    """
    pause = progress.pause
    first = () if pause is None else (pause.step, pause.producer)

    def rank(one: Step) -> tuple[bool, bool]:
        return one.name not in first, progress.state(one.name).status is StepStatus.SKIPPED

    found = []
    for one, state in zip(progress.workflow.steps, progress.states, strict=True):
        wanted = one.tool == tool if tool is not None else one.only_reads and uri in unread(one, progress)
        if wanted and state.status in OPEN and not state.running and one.execution != "server":
            found.append(one)
    return next((one for one in sorted(found, key=rank) if step in (None, one.name)), None)


def may_run_again(step: Step, progress: Progress) -> bool:
    """Whether a failed step may be tried once more by the server: also where its tool was never called."""
    result = progress.results.get(step.name)
    if step.retryable or step.only_reads or (result is not None and _unreadable(result) is not None):
        return True
    return step.execution == "manual" and _declined(step, progress)


def interrupted(progress: Progress, why: str) -> Progress:
    """With a running step that nobody runs any more: it has failed, and nobody knows how far it came."""
    step = progress.running
    if step is None:
        return progress
    after = progress.finished(step.name, failed(why), "server")
    return after.paused(failure(step, after) | ({} if step.only_reads else {"interrupted": True}))


def failure(step: Step, progress: Progress) -> dict[str, Any]:
    """The reason to pause at a step that failed."""
    result = progress.results.get(step.name)
    error = ("" if result is None else result.text) or "it failed without a word"
    uri = None if result is None else _unreadable(result)
    if uri is not None or step.only_reads:
        uri = uri or next(iter(unread(step, progress)), step.resources[0])
        return {"type": "resourceError", "blockedStep": step.name, "uri": uri, "error": error, "retryable": True}
    reason = {"type": "toolError", "failedStep": step.name, "error": error}
    return reason | {"retryable": may_run_again(step, progress)} | _tool(step)


def _attempt(progress: Progress, step: Step, tools: Mapping[str, ToolSchemas]) -> tuple[Progress, Move | None]:
    """What the step takes; None when it needed nothing but what is there."""
    if step.execution == "client":
        raise _Blocked({"type": "clientStep", "blockedStep": step.name} | _tool(step), for_want=False)
    uris = tuple(uris_of(step, progress))
    if step.only_reads:
        return progress, Run(step, {}, tuple(unread(step, progress)))
    arguments = _arguments(progress, step)
    if step.execution == "manual":
        key, asked = question_key(step, progress)
        response = progress.answers.get(key) if asked else None
        if response is None:
            _check_fit(step, arguments, tools, besides=step.answer)
            return progress, Ask(step, key, question(step, progress))
        problem = _problem_with(step, response)
        if problem is not None:
            return progress.finished(step.name, failed(problem), "person"), None
        content = response.get("content") or {}
        if step.tool is None:
            raw = {"content": [_text(_line(content))], "structuredContent": dict(content), "isError": False}
            return progress.finished(step.name, raw, "person"), None
        arguments |= {name: content[name] for name in step.answer if name in content}
    _check_fit(step, arguments, tools)
    return progress, Run(step, arguments, uris)


def uris_of(step: Step, progress: Progress) -> list[str]:
    """Its resources, with names filled in. Raises `_Blocked` where a name has no value."""
    found = []
    for uri in step.resources:
        for name in placeholders(uri):
            try:
                texts(step, progress.scope, "{" + name + "}")
            except Unresolved as error:
                raise _blocked_by(progress, step, name, error) from None
        found.append(fill(uri, texts(step, progress.scope, uri), uri=True))
    return found


def unread(step: Step, progress: Progress) -> list[str]:
    """The resources of a step that only reads which were not read yet."""
    result = progress.results.get(step.name)
    blocks = result.raw.get("content") if result is not None else None
    read = {block["resource"].get("uri") for block in blocks or () if block.get("type") == "resource"}
    try:
        return [uri for uri in uris_of(step, progress) if uri not in read]
    except _Blocked:
        return list(step.resources)


def _arguments(progress: Progress, step: Step) -> dict[str, Any]:
    found = {}
    for name, source in step.arguments.items():
        try:
            found[name] = value(source, step, progress.scope)
        except Absent:
            continue
        except Unresolved as error:
            raise _blocked_by(progress, step, name, error) from None
    return found


def _blocked_by(progress: Progress, step: Step, name: str, error: Unresolved) -> _Blocked:
    producer = next((one for one in progress.workflow.steps if one.bind == error.binding), None)
    if error.binding is not None and producer is not None:
        how = progress.state(producer.name).status
        if how in (StepStatus.FAILED, StepStatus.SKIPPED):
            return _Blocked(
                {
                    "type": "unresolvedDependency",
                    "blockedStep": step.name,
                    "missingOutput": error.binding,
                    "producingStep": producer.name,
                }
                | _tool(producer)
            )
    reason = {"type": "unresolvableParams", "blockedStep": step.name, "missingParam": name} | _tool(step)
    if error.variable is not None:
        reason["variable"] = error.variable
    return _Blocked(_said(reason, f"Step {step.name!r} needs a value for {name}: {error}."))


def _check_fit(
    step: Step, arguments: Mapping[str, Any], tools: Mapping[str, ToolSchemas], besides: Iterable[str] = ()
) -> None:
    """Raise `_Blocked` where the tool would not take these arguments."""
    tool = tools.get(step.tool or "")
    if tool is None:
        if step.tool is not None:
            reason = {"type": "toolError", "failedStep": step.name, "retryable": True} | _tool(step)
            raise _Blocked(reason | {"error": f"the server has no tool {step.tool!r}"}, for_want=False)
        return
    required = tool.input.get("required")
    missing = [name for name in required or () if name not in arguments and name not in besides]
    reason = {"type": "schemaMismatch", "blockedStep": step.name, "missingFields": missing} | _tool(step)
    if missing:
        raise _Blocked(reason)
    errors = [] if not step.arguments else list(Draft202012Validator(tool.input).iter_errors(dict(arguments)))
    wrong = sorted({str(error.absolute_path[0]) for error in errors if error.absolute_path})
    # As the SDK does, which takes "3" for 3.
    if wrong and not Draft202012Validator(tool.input).is_valid(
        {name: _read(given) for name, given in arguments.items()}
    ):
        said = f"Step {step.name!r} has no fitting value for {', '.join(wrong)}."
        raise _Blocked(_said(reason | {"missingFields": wrong}, said))


def unreadable(uri: str, why: str) -> dict[str, Any]:
    """The result of a step whose resource could not be read."""
    return {**failed(why), "_meta": {WORKFLOW: {"uri": uri}}}


def failed(why: str) -> dict[str, Any]:
    """The result of a step that failed for this reason."""
    return {"content": [_text(why)], "isError": True}


def _unreadable(result: StepResult) -> str | None:
    """The resource that a step failed for."""
    about = (result.raw.get("_meta") or {}).get(WORKFLOW)
    uri = about.get("uri") if isinstance(about, Mapping) and result.is_error else None
    return uri if isinstance(uri, str) else None


# --- questions ---


def question_key(step: Step, progress: Progress) -> tuple[str, bool]:
    """The key of the step's question, and whether that was asked. One that was refused is asked anew under another."""
    asked = sum(key.rpartition("#")[0] == step.name for key in progress.questions)
    key = f"{step.name}#{asked}"
    refused = key in progress.answers and _problem_with(step, progress.answers[key]) is not None
    if asked == 0 or (refused and progress.state(step.name).status is StepStatus.FAILED):
        return f"{step.name}#{asked + 1}", False
    return key, True


def _declined(step: Step, progress: Progress) -> bool:
    keys = [key for key in progress.questions if key.rpartition("#")[0] == step.name]
    responses = [progress.answers[key] for key in keys if key in progress.answers]
    return bool(responses) and all(_problem_with(step, response) is not None for response in responses)


def question(step: Step, progress: Progress) -> dict[str, Any]:
    """What a manual step asks."""
    required = [name for name, schema in step.answer.items() if "default" not in schema]
    schema = {"type": "object", "properties": step.answer} | ({"required": required} if required else {})
    message = told(step.question or "", step, progress.scope)
    return {"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}}


def _problem_with(step: Step, response: Any) -> str | None:
    """Why an answer is no go-ahead; None when it is."""
    action = response.get("action") if isinstance(response, Mapping) else None
    if action != "accept":
        return "the person declined" if action == "decline" else "the question was dismissed"
    schema = {"type": "object", "properties": step.answer}
    content = response.get("content")
    for error in Draft202012Validator(schema).iter_errors(content if content is not None else {}):
        return f"the answer does not fit its form: {'.'.join(map(str, error.absolute_path)) or 'it is no object'}"
    return None


def _read(given: Any) -> Any:
    """Text as the JSON it may hold."""
    if isinstance(given, str):
        with suppress(ValueError, RecursionError):
            return json.loads(given)
    return given


def _line(content: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {given}" for name, given in content.items()) or "accepted"


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _tool(step: Step) -> dict[str, Any]:
    return {} if step.tool is None else {"suggestedTool": step.tool}


def _said(reason: Mapping[str, Any], message: str) -> dict[str, Any]:
    return {**reason, "message": message}
