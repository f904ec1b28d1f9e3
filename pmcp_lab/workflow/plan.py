"""What comes next in a workflow. Pure functions from how far it is to how far it is then: no I/O, no clock.

Whoever changes a task does it with these inside one compare-and-swap, so that what is decided always fits what is
recorded, however many change it at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from pmcp_lab.protocol.durations import seconds
from pmcp_lab.protocol.json_schema import Draft202012Validator
from pmcp_lab.protocol.workflow_wire import WORKFLOW, Ending, EndingKind, StepResult, StepState, StepStatus, read_pause
from pmcp_lab.workflow.asking import Dismissed, asking, open_question, question, response_to
from pmcp_lab.workflow.checking import ToolSchemas, takes
from pmcp_lab.workflow.deciding import content_of, objection
from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.progress import Progress
from pmcp_lab.workflow.resolving import Absent, Unresolved, fill, placeholders, texts, value
from pmcp_lab.workflow.steps import No, Sources, Step

UNDO_ATTEMPTS: Final = 3
"""How often taking a step back is tried."""

_ENDINGS: Final[Mapping[No, EndingKind]] = {"stop": "stopped", "skip": "skipped", "fail": "failed"}

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
class TakeBack:
    """Call the tool that takes this step back."""

    step: Step
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing more the server can do; `Progress.pause` says why."""


@dataclass(frozen=True, slots=True)
class Done:
    """Every step is settled, or `Progress.ending` says why it ends before that."""


Move = Run | Ask | TakeBack | Wait | Done


class _Blocked(Exception):
    """A step can't be run by the server now."""

    def __init__(self, reason: Mapping[str, Any], *, for_want: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.for_want = for_want


def start(workflow: SequentialWorkflow, arguments: Mapping[str, str]) -> Progress:
    """A workflow before its first step."""
    states = tuple(
        StepState(
            name=one.name,
            tool=one.tool,
            execution=one.execution,
            undo=None if one.undo is None else one.undo.tool,
        )
        for one in workflow.steps
    )
    return Progress(workflow, states, arguments=dict(arguments))


def advance(progress: Progress, tools: Mapping[str, ToolSchemas], *, again: bool = False) -> tuple[Progress, Move]:
    """Go to where something has to be done.

    Args:
        again: Somebody asked to try once more: failed steps that may run again do, and a question that was dismissed
            is asked again.
    """
    if progress.ending is not None:
        return _ending(progress)
    for at, step in enumerate(progress.workflow.steps):
        state = progress.states[at]
        if state.settled:
            continue
        if state.status is StepStatus.FAILED:
            if step.optional:
                continue
            if not (again and may_run_again(step, progress)):
                kept = progress.pause if progress.pause is not None and progress.pause.step == step.name else None
                return progress.but(pause=kept or read_pause(failure(step, progress))), Wait()
        try:
            progress, move = _attempt(progress, step, tools, again=again)
        except _Blocked as blocked:
            if not (step.optional and blocked.for_want):
                if state.status is StepStatus.FAILED:
                    # It is to be tried again, as soon as it can be.
                    progress = progress.with_step(step.name, status=StepStatus.PENDING)
                return progress.paused(blocked.reason), Wait()
            progress = progress.with_step(step.name, status=StepStatus.SKIPPED, running=False)
            continue
        if progress.ending is not None:
            return _ending(progress)
        if isinstance(move, Run):
            shown = dict(move.arguments) if step.tool is not None else None
            begun = {"status": StepStatus.PENDING, "running": True, "by": None, "arguments": shown}
            begun["attempts"] = progress.begun(step.name, "server")
            return progress.with_step(step.name, more={"pause": None}, **begun), move
        if isinstance(move, Ask):
            return asking(progress, step, move.key, move.request), move
        if progress.state(step.name).status is StepStatus.FAILED and not step.optional:
            return progress.paused(failure(step, progress)), Wait()
    return (progress if progress.pause is None else progress.but(pause=None)), Done()


def _ending(progress: Progress) -> tuple[Progress, Move]:
    """What is still to be taken back before it ends."""
    assert progress.ending is not None
    if progress.ending.kind != "skipped":
        for step in reversed(progress.workflow.steps):
            state = progress.state(step.name)
            if step.undo is None or state.status is not StepStatus.COMPLETED or state.undone is not None:
                continue
            tried = [one for one in state.attempts if one.by == "undo"]
            if len(tried) >= UNDO_ATTEMPTS:
                why = "its process ended each time it was taken back"
                progress = progress.with_step(step.name, undone="failed", running=False, reason=why)
                continue
            try:
                arguments = _values(progress, step, step.undo.arguments)
            except Unresolved as error:
                progress = progress.with_step(step.name, undone="failed", reason=f"it can't be taken back: {error}")
                continue
            begun = {"running": True, "attempts": progress.begun(step.name, "undo")}
            return progress.with_step(step.name, more={"pause": None}, **begun), TakeBack(
                step, step.undo.tool, arguments
            )
    return progress.but(pause=None), Done()


def taken_back(progress: Progress, step: str, error: str | None) -> Progress:
    """With what became of taking a step back.

    Args:
        error: Why it was not.
    """
    outcome = "undone" if error is None else "undo failed"
    changes: dict[str, Any] = {"running": False, "attempts": progress.ended(step, outcome, "undo")}
    if error is None:
        changes["undone"] = "undone"
    elif sum(one.by == "undo" for one in changes["attempts"]) >= UNDO_ATTEMPTS:
        changes |= {"undone": "failed", "reason": f"it was not taken back: {error}"}
    return progress.with_step(step, **changes)


def skipped(progress: Progress, step: str, reason: str) -> Progress:
    """With a step that a person left out."""
    return progress.with_step(
        step,
        more={"pause": None},
        status=StepStatus.SKIPPED,
        running=False,
        by="person",
        reason=reason,
        attempts=progress.ended(step, "skipped", "person"),
    )


def may_run_again(step: Step, progress: Progress) -> bool:
    """Whether a failed step may be tried once more by the server: also where its tool was never called."""
    result = progress.results.get(step.name)
    if step.retryable or step.only_reads or (result is not None and _unreadable(result) is not None):
        return True
    # Nobody has agreed yet, so nothing was called.
    return step.execution == "manual" and progress.state(step.name).answer is None


def interrupted(progress: Progress, why: str) -> Progress:
    """With a running step that nobody runs any more: it has failed, and nobody knows how far it came."""
    step = progress.running
    if step is None:
        return progress
    if progress.ending is not None:
        # What takes a step back may be called twice.
        ended = progress.ended(step.name, "interrupted", "undo")
        return progress.with_step(step.name, running=False, attempts=ended)
    after = progress.finished(step.name, failed(why), "server", "interrupted")
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


def _attempt(
    progress: Progress, step: Step, tools: Mapping[str, ToolSchemas], *, again: bool
) -> tuple[Progress, Move | None]:
    """What the step takes; None when it needed nothing but what is there."""
    if step.execution == "client":
        raise _Blocked({"type": "clientStep", "blockedStep": step.name} | _tool(step), for_want=False)
    uris = tuple(uris_of(step, progress))
    if step.only_reads:
        return progress, Run(step, {}, tuple(unread(step, progress)))
    arguments = _arguments(progress, step)
    if step.execution == "manual":
        try:
            response, by = response_to(progress, step, again=again)
        except Dismissed as dismissed:
            raise _Blocked(dismissed.reason, for_want=False) from None
        if response is None:
            _check_fit(step, arguments, tools, besides=step.answer)
            key, _ = open_question(step, progress)
            return progress, Ask(step, key, question(step, progress))
        if not isinstance(response, Mapping):
            return refused(progress, step, response, f"nobody answered within {_within(step)}", None, "server"), None
        against = objection(step, response)
        if against is not None:
            return refused(progress, step, step.on_no, against, response, by), None
        content = content_of(step, response)
        agreed = {"action": "accept", "content": content}
        if step.tool is None:
            raw = {"content": [_text(_line(content))], "structuredContent": content, "isError": False}
            return progress.finished(step.name, raw, by, answer=agreed), None
        if progress.state(step.name).answer is None:
            attempts = progress.ended(step.name, "completed", by)
            progress = progress.with_step(step.name, answer=agreed, attempts=attempts)
        arguments |= _answered(step, content, tools)
    _check_fit(step, arguments, tools)
    return progress, Run(step, arguments, uris)


def _answered(step: Step, content: Mapping[str, Any], tools: Mapping[str, ToolSchemas]) -> dict[str, Any]:
    """What of an answer the step's tool takes."""
    tool = tools.get(step.tool or "")
    return {
        name: given
        for name, given in content.items()
        if name in step.answer and (name not in step.proceed_if or tool is None or takes(tool, name))
    }


def _within(step: Step) -> str:
    """How long somebody has, as its author wrote it."""
    return step.within if isinstance(step.within, str) else f"{seconds(step.within) or 0:g} s"


def refused(
    progress: Progress, step: Step, no: No, reason: str, response: Mapping[str, Any] | None, by: str
) -> Progress:
    """With a person's no, or that of a deadline, and what that means to the workflow."""
    content = dict((response or {}).get("content") or {})
    raw = {"content": [_text(reason)], "isError": False} | ({"structuredContent": content} if content else {})
    answer = None if response is None else {"action": response["action"]} | ({"content": content} if content else {})
    after = progress.finished(step.name, raw, by, status=StepStatus.REFUSED, answer=answer, reason=reason)
    if no == "skip":
        for later in progress.workflow.steps[progress.positions[step.name] + 1 :]:
            if not after.state(later.name).settled:
                why = f"step {step.name} was refused"
                after = after.with_step(later.name, status=StepStatus.SKIPPED, running=False, reason=why)
    return after.but(ending=Ending(kind=_ENDINGS[no], step=step.name, reason=reason, answer=answer))


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
    found = dict[str, Any]()
    for name, source in step.arguments.items():
        try:
            found |= _values(progress, step, {name: source})
        except Unresolved as error:
            raise _blocked_by(progress, step, name, error) from None
    return found


def _values(progress: Progress, step: Step, sources: Mapping[str, Sources]) -> dict[str, Any]:
    """Raises `Unresolved` where one is not there."""
    found = {}
    for name, source in sources.items():
        with suppress(Absent):
            found[name] = value(source, step, progress.scope)
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
