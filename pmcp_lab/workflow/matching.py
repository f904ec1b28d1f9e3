"""Which step a client's call is for, and whether it may be made: decided before its tool runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pmcp_lab.protocol.workflow_wire import StepStatus
from pmcp_lab.workflow.checking import ToolSchemas
from pmcp_lab.workflow.deciding import same
from pmcp_lab.workflow.plan import unread
from pmcp_lab.workflow.progress import Progress
from pmcp_lab.workflow.resolving import Absent, Unresolved, stand_in, value
from pmcp_lab.workflow.steps import Step

OPEN = frozenset({StepStatus.PENDING, StepStatus.FAILED, StepStatus.SKIPPED})
"""How a step stands that a client may still do."""


def known_arguments(
    step: Step, progress: Progress, tools: Mapping[str, ToolSchemas]
) -> tuple[dict[str, Any], list[str], list[str]]:
    """What its tool is to be called with, as far as that is known.

    Returns:
        Arguments; where a value is not known, a text that stands for it. The names of those. Names that the caller
        has to find besides.
    """
    arguments, unknown = dict[str, Any](), list[str]()
    for name, source in step.arguments.items():
        try:
            arguments[name] = value(source, step, progress.scope)
        except Absent:
            continue
        except Unresolved:
            arguments[name] = stand_in(source, step, progress.scope)
            unknown.append(name)
    answer = progress.state(step.name).answer
    for name, given in (answer or {}).get("content", {}).items() if step.tool is not None else ():
        if name in step.answer and name not in step.proceed_if:
            arguments[name] = given
    tool = tools.get(step.tool or "")
    required = [] if tool is None else tool.input.get("required") or []
    lacking = [name for name in required if name not in arguments]
    pause = progress.pause
    if pause is not None and pause.step == step.name and pause.kind == "schemaMismatch":
        unknown += [name for name in pause.missing if name in arguments and name not in unknown]
    return arguments, unknown, lacking


def step_for(
    progress: Progress,
    tools: Mapping[str, ToolSchemas],
    *,
    tool: str | None = None,
    uri: str | None = None,
    step: str | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Step | None:
    """The open step that a client's call of a tool, or its reading of a resource, does.

    Where the workflow stands comes first, then the steps in order, then what was skipped. What a person has yet to
    agree to is not open, nor is anything behind it.

    Args:
        step: Only this one, whatever the arguments are; without it, they have to be those of the step.
    """
    pause = progress.pause
    first = () if pause is None else (pause.step, pause.producer)

    def rank(one: Step) -> tuple[bool, bool]:
        return one.name not in first, progress.state(one.name).status is StepStatus.SKIPPED

    found = []
    for one in progress.workflow.steps:
        if step in (None, one.name) and wants(one, progress, tool, uri) and is_open(one, progress):
            if step is None and tool is not None and not _agrees(one, progress, tools, arguments or {}):
                continue
            found.append(one)
    return next(iter(sorted(found, key=rank)), None)


def refusal(
    progress: Progress,
    tools: Mapping[str, ToolSchemas],
    guarded: Collection[str],
    *,
    tool: str | None = None,
    uri: str | None = None,
    step: str | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> str | None:
    """Why a call may not be made; None when it may, also when it is for no step.

    Args:
        guarded: Tools that run in their turn or not at all.
    """
    workflow = f"workflow {progress.workflow.name!r}"
    found = step_for(progress, tools, tool=tool, uri=uri, step=step, arguments=arguments)
    if found is not None:
        return _out_of_turn(found, progress, tools, arguments or {}) if tool in guarded else None
    if step is not None and step not in progress.positions:
        return f"{workflow} has no step {step!r}"
    if step is not None:
        return _not_open(progress.workflow.steps[progress.positions[step]], progress, tool, uri)
    for one, state in zip(progress.workflow.steps, progress.states, strict=True):
        # What a person refused is over for whoever calls its tool, too.
        if wants(one, progress, tool, uri) and not state.settled and progress.positions[one.name] >= progress.wall:
            return _behind(one, progress)
    if tool in guarded:
        return (
            f"tool {tool!r} runs only as a step, in its turn and with the arguments it has there; {workflow} has none"
        )
    return None


def is_open(one: Step, progress: Progress) -> bool:
    """Whether a client may do a step, as far as everybody's part in it goes."""
    state = progress.state(one.name)
    if progress.positions[one.name] >= progress.wall or progress.ending is not None or one.execution == "server":
        return False
    left_out = state.status is StepStatus.SKIPPED and state.by == "person"
    return state.status in OPEN and not state.running and not left_out


def wants(one: Step, progress: Progress, tool: str | None, uri: str | None) -> bool:
    """Whether a step calls this tool, or is still to read this resource."""
    return one.tool == tool if tool is not None else one.only_reads and uri in unread(one, progress)


def _agrees(one: Step, progress: Progress, tools: Mapping[str, ToolSchemas], given: Mapping[str, Any]) -> bool:
    """Whether a call says what the step says, as far as that is known."""
    known, unknown, _ = known_arguments(one, progress, tools)
    return all(name in given and same(given[name], wanted) for name, wanted in known.items() if name not in unknown)


def _out_of_turn(
    step: Step, progress: Progress, tools: Mapping[str, ToolSchemas], given: Mapping[str, Any]
) -> str | None:
    """Why a guarded tool may not be called for its step now."""
    if not progress.in_turn(step.name):
        return f"it is not the turn of step {step.name!r}, and its tool {step.tool!r} runs in its turn only"
    known, unknown, lacking = known_arguments(step, progress, tools)
    wrong = [name for name, wanted in known.items() if name not in unknown and not same(given.get(name), wanted)]
    wrong += [name for name in given if name not in known and name not in lacking]
    if wrong:
        return f"step {step.name!r} calls {step.tool!r} with other arguments, and with no others: {', '.join(wrong)}"
    return None


def _not_open(one: Step, progress: Progress, tool: str | None, uri: str | None) -> str:
    """Why a step that was named can't be done."""
    state = progress.state(one.name)
    if state.settled:
        return f"step {one.name!r} is over: it is {state.status}"
    if progress.positions[one.name] >= progress.wall:
        return _behind(one, progress)
    if not wants(one, progress, tool, uri):
        what = f"calls tool {one.tool!r}" if one.tool is not None else "only reads its resources"
        return f"step {one.name!r} {what}, which is not {tool or uri!r}"
    if state.running:
        return f"step {one.name!r} is being done just now"
    return f"step {one.name!r} is the server's own to do"


def _behind(one: Step, progress: Progress) -> str:
    asked = progress.workflow.steps[progress.wall] if progress.wall < len(progress.states) else one
    state = progress.state(asked.name)
    if state.status is StepStatus.REFUSED:
        return f"step {one.name!r} is not to be done: step {asked.name!r} was refused ({state.reason})"
    where = "" if asked is one else f", and step {asked.name!r} comes first"
    return f"step {one.name!r} is not to be done yet{where}: a person has to agree to it"
