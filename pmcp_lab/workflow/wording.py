"""The words of a workflow: the messages of its prompt, for people and models who know nothing of workflows, and the
list of what its client can do next. Everything is made of the progress alone, so a resumed workflow tells all of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from mcp.server.mcpserver.prompts.base import AssistantMessage, Message, UserMessage

from pmcp_lab.protocol import TaskStatus
from pmcp_lab.protocol.workflow_wire import TO_CONTINUE, NextCall, StepStatus, ending_text, text_of
from pmcp_lab.workflow.asking import question
from pmcp_lab.workflow.checking import ToolSchemas
from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.matching import known_arguments
from pmcp_lab.workflow.plan import failure, may_run_again, unread
from pmcp_lab.workflow.progress import Progress
from pmcp_lab.workflow.resolving import fill, fill_known
from pmcp_lab.workflow.steps import Step

MOST: Final = 20_000
"""Characters of one result that are told; a program finds all of it in the task."""


def next_calls(progress: Progress, tools: Mapping[str, ToolSchemas]) -> tuple[NextCall, ...]:
    """What the client can do, in the order of the steps; nothing while the workflow goes on by itself.

    What a person has yet to agree to ends the list.
    """
    pause = progress.pause
    if pause is None or pause.step not in progress.positions or progress.ending is not None:
        return ()
    workflow, found = progress.workflow, list[NextCall]()
    stands = progress.positions[pause.step]
    step = workflow.steps[stands]
    if not _repeatable(step, progress):
        return ()
    if pause.kind == "inputRequired":
        key = pause.raw.get("question")
        if isinstance(key, str):
            found.append(NextCall(kind="answer", target=key, step=step.name, request=question(step, progress)))
    if pause.producer is not None:
        found += _calls_of(workflow.steps[progress.positions[pause.producer]], progress, tools)
    variable = pause.raw.get("variable")
    if isinstance(variable, str):
        found.append(NextCall(kind="variable", target=variable, step=step.name, guidance=_guidance(step, progress)))
    for one in workflow.steps[stands : progress.wall]:
        if progress.state(one.name).status is StepStatus.PENDING or one is step:
            found += _calls_of(one, progress, tools)
    if pause.retryable:
        found.append(NextCall(kind="resume", target=workflow.name, step=step.name))
    return tuple(found)


def answering(calls: tuple[NextCall, ...], progress: Progress, task_id: str, tool: str) -> tuple[NextCall, ...]:
    """The calls for a client that can't be asked: it has a tool for the answer."""
    pause = progress.pause
    if pause is None or pause.kind != "inputRequired" or progress.ending is not None:
        return calls
    step = progress.workflow.steps[progress.positions[pause.step]]
    asked = question(step, progress)
    schema = json.dumps(asked["params"]["requestedSchema"], ensure_ascii=False, separators=(",", ":"))
    guidance = (
        f"A person has to decide this: put the question to them and pass on what they say, never decide it yourself. "
        f"The question is: {asked['params']['message']} The action is accept or decline"
        + (f", and with accept the content has to fit {schema}" if step.answer else "")
    )
    call = NextCall(
        kind="call",
        target=tool,
        step=step.name,
        arguments={"task_id": task_id, "step": step.name},
        missing=("action", "content") if step.answer else ("action",),
        guidance=guidance,
        request=asked,
    )
    return (
        *(each for each in calls if each.kind == "answer"),
        call,
        *(each for each in calls if each.kind != "answer"),
    )


def _repeatable(step: Step, progress: Progress) -> bool:
    """Whether a step can be done, as far as what came of it before goes."""
    return progress.state(step.name).status is not StepStatus.FAILED or may_run_again(step, progress)


def _calls_of(step: Step, progress: Progress, tools: Mapping[str, ToolSchemas]) -> list[NextCall]:
    if step.execution == "server" or progress.positions[step.name] >= progress.wall:
        return []
    state = progress.state(step.name)
    left_out = state.status is StepStatus.SKIPPED and state.by == "person"
    if left_out or not _repeatable(step, progress) or (step.guarded and not progress.in_turn(step.name)):
        return []
    guidance = _guidance(step, progress)
    if step.tool is None:
        uris = unread(step, progress) if step.only_reads else []
        return [NextCall(kind="read", target=uri, step=step.name, guidance=guidance) for uri in uris]
    arguments, unknown, lacking = known_arguments(step, progress, tools)
    return [
        NextCall(
            kind="call",
            target=step.tool,
            step=step.name,
            arguments=arguments,
            missing=(*unknown, *lacking),
            guidance=guidance,
        )
    ]


def _guidance(step: Step, progress: Progress) -> str | None:
    return None if step.guidance is None else fill_known(step.guidance, step, progress.scope)


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
    given = {one.name: "" for one in workflow.arguments if not one.required} | dict(progress.arguments)
    found = [_user(fill(text, given)) for text in workflow.instructions]
    found += [_user(_intent(progress)), _assistant(_plan(workflow, tools))]
    for step in workflow.steps:
        found += _of_step(step, progress, read.get(step.name, []))
    if not status.terminal and progress.pause is not None:
        found.append(_assistant(_handoff(progress, calls)))
    elif status.terminal and progress.ending is not None:
        found.append(_assistant(ended(progress)))
    elif status is TaskStatus.COMPLETED and progress.settled == len(progress.states):
        found.append(_assistant(f"The workflow {workflow.name} is complete: every step is done."))
    elif status.terminal:
        found.append(_assistant(f"The workflow {workflow.name} is over: its task was {status}."))
    return found


def ended(progress: Progress) -> str:
    """Why the workflow ended before its last step, and what became of what it had done."""
    assert progress.ending is not None
    return ending_text(progress.workflow.name, progress.ending, progress.states)


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
        found.append(_assistant(fill_known(step.guidance, step, progress.scope)))
    for uri, text in read:
        found.append(_user(f"Resource content from {uri}:\n{_short(text)}"))
    if state.status is StepStatus.SKIPPED:
        why = state.reason or "what it needs is not there"
        who = " by a person" if state.by == "person" else ""
        found.append(_assistant(f"Step '{step.name}' is skipped{who}: {why}."))
        return found
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
    elif state.status is StepStatus.REFUSED:
        found.append(_user(f"Answer to '{fill_known(step.question or '', step, progress.scope)}': no ({result.text})"))
    elif step.tool is None:
        found.append(_user(f"Answer to '{fill_known(step.question or '', step, progress.scope)}': {result.text}"))
    else:
        shown = json.dumps(dict(state.arguments or {}), indent=2, ensure_ascii=False)
        found.append(_assistant(f"Calling tool '{step.tool}' with parameters:\n{_short(shown)}"))
        if state.status is StepStatus.FAILED:
            found.append(_user(f"Error executing tool '{step.tool}': {_short(result.text)}"))
        else:
            value = result.value
            text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
            found.append(_user(f"Tool result:\n{_short(text)}"))
    if state.undone is not None:
        what = "is taken back" if state.undone == "undone" else f"could not be taken back: {state.reason}"
        found.append(_assistant(f"Step '{step.name}' {what}."))
    return found


def _handoff(progress: Progress, calls: tuple[NextCall, ...]) -> str:
    pause = progress.pause
    assert pause is not None
    said = pause.message
    shown = [
        call for call in calls if call.kind != "answer" or not any(one.request for one in calls if one.kind == "call")
    ]
    if pause.deadline is not None:
        said += f" It decides itself at {pause.deadline}."
    if pause.interrupted:
        said += " Nobody knows whether it took effect: look before it is done once more."
    elif pause.retryable:
        said += " It can be retried."
    lines = []
    for number, call in enumerate(shown, 1):
        lines.append(f"{number}. {_line(call)}")
        if call.guidance is not None:
            lines.append(f"   Note: {' '.join(call.guidance.split())}")
    if lines:
        how = f"{TO_CONTINUE}, in this order:"
    elif progress.state(pause.step).status is StepStatus.FAILED:
        how = (
            f"{TO_CONTINUE}, a person has to look after step {pause.step!r}, which may not be repeated. "
            "They can skip it with a reason, or do it with a call that names the step."
        )
    else:
        how = f"{TO_CONTINUE}, its server has to be looked after."
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
