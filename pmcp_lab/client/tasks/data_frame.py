"""A `TaskSet` as a DataFrame: arguments, how it went, and results in columns of their own type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pmcp_lab.client.catalogue import Tool
from pmcp_lab.client.tasks.call import now_ms
from pmcp_lab.client.tasks.failures import reason_of
from pmcp_lab.client.tasks.set_row import SetRow
from pmcp_lab.client.tasks.task import Task, call_of

if TYPE_CHECKING:
    import pandas as pd

Columns = dict[str, list[Any]]
LINE = 10_000
"""Characters of an error."""


def to_frame(tool: Tool, rows: Sequence[SetRow], index: Any) -> pd.DataFrame:
    """See `TaskSet.df`.

    Args:
        index: What the rows are called; that of a DataFrame stays what it is.
    """
    import pandas as pd

    tasks = [row.task for row in rows]
    columns = _spread([task.arguments for task in tasks])
    _put(columns, "status", [row.status for row in rows], "task")
    _put(columns, "seconds", [seconds(task) for task in tasks], "task")
    _put(columns, "error", [reason_of(call_of(task), LINE) for task in tasks], "task")
    outcomes = [task.outcome for task in tasks]
    dated = _dates(tool.output_schema)
    typed = {name: _typed(values) for name, values in columns.items()}
    for name, values in _spread([{} if each is None else _values(each) for each in outcomes]).items():
        column = f"result.{name}" if name in typed else name
        typed[column] = _moments(values) if name in dated else _typed(values)
    media = [[] if each is None else [block for block in each.content if block.kind != "text"] for each in outcomes]
    if any(media):
        blocks = [None if not each else each[0] if len(each) == 1 else each for each in media]
        typed["content" if "content" not in typed else "result.content"] = pd.Series(blocks, dtype="object")
    frame = pd.DataFrame(typed, index=range(len(tasks)))
    return frame.set_axis(index if isinstance(index, pd.Index) else pd.Index(index), axis=0)


def seconds(task: Task) -> float | None:
    """How long it has run, or ran."""
    return None if task.queued else max(0.0, ((task.ended or now_ms()) - task.started) / 1000)


def _values(outcome: Any) -> Mapping[str, Any]:
    value = outcome.value
    if isinstance(value, Mapping):
        return _flat(value)
    return {} if outcome.structured is None and value == "" else {"result": value}


def _flat(value: Mapping[str, Any], inside: str = "", depth: int = 8) -> dict[str, Any]:
    """An object's fields, those of objects within as `a.b`."""
    fields: dict[str, Any] = {}
    for name, each in value.items():
        if isinstance(each, Mapping) and each and depth:
            fields |= _flat(each, f"{inside}{name}.", depth - 1)
        else:
            fields[f"{inside}{name}"] = each
    return fields


def _spread(rows: Iterable[Mapping[str, Any]]) -> Columns:
    """Mappings as columns; what one has not is None."""
    rows = list(rows)
    names = dict.fromkeys(str(name) for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _put(columns: Columns, name: str, values: list[Any], owner: str) -> None:
    columns[name if name not in columns else f"{owner}.{name}"] = values


def _typed(values: list[Any]) -> Any:
    """A Series of the narrowest type that has room for all values, and for those that are missing."""
    import pandas as pd

    kinds = {type(value) for value in values if value is not None}
    whole = None not in values
    match kinds:
        case _ if kinds == {bool}:
            kind = "bool" if whole else "boolean"
        case _ if kinds == {int} and all(value is None or abs(value) < 2**63 for value in values):
            kind = "int64" if whole else "Int64"
        case _ if kinds and kinds <= {int, float}:
            kind = "float64"
        case _ if kinds == {str}:
            return pd.Series(values)
        case _:
            kind = "object"
    return pd.Series(values, dtype=kind)


def _dates(schema: Mapping[str, Any]) -> set[str]:
    """The properties a schema says are moments."""
    properties = schema.get("properties")
    known = properties.items() if isinstance(properties, Mapping) else ()
    return {name for name, each in known if isinstance(each, Mapping) and each.get("format") in ("date-time", "date")}


def _moments(values: list[Any]) -> Any:
    import pandas as pd

    try:
        return pd.Series(pd.to_datetime(values, format="ISO8601", utc=True))
    except (ValueError, TypeError):
        return _typed(values)  # the schema promised what the server does not keep
