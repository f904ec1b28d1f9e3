"""Tasks as the Python code that starts them again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pmcp_lab.client import Task, call_of

LONGEST = 1_000_000
"""Characters beyond which code is for nobody."""


def start_code(tasks: Sequence[Task]) -> str:
    """A cell that starts these tasks again, those of one tool together.

    Tasks that were started elsewhere are a comment: what they were called with is not known.
    """
    known = [task for task in tasks if task.tool and not task.attached]
    by_tool: dict[tuple[str, str], list[Task]] = {}
    for task in known:
        by_tool.setdefault((task.server, task.tool), []).append(task)
    lines = ["import pmcp_lab as lab", ""]
    for (server, tool), rows in by_tool.items():
        given = [literal(task.arguments) for task in rows]
        if len(rows) == 1 and call_of(rows[0]).set_name is None:
            lines.append(f"lab.connected({server!r}).task({tool!r}, {given[0]})")
        else:
            lines += [f"lab.connected({server!r}).map({tool!r}, [", *(f"    {row}," for row in given), "])"]
    if others := len(tasks) - len(known):
        lines.append(f"# {others} of these {len(tasks)} were started elsewhere: with what is not known")
    return "\n".join(lines)


def literal(value: Any) -> str:
    """A JSON value as Python spells it, and what Python's JSON has beyond that."""
    match value:
        case float() if not math.isfinite(value):
            return f"float({str(value)!r})"
        case Mapping():
            return f"{{{', '.join(f'{key!r}: {literal(each)}' for key, each in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(literal, value))}]"
        case _:
            return repr(value)
