"""Task rows as columns: what a table's messages carry (`Patch` of `js/MESSAGES.md`).

A sheet remembers what the views of one table were last told of each row, so that a delta holds only what
differs. It goes through the columns, not through the rows: a thousand rows that changed are some lists compared.
Who the rows are and when they are sent is the table's business.
"""

from __future__ import annotations

import itertools
import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pmcp_lab.client import NAME, Call, Kind, Kinds, TableColumns, Task, call_of, fields_of, flat, reason_of

REPETITIVE = frozenset({"server", "tool", "set", "status"})
"""Fields with few different values: sent as codes into a list of words."""
BRIEF = 80
"""Characters of one value that a row shows; the expanded row has more of it."""
PREVIEW = 160
"""Characters of a message or result that a row shows."""
FIELDS_TOLD = 100
"""Arguments, and fields of a result, of one row that are told."""
SAFE = 2**53
"""Whole numbers beyond this lose digits in a browser."""
FAILED = frozenset({"failed", "unknown"})

Told = dict[str, tuple[list[int], list[Any]]]
"""By column: places among the rows of a patch, and their values."""

LIVE: dict[str, Callable[[list[Call]], list[Any]]] = {
    # The status first: when it says that a call ended, what it ended with is there.
    "status": lambda calls: [call.status for call in calls],
    "taskId": lambda calls: [call.id for call in calls],
    "set": lambda calls: [call.set_name for call in calls],
    "message": lambda calls: [call.message for call in calls],
    "progress": lambda calls: [call.progress for call in calls],
    "trouble": lambda calls: [call.trouble or call.refusal for call in calls],
    "ended": lambda calls: [call.ended for call in calls],
    "ttl": lambda calls: [call.state.ttl if call.state is not None else None for call in calls],
    "questions": lambda calls: [
        tuple((each.key, each.message) for each in call.questions.values()) if call.questions else None
        for call in calls
    ],
}
"""What may change at any time."""
STEADY: dict[str, Callable[[Call], Any]] = {
    "server": lambda call: call.server,
    "tool": lambda call: call.tool,
    "started": lambda call: call.started,
    "error": reason_of,
    "result": lambda call: call.outcome.preview(PREVIEW) if call.outcome is not None else None,
}
"""What changes with the status alone, or when another task takes the row."""
FIELDS = (*LIVE, *STEADY)


class _Missing:
    """What a row has of a variable that it has not got."""


_MISSING = _Missing()
_NONE: Mapping[str, Any] = {}


class Sheet:
    """The rows of one table, numbered from 0, as its views know them.

    Args:
        columns: Told of all data that is in them.

    Attributes:
        tools: Servers and tools that occur.
        kinds: Kinds of failure that occur.
        changed: Whether what these say, or what there is of columns, changed since somebody last reset it.
    """

    def __init__(self, columns: TableColumns | None = None) -> None:
        self.columns = columns or TableColumns()
        self.tools: set[tuple[str, str]] = set()
        self.kinds = Kinds()
        self.changed = True
        self._calls: list[Call | None] = []
        self._fields: dict[str, list[Any]] = {name: [] for name in FIELDS}
        self._variables: list[Mapping[str, Any]] = []
        self._cells: list[dict[str, Any]] = []
        self._kind_of: dict[int, Kind] = {}

    def patch(self, numbers: list[int], tasks: Iterable[Task]) -> dict[str, Any] | None:
        """What changed in these rows since they were last patched; None when nothing did."""
        if not numbers:
            return None
        self._grow(max(numbers) + 1)
        return _only_changed(numbers, *self._read(numbers, list(map(call_of, tasks))))

    def refresh(self, first: int, tasks: Sequence[Task]) -> None:
        """Read these rows anew, for `whole` to tell."""
        self._grow(first + len(tasks))
        self._read(list(range(first, first + len(tasks))), [call_of(task) for task in tasks])

    def whole(self, first: int, tasks: Sequence[Task]) -> dict[str, Any]:
        """Everything known of these rows as of the last delta, for a view that knows nothing."""
        end = first + len(tasks)
        self._grow(end)
        if unread := [n for n in range(first, end) if self._calls[n] is None]:
            self._read(unread, [call_of(tasks[n - first]) for n in unread])
        told: Told = {}
        for name, values in self._fields.items():
            known = values[first:end]
            at = [place for place, value in enumerate(known) if value is not None]
            if at:
                told[name] = at, [known[place] for place in at]
        variables: Told = {}
        cells: Told = {}
        for place, (held, own) in enumerate(zip(self._variables[first:end], self._cells[first:end], strict=True)):
            for name, value in held.items():
                _put(variables, name, place, value)
            for name, value in own.items():
                _put(cells, name, place, value)
        rows = {"first": first, "count": len(tasks)}
        return _encoded(rows, len(tasks), told, variables, cells)

    # --- reading ---

    def _grow(self, size: int) -> None:
        if (more := size - len(self._calls)) > 0:
            self._calls += [None] * more
            for values in self._fields.values():
                values += [None] * more
            self._variables += [{}] * more
            self._cells += [{} for _ in range(more)]

    def _read(self, numbers: list[int], calls: list[Call]) -> tuple[Told, Told, Told]:
        """Take in how these rows are now; what that changed, in fields, variables and cells."""
        told: Told = {}
        for name, read in LIVE.items():
            now, known = read(calls), self._fields[name]
            before = _held(known, numbers)
            if now != before:
                told[name] = _differing(before, now)
                _store(known, numbers, *told[name])
        cells: Told = {}
        known = _held(self._calls, numbers)
        other = _differing(known, calls)[0] if known != calls else []
        turned = told["status"][0] if "status" in told else []
        for place in sorted({*other, *turned}):
            self._read_steady(place, numbers[place], calls[place], told, cells)
        variables = self._read_variables(numbers, calls, told, cells)
        for part, found in (("variables.", variables), ("", cells)):
            for name, (_, values) in found.items():
                self.changed |= self.columns.take(part + name, values)
        return told, variables, cells

    def _read_steady(self, place: int, number: int, call: Call, told: Told, cells: Told) -> None:
        for name, read in STEADY.items():
            value = read(call)
            if value != self._fields[name][number]:
                self._fields[name][number] = value
                _put(told, name, place, value)
        self._sort(number, self._fields["error"][number] if self._fields["status"][number] in FAILED else None)
        own, found = self._cells[number], dict[str, Any]()
        if self._calls[number] is not call:
            self._calls[number] = call
            if (tool := (call.server, call.tool)) not in self.tools:
                self.tools.add(tool)
                self.changed = True
            found = {**dict.fromkeys(own), **_some("arguments.", call.arguments)}
        if call.outcome is not None:
            found |= _some("result.", fields_of(call.outcome))
        for name, value in found.items():
            own[name] = value
            _put(cells, name, place, value)

    def _sort(self, number: int, reason: str | None) -> None:
        """Count a failure by its kind."""
        if (held := self._kind_of.pop(number, None)) is not None:
            held.count -= 1
            self.changed = True
        if reason is not None:
            self._kind_of[number] = self.kinds.add(reason)
            self.changed = True

    def _read_variables(self, numbers: list[int], calls: list[Call], told: Told, cells: Told) -> Told:
        held, found = self._variables, dict[str, tuple[list[int], list[Any]]]()
        after = [_NONE if (state := call.state) is None else state.variables for call in calls]
        before = _held(held, numbers)
        _store(held, numbers, range(len(after)), after)
        every = set().union(*after)
        names = dict.fromkeys([*after[0], *sorted(every - after[0].keys())])
        fewer = not every >= set().union(*before)
        for name in names:
            at, values = _differing(_named(name, before), _named(name, after))
            kinds = set(map(type, values))
            if _Missing in kinds:
                fewer = True
                kept = [index for index, value in enumerate(values) if value is not _MISSING]
                at, values = [at[index] for index in kept], [values[index] for index in kept]
            if not at:
                continue
            found[name] = at, values
            for place, value in zip(at, values, strict=True) if dict in kinds else ():
                if type(value) is dict:
                    self._read_nested(place, numbers[place], {name: value}, cells)
        for place, (old, new) in enumerate(zip(before, after, strict=True)) if fewer else ():
            if not old.keys() <= new.keys():
                _put(told, "variables", place, {name: brief(value) for name, value in new.items()})
                self._read_nested(place, numbers[place], {name: None for name in old if name not in new}, cells)
        return found

    def _read_nested(self, place: int, number: int, variables: Mapping[str, Any], cells: Told) -> None:
        """Objects within variables are columns of their own, besides."""
        own = self._cells[number]
        inside = {f"variables.{name}" for name in variables}
        for name in own:
            if name.startswith("variables.") and name.rpartition(".")[0] in inside and own[name] is not None:
                own[name] = None
                _put(cells, name, place, None)
        for name, value in _some("variables.", flat(variables)).items():
            if name not in inside:
                own[name] = value
                _put(cells, name, place, value)


def _named(name: str, rows: list[Mapping[str, Any]]) -> list[Any]:
    """What each row has by this name."""
    with suppress(KeyError):  # mostly all of them have it
        return list(map(operator.itemgetter(name), rows))
    return [row.get(name, _MISSING) for row in rows]


def _differing(before: list[Any], now: list[Any]) -> tuple[list[int], list[Any]]:
    """Where two lists differ, and what the second has there."""
    differs = list(map(operator.ne, before, now))
    if all(differs):
        return list(range(len(now))), now
    return list(itertools.compress(range(len(now)), differs)), list(itertools.compress(now, differs))


def _held(known: list[Any], numbers: list[int]) -> list[Any]:
    """What is known of these rows."""
    first, last = numbers[0], numbers[-1]
    if last - first + 1 == len(numbers):
        return known[first : last + 1]
    return [known[number] for number in numbers]


def _store(known: list[Any], numbers: list[int], at: Sequence[int], values: list[Any]) -> None:
    first, last = numbers[0], numbers[-1]
    if len(at) == len(numbers) == last - first + 1:
        known[first : last + 1] = values
    else:
        for place, value in zip(at, values, strict=True):
            known[numbers[place]] = value


def _some(part: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {part + name: value for name, value in itertools.islice(fields.items(), FIELDS_TOLD) if len(name) <= NAME}


def _put(told: Told, name: str, place: int, value: Any) -> None:
    at, values = told.setdefault(name, ([], []))
    at.append(place)
    values.append(value)


def _told(name: str, values: list[Any]) -> list[Any]:
    """A field's values as they travel."""
    match name:
        case "message":
            return [text if text is None or len(text) <= PREVIEW else text[: PREVIEW - 1] + "…" for text in values]
        case "progress":
            # As `round(progress, 4)` of what is between 0 and 1, in a quarter of the time.
            return [None if progress is None else int(progress * 10_000 + 0.5) / 10_000 for progress in values]
        case _:
            return values


def _only_changed(numbers: list[int], *parts: Told) -> dict[str, Any] | None:
    """A patch of the rows that something is told of."""
    ats = [at for told in parts for at, _ in told.values()]
    if not ats:
        return None
    # Mostly there is something that changed in all of them.
    whole = any(len(at) == len(numbers) for at in ats)
    if not whole and len(kept := sorted(set().union(*ats))) < len(numbers):
        moved = {place: index for index, place in enumerate(kept)}
        numbers = [numbers[place] for place in kept]
        parts = tuple(
            {name: ([moved[place] for place in at], values) for name, (at, values) in told.items()} for told in parts
        )
    return _encoded(_ranges_or_list(numbers), len(numbers), *parts)


def _encoded(rows: Any, count: int, told: Told, variables: Told, cells: Told) -> dict[str, Any]:
    patch: dict[str, Any] = {"rows": rows}
    if told:
        patch["columns"] = {
            name: _column(at, _told(name, values), count, name in REPETITIVE) for name, (at, values) in told.items()
        }
    for part, found in (("variables", variables), ("cells", cells)):
        if found:
            patch[part] = {name: _column(at, _briefly(values), count) for name, (at, values) in found.items()}
    return patch


def _ranges_or_list(numbers: list[int]) -> dict[str, int] | list[int]:
    first = numbers[0]
    if numbers[-1] - first + 1 == len(numbers) and numbers == list(range(first, first + len(numbers))):
        return {"first": first, "count": len(numbers)}
    return numbers


def _column(at: list[int], values: list[Any], rows: int, repetitive: bool = False) -> dict[str, Any]:
    column: dict[str, Any] = {}
    if repetitive:
        words = {word: code for code, word in enumerate(dict.fromkeys(values))}
        column["words"] = list(words)
        values = [words[value] for value in values]
    column["values"] = values
    if len(at) < rows:
        column["at"] = at
    return column


def _briefly(values: list[Any]) -> list[Any]:
    """`brief` of each; mostly they are numbers that are short already."""
    match set(map(type, values)):
        case kinds if kinds == {float} and math.isfinite(sum(values)):
            # A view shows five digits of a float: to look at all of them would cost more than the bytes do.
            short = all(len(repr(value)) <= 8 for value in values[:: len(values) // 8 + 1])
            return values if short else [brief(value) for value in values]
        case kinds if kinds == {int} and min(values) > -SAFE and max(values) < SAFE:
            return values
        case _:
            return [brief(value) for value in values]


def brief(value: Any) -> Any:
    """A value as a row shows it: JSON that a browser can read, short."""
    kind = type(value)
    if kind is float:
        if not math.isfinite(value):
            return str(value)
        return value if len(repr(value)) <= 8 else float(f"{value:.6g}")
    if kind is int:
        return value if -SAFE < value < SAFE else str(value)
    if value is None or kind is bool:
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= BRIEF else text[: BRIEF - 1] + "…"
