"""How far a workflow is, as it is kept in its task: mostly in variables, which everybody may read.

What is too big for a variable is kept beside the job, and a word in the variable says so: no result is lost, and none
stands in the way of another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from msgspec import structs

from pmcp_lab.errors import LimitExceeded, TaskError, VariableError
from pmcp_lab.protocol import TaskStatus, workflow_wire
from pmcp_lab.protocol.workflow_wire import NextCall, StepResult, StepState, StepStatus, WorkflowState, read_result
from pmcp_lab.server.compat import CLIENT_RESULT
from pmcp_lab.tasks import Job, Limits, TaskRecord
from pmcp_lab.tasks.json_value import compact_json, plain_json
from pmcp_lab.tasks.variables import merge
from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.progress import Progress
from pmcp_lab.workflow.wording import ended

KEPT = "kept"
"""Key of `Job.context`: results by step that no variable holds."""

WORKFLOW_FAILED = -32000
"""Code of the error of a workflow that a person, or a deadline, let fail."""

_SHOWN = 2_048
"""Bytes of a step's arguments that are said in its progress, and of a result that is small."""


def job(workflow: SequentialWorkflow, arguments: Mapping[str, str], protocol: str) -> Job:
    """What a workflow's task is for. No tool can have this name."""
    context = {CLIENT_RESULT: True, "protocol": protocol}
    return Job(tool=f"workflow {workflow.name}", arguments=dict(arguments), context=context)


def load(
    record: TaskRecord, workflow: SequentialWorkflow, now: datetime | None = None, skew: timedelta = timedelta()
) -> Progress:
    """How far the task's workflow is.

    Args:
        now, skew: See `Progress`.

    Raises:
        TaskError: It was begun with other steps than the workflow has now, or is no task of this workflow.
    """
    found = workflow_wire.read_task(record.task_id, record.status, record.variables)
    if found is None or record.method != workflow.name:
        raise TaskError(f"task {record.task_id} is none of workflow {workflow.name!r}", record.task_id)
    states = {state.name: state for state in found.steps}
    if list(states) != [step.name for step in workflow.steps]:
        raise TaskError(
            f"task {record.task_id} was begun with another version of workflow {workflow.name!r} "
            f"(its steps are {', '.join(states)}): start a new one",
            record.task_id,
        )
    kept = {} if record.job is None else record.job.context.get(KEPT) or {}
    results = {name: state.result for name, state in states.items() if state.result is not None}
    results |= {name: read_result(raw) for name, raw in kept.items()}
    return Progress(
        workflow,
        tuple(
            # The definition says who does a step; what is recorded says how it stands.
            replace(
                states[step.name],
                result=None,
                tool=step.tool,
                execution=step.execution,
                undo=None if step.undo is None else step.undo.tool,
            )
            for step in workflow.steps
        ),
        results=results,
        pause=found.pause,
        arguments={} if record.job is None else {name: str(given) for name, given in record.job.arguments.items()},
        variables={
            name: held for name, held in record.variables.items() if not name.startswith(workflow_wire.VARIABLES)
        },
        questions=frozenset(record.questions),
        answers=record.answers,
        ending=found.ending,
        now=now,
        skew=skew,
    )


def variables_of(progress: Progress, calls: tuple[NextCall, ...], steps: list[Any] | None = None) -> dict[str, Any]:
    """The workflow's own variables, results aside.

    Args:
        steps: As they are said in the progress, where that was made already.
    """
    workflow = progress.workflow
    goal = f"{workflow.name}: {workflow.description}" if workflow.description else workflow.name
    found: dict[str, Any] = {
        workflow_wire.PROGRESS: {
            "goal": goal,
            "name": workflow.name,
            "steps": steps or [workflow_wire.encode_step(shown(state)) for state in progress.states],
            "schemaVersion": workflow_wire.SCHEMA_VERSION,
            **({} if progress.ending is None else {"ending": workflow_wire.encode_ending(progress.ending)}),
        }
    }
    if progress.pause is not None:
        found[workflow_wire.PAUSE] = dict(progress.pause.raw)
        found[workflow_wire.CALLS] = [workflow_wire.encode_call(call) for call in calls]
    return found


def shown(state: StepState) -> StepState:
    """The step without arguments that are too big to be said."""
    if not state.arguments:
        return state
    return state if len(compact_json(state.arguments)) <= _SHOWN else replace(state, arguments=None)


def written(
    record: TaskRecord, before: Progress, after: Progress, calls: tuple[NextCall, ...], limits: Limits
) -> dict[str, Any]:
    """What changes in the record with this progress.

    Raises:
        LimitExceeded: A result is too big to be kept at all.
    """
    said = record.variables[workflow_wire.PROGRESS]["steps"]
    steps = [
        one if state is old else workflow_wire.encode_step(shown(state))
        for one, old, state in zip(said, before.states, after.states, strict=True)
    ]
    variables = {
        name: held for name, held in record.variables.items() if name not in (workflow_wire.PAUSE, workflow_wire.CALLS)
    } | variables_of(after, calls, steps)
    kept = {} if record.job is None else dict(record.job.context.get(KEPT) or {})
    for name, result in after.results.items():
        if before.results.get(name) is result:
            continue
        kept.pop(name, None)
        if _small(result.raw, limits):
            variables[workflow_wire.RESULT + name] = result.raw
            continue
        try:
            variables = merge(variables, {workflow_wire.RESULT + name: result.raw}, limits)
        except VariableError:
            kept[name] = dict(result.raw)
            variables[workflow_wire.RESULT + name] = _omitted(result)
    job = record.job
    if job is None or (kept == (job.context.get(KEPT) or {}) and after.arguments == job.arguments):
        return {"variables": variables}
    plain_json(kept, "the results of the steps", limits.result_bytes)
    context = {**job.context, KEPT: kept} if kept else job.context
    return {"variables": variables, "job": structs.replace(job, arguments=dict(after.arguments), context=context)}


def with_extra(record: TaskRecord, tool: str, raw: Mapping[str, Any], limits: Limits) -> TaskRecord:
    """The record with the result of a tool that no step wanted.

    Raises:
        VariableError: It does not fit.
    """
    return structs.replace(record, variables=merge(record.variables, {workflow_wire.EXTRA + tool: dict(raw)}, limits))


def finished(progress: Progress, limits: Limits) -> dict[str, Any]:
    """What changes in the record when nothing is left to be done: how it ended, with what its steps gave."""
    done = sum(state.status is StepStatus.COMPLETED for state in progress.states)
    facts: dict[str, Any] = {"completed": True, "steps_completed": done}
    outputs = dict(progress.scope.outputs)
    line = f"Workflow {progress.workflow.name} is complete: {done} of {len(progress.states)} steps."
    if (ending := progress.ending) is not None:
        line = ended(progress)
        about = workflow_wire.encode_ending(ending)
        facts |= {"completed": ending.kind == "skipped", about.pop("kind"): about}
        for name, what in (("taken_back", "undone"), ("not_taken_back", "failed")):
            steps = [state.name for state in reversed(progress.states) if state.undone == what]
            facts |= {name: steps} if steps else {}
        if ending.kind == "failed":
            error = {"code": WORKFLOW_FAILED, "message": line, "data": facts}
            return {"status": TaskStatus.FAILED, "message": line, "error": error, "lease": None}
    try:
        result = plain_json(_result(line, facts | {"outputs": outputs}), "the result", limits.result_bytes)
    except LimitExceeded:
        result = _result(line, facts)
    share = 1.0 if facts["completed"] else progress.settled / len(progress.states)
    return {"status": TaskStatus.COMPLETED, "message": line, "progress": share, "result": result, "lease": None}


def state_of(record: TaskRecord, progress: Progress, calls: tuple[NextCall, ...], **more: Any) -> WorkflowState:
    """What is said on the wire."""
    live = record.live
    return WorkflowState(
        task_id=record.task_id,
        status=record.status.value,
        name=progress.workflow.name,
        goal=progress.workflow.description or None,
        steps=tuple(shown(state) for state in progress.states),
        pause=progress.pause if live else None,
        calls=calls if live else (),
        ending=progress.ending,
        **more,
    )


def _result(line: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": line}], "structuredContent": dict(facts), "isError": False}


def _small(raw: Mapping[str, Any], limits: Limits) -> bool:
    """Whether a result fits a variable for certain, which takes longer to find out of one that may not.

    What all variables may take together is not looked at: a workflow has so many steps and no more.
    """
    text = compact_json(raw)
    brackets = text.count(b"{") + text.count(b"[")
    return len(text) <= min(_SHOWN, limits.variable_string) and brackets <= limits.variable_depth


def _omitted(result: StepResult) -> dict[str, Any]:
    size = len(json.dumps(result.raw))
    line = f"({size} characters, which is more than a variable holds; the server keeps it)"
    meta = {workflow_wire.WORKFLOW: {"omitted": True}}
    return {"content": [{"type": "text", "text": line}], "isError": result.is_error, "_meta": meta}
