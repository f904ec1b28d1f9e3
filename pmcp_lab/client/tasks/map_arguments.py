"""The rows given to `Server.map`: mappings, a DataFrame or plain values, read into a tool's arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pmcp_lab.client.catalogue import Tool
from pmcp_lab.errors import InvalidArguments


def read_rows(tool: Tool, rows: Any, shared: Mapping[str, Any]) -> tuple[Any, list[dict[str, Any]]]:
    """The names and the arguments of the rows given to `Server.map`.

    Raises:
        InvalidArguments: They are plain values, and the tool takes several.
    """
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        index: Any = rows.index
        given: list[Any] = [
            {str(name): value for name, value in row.items() if not _empty(value)} for row in rows.to_dict("records")
        ]
    else:
        given = list(rows)
        index = range(len(given))
    found: list[dict[str, Any]] = []
    for row in given:
        own = row if isinstance(row, Mapping) else {_sole_argument(tool): row}
        found.append({key: _plain(value) for key, value in {**own, **shared, **own}.items()})
    return index, found


def check_words(tool: Tool, words: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """See that nobody meant the tool's argument by one of `map`'s own words.

    Args:
        words: Those that were given.

    Raises:
        InvalidArguments: The tool has an argument of that name, and not all rows have it.
    """
    for word in words:
        if word in tool.arguments and any(word not in row for row in rows):
            raise InvalidArguments(
                f"{tool.server}.{tool.name} has an argument `{word}`, and map(…, {word}=…) is map's own: give the "
                f"tool's in the rows, or for all of them as map({tool.name!r}, rows, {{{word!r}: …}}), where an empty "
                "mapping says that it was not meant; nothing was started"
            )


def check_rows(tool: Tool, names: Any, rows: Sequence[Mapping[str, Any]], why: str = "") -> None:
    """Compare rows with the tool's input schema.

    Args:
        names: What they are called.
        why: Words before what is wrong with them.

    Raises:
        InvalidArguments: Names the rows that don't fit.
    """
    wrong: list[str] = []
    for name, row in zip(names, rows, strict=True):
        wrong += [f"  row {name!r}: {problem}" for problem in tool.problems(row)[:3]]
    if wrong:
        rest = [f"  … {len(wrong) - 10} more"] if len(wrong) > 10 else []
        lines = "\n".join([*wrong[:10], *rest])
        raise InvalidArguments(f"{tool.server}.{tool.name} {why}can't take these rows; nothing was started:\n{lines}")


def _sole_argument(tool: Tool) -> str:
    required = list(tool.input_schema.get("required") or ())
    candidates = required if len(required) == 1 else list(tool.arguments)
    if len(candidates) != 1:
        raise InvalidArguments(
            f"{tool.server}.{tool.name} takes several arguments; give each row by name: {tool.signature}"
        )
    return str(candidates[0])


def _empty(value: Any) -> bool:
    """Whether a DataFrame's cell has nothing in it."""
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _plain(value: Any) -> Any:
    """A value of numpy or pandas as what JSON has."""
    match value:
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case float() | str() if hasattr(value, "item"):
            return value.item()
        case None | bool() | int() | float() | str():
            return value
        case _ if hasattr(value, "isoformat"):
            return value.isoformat()
        case _ if hasattr(value, "tolist"):
            return _plain(value.tolist())
        case _:
            return value
