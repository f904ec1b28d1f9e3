"""A pytest plugin: what a run found out about each peer, as the table of `README.md` beside this file.

`make interop` loads it. A test says whose row it belongs to by `peer(…)`, a mark; the row's result is what became of
its tests. See `tests/filled.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest

from tests.filled import END as END
from tests.filled import FilledTable, Key, Outcomes, line, parse
from tests.filled import split as split_at
from tests.peers.pins import PINS, version

README = Path(__file__).parent / "README.md"
BEGIN = "<!-- filled by `make interop` -->"
HEAD = ("Peer", "Version", "It is the", "Generation", "Over", "Result")
PROPERTY = "peer"
UNAVAILABLE = "not run"
"""How the result begins of a peer that could not be had."""


def peer(
    name: str,
    role: Literal["server", "client"],
    generation: Literal["2025-11-25", "2026-07-28"] | str,
    transport: Literal["stdio", "HTTP"] | str,
) -> pytest.MarkDecorator:
    """The row that a test belongs to. A test may have several.

    Args:
        name: One of `tests.peers.pins.PINS`.
        role: What the peer is.
    """
    if name not in PINS:
        raise LookupError(f"tests.peers.pins says nothing of {name!r}")
    return pytest.mark.peer(name, role, generation, transport)


def result(row: Outcomes) -> str:
    if not row.ran:
        return f"{UNAVAILABLE}: {row.reasons[0] if row.reasons else 'no test'}"
    counts = Counter(row.of.values())
    return ", ".join(f"{counts[each]} {each}" for each in ("passed", "failed", "skipped") if counts[each])


def lines(rows: Mapping[Key, Outcomes], before: str) -> list[str]:
    """The table, with the rows of what was not to be had as they are in the table before."""
    kept = {cells[0:1] + cells[2:5]: cells for cells in parse(before)}
    table = []
    for key, row in sorted(rows.items(), key=lambda item: (item[0][0].lower(), *item[0][1:])):
        cells = (key[0], version(key[0]), *key[1:], result(row))
        was = kept.get(key)
        table.append(was if not row.ran and was is not None and was[1] == cells[1] else cells)
    return [line(HEAD), line("---" for _ in HEAD), *map(line, table)]


def split(text: str) -> tuple[str, str, str]:
    """A file's text before, in and after the markers."""
    return split_at(text, BEGIN)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--peer-table", default=str(README), help="the file whose table is filled, or compared in CI")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        path = Path(config.getoption("--peer-table"))
        config.pluginmanager.register(FilledTable(path, BEGIN, PROPERTY, "make interop", lines))
