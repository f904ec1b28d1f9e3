"""What every test can count on: markers by folder, the skip policy, peers and a browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import peers

pytest_plugins = ["pytester"]

HERE = Path(__file__).parent

# A test's folder says what it needs, so nobody has to remember to mark it. Folders not named here are unit tests.
MARKERS = {
    "interop": "talks to third-party servers from tests/peers",
    "browser": "needs Chromium",
    "packaging": "builds and installs the package: slow, needs the package index",
    "benchmark": "measures; run by `make bench`",
    "stress": "the long version of a test; run by `make stress`",
}
FOLDERS = {
    "interop": "interop",
    "browser": "browser",
    "packaging": "packaging",
    "benchmarks": "benchmark",
    "stress": "stress",
}

# Longer than the default of pyproject.toml, for what starts other programs.
TIMEOUTS = {"interop": 120, "browser": 180, "packaging": 600, "benchmark": 600, "stress": 3600}

# Reasons for which a test may be skipped in CI, as regular expressions. CI has everything a test can need, so a skip
# there is a test that quietly stopped running; an entry here is a decision and says why.
SKIPS_ALLOWED_IN_CI: tuple[str, ...] = (
    r"^needs Windows",  # CI is Linux
    r"^there is no (go|cargo) here",  # a peer in a language that is not every machine's
    r"^(Go|Rust)'s \w+ is not built",  # by `make interop`: it takes minutes
    r"^there is no WebKitGTK to drive here",  # 200 MB of packages, for one engine of three
)


def pytest_configure(config: pytest.Config) -> None:
    # A shell's background jobs ignore Ctrl-C, and so would every process that a test starts and interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    config.addinivalue_line("markers", "peer(name, role, generation, transport): see tests/interop/table.py")
    config.addinivalue_line("markers", "shown(app, place): see tests/browser/app_table.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        marker = FOLDERS.get(item.path.relative_to(HERE).parts[0])
        if marker is not None:
            item.add_marker(marker)
        for name, seconds in TIMEOUTS.items():
            if item.get_closest_marker(name) and not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(seconds))
        if marker == "browser" and (given := item.get_closest_marker("timeout")):
            # A signal would end Playwright's loop and leave the worker waiting for it for good.
            item.add_marker(pytest.mark.timeout(*given.args, method="thread"))
    # Files with long tests come first, or one worker would be at them when the others have nothing left to do.
    longest = dict[Path, float]()
    for item in items:
        given = item.get_closest_marker("timeout")
        longest[item.path] = max(longest.get(item.path, 0.0), given.args[0] if given and given.args else 0.0)
    items.sort(key=lambda item: -longest[item.path])


# --- skips ---

unexpected_skips = pytest.StashKey[list[str]]()


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Iterator[None]:
    yield
    for line in config.stash.get(unexpected_skips, []):
        terminalreporter.write_line(f"unexpected skip: {line}", red=True, bold=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run in which something was skipped for a reason that nobody decided on."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not in_ci():
        return
    found = [
        f"{report.nodeid}: {reason}"
        for report in reporter.stats.get("skipped", [])
        if (reason := skip_reason(report)) is not None
        and not any(re.search(allowed, reason) for allowed in SKIPS_ALLOWED_IN_CI)
    ]
    session.config.stash[unexpected_skips] = found
    if found and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    """Why a test or module was skipped; None for a report that is not a skip (an expected failure)."""
    if hasattr(report, "wasxfail"):
        return None
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


# --- what tests need ---


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio: the package's own loop, and aiobotocore's and redis-py's."""
    return "asyncio"


def installed(peer: peers.Peer) -> peers.Peer:
    if not peer.script.is_file():
        pytest.skip(f"{peer.package} is not installed: run `npm ci --ignore-scripts` in tests/peers")
    return peer


def python_of(peer: peers.PythonPeer) -> str:
    if not peer.python.is_file():
        pytest.skip(f"there is no environment of {peer.name} at {peer.python}: run `make peers`")
    return str(peer.python)


def built(peer: peers.BuiltPeer, name: str) -> str:
    program = peer.program(name)
    if program.is_file():
        return str(program)
    if shutil.which(peer.toolchain) is None:
        pytest.skip(f"there is no {peer.toolchain} here to build it with")
    pytest.skip(f"{peer.language}'s {name} is not built: run `make interop`")


@pytest.fixture(scope="session")
def everything() -> peers.Peer:
    """server-everything: every primitive of MCP, and tasks of 2025-11-25."""
    return installed(peers.EVERYTHING)


@pytest.fixture(scope="session")
def budget_allocator() -> peers.Peer:
    """server-budget-allocator: an MCP App that needs no network."""
    return installed(peers.BUDGET_ALLOCATOR)


@pytest.fixture(scope="session")
def app_peers() -> dict[str, peers.Peer]:
    """Servers with an MCP App each, by short name."""
    return {name: installed(peer) for name, peer in peers.APPS.items()}


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; `PMCP_LAB_CHROMIUM` names one that is not on PATH."""
    names = ["chromium", "chromium-browser", "google-chrome"]
    found = os.environ.get("PMCP_LAB_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium on PATH: install it, or set PMCP_LAB_CHROMIUM to one")
    return found


@pytest.fixture(scope="session")
def browser_type_launch_args(chromium: str) -> dict[str, object]:
    """Makes pytest-playwright's `browser` and `page` use that Chromium, kept from phoning home."""
    return {
        "executable_path": chromium,
        "headless": True,
        "args": [
            *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),  # Chromium insists, as root
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ],
    }
