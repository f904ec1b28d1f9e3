"""No file grows past what can be read in one sitting without a reason given here."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINES = 400
"""More than these want a reason."""
KINDS = (".py", ".ts", ".css")

REASONS: dict[str, dict[str, str | int]] = tomllib.loads(
    Path(__file__).with_name("long_files.toml").read_text(encoding="utf-8")
)


def sizes() -> dict[str, int]:
    listed = subprocess.run(
        ["git", "ls-files", "pmcp_lab", "js/src", "tests"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    paths = [path for path in listed.stdout.splitlines() if path.endswith(KINDS) and (ROOT / path).is_file()]
    return {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in paths}


def test_long_files_have_a_reason_and_grow_no_longer() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("only in a checkout")
    long = {path: lines for path, lines in sizes().items() if lines > LINES}
    grown = {path: lines for path, lines in long.items() if lines > int(REASONS.get(path, {}).get("lines", LINES))}
    assert not grown, "split these, or give them a reason in tests/long_files.toml"
    assert [path for path in REASONS if path not in long] == [], "these are short now: take them off the list"
