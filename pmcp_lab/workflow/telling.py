"""The words of a workflow: the messages of its prompt, for people and models who know nothing of workflows, and the
list of what its client can do next. Everything is made of the progress alone, so a resumed workflow tells all of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from mcp.server.mcpserver.prompts.base import AssistantMessage, Message, UserMessage

from pmcp_lab.protocol import TaskStatus
from pmcp_lab.protocol.handoff import TO_CONTINUE, NextCall, StepStatus, text_of
from pmcp_lab.workflow.checking import ToolSchemas
from pmcp_lab.workflow.definition import SequentialWorkflow, Step
from pmcp_lab.workflow.plan import Progress, failure, question, question_key, unread
from pmcp_lab.workflow.resolving import Absent, Unresolved, fill, stand_in, told, value

MOST: Final = 20_000
"""Characters of one result that are told; a program finds all of it in the task."""


def next_calls(progress: Progress, tools: Mapping[str, ToolSchemas]) -> tuple[NextCall, ...]:
    """What the client can do, in the order of the steps; nothing while the workflow goes on by itself."""
    pause = progress.pause
    if pause is None or pause.step not in progress.positions:
        return ()
    workflow, found = progress.workflow, list[NextCall]()
    stands = progress.positions[pause.step]
    step = workflow.steps[stands]
    if pause.kind == "inputRequired":
        key, _ = question_key(step, progress)
        found.append(NextCall(kind="answer", target=key, step=step.name, request=question(step, progress)))
    if pause.producer is not None:
        found += _calls_of(workflow.steps[progress.positions[pause.producer]], progress, tools)
    variable = pause.raw.get("variable")
    if isinstance(variable, str):
        found.append(NextCall(kind="variable", target=variable, step=step.name, guidance=_guidance(step, progress)))
    for one in workflow.steps[stands:]:
        if progress.state(one.name).status is StepStatus.PENDING or one is step:
            found += _calls_of(one, progress, tools)
    if pause.retryable:
        found.append(NextCall(kind="resume", target=workflow.name, step=step.name))
    return tuple(found)


def _calls_of(step: Step, progress: Progress, tools: Mapping[str, ToolSchemas]) -> list[NextCall]:
    if step.execution == "server":
        return []
    guidance = _guidance(step, progress)
    if step.tool is None:
        uris = unread(step, progress) if step.only_reads else []
        return [NextCall(kind="read", target=uri, step=step.name, guidance=guidance) for uri in uris]
    arguments, missing = {}, []
    for name, source in step.arguments.items():
        try:
            arguments[name] = value(source, step, progress.scope)
        except Absent:
            continue
        except Unresolved:
            arguments[name] = stand_in(source, step, progress.scope)
            missing.append(name)
    tool = tools.get(step.tool)
    required = [] if tool is None else tool.input.get("required") or []
    missing += [name for name in required if name not in arguments]
    pause = progress.pause
    if pause is not None and pause.step == step.name and pause.kind == "schemaMismatch":
        missing += [name for name in pause.missing if name not in missing]
    return [
        NextCall(
            kind="call",
            target=step.tool,
            step=step.name,
            arguments=arguments,
            missing=tuple(missing),
            guidance=guidance,
        )
    ]


def _guidance(step: Step, progress: Progress) -> str | None:
    return None if step.guidance is None else told(step.guidance, step, progress.scope)


# --- messages ---


def messages(
    progress: Progress,
    calls: tuple[NextCall, ...],
    tools: Mapping[str, ToolSchemas],
    status: TaskStatus,
    read: Mapping[str, list[tuple[str, str]]],
) -> list[Message]:
    """The whole workflow as a conversation.

    Args:
        status: Of its task.
        read: By step, the URI and the text of what was read for its tool just now.
    """
    workflow = progress.workflow
    found = [_user(fill(text, progress.arguments)) for text in workflow.instructions]
    found += [_user(_intent(progress)), _assistant(_plan(workflow, tools))]
    for step in workflow.steps:
        found += _of_step(step, progress, read.get(step.name, []))
    if not status.terminal and progress.pause is not None:
        found.append(_assistant(_handoff(progress, calls)))
    elif status is TaskStatus.COMPLETED:
        found.append(_assistant(f"The workflow {workflow.name} is complete: every step is done."))
    elif status.terminal:
        found.append(_assistant(f"The workflow {workflow.name} is over: its task was {status}."))
    return found


def _intent(progress: Progress) -> str:
    workflow = progress.workflow
    what = workflow.description or f"run the workflow {workflow.name}"
    text = f"I want to {what[:1].lower()}{what[1:]}"
    if progress.arguments:
        text += "\n\nParameters:" + "".join(f'\n  - {name}: "{given}"' for name, given in progress.arguments.items())
    return text


def _plan(workflow: SequentialWorkflow, tools: Mapping[str, ToolSchemas]) -> str:
    lines = []
    for number, step in enumerate(workflow.steps, 1):
        if step.tool is not None:
            tool = tools.get(step.tool)
            what = step.tool + (f" - {tool.description.splitlines()[0]}" if tool and tool.description else "")
        elif step.only_reads:
            what = f"{step.name} - read {len(step.resources)} resource{'s' if len(step.resources) > 1 else ''}"
        else:
            what = f"{step.name} - ask a person"
        lines.append(f"{number}. {what}")
    return "Here's my plan:\n" + "\n".join(lines)


def _of_step(step: Step, progress: Progress, read: list[tuple[str, str]]) -> list[Message]:
    state, result = progress.state(step.name), progress.results.get(step.name)
    stands = progress.pause is not None and progress.pause.step == step.name
    found: list[Message] = []
    if step.guidance is not None and (result is not None or stands):
        found.append(_assistant(told(step.guidance, step, progress.scope)))
    for uri, text in read:
        found.append(_user(f"Resource content from {uri}:\n{_short(text)}"))
    if state.status is StepStatus.SKIPPED:
        found.append(_assistant(f"Step '{step.name}' is skipped: what it needs is not there."))
    if result is None or state.running:
        return found
    if step.only_reads:
        for block in result.raw.get("content") or ():
            resource = block.get("resource") or {}
            if block.get("type") == "resource":
                found.append(
                    _user(f"Resource content from {resource.get('uri')}:\n{_short(text_of({'content': [block]}))}")
                )
        if state.status is StepStatus.FAILED:
            found.append(_user(f"Error fetching resource {failure(step, progress)['uri']}: {result.text}"))
    elif step.tool is None:
        found.append(_user(f"Answer to '{told(step.question or '', step, progress.scope)}': {result.text}"))
    else:
        shown = json.dumps(dict(state.arguments or {}), indent=2, ensure_ascii=False)
        found.append(_assistant(f"Calling tool '{step.tool}' with parameters:\n{_short(shown)}"))
        if state.status is StepStatus.FAILED:
            found.append(_user(f"Error executing tool '{step.tool}': {_short(result.text)}"))
        else:
            value = result.value
            text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
            found.append(_user(f"Tool result:\n{_short(text)}"))
    return found


def _handoff(progress: Progress, calls: tuple[NextCall, ...]) -> str:
    pause = progress.pause
    assert pause is not None
    said = pause.message
    if pause.interrupted:
        said += " Nobody knows whether it took effect: look before it is done once more."
    elif pause.retryable:
        said += " It can be retried."
    lines = []
    for number, call in enumerate(calls, 1):
        lines.append(f"{number}. {_line(call)}")
        if call.guidance is not None:
            lines.append(f"   Note: {' '.join(call.guidance.split())}")
    how = f"{TO_CONTINUE}, in this order:" if lines else f"{TO_CONTINUE}, its server has to be looked after."
    return f"{said}\n\n{how}\n\n" + "\n".join(lines)


def _line(call: NextCall) -> str:
    match call.kind:
        case "call":
            arguments = json.dumps(dict(call.arguments), ensure_ascii=False, separators=(",", ":"))
            # On a line of its own, so that whoever reads these lines still finds JSON at the end of this one.
            lacking = [name for name in call.missing if name not in call.arguments]
            more = f"\n   Note: it also needs {', '.join(lacking)}" if lacking else ""
            return f"Call {call.target} with {arguments}{more}"
        case "read":
            return f"Read the resource {call.target}"
        case "answer":
            return "Answer the question of the task"
        case "variable":
            return f"Set the variable {call.target} of the task"
        case _:
            return f"Or get the prompt {call.target} again for the same task: the server tries once more"


def _short(text: str) -> str:
    return text if len(text) <= MOST else f"{text[:MOST]}… ({len(text)} characters)"


def _user(text: str) -> Message:
    return UserMessage(text)


def _assistant(text: str) -> Message:
    return AssistantMessage(text)
