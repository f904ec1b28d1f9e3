"""The table of `browser/README.md`: what it makes of a run, and that each app is in it as it is pinned."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import app_table
from tests.browser.shown_apps import APPS
from tests.filled import Outcomes, parse, split
from tests.peers import pins


def committed() -> list[tuple[str, ...]]:
    return parse(split(app_table.README.read_text(), app_table.BEGIN)[1])


def test_every_app_is_in_it_with_its_version_and_works_or_does_not() -> None:
    rows = committed()
    versions = [pins.version(app.pin) if app.pin else "–" for app in APPS]
    assert [row[:2] for row in rows] == list(zip((app.name for app in APPS), versions, strict=True))
    assert {cell for row in rows for cell in row[3:6]} <= {"works", "fails"}


def test_every_app_server_that_is_installed_is_in_it() -> None:
    folder = Path(pins.__file__).parent / "node_modules" / "@modelcontextprotocol"
    if not folder.is_dir():
        pytest.skip("there are no peers here: run `make peers`")
    with_page = {each.parents[1].name for each in folder.glob("server-*/dist/mcp-app.html")}
    assert with_page <= {app.pin for app in APPS}


def test_what_a_run_says_and_what_it_leaves() -> None:
    before = "\n".join(map(app_table.line, [app_table.HEAD, ["---"] * 7, *committed()]))
    first, second, third = (app.name for app in APPS[:3])
    assert app_table.lines({}, before) == before.splitlines()
    rows = {
        (first, "JupyterLab"): Outcomes({"test": "failed"}),
        (first, "preview"): Outcomes({"test": "passed"}),
        (second, "preview"): Outcomes({"test": "skipped"}, ["no Chromium"]),
    }
    said = {row[0]: row[3:6] for row in parse("\n".join(app_table.lines(rows, before)))}
    assert said[first] == ("fails", "works", "works")
    assert said[second] == said[third] == ("works", "works", "works")
    nothing = {row[0]: row[3:6] for row in parse("\n".join(app_table.lines(rows, "")))}
    assert nothing[first] == ("fails", "not run", "works")
