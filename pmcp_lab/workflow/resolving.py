"""Where a step's values come from: pure functions. Text is filled in one pass; no value is ever looked into again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.steps import (
    ArgumentType,
    Constant,
    PromptArg,
    Sources,
    Step,
    StepOutput,
    TaskVariable,
)

PLACEHOLDER = re.compile(r"\{(\+?)([A-Za-z_][\w.-]*)\}")

_TRUE, _FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})


class Absent(Exception):
    """An optional prompt argument that was not given: its parameter is left out."""


class Unresolved(Exception):
    """A value is not there. The message is for people.

    Args:
        binding: The output that no step gave.
        variable: The task variable that is not set.
    """

    def __init__(self, message: str, *, binding: str | None = None, variable: str | None = None) -> None:
        super().__init__(message)
        self.binding = binding
        self.variable = variable


@dataclass(frozen=True, slots=True)
class Scope:
    """What there is to take values from.

    Args:
        arguments: Prompt arguments, as text.
        outputs: By binding.
    """

    workflow: SequentialWorkflow
    arguments: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)


def parse(text: str, kind: ArgumentType) -> Any:
    """A prompt argument's text as its type.

    Raises:
        ValueError: It is none.
    """
    if kind == "string":
        return text
    word = text.strip()
    if kind == "boolean":
        if word.lower() in _TRUE | _FALSE:
            return word.lower() in _TRUE
        raise ValueError(f"{text!r} is not true or false")
    try:
        if kind == "integer":
            return int(word)
        number = float(word)
    except ValueError:
        raise ValueError(f"{text!r} is not {'a whole number' if kind == 'integer' else 'a number'}") from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError(f"{text!r} is not a number")
    return number


def value(source: Sources, step: Step, scope: Scope) -> Any:
    """What a source stands for.

    Raises:
        Absent: An optional prompt argument that was not given.
        Unresolved: It is not there.
    """
    match source:
        case PromptArg(prompt=name):
            declared = next((one for one in scope.workflow.arguments if one.name == name), None)
            if name not in scope.arguments:
                if declared is not None and not declared.required:
                    raise Absent
                raise Unresolved(f"the prompt argument {name!r} was not given")
            kind: ArgumentType = "string" if declared is None else declared.type
            try:
                return parse(scope.arguments[name], kind)
            except ValueError as error:
                raise Unresolved(f"the prompt argument {name!r} can't be used: {error}") from None
        case Constant(constant=fixed):
            return fixed
        case StepOutput(output=binding, field=path):
            if binding not in scope.outputs:
                raise Unresolved(f"no step has given {binding!r}", binding=binding)
            return dig(scope.outputs[binding], path, f"the output {binding!r}")
        case TaskVariable(variable=name, field=path):
            if name not in scope.variables:
                raise Unresolved(f"the task variable {name!r} is not set", variable=name)
            return dig(scope.variables[name], path, f"the task variable {name!r}")
        case _:
            return fill(source.template, texts(step, scope, source.template))


def dig(found: Any, path: str | None, what: str) -> Any:
    """A field of a value: an object's key first, then a list's index.

    Raises:
        Unresolved: It has no such field.
    """
    for part in path.split(".") if path is not None else ():
        if isinstance(found, Mapping):
            if part not in found:
                raise Unresolved(f"{what} has no field {path!r}: {part!r} was not found")
            found = found[part]
        elif isinstance(found, list):
            if not (part.isascii() and part.isdigit()):
                raise Unresolved(f"{what} has no field {path!r}: {part!r} is no index of a list")
            if int(part) >= len(found):
                raise Unresolved(f"{what} has no field {path!r}: {part} is out of bounds, there are {len(found)}")
            found = found[int(part)]
        else:
            raise Unresolved(f"{what} has no field {path!r}: Cannot index into non-array with {part!r}")
    return found


def placeholders(text: str) -> list[str]:
    """The names in a text, in order."""
    return [match[2] for match in PLACEHOLDER.finditer(text)]


def texts(step: Step, scope: Scope, text: str) -> dict[str, str]:
    """Values, as text, of the names in a text. An optional argument that was not given is empty text.

    Raises:
        Unresolved: One is not there.
    """
    found = {}
    for name in placeholders(text):
        source = step.values.get(name, PromptArg(prompt=name))
        try:
            found[name] = as_text(value(source, step, scope))
        except Absent:
            found[name] = ""
    return found


def fill(text: str, values: Mapping[str, str], *, uri: bool = False) -> str:
    """The text with its names replaced, all at once; a name without a value stays as it is.

    Args:
        uri: Percent-encode values (RFC 6570); those of `{+name}` keep reserved characters.
    """

    def one(match: re.Match[str]) -> str:
        if match[2] not in values:
            return match[0]
        found = values[match[2]]
        return quote(found, safe=":/?#[]@!$&'()*+,;=" if match[1] else "") if uri else found

    return PLACEHOLDER.sub(one, text)


def fill_known(text: str, step: Step, scope: Scope) -> str:
    """Guidance or a question, with what is known filled in."""
    known: dict[str, str] = {}
    for name in placeholders(text):
        try:
            known |= texts(step, scope, "{" + name + "}")
        except Unresolved:
            continue
    return fill(text, known)


def as_text(found: Any) -> str:
    """A value inside a text: text as it is, the rest as compact JSON."""
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def stand_in(source: Sources, step: Step, scope: Scope) -> Any:
    """What is shown in a handoff for a value that is not there."""
    match source:
        case PromptArg(prompt=name):
            return scope.arguments.get(name, f"<prompt arg {name}>")
        case StepOutput(output=binding, field=None):
            return f"<output from {binding}>"
        case StepOutput(output=binding, field=path):
            return f"<field '{path}' from {binding}>"
        case TaskVariable(variable=name):
            return f"<variable {name}>"
        case Constant(constant=fixed):
            return fixed
        case _:
            return fill_known(source.template, step, scope)
