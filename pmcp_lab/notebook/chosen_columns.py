"""Which columns a table shows while nobody chose any, and what it says of all rows (`About` of `js/MESSAGES.md`)."""

from __future__ import annotations

from typing import Any

from pmcp_lab.client import DataColumn, labels
from pmcp_lab.notebook.row_patches import Sheet, brief

COLUMNS = ("n", "server", "tool", "set", "status", "progress", "message", "age", "duration", "ttl", "variables", "id")
"""Those that every task has; `arguments.NAME`, `variables.NAME` and `result.NAME` are of some."""
DATA = ("arguments.", "variables.", "result.")
USUAL = ("server", "tool", "status", "progress", "message", "duration", "age", "ttl", "variables")
"""Of a table of whatever tasks there are."""
OFFERED = 60
"""Columns of data that can be chosen."""
SHOWN = 4
"""Columns of arguments, of variables and of results that are shown unasked."""
ALIKE = 8
"""Arguments that are the same in all rows, which the table's head tells."""
KINDS = 5
"""Kinds of failure that its head counts."""


def about(sheet: Sheet, *, sweep: bool, one_server: bool) -> dict[str, Any]:
    """What a view has to know besides the rows.

    Args:
        sweep: The rows are those of one sweep, not whatever tasks there are.
        one_server: No other server's tasks will join.
    """
    # An object within a variable is shown by its fields.
    known = [
        column
        for column in sheet.columns.known.values()
        if (column.seen or column.numeric) and dict not in column.kinds
    ]
    offered, called = known[:OFFERED], labels(column.name for column in known)
    alone = sweep and len(sheet.tools) == 1
    repeated = [kind for kind in sheet.kinds.told() if kind.count > 1]
    told: dict[str, Any] = {
        "columns": [[column.name, called[column.name], column.numeric] for column in offered],
        "more": len(known) - len(offered) + len(sheet.columns.left_out),
        "shown": _sweep(offered) if alone else _usual(sheet, one_server),
        "alike": [],
        "failures": [[kind.count, kind.reason] for kind in repeated[:KINDS]],
        "moreFailures": max(0, len(repeated) - KINDS),
    }
    if alone:
        ((server, tool),) = sheet.tools
        told["title"] = f"{server}.{tool}"
        told["alike"] = [
            [called[column.name], str(brief(column.first))]
            for column in known
            if column.name.startswith("arguments.") and column.seen and not column.varies
        ][:ALIKE]
    return told


def _usual(sheet: Sheet, one_server: bool) -> list[str]:
    servers = {server for server, _ in sheet.tools}
    return [name for name in USUAL if name != "server" or not (one_server and len(servers) <= 1)]


def _sweep(offered: list[DataColumn]) -> list[str]:
    """What varies, and what is counted; a variable of the name of an argument repeats that, a result of the name of a
    variable what that came to."""
    given, seen, came = ([each for each in offered if each.name.startswith(part)] for part in DATA)
    called = {each.name.removeprefix("arguments.") for each in given}
    counted = [each.name for each in seen if each.numeric and each.name.removeprefix("variables.") not in called]
    variables = counted[:SHOWN]
    known = {name.removeprefix("variables.") for name in variables} | called
    results = [
        each.name
        for each in came
        if (each.varies or (each.numeric and bool not in each.kinds)) and each.name.removeprefix("result.") not in known
    ]
    arguments = [each.name for each in given if each.varies][:SHOWN]
    return ["n", *arguments, "status", "progress", *variables, *results[:SHOWN], "message", "duration"]
