"""What is wrong with the questions of a workflow: who asks, what nobody reads, which deadline leads nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pmcp_lab.errors import nearest
from pmcp_lab.protocol.durations import milliseconds
from pmcp_lab.protocol.json_schema import Draft202012Validator, SchemaError
from pmcp_lab.workflow.deciding import misfit
from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.steps import Step, StepOutput

Problem = tuple[str, str]
"""Where, and what."""

_ANSWERS = frozenset({"string", "number", "integer", "boolean", "array"})

_OF_MANUAL = ("question", "answer", "proceed_if", "within", "otherwise")


def of_decision(workflow: SequentialWorkflow, step: Step) -> Iterator[Problem]:
    """The problems of one step."""
    if step.execution != "manual":
        for name in _OF_MANUAL:
            if getattr(step, name) not in (None, {}):
                yield name, "only a step with execution='manual' asks"
        if step.on_no != "stop":
            yield "on_no", "only a step with execution='manual' asks"
        return
    if not step.question:
        yield "question", "a manual step has to ask something"
    if step.optional:
        yield "optional", "nothing goes past a person: say with on_no= what becomes of the workflow after a no"
    for name, schema in step.answer.items():
        if schema.get("type") not in _ANSWERS and "enum" not in schema and "oneOf" not in schema:
            yield f"answer {name!r}", f"{schema.get('type')!r} is no type of a form: {', '.join(sorted(_ANSWERS))}"
        if name in step.arguments:
            yield f"answer {name!r}", "is among the arguments too"
        if schema.get("type") == "boolean" and not _is_used(workflow, step, name):
            yield f"answer {name!r}", f"nothing reads it, so a no would change nothing: say proceed_if={name!r}"
    yield from _of_condition(step)
    yield from _of_deadline(step)


def _is_used(workflow: SequentialWorkflow, step: Step, field: str) -> bool:
    if field in step.proceed_if or step.tool is not None:
        # A tool that does not take it is another problem.
        return True
    later = workflow.steps[workflow.steps.index(step) + 1 :]
    sources = [
        source
        for one in later
        for given in (one.arguments, one.values, one.undo.arguments if one.undo is not None else {})
        for source in given.values()
    ]
    return any(
        isinstance(source, StepOutput)
        and source.output == step.bind
        and (source.field is None or source.field.split(".")[0] == field)
        for source in sources
    )


def _of_condition(step: Step) -> Iterator[Problem]:
    for name, wanted in step.proceed_if.items():
        if name not in step.answer:
            yield "proceed_if", f"the answer has no {name!r}.{nearest(name, step.answer)}"
            continue
        values = wanted if isinstance(wanted, list) else [wanted]
        if not values:
            yield "proceed_if", f"no value of {name!r} would do"
        for value in values:
            if not _may_be(step.answer[name], value):
                yield "proceed_if", f"{name!r} is never {value!r}"


def _may_be(schema: dict[str, Any], value: Any) -> bool:
    try:
        return Draft202012Validator(schema).is_valid(value)
    except SchemaError:
        return True


def _of_deadline(step: Step) -> Iterator[Problem]:
    if step.within is None:
        if step.otherwise is not None:
            yield "otherwise", "counts when nobody answered within a time: say within="
        return
    try:
        if not milliseconds(step.within):
            yield "within", "nobody can answer within no time"
    except ValueError as error:
        yield "within", str(error)
    if step.otherwise is None:
        yield "within", "has no outcome: say with otherwise= what counts then: 'stop', 'skip', 'fail' or an answer"
    elif isinstance(step.otherwise, dict):
        wrong = misfit(step, {"action": "accept", "content": step.otherwise})
        if wrong is not None:
            yield "otherwise", f"does not fit the form of the answer: {wrong}"
