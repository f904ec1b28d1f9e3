"""What went wrong in a sweep, equal failures together: those whose reasons differ only in numbers and ids."""

from __future__ import annotations

import html
import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, overload

from pmcp_lab.client.tasks.task import Task
from pmcp_lab.errors import LabError

if TYPE_CHECKING:
    import pandas as pd

REASON = 300
"""Characters of a reason by which failures are told apart."""
SHOWN = 20
"""Kinds, and rows of each, in the text form."""
_VARIES = re.compile(
    r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|\b0x[0-9a-fA-F]+\b"
    r"|\b(?=[a-fA-F]*\d)(?=\d*[a-fA-F])[0-9a-fA-F]{8,}\b"
    r"|(?:(?<![\w.])[-+])?\d+(?:\.\d+)*(?:[eE][-+]?\d+)?"
    r"|\b(?:nan|NaN|inf|Infinity)\b"
)
_NUMBER = re.compile(r"[-+]?\d[\d.]*(?:[eE][-+]?\d+)?|nan|NaN|inf|Infinity")


class Ended(Protocol):
    """A call, or a snapshot of one."""

    @property
    def server(self) -> str: ...

    @property
    def tool(self) -> str: ...

    @property
    def failure(self) -> BaseException | None: ...


def reason_of(of: Ended, limit: int = REASON) -> str | None:
    """Why it failed, in one line; None when it did not.

    Args:
        limit: Characters at most.
    """
    failure = of.failure
    if failure is None:
        return None
    text = failure.message if isinstance(failure, LabError) else str(failure)
    # Who shows it names server and tool already; the last is what the Python SDK's servers begin with.
    for known in (f"{of.server}.{of.tool} ", "failed: ", f"Error executing tool {of.tool}: "):
        text = text.removeprefix(known)
    line = text.strip().partition("\n")[0] or type(failure).__name__
    return line if len(line) <= limit else line[: limit - 1] + "…"


class Kind:
    """Reasons that differ only in numbers and ids."""

    def __init__(self, texts: Sequence[str], values: Sequence[str]) -> None:
        self.count = 0
        self._texts = texts
        self._values: list[str | None] = list(values)
        self._named = ["{n}" if _NUMBER.fullmatch(value) else "{id}" for value in values]

    def take(self, values: Sequence[str]) -> None:
        self.count += 1
        for place, value in enumerate(values):
            if self._values[place] != value:
                self._values[place] = None
            if self._named[place] == "{n}" and not _NUMBER.fullmatch(value):
                self._named[place] = "{id}"

    @property
    def reason(self) -> str:
        """The text that they have in common; `{n}` and `{id}` stand for what differs."""
        parts = [self._texts[0]]
        for value, name, text in zip(self._values, self._named, self._texts[1:], strict=True):
            parts += [name if value is None else value, text]
        return "".join(parts)


class Kinds:
    """Sorts reasons into kinds, one after the other."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, ...], Kind] = {}

    def add(self, reason: str) -> Kind:
        texts, values, end = [], [], 0
        for found in _VARIES.finditer(reason):
            texts.append(reason[end : found.start()])
            values.append(found[0])
            end = found.end()
        key = (*texts, reason[end:])
        kind = self._kinds.setdefault(key, Kind(key, values))
        kind.take(values)
        return kind

    def told(self) -> list[Kind]:
        """Most frequent first."""
        return sorted((kind for kind in self._kinds.values() if kind.count), key=lambda kind: -kind.count)


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one kind.

    Args:
        reason: What their reasons have in common; `{n}` and `{id}` stand for numbers and ids that differ.
        rows: What the rows are called, in their order.
        tasks: The tasks of these rows.
    """

    reason: str
    rows: tuple[Hashable, ...]
    tasks: tuple[Task, ...]

    @property
    def count(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        return f"{self.count:,} × {self.reason}"


class Failures(Sequence[FailureGroup]):
    """What went wrong in a sweep, most frequent first; cancellations are no failures."""

    def __init__(self, failed: Iterable[tuple[Hashable, Task, str]]) -> None:
        kinds, members = Kinds(), dict[int, list[tuple[Hashable, Task]]]()
        for name, task, why in failed:
            members.setdefault(id(kinds.add(why)), []).append((name, task))
        self._groups = [
            FailureGroup(kind.reason, *map(tuple, zip(*members[id(kind)], strict=True))) for kind in kinds.told()
        ]

    @overload
    def __getitem__(self, which: int) -> FailureGroup: ...
    @overload
    def __getitem__(self, which: slice) -> list[FailureGroup]: ...
    def __getitem__(self, which: int | slice) -> FailureGroup | list[FailureGroup]:
        return self._groups[which]

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def df(self) -> pd.DataFrame:
        """One row per kind: count, reason, and a list of the rows."""
        import pandas as pd

        found = [(group.count, group.reason, list(group.rows)) for group in self]
        return pd.DataFrame(found, columns=["count", "reason", "rows"])

    def lines(self, most: int = SHOWN) -> list[str]:
        """A line per kind: "18 × job {n} diverged"."""
        more = len(self) - most
        return [*map(str, self._groups[:most]), *([f"… {more:,} more kinds of failure"] if more > 0 else [])]

    def __repr__(self) -> str:
        if not self._groups:
            return "no failures"
        told = [f"{group}\n    rows {_listed(group)}" for group in self._groups[:SHOWN]]
        return "\n".join([*told, *self.lines()[SHOWN:]])

    def _repr_html_(self) -> str:
        if not self._groups:
            return "<p>No failures.</p>"
        left = "style='text-align:left'"
        head = "".join(f"<th {left}>{name}</th>" for name in ("count", "reason", "rows"))
        body = "".join(
            f"<tr><td>{group.count:,}</td><td {left}>{html.escape(group.reason)}</td>"
            f"<td {left}>{html.escape(_listed(group))}</td></tr>"
            for group in self._groups[:SHOWN]
        )
        more = "".join(f"<p>{line}</p>" for line in self.lines()[SHOWN:])
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _listed(group: FailureGroup) -> str:
    names = ", ".join(f"{name!s:.60}" for name in group.rows[:SHOWN])
    return names if group.count <= SHOWN else f"{names}, … {group.count - SHOWN:,} more"
