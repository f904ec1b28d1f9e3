"""The data of a sweep as columns: which there are, what they are called, what is in them. Frames and tables read it.

A column's name says where it comes from (`arguments.seed`, `variables.loss`, `result.best.epoch`), its label is what
people see, and what the frame calls it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pmcp_lab.client.catalogue import Tool

ARGUMENTS, RESULT, VARIABLES = "arguments.", "result.", "variables."
OWN = ("status", "seconds", "error")
"""Columns that a frame has of every task."""
DEPTH = 8
"""Objects within objects whose fields are columns; what is deeper is one value."""
COLUMNS = 200
"""Columns that are told apart; of more, only how many there are."""
NAME = 120
"""Characters of a name; what is called longer is no column."""


def fields_of(outcome: Any) -> dict[str, Any]:
    """A result as columns, without their prefix."""
    value = outcome.value
    if isinstance(value, Mapping):
        return flat(value)
    return {} if outcome.structured is None and value == "" else {"result": value}


def flat(value: Mapping[str, Any], inside: str = "", depth: int = DEPTH) -> dict[str, Any]:
    """An object's fields, those of objects within as `a.b`."""
    fields: dict[str, Any] = {}
    for name, each in value.items():
        if isinstance(each, Mapping) and each and depth:
            fields |= flat(each, f"{inside}{name}.", depth - 1)
        else:
            fields[f"{inside}{name}"] = each
    return fields


def labels(names: Iterable[str]) -> dict[str, str]:
    """What columns are called: arguments as they are, the others with their prefix where a name is taken."""
    known = list(names)
    found = {name: name.removeprefix(ARGUMENTS) for name in known if name.startswith(ARGUMENTS)}
    taken = {*found.values(), *OWN}
    for part in (RESULT, VARIABLES):
        ours = [name for name in known if name.startswith(part)]
        found |= {name: name if name.removeprefix(part) in taken else name.removeprefix(part) for name in ours}
        taken |= {found[name] for name in ours}
    return found


def own_label(name: str, arguments: Iterable[str]) -> str:
    """What one of `OWN` is called beside these arguments."""
    return f"task.{name}" if name in arguments else name


def promised(tool: Tool | None) -> dict[str, str]:
    """What a tool's schemas say of its columns, by name: "number", "integer", "boolean", "date" or "string"."""
    found: dict[str, str] = {}
    for part, schema in ((ARGUMENTS, tool and tool.input_schema), (RESULT, tool and tool.output_schema)):
        if isinstance(schema, Mapping):
            _promises(schema, schema, part, found, DEPTH)
    return found


def _promises(schema: Any, root: Mapping[str, Any], inside: str, found: dict[str, str], depth: int) -> None:
    properties = schema.get("properties")
    for name, given in properties.items() if isinstance(properties, Mapping) else ():
        each = _resolved(given, root)
        if len(found) >= COLUMNS or not isinstance(each, Mapping):
            continue
        kind = each.get("type")
        if kind == "object" and inside != ARGUMENTS and isinstance(each.get("properties"), Mapping) and depth:
            _promises(each, root, f"{inside}{name}.", found, depth - 1)
        elif each.get("format") in ("date", "date-time"):
            found[f"{inside}{name}"] = "date"
        elif kind in ("number", "integer", "boolean", "string"):
            found[f"{inside}{name}"] = kind


def _resolved(schema: Any, root: Mapping[str, Any]) -> Any:
    """A schema, or the one of the same document that it names; nothing is fetched."""
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return schema
    definitions = root.get("$defs")
    return definitions.get(reference.removeprefix("#/$defs/")) if isinstance(definitions, Mapping) else None


class DataColumn:
    """What was seen of one column.

    Attributes:
        kinds: The types of its values.
        varies: Whether any two of its values differ.
        first: The first of them.
    """

    def __init__(self, name: str, promise: str | None) -> None:
        self.name = name
        self.kinds: set[type] = set()
        self.varies = False
        self.first: Any = None
        self.seen = False
        self._promise = promise

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers, or will by its schema; "nan" is one."""
        return self.kinds <= {int, float} if self.kinds else self._promise in ("number", "integer")

    def take(self, values: Sequence[Any]) -> bool:
        """Look at more values; whether that changed what is known of it."""
        before = (len(self.kinds), self.varies, self.seen)
        self.kinds.update(map(type, values))
        self.kinds.discard(type(None))
        if not self.seen and values:
            self.first, self.seen = values[0], True
        if not self.varies:
            first = self.first
            self.varies = any(value != first for value in values)
        return before != (len(self.kinds), self.varies, self.seen)


class TableColumns:
    """The columns of rows that are looked at again and again.

    Args:
        tool: What the rows are called with, where that is one.
    """

    def __init__(self, tool: Tool | None = None) -> None:
        promises = promised(tool)
        self.known = {name: DataColumn(name, kind) for name, kind in promises.items()}
        self.left_out: set[str] = set()

    def take(self, name: str, values: Sequence[Any]) -> bool:
        """Look at values of a column; whether that changed what is known of the columns."""
        column = self.known.get(name)
        if column is None:
            if len(self.known) >= COLUMNS or len(name) > NAME:
                more = len(self.left_out) < 10 * COLUMNS and name not in self.left_out
                if more:
                    self.left_out.add(name[:NAME])
                return more
            column = self.known[name] = DataColumn(name, None)
        return column.take(values)
