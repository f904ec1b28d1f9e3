"""How a program sees the tools it may call: as functions that take their arguments by name."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mcp_types import Tool

from pmcp_lab.errors import LabError

_TYPES: Final = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
    "null": "None",
}

BUILTINS: Final = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True)
class ToolFunction:
    """One tool as a function.

    Args:
        name: By which programs call it.
        tool: Its name on the server.
        summary: The first line of its description.
        types: Of its arguments, by name, in Python's words.
        required: Arguments it can't do without.
        takes_more: It has arguments that its schema does not name.
        reads: It changes nothing (`readOnlyHint`).
        repeatable: Calling it twice with the same arguments does no more than once (`idempotentHint`, or it reads).
        destroys: It may destroy something (`destructiveHint`).
    """

    name: str
    tool: str
    summary: str
    types: Mapping[str, str]
    required: frozenset[str]
    takes_more: bool
    reads: bool
    repeatable: bool
    destroys: bool

    @property
    def effect(self) -> str:
        """What it does to the world, in a word."""
        return "reads" if self.reads else "may destroy" if self.destroys else "writes"

    @property
    def signature(self) -> str:
        """As it is told to whoever writes programs."""
        named = [f"{name}: {kind}" + ("" if name in self.required else " = ...") for name, kind in self.types.items()]
        return f"{self.name}({', '.join([*named, '**more'] if self.takes_more else named)})"

    def problem(self, given: Iterable[str], *, complete: bool = True) -> str | None:
        """What is wrong with a call that gives these arguments; None when nothing is.

        Args:
            complete: It gives no others.
        """
        names = set(given)
        strange = [] if self.takes_more else sorted(names - self.types.keys())
        lacking = [name for name in self.types if name in self.required - names] if complete else []
        if strange:
            has = f"it takes {', '.join(self.types)}" if self.types else "it takes none"
            return f"{self.name} has no argument {', '.join(map(repr, strange))}; {has}"
        return f"{self.name} needs {', '.join(map(repr, lacking))}" if lacking else None


def functions_of(tools: Iterable[Tool]) -> dict[str, ToolFunction]:
    """The tools as functions, by the name programs call them by.

    Raises:
        LabError: Two of them would have one name, or one would hide what Python has.
    """
    found: dict[str, ToolFunction] = {}
    for tool in tools:
        name = identifier(tool.name)
        if name in BUILTINS:
            raise LabError(f"programs can't call tool {tool.name!r}: its name is one of Python's own")
        if name in found:
            raise LabError(
                f"programs can't tell tools {found[name].tool!r} and {tool.name!r} apart: both would be {name!r}"
            )
        found[name] = _function(name, tool)
    return found


def identifier(tool: str) -> str:
    """The name by which programs call a tool: what no name has room for is an underscore."""
    name = re.sub(r"\W", "_", tool, flags=re.ASCII)
    if not name or name[0].isdigit():
        name = f"_{name}"
    return f"{name}_" if keyword.iskeyword(name) else name


def _function(name: str, tool: Tool) -> ToolFunction:
    schema, hints = tool.input_schema, tool.annotations
    properties = schema.get("properties") or {}
    reads = hints is not None and hints.read_only_hint is True
    return ToolFunction(
        name=name,
        tool=tool.name,
        summary=((tool.description or tool.title or "").strip().splitlines() or [""])[0],
        types={given: _type(about) for given, about in properties.items()},
        required=frozenset(schema.get("required") or ()),
        # JSON Schema lets everything more pass; a tool that names its arguments has no others.
        takes_more=bool(schema.get("additionalProperties")) or not isinstance(schema.get("properties"), Mapping),
        reads=reads,
        repeatable=reads or (hints is not None and hints.idempotent_hint is True),
        destroys=not reads and (hints is None or hints.destructive_hint is not False),
    )


def _type(schema: Any) -> str:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    kinds = kind if isinstance(kind, list) else [kind]
    return " | ".join(dict.fromkeys(_TYPES.get(str(each), "Any") for each in kinds))
