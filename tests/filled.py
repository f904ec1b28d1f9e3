"""A table in a README that a run of tests fills, as a plugin that `-p` makes of it; in CI it is compared instead.

A test says by a mark whose row it belongs to. What can't be had on this machine keeps the row it has: a table does not
depend on the machine.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

END = "<!-- until here -->"

Key = tuple[str, ...]
"""What a test's mark says."""


@dataclass
class Outcomes:
    """What became of the tests of one key; of one that ran again, the last time counts."""

    of: dict[str, str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    @property
    def ran(self) -> bool:
        return any(outcome != "skipped" for outcome in self.of.values())


Lines = Callable[[Mapping[Key, Outcomes], str], list[str]]
"""Makes the table, with its head, of what was found out and the text of the one before."""


class FilledTable:
    """The plugin.

    Args:
        path: The file with the table.
        begin: What stands before the table; after it stands `END`.
        mark: The mark whose arguments are a key; `collected` puts it into the reports.
        command: What fills the table, for people.
    """

    def __init__(self, path: Path, begin: str, mark: str, command: str, lines: Lines) -> None:
        self.path = path
        self.begin = begin
        self._mark = mark
        self._command = command
        self._lines = lines
        self._outcomes: defaultdict[Key, Outcomes] = defaultdict(Outcomes)
        self._told: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        keys = [tuple(value) for name, value in report.user_properties if name == self._mark]
        for row in (self._outcomes[key] for key in keys):
            if report.outcome == "rerun":  # type: ignore[comparison-overlap]  # of pytest-rerunfailures
                row.of.pop(report.nodeid, None)
            elif report.when == "call" or report.outcome != "passed":
                row.of[report.nodeid] = report.outcome
            if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
                row.reasons.append(report.longrepr[2].removeprefix("Skipped: "))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        # A run that was broken off, or could not collect its tests, knows too little.
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return
        before, old, after = split(self.path.read_text(), self.begin)
        new = "\n".join(self._lines(self._outcomes, old)) + "\n"
        if new == old:
            return
        name = self.path.name
        if os.environ.get("CI", "").lower() not in ("1", "true", "yes"):
            self.path.write_text(before + new + after)
            self._told.append(f"{name} is filled anew ({self._command}): commit it")
            return
        self._told += [f"- {each}" for each in old.splitlines() if each not in new.splitlines()]
        self._told += [f"+ {each}" for each in new.splitlines() if each not in old.splitlines()]
        self._told.append(f"{name} says otherwise than this run: `{self._command}` fills it")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for each in self._told:
            terminalreporter.write_line(each, yellow=True)


def collected(item: pytest.Item, mark: str) -> None:
    """Put a test's marks of that name into its reports, which a worker can send."""
    for each in item.iter_markers(mark):
        item.user_properties.append((mark, list(each.args)))


def line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def parse(text: str) -> list[tuple[str, ...]]:
    """The rows of a table that is made of `line`s."""
    rows = [
        tuple(cell.strip() for cell in each.strip("|").split(" | ")) for each in text.splitlines() if each[:1] == "|"
    ]
    return rows[2:]


def split(text: str, begin: str) -> tuple[str, str, str]:
    """A file's text before, in and after the table."""
    found = re.search(f"({re.escape(begin)}\n)(.*?)({re.escape(END)})", text, re.DOTALL)
    if found is None:
        raise LookupError(f"there is no {begin} … {END}")
    return text[: found.end(1)], found[2], text[found.start(3) :]
