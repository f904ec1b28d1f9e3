"""How an answer may be drawn, and what it says to somebody who does not see it. The drawing itself is the page's."""

from __future__ import annotations

import difflib
import re
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field

from .asking import MAX_ROWS, Rows, Value

ChartKind = Literal["auto", "table", "bar", "line", "scatter"]
Drawn = Literal["table", "bar", "line", "scatter"]

ROWS_IN_WORDS = 20
MAX_BARS = 60
MAX_COLORS = 8

_IN_TIME = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_PARTS_OF_TIME = {"hour", "day", "week", "month", "year", "date", "weekday", "quarter", "minute"}


class Wish(NamedTuple):
    """How somebody would like it drawn."""

    kind: ChartKind = "auto"
    x: str | None = None
    y: str | None = None
    color: str | None = None


class Chart(BaseModel):
    """How it is drawn."""

    kind: Drawn
    x: str | None = Field(description="The column along the bottom")
    y: str | None = Field(description="The column of numbers")
    color: str | None = Field(description="The column whose values are series of their own")


class Answer(BaseModel):
    """What a query gave."""

    sql: str
    columns: list[str]
    numeric: list[bool] = Field(description="Whether a column holds numbers alone")
    rows: list[list[str | int | float | None]]
    more: bool = Field(description=f"There were more rows than these; at most {MAX_ROWS} are given")
    milliseconds: float = Field(description="What the query took")
    chart: Chart


def answer(sql: str, found: Rows, wish: Wish) -> Answer:
    """An answer, with a chart that fits it.

    Raises:
        ValueError: The wish does not fit the columns; says why, for a person.
    """
    numeric = [_all_numbers([row[n] for row in found.rows]) for n in range(len(found.columns))]
    return Answer(
        sql=sql,
        columns=found.columns,
        numeric=numeric,
        rows=found.rows,
        more=found.more,
        milliseconds=round(found.milliseconds, 2),
        chart=_chart(found, numeric, wish),
    )


def in_words(answered: Answer) -> str:
    """An answer as a table of Markdown, the first rows of it."""
    count = len(answered.rows)
    if not count:
        return f"No rows. Columns: {', '.join(answered.columns)}."
    lines = [
        f"{'More than ' if answered.more else ''}{count} row{'' if count == 1 else 's'}"
        + (f", drawn as a {answered.chart.kind} chart" if answered.chart.kind != "table" else "")
        + (f" ({answered.chart.y} by {answered.chart.x})." if answered.chart.kind != "table" else "."),
        "",
        _line(answered.columns),
        "|" + " --- |" * len(answered.columns),
        *(_line(row) for row in answered.rows[:ROWS_IN_WORDS]),
    ]
    if count > ROWS_IN_WORDS:
        lines.append(f"… and {count - ROWS_IN_WORDS} rows more.")
    return "\n".join(lines)


def _line(values: list[str] | list[Value]) -> str:
    cells = ("" if value is None else str(value).replace("|", "\\|").replace("\n", " ")[:200] for value in values)
    return "| " + " | ".join(cells) + " |"


def _all_numbers(values: list[Value]) -> bool:
    there = [value for value in values if value is not None]
    return bool(there) and all(isinstance(value, int | float) for value in there)


def _chart(found: Rows, numeric: list[bool], wish: Wish) -> Chart:
    columns = found.columns
    numbers = [name for name, is_number in zip(columns, numeric, strict=True) if is_number]
    _check(wish, columns, numbers)
    if wish.kind == "table" or (wish.kind == "auto" and (not numbers or len(columns) < 2 or len(found.rows) < 2)):
        return Chart(kind="table", x=None, y=None, color=None)
    if not numbers or len(columns) < 2:
        raise ValueError(f"A {wish.kind} chart needs two columns, and numbers in one of them. This answer is a table.")

    free = [name for name in columns if name not in (wish.x, wish.y, wish.color)]
    groups = [name for name in free if name not in numbers and _few(found, name)]
    labels = [name for name in free if name not in numbers and name not in groups]
    times = [name for name in free if name.lower() in _PARTS_OF_TIME]
    spare = [name for name in free if name in numbers][: None if wish.y else -1]
    across = spare if wish.kind == "scatter" else [*times, *labels, *spare, *groups]
    x = wish.x or next(iter(across), None)
    if x is None or (wish.kind == "scatter" and x not in numbers):
        raise ValueError(
            f"x: a {wish.kind} chart needs another column{' of numbers' if wish.kind == 'scatter' else ''}."
        )
    y = wish.y or next((name for name in reversed(numbers) if name not in (x, wish.color)), None)
    if y is None:
        raise ValueError(f"y: no column but {x!r} holds numbers.")
    color = wish.color or next((name for name in groups if name != x), None)
    kind: Drawn = wish.kind if wish.kind != "auto" else _fitting(found, x, color, x in numbers)
    return Chart(kind=kind, x=x, y=y, color=color)


def _check(wish: Wish, columns: list[str], numbers: list[str]) -> None:
    for part, name in (("x", wish.x), ("y", wish.y), ("color", wish.color)):
        if name is not None and name not in columns:
            close = difflib.get_close_matches(name, columns, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{part}: the answer has no column {name!r}.{hint} It has: {', '.join(columns)}.")
    if wish.y is not None and wish.y not in numbers:
        raise ValueError(f"y: {wish.y!r} does not hold numbers alone. These do: {', '.join(numbers) or 'none'}.")


def _fitting(found: Rows, x: str, color: str | None, x_is_number: bool) -> Drawn:
    """The chart that shows most of it."""
    across = _column(found, x)
    groups = _column(found, color) if color else [None] * len(across)
    once = len(set(zip(across, groups, strict=True))) == len(across)
    if x.lower() in _PARTS_OF_TIME or all(isinstance(v, str) and _IN_TIME.fullmatch(v) for v in across):
        return "line" if once else "table"
    if not x_is_number:
        return "bar" if once and len(across) <= MAX_BARS else "table"
    return "line" if once else "scatter"


def _column(found: Rows, name: str) -> list[Value]:
    place = found.columns.index(name)
    return [row[place] for row in found.rows]


def _few(found: Rows, name: str) -> bool:
    """Whether its values come back, and are few enough to be told apart by colour."""
    values = _column(found, name)
    return 1 < len(set(values)) <= MAX_COLORS and len(set(values)) < len(values)
