"""The plugin that fills the table of `interop/README.md`: what it makes of a run, and when it fails one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop import table
from tests.peers import pins

ROOT = Path(__file__).parents[1]
CONFTEST = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.interop.conftest import pytest_itemcollected
def pytest_configure(config):
    config.addinivalue_line("markers", "peer: a row")
"""
TESTS = """
import pytest
from tests.interop.table import peer

@pytest.fixture
def rmcp():
    {rmcp}

@peer("rmcp", "server", "2026-07-28", "stdio")
def test_one(rmcp): pass

@peer("rmcp", "server", "2026-07-28", "stdio")
def test_two(rmcp): {two}

@peer("server-memory", "server", "2025-11-25", "stdio")
@peer("fastmcp", "client", "2025-11-25", "HTTP")
def test_three(): pass

def test_of_no_peer(): pass
"""
RMCP, MEMORY, FASTMCP = (pins.version(name) for name in ("rmcp", "server-memory", "fastmcp"))
FASTMCP_ROW = f"| fastmcp | {FASTMCP} | client | 2025-11-25 | HTTP | 1 passed |"
MEMORY_ROW = f"| server-memory | {MEMORY} | server | 2025-11-25 | stdio | 1 passed |"


def rmcp_row(result: str, version: str = RMCP) -> str:
    return f"| rmcp | {version} | server | 2026-07-28 | stdio | {result} |"


Run = Callable[..., pytest.RunResult]


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    file = tmp_path / "README.md"
    file.write_text(f"# Before\n\n{table.BEGIN}\n{table.END}\n\nAfter\n")
    return file


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, readme: Path) -> Run:
    pytester.makeconftest(CONFTEST)

    def run(*options: str, rmcp: str = "pass", two: str = "pass", ci: str = "") -> pytest.RunResult:
        monkeypatch.setenv("CI", ci)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        pytester.makepyfile(TESTS.format(rmcp=rmcp, two=two))
        return pytester.runpytest_subprocess("-p", "tests.interop.table", "--peer-table", str(readme), *options)

    return run


def rows(readme: Path) -> list[str]:
    return table.split(readme.read_text())[1].splitlines()[2:]


def test_a_run_fills_the_table_and_nothing_else(run: Run, readme: Path) -> None:
    assert run().ret == 0
    assert rows(readme) == [FASTMCP_ROW, rmcp_row("2 passed"), MEMORY_ROW]
    assert readme.read_text().startswith("# Before\n\n")
    assert readme.read_text().endswith("\n\nAfter\n")
    before = readme.stat().st_mtime_ns
    run()
    assert readme.stat().st_mtime_ns == before


def test_what_failed_is_in_it(run: Run, readme: Path) -> None:
    assert run(two="assert False").ret == 1
    assert rmcp_row("1 passed, 1 failed") in rows(readme)


def test_what_failed_once_and_then_passed_passed(run: Run, readme: Path) -> None:
    two = "\n    import pathlib\n    f = pathlib.Path('ran')\n    was = f.exists()\n    f.touch()\n    assert was"
    again = ("-p", "pytest_rerunfailures", "--reruns", "1")
    assert run(*again, two=two).ret == 0
    assert rmcp_row("2 passed") in rows(readme)


def test_two_at_a_time(run: Run, readme: Path) -> None:
    assert run("-p", "xdist", "-n", "2").ret == 0
    assert rows(readme) == [FASTMCP_ROW, rmcp_row("2 passed"), MEMORY_ROW]


def test_a_peer_that_is_not_to_be_had_keeps_its_row(run: Run, readme: Path) -> None:
    gone = "pytest.skip('there is no cargo here')"
    run(rmcp=gone)
    assert rmcp_row("not run: there is no cargo here") in rows(readme)
    run()
    assert run(rmcp=gone, ci="true").ret == 0
    run(rmcp=gone)
    assert rmcp_row("2 passed") in rows(readme)


def test_a_row_of_another_version_is_not_kept(run: Run, readme: Path) -> None:
    run()
    readme.write_text(readme.read_text().replace(rmcp_row("2 passed"), rmcp_row("2 passed", "0.1")))
    gone = "pytest.skip('there is no cargo here')"
    assert run(rmcp=gone, ci="true").ret == 1
    run(rmcp=gone)
    assert rmcp_row("not run: there is no cargo here") in rows(readme)


def test_in_ci_a_table_that_says_otherwise_fails_the_run(run: Run, readme: Path) -> None:
    run()
    assert run(ci="true").ret == 0
    false = readme.read_text().replace(rmcp_row("2 passed"), rmcp_row("3 passed"))
    readme.write_text(false)
    result = run(ci="true")
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"- {rmcp_row('3 passed')}", f"+ {rmcp_row('2 passed')}", "*`make interop` fills it"])
    assert readme.read_text() == false


def test_a_run_that_could_not_collect_its_tests_leaves_it(
    run: Run, readme: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    before = readme.read_text()
    pytester.makepyfile(test_broken="import nothing_of_that_name")
    assert run().ret == pytest.ExitCode.INTERRUPTED
    assert readme.read_text() == before


def test_a_peer_without_a_pin_is_no_row() -> None:
    with pytest.raises(LookupError, match="says nothing of 'nobody'"):
        table.peer("nobody", "server", "2025-11-25", "stdio")


@pytest.mark.parametrize("name", pins.PINS)
def test_every_peer_is_pinned_and_in_the_table_with_its_version(name: str) -> None:
    version = pins.version(name)
    assert re.fullmatch(r"\d[\w.-]*|>=\S+", version)
    assert {row[1] for row in table.parse(table.split(table.README.read_text())[1]) if row[0] == name} == {version}
