"""A tool as Python knows a function: `inspect.signature`, `help`, `?` and Tab say what its input schema says."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from functools import reduce
from inspect import Parameter, Signature, cleandoc
from operator import or_
from typing import Any, Final, Literal

_TYPES: Final[Mapping[str, Any]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": None,
}
_DEPTH: Final = 4
_CHOICES: Final = 20


class _Left:
    """The default of an argument that may be left out and whose schema names none."""

    def __repr__(self) -> str:
        return "..."


LEFT: Final = _Left()


def signature_of(properties: Mapping[str, Mapping[str, Any]], required: list[str], returns: Any) -> Signature:
    """The signature of a tool; all of its arguments go by name.

    Args:
        properties: The schema of each argument.
        required: Those that can't be left out.

    Returns:
        One with `**more` at the end, where an argument's name can't be written in a call.
    """
    parameters = [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if name in required else schema.get("default", LEFT),
            annotation=annotation_of(schema),
        )
        for name, schema in properties.items()
        if writable(name)
    ]
    if len(parameters) < len(properties):
        parameters.append(Parameter(_free("more", properties), Parameter.VAR_KEYWORD, annotation=Any))
    return Signature(parameters, return_annotation=returns)


def writable(name: str) -> bool:
    """Whether a name can be written before `=` in a call, and after a dot."""
    return name.isidentifier() and not keyword.iskeyword(name)


def annotation_of(schema: Any, depth: int = _DEPTH) -> Any:
    """The Python type of what a schema lets through, roughly; `Any` where that can't be said."""
    if not isinstance(schema, Mapping) or depth == 0:
        return Any
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(choices, list) and 0 < len(choices) <= _CHOICES:
        if all(choice is None or isinstance(choice, str | int | bool) for choice in choices):
            return Literal[tuple(choices)]
        return Any
    options = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(options, list) and options:
        return _union([annotation_of(option, depth - 1) for option in options[: _CHOICES + 1]])
    kind = schema.get("type")
    if isinstance(kind, list) and 0 < len(kind) <= _CHOICES:
        return _union([annotation_of({**schema, "type": each}, depth - 1) for each in kind])
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        return list[annotation_of(schema["items"], depth - 1)]  # type: ignore[misc]
    return _TYPES.get(kind, Any) if isinstance(kind, str) else Any


def _union(types: list[Any]) -> Any:
    if Any in types or len(types) > _CHOICES:
        return Any
    # None alone takes no `|`.
    return reduce(or_, (type(None) if each is None else each for each in types))


def _free(name: str, taken: Mapping[str, Any]) -> str:
    while name in taken:
        name = f"_{name}"
    return name


def documentation_of(description: str, properties: Mapping[str, Mapping[str, Any]]) -> str:
    """What the tool does, and what each argument is, as a docstring says it."""
    lines = [cleandoc(description)] if description.strip() else []
    said = {name: schema["description"] for name, schema in properties.items() if schema.get("description")}
    if said:
        lines += ["", "Args:", *(f"    {name}: {' '.join(str(text).split())}" for name, text in said.items())]
    return "\n".join(lines).strip()
