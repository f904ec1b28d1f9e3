"""A pytest plugin: which apps of other people work where, as the table of `README.md` beside this file.

`make browser` loads it; `lab/test_lab_every_app.py` has the tests, and `shown_apps.py` what is done with each app.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.browser.shown_apps import APPS
from tests.filled import FilledTable, Key, Outcomes, line, parse
from tests.peers.pins import version

README = Path(__file__).parent / "README.md"
BEGIN = "<!-- filled by `make browser` -->"
MARK = "shown"
PLACES = ("JupyterLab", "Notebook 7", "preview")
HEAD = ("App", "Version", "What is done", *PLACES, "What it misses here")


def shown(app: str, place: str) -> pytest.MarkDecorator:
    """The app that a test shows, and where."""
    return pytest.mark.shown(app, place)


def result(row: Outcomes | None, before: str) -> str:
    if row is None or not row.ran:
        return before
    return "works" if set(row.of.values()) <= {"passed", "skipped"} else "fails"


def lines(rows: Mapping[Key, Outcomes], before: str) -> list[str]:
    """A row for each app; what this run did not show stays as it was."""
    kept = {cells[:2]: cells for cells in parse(before)}
    table = []
    for app in APPS:
        key = (app.name, version(app.pin) if app.pin else "–")
        was = kept.get(key, ("",) * len(HEAD))
        places = [
            result(rows.get((app.name, place)), was[3 + index] or "not run") for index, place in enumerate(PLACES)
        ]
        table.append((*key, app.does, *places, app.misses or "nothing"))
    return [line(HEAD), line("---" for _ in HEAD), *map(line, table)]


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(FilledTable(README, BEGIN, MARK, "make browser", lines))
