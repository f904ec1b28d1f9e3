"""Task rows as columns: what a table's messages carry (`Patch` of `js/MESSAGES.md`).

A sheet remembers what the views of one table were last told of each row, so that a delta holds only what
differs. Who the rows are and when they are sent is the table's business.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from pmcp_lab.client import Task, call_of
from pmcp_lab.notebook.rows import FIELDS, read_fields

REPETITIVE = frozenset({"server", "tool", "set", "status"})
"""Fields with few different values: sent as codes into a list of words."""
BRIEF = 80
"""Characters of one variable that a row shows; the expanded row has more of it."""
PREVIEW = 160
"""Characters of a message or result that a row shows."""
SAFE = 2**53
"""Whole numbers beyond this lose digits in a browser."""

Known = tuple[tuple[Any, ...], dict[str, Any]]
_NOTHING: Known = ((None,) * len(FIELDS), {})


class Sheet:
    """The rows of one table, numbered from 0, as its views know them."""

    def __init__(self) -> None:
        self._known: list[Known | None] = []

    def patch(self, rows: Iterable[tuple[int, Task]]) -> dict[str, Any] | None:
        """What changed in these rows since they were last patched; None when nothing did."""
        known = self._known
        numbers: list[int] = []
        changes: list[tuple[Known, Known]] = []
        for number, task in rows:
            while len(known) <= number:
                known.append(None)
            before = known[number]
            after = read(task)
            if after != before:
                known[number] = after
                numbers.append(number)
                changes.append((before or _NOTHING, after))
        return _encode(numbers, changes) if numbers else None

    def refresh(self, first: int, tasks: Sequence[Task]) -> None:
        """Read these rows anew, for `whole` to tell."""
        while len(self._known) < first + len(tasks):
            self._known.append(None)
        for place, task in enumerate(tasks, first):
            self._known[place] = read(task)

    def whole(self, first: int, tasks: Sequence[Task]) -> dict[str, Any]:
        """Everything known of these rows as of the last delta, for a view that knows nothing."""
        known = self._known
        while len(known) < first + len(tasks):
            known.append(None)
        changes: list[tuple[Known, Known]] = []
        for number, task in enumerate(tasks, first):
            held = known[number]
            if held is None:
                held = known[number] = read(task)
            changes.append((_NOTHING, held))
        return _encode(list(range(first, first + len(tasks))), changes)


def read(task: Task) -> Known:
    """A row's fields as they are now, and the task's variables."""
    seen = call_of(task).snapshot()
    return read_fields(seen, message=PREVIEW, result=PREVIEW), dict(seen.variables)


def _encode(numbers: list[int], changes: list[tuple[Known, Known]]) -> dict[str, Any]:
    patch: dict[str, Any] = {"rows": _ranges_or_list(numbers)}
    columns: dict[str, Any] = {}
    before = list(zip(*(change[0][0] for change in changes), strict=True))
    after = list(zip(*(change[1][0] for change in changes), strict=True))
    for index, name in enumerate(FIELDS):
        old, new = before[index], after[index]
        if old != new:
            at = [place for place, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
            columns[name] = _column(at, [new[place] for place in at], len(numbers), name in REPETITIVE)
    variables: dict[str, tuple[list[int], list[Any]]] = {}
    whole: tuple[list[int], list[Any]] = ([], [])
    for place, ((_, held), (_, found)) in enumerate(changes):
        if not held.keys() <= found.keys():
            whole[0].append(place)
            whole[1].append({name: brief(value) for name, value in found.items()})
            continue
        for name, value in found.items():
            if name not in held or held[name] != value:
                if name not in variables:
                    variables[name] = ([], [])
                at, values = variables[name]
                at.append(place)
                values.append(value if type(value) is int and -SAFE < value < SAFE else brief(value))
    if whole[0]:
        columns["variables"] = _column(*whole, len(numbers), False)
    if columns:
        patch["columns"] = columns
    if variables:
        patch["variables"] = {
            name: _column(at, values, len(numbers), False) for name, (at, values) in variables.items()
        }
    return patch


def _ranges_or_list(numbers: list[int]) -> dict[str, int] | list[int]:
    first = numbers[0]
    if numbers[-1] - first + 1 == len(numbers) and numbers == list(range(first, first + len(numbers))):
        return {"first": first, "count": len(numbers)}
    return numbers


def _column(at: list[int], values: list[Any], rows: int, repetitive: bool) -> dict[str, Any]:
    column: dict[str, Any] = {}
    if repetitive:
        words = {word: code for code, word in enumerate(dict.fromkeys(values))}
        column["words"] = list(words)
        values = [words[value] for value in values]
    column["values"] = values
    if len(at) < rows:
        column["at"] = at
    return column


def brief(value: Any) -> Any:
    """A variable as a row shows it: JSON that a browser can read, short."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -SAFE < value < SAFE else str(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= BRIEF else text[: BRIEF - 1] + "…"
