"""The guard in conftest.py: in CI, a test that stops running without anybody's decision makes the run fail."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = """
import sys
import pytest

def test_runs(): pass

@pytest.mark.skip(reason="{reason}")
def test_is_skipped(): pass

@pytest.mark.xfail(reason="known")
def test_is_known_to_fail(): assert False
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    root = Path(__file__).parents[1]
    pytester.makeconftest(f"import sys; sys.path.insert(0, {str(root)!r})\nfrom tests.conftest import *")

    def run(reason: str, ci: str) -> pytest.RunResult:
        monkeypatch.setenv("CI", ci)
        # The installed plugins have no say in this, and take a second each to load.
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        pytester.makepyfile(TESTS.format(reason=reason))
        return pytester.runpytest_subprocess()

    return run


def test_a_skip_nobody_decided_on_fails_in_ci(run):
    result = run("no time", ci="true")
    result.assert_outcomes(passed=1, skipped=1, xfailed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["unexpected skip: *no time"])


def test_a_skip_that_was_decided_on_passes_in_ci(run):
    assert run("needs Windows: job objects", ci="true").ret == pytest.ExitCode.OK


def test_skips_are_free_elsewhere(run):
    assert run("no time", ci="").ret == pytest.ExitCode.OK
