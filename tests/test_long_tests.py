"""What `make test` leaves out can be started all the same: a fixture that it lost would show only much later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_every_fixture_is_there() -> None:
    folders = ["tests/stress", "tests/benchmarks"]
    plan = [sys.executable, "-m", "pytest", *folders, "--setup-plan", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run(plan, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == pytest.ExitCode.OK, run.stdout[-2000:]
