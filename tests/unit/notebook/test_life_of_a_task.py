"""From `server.task()` to its card a task has to go a way that a reader can follow."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def entered() -> dict[str, int]:
    """How often each file is entered from another."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.unit.life_of_a_task"], capture_output=True, text=True, timeout=50, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, int] = json.loads(ran.stdout)
    return found


def test_it_goes_through_few_files(entered: dict[str, int]) -> None:
    assert len(entered) <= 26, sorted(entered)


def test_what_is_known_of_it_is_taken_at_once(entered: dict[str, int]) -> None:
    there = {name: entered[f"client/tasks/{name}.py"] for name in ("task", "call")}
    # 29 to 37: the more news comes by itself, the more often. Read by its fields it was 103.
    assert sum(there.values()) <= 45, f"a view reads `Call.snapshot`, and who follows it has `Call.observe`: {there}"
