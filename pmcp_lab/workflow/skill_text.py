"""A workflow told as a SKILL.md: what a model needs to do its steps itself, in the order of sections that PMCP has.

Deterministic: the same workflow is the same bytes. No schemas, retries or timeouts: whoever reads it has the tools.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

from pmcp_lab.protocol.front_matter import NAME_LENGTH
from pmcp_lab.workflow.steps import Argument, Constant, PromptArg, Sources, Step, StepOutput, TaskVariable

_WHO: Final = {
    "server": "Only the server does this step: have it run the workflow, see below.",
    "client": "Only you can do this step; the server does not.",
    "manual": "A person has to agree before this step and everything after it.",
}
_ON_NO: Final = {"stop": "stop there", "skip": "leave out the rest; that counts as done", "fail": "the workflow fails"}


def skill_name(workflow: str) -> str:
    """The name of a workflow's skill: lower case, with a hyphen for what a skill's name can't have."""
    slug = re.sub(r"[^a-z0-9]+", "-", workflow.lower()).strip("-")[:NAME_LENGTH].strip("-")
    return slug or f"workflow-{hashlib.sha256(workflow.encode()).hexdigest()[:8]}"


def skill_text(
    name: str,
    title: str | None,
    description: str,
    instructions: Sequence[str],
    arguments: Sequence[Argument],
    steps: Sequence[Step],
) -> str:
    """The SKILL.md of a workflow with these parts."""
    sections = [
        f"---\nname: {_quoted(skill_name(name))}\ndescription: {_quoted(description)}\n---",
        f"# {_line(title or name)}",
        description.strip(),
    ]
    if any("{" in text for text in (*instructions, *(each for step in steps for each in _texts(step)))):
        sections.append("In what follows, `{name}` stands for the input, or the value of the step, of that name.")
    if instructions:
        sections += ["## Context", *(text.strip() for text in instructions)]
    if arguments:
        sections += ["## Inputs", "\n".join(map(_input, arguments))]
    if steps:
        sections += ["## Procedure"]
        names = {argument.name: argument for argument in arguments}
        sections += ["\n".join(_step(number, step, names)) for number, step in enumerate(steps, 1)]
    sections += ["## On the server", _pointer(name, arguments)]
    return "\n\n".join(filter(None, sections)) + "\n"


def _input(argument: Argument) -> str:
    needed = "required" if argument.required else "optional"
    said = f": {_line(argument.description)}" if argument.description else ""
    return f"- `{argument.name}` ({argument.type}, {needed}){said}"


def _texts(step: Step) -> Iterator[str]:
    yield from step.resources
    yield step.guidance or ""
    yield step.question or ""
    for source in (*step.arguments.values(), *step.values.values()):
        if not isinstance(source, PromptArg | StepOutput | Constant | TaskVariable):
            yield source.template


def _step(number: int, step: Step, inputs: dict[str, Argument]) -> Iterator[str]:
    yield f"{number}. **{_line(step.name)}**" + (" (optional: go on when it fails)" if step.optional else "")
    if step.execution != "auto":
        yield f"   - {_WHO[step.execution]}"
    for uri in step.resources:
        yield f"   - Read the resource `{uri}`."
    if step.question:
        yield f"   - Ask: {_line(step.question)}"
    for name, field in step.answer.items():
        yield f"   - Of the answer, take `{name}`{_kind(field)}."
    if step.execution == "manual":
        wanted = "Without a yes" if not step.proceed_if else f"Unless {_wanted(step)}"
        yield f"   - {wanted}: {_ON_NO[step.on_no]}."
    if step.tool is not None:
        yield f"   - Call the tool `{step.tool}`" + (" with:" if step.arguments else ".")
        yield from (f"     - `{name}`: {_source(source, inputs)}" for name, source in step.arguments.items())
    if step.guarded:
        yield "   - The server refuses this call outside of the workflow: have it run the workflow, see below."
    if step.values:
        yield "   - Its texts also have:"
        yield from (f"     - `{name}`: {_source(source, inputs)}" for name, source in step.values.items())
    if step.guidance:
        yield f"   - {_line(step.guidance)}"
    if step.bind:
        yield f"   - Keep what it gives as `{step.bind}`."


def _source(source: Sources, inputs: dict[str, Argument]) -> str:
    match source:
        case PromptArg(prompt=name):
            given = "" if name not in inputs or inputs[name].required else ", if it is given"
            return f"the input `{name}`{given}"
        case StepOutput(output=name, field=field):
            return f"`{field}` of `{name}`" if field else f"`{name}`"
        case TaskVariable(variable=name, field=field):
            where = f"the variable `{name}` of the workflow's task"
            return f"`{field}` of {where}" if field else where
        case Constant(constant=value):
            return f"`{_json(value)}`"
        case _:
            return f"the text `{_line(source.template)}`"


def _kind(field: dict[str, object]) -> str:
    """What may be answered, in parentheses."""
    choices = field.get("enum")
    if isinstance(choices, list):
        return f" ({' or '.join(f'`{_json(choice)}`' for choice in choices)})"
    return f" ({field['type']})" if isinstance(field.get("type"), str) else ""


def _wanted(step: Step) -> str:
    parts = []
    for name, wanted in step.proceed_if.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        parts.append(f"`{name}` is {' or '.join(f'`{_json(value)}`' for value in values)}")
    return " and ".join(parts)


def _pointer(name: str, arguments: Sequence[Argument]) -> str:
    how = " with the inputs as its arguments" if arguments else ""
    return (
        f"The server that offers this skill can lead the procedure itself: get its prompt `{name}`{how}. It runs what "
        "it can, keeps what was done, and says what is left to do."
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _line(text: str) -> str:
    return " ".join(text.split())


def _quoted(text: str) -> str:
    """Double-quoted YAML that every reader takes for the text: letters as they are, what can't be seen as \\u."""
    marks = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(marks.get(each) or (each if _is_plain(each) else f"\\u{ord(each):04x}") for each in text) + '"'


def _is_plain(character: str) -> bool:
    return character.isprintable() or ord(character) > 0xFFFF
