"""A pytest plugin: what a run found out about each peer, as the table of `README.md` beside this file.

`make interop` loads it. A test says whose row it belongs to by `peer(…)`, a mark; the row's result is what became of
its tests. The table is filled anew at the end of a run, or in CI compared with what the run found: then a difference
fails it. A peer that can't be had on this machine keeps the row it has: the table does not depend on the machine.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.peers.pins import PINS, version

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- filled by `make interop` -->", "<!-- until here -->"
HEAD = ("Peer", "Version", "It is the", "Generation", "Over", "Result")
PROPERTY = "peer"
UNAVAILABLE = "not run"
"""How the result begins of a peer that could not be had."""

Key = tuple[str, str, str, str]
"""Peer, what it is (server or client), generation, transport."""


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


@dataclass
class Row:
    """What became of the tests of one row; of one that ran again, the last time counts."""

    outcomes: dict[str, str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    @property
    def ran(self) -> bool:
        return any(outcome != "skipped" for outcome in self.outcomes.values())

    def __str__(self) -> str:
        if not self.ran:
            return f"{UNAVAILABLE}: {self.reasons[0] if self.reasons else 'no test'}"
        counts = Counter(self.outcomes.values())
        return ", ".join(f"{counts[each]} {each}" for each in ("passed", "failed", "skipped") if counts[each])


class Table:
    """Collects the rows of a run, from the reports of its tests."""

    def __init__(self) -> None:
        self.rows: defaultdict[Key, Row] = defaultdict(Row)

    def add(self, report: Any) -> None:
        keys = [tuple(value) for name, value in report.user_properties if name == PROPERTY]
        for row in (self.rows[key] for key in keys):
            if report.outcome == "rerun":
                row.outcomes.pop(report.nodeid, None)
            elif report.when == "call" or report.outcome != "passed":
                row.outcomes[report.nodeid] = report.outcome
            if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
                row.reasons.append(report.longrepr[2].removeprefix("Skipped: "))

    def lines(self, before: str) -> list[str]:
        """The table, with the rows of what was not to be had as they are in the table before."""
        kept = {cells[0:1] + cells[2:5]: cells for cells in parse(before)}
        table = []
        for key, row in sorted(self.rows.items(), key=lambda item: (item[0][0].lower(), *item[0][1:])):
            name, role, generation, transport = key
            cells = (name, version(name), role, generation, transport, str(row))
            was = kept.get(key)
            table.append(was if not row.ran and was is not None and was[1] == cells[1] else cells)
        return [line(HEAD), line("---" for _ in HEAD), *map(line, table)]


def line(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def parse(text: str) -> list[tuple[str, ...]]:
    """The rows of a table that `lines` made."""
    rows = [
        tuple(cell.strip() for cell in each.strip("|").split(" | ")) for each in text.splitlines() if each[:1] == "|"
    ]
    return rows[2:]


def split(text: str) -> tuple[str, str, str]:
    """A file's text before, in and after the markers."""
    found = re.search(f"({re.escape(BEGIN)}\n)(.*?)({re.escape(END)})", text, re.DOTALL)
    if found is None:
        raise LookupError(f"{README} has no {BEGIN} … {END}")
    return text[: found.end(1)], found[2], text[found.start(3) :]


# --- pytest -----------------------------------------------------------------------------------------------------

TABLE = pytest.StashKey[Table]()
TOLD = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--peer-table", default=str(README), help="the file whose table is filled, or compared in CI")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[TABLE] = Table()
        config.pluginmanager.register(Reports(config.stash[TABLE]))


class Reports:
    def __init__(self, table: Table) -> None:
        self._table = table

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._table.add(report)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    table = session.config.stash.get(TABLE, None)
    # A run that was broken off, or could not collect its tests, knows too little.
    if table is None or exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return
    path = Path(session.config.getoption("--peer-table"))
    before, old, after = split(path.read_text())
    new = "\n".join(table.lines(old)) + "\n"
    told = session.config.stash[TOLD] = []
    if new == old:
        return
    if os.environ.get("CI", "").lower() not in ("1", "true", "yes"):
        path.write_text(before + new + after)
        told.append(f"{path.name} of the peers is filled anew: commit it")
        return
    told += [f"- {each}" for each in old.splitlines() if each not in new.splitlines()]
    told += [f"+ {each}" for each in new.splitlines() if each not in old.splitlines()]
    told.append(f"{path.name} of the peers says otherwise than this run: `make interop` fills it")
    session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for each in config.stash.get(TOLD, []):
        terminalreporter.write_line(each, yellow=True)
