"""A `TaskSet` as a DataFrame: arguments, how it went, and results in columns of their own type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pmcp_lab.client.catalogue import Tool
from pmcp_lab.client.tasks.call import now_ms
from pmcp_lab.client.tasks.failures import reason_of
from pmcp_lab.client.tasks.set_row import SetRow
from pmcp_lab.client.tasks.table_columns import (
    ARGUMENTS,
    RESULT,
    VARIABLES,
    fields_of,
    flat,
    labels,
    own_label,
    promised,
)
from pmcp_lab.client.tasks.task import Task, call_of

if TYPE_CHECKING:
    import pandas as pd

Columns = dict[str, list[Any]]
_EMPTY = {"integer": "Int64", "number": "float64", "boolean": "boolean"}
"""Types of columns that nothing is in yet."""
LINE = 10_000
"""Characters of an error."""


def to_frame(tool: Tool, rows: Sequence[SetRow], index: Any) -> pd.DataFrame:
    """See `TaskSet.df`.

    Args:
        index: What the rows are called; that of a DataFrame stays what it is.
    """
    import pandas as pd

    tasks = [row.task for row in rows]
    outcomes = [task.outcome for task in tasks]
    data = {
        **_spread(ARGUMENTS, [task.arguments for task in tasks]),
        **_spread(RESULT, [{} if each is None else fields_of(each) for each in outcomes]),
        **_spread(VARIABLES, [flat(call_of(task).variables) for task in tasks]),
    }
    promises, called = promised(tool), labels(data)
    own: Columns = {
        "status": [row.status for row in rows],
        "seconds": [seconds(task) for task in tasks],
        "error": [reason_of(call_of(task), LINE) for task in tasks],
    }
    given = [name for name in data if name.startswith(ARGUMENTS)]
    typed = {called[name]: _typed(data.pop(name), promises.get(name)) for name in given}
    typed |= {own_label(name, list(typed)): _typed(values) for name, values in own.items()}
    typed |= {called[name]: _typed(values, promises.get(name)) for name, values in data.items()}
    media = [[] if each is None else [block for block in each.content if block.kind != "text"] for each in outcomes]
    if any(media):
        blocks = [None if not each else each[0] if len(each) == 1 else each for each in media]
        typed["content" if "content" not in typed else "result.content"] = pd.Series(blocks, dtype="object")
    frame = pd.DataFrame(typed, index=range(len(tasks)))
    return frame.set_axis(index if isinstance(index, pd.Index) else pd.Index(index), axis=0)


def seconds(task: Task) -> float | None:
    """How long it has run, or ran."""
    return None if task.queued else max(0.0, ((task.ended or now_ms()) - task.started) / 1000)


def _spread(part: str, rows: Iterable[Mapping[str, Any]]) -> Columns:
    """Mappings as columns; what one has not is None."""
    rows = list(rows)
    names = dict.fromkeys(str(name) for row in rows for name in row)
    return {part + name: [row.get(name) for row in rows] for name in names}


def _typed(values: list[Any], promise: str | None = None) -> Any:
    """A Series of the narrowest type that has room for all values, and for those that are missing.

    Args:
        promise: What a schema says of them.
    """
    import pandas as pd

    if promise == "date":
        return _moments(values)
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
        case _ if not kinds and promise in _EMPTY:
            kind = _EMPTY[promise]
        case _:
            kind = "object"
    return pd.Series(values, dtype=kind)


def _moments(values: list[Any]) -> Any:
    import pandas as pd

    try:
        return pd.Series(pd.to_datetime(values, format="ISO8601", utc=True))
    except (ValueError, TypeError):
        return _typed(values)  # the schema promised what the server does not keep
