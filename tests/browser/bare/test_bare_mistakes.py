"""`pmcp-lab app check` finds mistakes of all kinds, and leaves an app without one alone."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from pmcp_lab.cli import main
from tests.browser.bare.mistakes import GOOD_ONE, KNOWN, MISTAKES, NAMED, Mistake, served

SERVER = Path(__file__).parents[2] / "servers" / "mistaken.py"
Findings = list[dict[str, str]]


def checked(folder: Path, *options: str) -> Findings:
    file = folder / "served.json"
    file.write_text(json.dumps(served()))
    target = shlex.join([sys.executable, str(SERVER), str(file)])
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main(["app", "check", target, "--json", *options])
    assert ended.value.code == 3
    found: dict[str, Any] = json.loads(out.getvalue())
    return list(found["findings"])


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Findings:
    return checked(tmp_path_factory.mktemp("opened"), "--browser", chromium)


def of(mistake: Mistake, findings: Findings) -> set[str]:
    """The codes of what was found of it."""
    names = [re.escape(each) for each in (mistake.uri, f"tool {mistake.name}")]
    return {each["code"] for each in findings if re.match(rf"(?:{'|'.join(names)})(?:\s|$)", each["place"])}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda each: each.name)
def test_is_found(mistake: Mistake, findings: Findings) -> None:
    assert of(mistake, findings) & set(mistake.codes), of(mistake, findings)


def test_an_app_without_one_is_left_alone(findings: Findings) -> None:
    assert not of(GOOD_ONE, findings)


def test_most_are_found_without_a_browser(tmp_path: Path) -> None:
    findings = checked(tmp_path, "--no-open")
    missed = [each.name for each in MISTAKES if not of(each, findings) & set(each.codes)]
    assert missed == [each.name for each in MISTAKES if each.seen]
    assert len(KNOWN) + len(NAMED) >= 40
