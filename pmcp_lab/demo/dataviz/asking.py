"""Somebody else's SQL, run so that it can do no harm.

Each query has a copy of the database to itself, in memory: what one does, no other sees, and there is no file to reach.
On top of that the copy only answers reads. SQLite asks us about every table and function that a statement uses while
it is compiled, before any of it runs (https://sqlite.org/c3ref/set_authorizer.html), and we allow what a query needs
and nothing else. Time, rows and sizes have limits.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .bikes import database

QUERY_TIMEOUT = 2.0
"""How long a query may take."""

MAX_ROWS = 1000
"""Rows that are given back."""

MAX_CHARACTERS = 400_000
"""Text in all rows that are given back."""

STEPS_PER_CHECK = 500
"""Instructions of SQLite's machine between two looks at the clock."""

MAX_EXACT_INTEGER = 2**53
"""Above it a number in JSON is not exact for everybody."""

# Bytes of one value, of the statement, databases that can be attached, …
LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 5000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 5000,
    sqlite3.SQLITE_LIMIT_COLUMN: 60,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 60,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 30,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}

ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}

# `printf` fills any width it is told to before it looks at a limit or at the clock.
REFUSED_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "printf", "format"}

_READS = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*(select|with|values)\b", re.IGNORECASE | re.DOTALL)

Value = str | int | float | None


@dataclass(frozen=True)
class Rows:
    """What a query gave."""

    columns: list[str]
    rows: list[list[Value]]
    more: bool
    """There were more rows than are given back."""
    milliseconds: float


def ask(sql: str) -> Rows:
    """The answer to a query.

    Raises:
        ValueError: It isn't one query that reads, is wrong, or takes too long; says what, for a person.
    """
    if not _READS.match(sql):
        raise ValueError("Only reading is possible here: write one statement that begins with SELECT, WITH or VALUES.")
    with _copy() as connection:
        began = time.monotonic()
        connection.set_progress_handler(lambda: time.monotonic() - began > QUERY_TIMEOUT, STEPS_PER_CHECK)
        try:
            cursor = connection.execute(sql)
            columns = [column[0] for column in cursor.description or ()]
            rows, more = _fetch(cursor)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise ValueError(_why(error)) from None
        return Rows(columns, rows, more, (time.monotonic() - began) * 1000)


def tables() -> list[tuple[str, int, list[tuple[str, str]]]]:
    """Each table's name, how many rows it has, and its columns' names and types."""
    connection = _open()
    try:
        names = [
            row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid")
        ]
        return [
            (
                name,
                connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0],  # noqa: S608 - our own names
                [(column[1], column[2]) for column in connection.execute(f'PRAGMA table_info("{name}")')],
            )
            for name in names
        ]
    finally:
        connection.close()


def _open() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.deserialize(database())
    return connection


@contextmanager
def _copy() -> Iterator[sqlite3.Connection]:
    connection = _open()
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        for limit, value in LIMITS.items():
            connection.setlimit(limit, value)
        connection.set_authorizer(_may)
        yield connection
    finally:
        connection.close()


def _may(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action not in ALLOWED:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in REFUSED_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    # A PRAGMA can be asked for as a table, too.
    if action == sqlite3.SQLITE_READ and (first or "").lower().startswith("pragma_"):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _fetch(cursor: sqlite3.Cursor) -> tuple[list[list[Value]], bool]:
    rows: list[list[Value]] = []
    characters = 0
    for row in cursor:
        if len(rows) == MAX_ROWS or characters > MAX_CHARACTERS:
            return rows, True
        values = [_plain(value) for value in row]
        characters += sum(len(value) for value in values if isinstance(value, str))
        rows.append(values)
    return rows, False


def _plain(value: Any) -> Value:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, int) and abs(value) > MAX_EXACT_INTEGER:
        return str(value)
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "−∞"
    return value if isinstance(value, str | int | float) else None


def _why(error: Exception) -> str:
    said = str(error)
    if "interrupted" in said:
        return f"The query took longer than {QUERY_TIMEOUT:g} seconds and was stopped. Ask for less, or add a LIMIT."
    if "one statement at a time" in said:
        return "Only one statement can be run at a time: leave out what follows the first semicolon."
    if refused := re.search(r"to use function: (\w+)", said):
        return f"The function {refused[1]} can't be used here: a query may only read the tables."
    if "prohibited" in said or "not authorized" in said or "readonly" in said:
        return f"That is not allowed here ({said}): a query may only read the tables."
    if "too big" in said or "too large" in said or "too many" in said:
        return f"That is too much for one query: {said}."
    if missing := re.search(r"no such (table|column|function): (\S+)", said):
        return f"There is no {missing[1]} {missing[2]!r}. {_known(missing[1])}".rstrip()
    return f"SQLite does not understand that: {said}."


def _known(what: str) -> str:
    if what == "table":
        return f"Tables: {', '.join(name for name, _, _ in tables())}."
    if what == "column":
        columns = "; ".join(f"{name}: {', '.join(column for column, _ in own)}" for name, _, own in tables())
        return f"Columns: {columns}."
    return "SQLite's own functions can be used: https://sqlite.org/lang_corefunc.html."
