"""What is wrong with a workflow, as far as one can know before it runs: everything at once, each with its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pmcp_lab.errors import LabError, VariableError, WorkflowInvalid, nearest
from pmcp_lab.protocol import workflow_wire
from pmcp_lab.protocol.durations import milliseconds
from pmcp_lab.protocol.json_schema import Draft202012Validator, SchemaError
from pmcp_lab.protocol.meta import check_variable_name
from pmcp_lab.workflow.checking_decisions import Problem, of_decision
from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.resolving import placeholders
from pmcp_lab.workflow.steps import (
    Constant,
    PromptArg,
    Sources,
    Step,
    StepOutput,
    TaskVariable,
    Template,
)


@dataclass(frozen=True, slots=True)
class ToolSchemas:
    """What a tool says of itself."""

    input: Mapping[str, Any] = field(default_factory=dict)
    output: Mapping[str, Any] | None = None
    description: str = ""


def check(workflow: SequentialWorkflow, tools: Mapping[str, ToolSchemas] | None = None) -> list[Problem]:
    """Find everything that can be known before running.

    Args:
        tools: Those of the server, by name; None leaves out what depends on them.

    Returns:
        What is odd, and stops nothing.

    Raises:
        WorkflowInvalid: With every problem.
    """
    problems = list(_of_workflow(workflow))
    for position, step in enumerate(workflow.steps):
        where = f"step {step.name!r}" if step.name else f"step {position + 1}"
        problems += [(where + (f", {place}" if place else ""), what) for place, what in _of_step(workflow, step)]
        problems += [(f"{where}, {place}", what) for place, what in of_decision(workflow, step)]
        if tools is not None and step.tool is not None:
            problems += [(f"{where}, {place}", what) for place, what in _of_tool(workflow, step, tools)]
        if tools is not None and step.undo is not None:
            problems += [(f"{where}, {place}", what) for place, what in _of_undo(workflow, step, tools)]
    if problems:
        raise WorkflowInvalid(workflow.name, list(dict.fromkeys(problems)))
    return [(f"argument {name!r}", "no step uses it") for name in _unused(workflow)]


def _of_workflow(workflow: SequentialWorkflow) -> Iterator[Problem]:
    if not workflow.name:
        yield "name", "is empty"
    if not workflow.steps:
        yield "steps", "there are none"
    try:
        milliseconds(workflow.ttl)
    except ValueError as error:
        yield "ttl", str(error)
    for what, names in (
        ("argument", [one.name for one in workflow.arguments]),
        ("step", [one.name for one in workflow.steps]),
        ("binding", [one.bind for one in workflow.steps if one.bind is not None]),
    ):
        for name, count in Counter(names).items():
            if not name:
                yield what, "has an empty name"
            elif count > 1:
                yield f"{what} {name!r}", f"there are {count} of that name"
    declared = {one.name for one in workflow.arguments}
    used = {name for text in workflow.instructions for name in placeholders(text)}
    for name in sorted(used - declared):
        yield "instructions", f"{{{name}}} is no argument of the prompt.{nearest(name, declared)}"


def _unused(workflow: SequentialWorkflow) -> list[str]:
    used = {name for text in workflow.instructions for name in placeholders(text)}
    for step in workflow.steps:
        used |= {name for text in _texts_of(step) for name in placeholders(text) if name not in step.values}
        used |= {source.prompt for _, source in sources_of(step) if isinstance(source, PromptArg)}
    return [one.name for one in workflow.arguments if one.name not in used]


def _of_step(workflow: SequentialWorkflow, step: Step) -> Iterator[Problem]:
    yield from _of_kind(step)
    before = workflow.steps[: workflow.steps.index(step)]
    earlier = {one.bind for one in before if one.bind is not None}
    declared = {one.name for one in workflow.arguments}
    for place, source in sources_of(step):
        # What takes a step back comes after it, and has what it gave.
        own = {step.bind} if place.startswith("undo") and step.bind is not None else set[str]()
        bound = earlier | own
        later = {one.bind for one in workflow.steps if one.bind is not None} - bound
        match source:
            case PromptArg(prompt=name) if name not in declared:
                yield place, f"{name!r} is no argument of the prompt.{nearest(name, declared)}"
            case StepOutput(output=name) if name in later:
                yield place, f"{name!r} is bound by this step or a later one"
            case StepOutput(output=name) if name not in bound:
                yield place, f"no step binds {name!r}.{nearest(name, bound)}"
            case TaskVariable(variable=name):
                try:
                    check_variable_name(name)
                except VariableError as error:
                    yield place, error.message
                if name.startswith(workflow_wire.VARIABLES):
                    yield place, f"{name!r} is the workflow's own; use the output of a step"
            case _:
                pass
    known = declared | step.values.keys()
    for place, text in _placed_texts(step):
        for name in placeholders(text):
            if name not in known:
                yield (
                    place,
                    f"{{{name}}} is neither an argument of the prompt nor one of `values`.{nearest(name, known)}",
                )
    for name in step.values:
        if name in declared:
            yield f"values {name!r}", "is an argument of the prompt too"
        elif all(name not in placeholders(text) for text in _texts_of(step)):
            yield f"values {name!r}", "no text of the step uses it"


def _of_kind(step: Step) -> Iterator[Problem]:
    """What belongs to which kind of step."""
    if len((workflow_wire.RESULT + step.name).encode("utf-8", errors="surrogatepass")) > 256:
        yield "name", "is too long"
    for uri in step.resources:
        if "://" not in uri:
            yield "resources", f"{uri!r} is no URI: it has no '://'"
    manual = step.execution == "manual"
    if step.only_reads:
        if not step.resources:
            yield "resources", "a step without a tool and without a question needs at least one resource"
        if step.arguments:
            yield "arguments", "a step that only reads resources cannot have tool arguments"
        if step.bind is not None:
            yield "bind", "a step that only reads resources cannot have output bindings"
    if manual and step.tool is None and step.arguments:
        yield "arguments", "there is no tool to take them"
    if step.tool is None:
        if step.guarded:
            yield "guarded", "there is no tool to be guarded"
        if step.undo is not None:
            yield "undo", "a step that calls no tool has done nothing that could be taken back"
    if step.retries and not step.retryable:
        yield "retries", "a step that is not retryable is never tried again; say retryable=True if it may run twice"
    if step.execution == "client" and (step.retries or step.timeout is not None):
        yield "execution", "the client runs this step: the server can neither repeat nor time it"


def _of_tool(workflow: SequentialWorkflow, step: Step, tools: Mapping[str, ToolSchemas]) -> Iterator[Problem]:
    tool = tools.get(step.tool or "")
    if tool is None:
        yield "tool", f"the server has no tool {step.tool!r}.{nearest(step.tool or '', tools)}"
        return
    yield from _of_arguments(workflow, step.tool or "", tool, step.arguments, "arguments", tools)
    properties, closed = _takes(tool)
    for name, asked in step.answer.items():
        if name not in properties and closed and name in step.proceed_if:
            continue
        if name not in properties and closed:
            yield f"answer {name!r}", f"tool {step.tool!r} takes no {name!r}.{nearest(name, properties)}"
        elif name in properties:
            given, wanted = json_types({}, asked), json_types(tool.input, properties[name])
            if given and wanted and not _fits(given, wanted):
                yield f"answer {name!r}", f"tool {step.tool!r} wants {_or(wanted)}, and this is {_or(given)}"


def _of_undo(workflow: SequentialWorkflow, step: Step, tools: Mapping[str, ToolSchemas]) -> Iterator[Problem]:
    assert step.undo is not None
    tool = tools.get(step.undo.tool)
    if tool is None:
        yield "undo", f"the server has no tool {step.undo.tool!r}.{nearest(step.undo.tool, tools)}"
        return
    yield from _of_arguments(workflow, step.undo.tool, tool, step.undo.arguments, "undo", tools)
    lacking = [name for name in tool.input.get("required") or [] if name not in step.undo.arguments]
    if lacking:
        yield "undo", f"tool {step.undo.tool!r} needs {', '.join(lacking)}, and nobody is there to add it"


def _of_arguments(
    workflow: SequentialWorkflow,
    name: str,
    tool: ToolSchemas,
    arguments: Mapping[str, Sources],
    where: str,
    tools: Mapping[str, ToolSchemas],
) -> Iterator[Problem]:
    properties, closed = _takes(tool)
    for argument, source in arguments.items():
        place = f"{where} {argument!r}"
        if argument not in properties:
            if closed:
                yield place, f"tool {name!r} takes no {argument!r}.{nearest(argument, properties)}"
            continue
        schema = properties[argument]
        if isinstance(source, Constant):
            yield from ((place, what) for what in _misfits(tool.input, schema, source.constant))
        else:
            given = _types_of(workflow, source, tools)
            wanted = json_types(tool.input, schema)
            if given and wanted and not _fits(given, wanted):
                yield place, f"tool {name!r} wants {_or(wanted)}, and this is {_or(given)}"
        if isinstance(source, StepOutput) and source.field is not None:
            yield from ((place, what) for what in _no_field(workflow, source, tools))


def _takes(tool: ToolSchemas) -> tuple[Mapping[str, Any], bool]:
    """The arguments a tool names, and whether it takes no others."""
    properties = tool.input.get("properties")
    closed = not tool.input.get("additionalProperties", False)
    return (properties if isinstance(properties, Mapping) else {}), closed


def takes(tool: ToolSchemas, argument: str) -> bool:
    """Whether a tool takes an argument of this name."""
    properties, closed = _takes(tool)
    return argument in properties or not closed


def _misfits(root: Mapping[str, Any], schema: Any, value: Any) -> list[str]:
    try:
        validator = Draft202012Validator(_within(root, schema))
        return sorted(f"the constant does not fit the tool: {error.message}" for error in validator.iter_errors(value))
    except SchemaError:
        return []


def _within(root: Mapping[str, Any], schema: Any) -> Mapping[str, Any]:
    """A property's schema, with the definitions its references point to."""
    body = dict(schema) if isinstance(schema, Mapping) else {}
    return {**{key: root[key] for key in ("$defs", "definitions") if key in root}, **body}


def _no_field(workflow: SequentialWorkflow, source: StepOutput, tools: Mapping[str, ToolSchemas]) -> list[str]:
    """Where a field of an output is certain not to be there."""
    try:
        _field_types(workflow, source, tools)
    except LabError as error:
        return [error.message]
    return []


def _types_of(workflow: SequentialWorkflow, source: Sources, tools: Mapping[str, ToolSchemas]) -> frozenset[str]:
    """The JSON types a source may have; empty when that is not known."""
    match source:
        case PromptArg(prompt=name):
            return frozenset(one.type for one in workflow.arguments if one.name == name)
        case Template():
            return frozenset({"string"})
        case StepOutput():
            try:
                return _field_types(workflow, source, tools)
            except LabError:
                return frozenset()
        case _:
            return frozenset()


def _field_types(workflow: SequentialWorkflow, source: StepOutput, tools: Mapping[str, ToolSchemas]) -> frozenset[str]:
    """Raises `LabError` where the output's schema has no such field."""
    step = next((one for one in workflow.steps if one.bind == source.output), None)
    parts = [] if source.field is None else source.field.split(".")
    schema: Any
    if step is not None and step.execution == "manual" and step.tool is None:
        root: Mapping[str, Any] = {"type": "object", "properties": step.answer}
        schema = root
    else:
        tool = None if step is None or step.tool is None else tools.get(step.tool)
        if tool is None or tool.output is None:
            return frozenset()
        root, schema = tool.output, tool.output
        properties = schema.get("properties")
        if isinstance(properties, Mapping) and set(properties) == {"result"}:
            schema = properties["result"]
    for part in parts:
        schema = _resolved(root, schema)
        properties, items = schema.get("properties"), schema.get("items")
        if json_types(root, schema) == {"array"} and isinstance(items, Mapping) and part.isdigit():
            schema = items
        elif isinstance(properties, Mapping) and part in properties:
            schema = properties[part]
        elif isinstance(properties, Mapping) and not schema.get("additionalProperties", False):
            raise LabError(f"{source.output!r} has no field {source.field!r}.{nearest(part, properties)}")
        else:
            return frozenset()
    return json_types(root, schema)


def _resolved(root: Mapping[str, Any], schema: Any) -> Mapping[str, Any]:
    """The schema behind a local reference."""
    for _ in range(10):
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        schema = root
        for part in reference[2:].split("/"):
            schema = schema.get(part, {}) if isinstance(schema, Mapping) else {}
    return schema if isinstance(schema, Mapping) else {}


def json_types(root: Mapping[str, Any], schema: Any) -> frozenset[str]:
    """The JSON types that a schema allows; empty when it does not say."""
    schema = _resolved(root, schema)
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset({kind})
    if isinstance(kind, list):
        return frozenset(map(str, kind))
    for several in ("anyOf", "oneOf"):
        if isinstance(options := schema.get(several), list):
            found = [json_types(root, option) for option in options]
            return frozenset().union(*found) if all(found) else frozenset()
    return frozenset()


def _fits(given: Iterable[str], wanted: frozenset[str]) -> bool:
    """Whether a value of one of these types may be one of those.."""
    return any(kind in wanted or (kind == "integer" and "number" in wanted) for kind in given) or (
        # 3.0 is a whole number.
        "number" in given and "integer" in wanted
    )


def _or(kinds: Iterable[str]) -> str:
    return " or ".join(sorted(kinds))


def sources_of(step: Step) -> Iterator[tuple[str, Sources]]:
    for name, source in step.arguments.items():
        yield f"arguments {name!r}", source
    for name, source in step.values.items():
        yield f"values {name!r}", source
    for name, source in step.undo.arguments.items() if step.undo is not None else ():
        yield f"undo {name!r}", source


def _placed_texts(step: Step) -> Iterator[tuple[str, str]]:
    for place, text in (("guidance", step.guidance), ("question", step.question)):
        if text is not None:
            yield place, text
    for uri in step.resources:
        yield "resources", uri
    for place, source in sources_of(step):
        if isinstance(source, Template):
            yield place, source.template


def _texts_of(step: Step) -> list[str]:
    return [text for _, text in _placed_texts(step)]
