"""The official conformance suite against a full server on `Tasks`: both revisions, and the extensions.

`--requirements` also runs what a revision does not score: the `tasks-*` scenarios are among that of 2026-07-28. Those
of skills have to be named, and forced; for these our client is tried as well.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hatch_build import node
from tests import peers
from tests.conftest import installed
from tests.interop.table import peer
from tests.servers import started

SUITE = peers.CONFORMANCE

# Every check that is neither passed nor for information only, with the reason. An entry that is no longer true fails.
EXPECTED = {
    ("2026-07-28", "tasks-status-notifications"): "SKIPPED: the suite's own scenario is empty until it can listen",
    (
        "2025-11-25",
        "server-sse-priming-event",
    ): "WARNING: resumable streams need an event store; there is none",
    ("2025-11-25", "server-sse-retry-field"): "WARNING: as above",
}

# A scenario that lost checks would pass as silently as one that has them.
TASK_CHECKS = {
    "tasks-lifecycle": 9,
    "tasks-capability-negotiation": 5,
    "tasks-wire-fields": 4,
    "tasks-request-state-removal": 3,
    "tasks-mrtr-input": 4,
    "tasks-request-headers": 5,
    "tasks-dispatch-and-envelope": 9,
    "tasks-status-notifications": 0,
    "tasks-required-task-error": 3,
    "tasks-mrtr-composition": 2,
}
# Caching fields are of 2026-07-28; the suite leaves their two checks out for the other revision.
SKILL_CHECKS = {
    ("2026-07-28", "enumeration"): {"SUCCESS": 32},
    ("2026-07-28", "manifest"): {"SUCCESS": 6},
    ("2026-07-28", "directory"): {"SUCCESS": 7},
    ("2025-11-25", "enumeration"): {"SUCCESS": 30, "SKIPPED": 2},
    ("2025-11-25", "manifest"): {"SUCCESS": 6},
    ("2025-11-25", "directory"): {"SUCCESS": 7},
}
# By scenario, why our client must not use what it is given; None where it is only to look.
SKILL_CLIENT = {
    "no-prefetch": None,
    "verify-digest": "digest",
    "verify-size": "size",
    "verify-frontmatter": "frontmatter",
}
LEAST = {"2026-07-28": 196, "2025-11-25": 81}

Checks = dict[str, list[dict[str, Any]]]


async def run(url: str, out: Path, *what: str) -> tuple[Checks, str]:
    """The checks of every scenario of a server, and what the suite printed."""
    return await run_suite(out, "server", "--url", url, *what)


async def run_suite(out: Path, *what: str) -> tuple[Checks, str]:
    suite = await asyncio.create_subprocess_exec(
        node(),
        str(SUITE.script),
        *(*what, "-o", str(out)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await suite.communicate()
    return checks_in(out), printed.decode(errors="replace")


def checks_in(out: Path) -> Checks:
    """By scenario; a folder is called "server-tasks-lifecycle-2026-11-21T09-38-28-654Z"."""
    return {
        path.parent.name.removeprefix("server-").rsplit("-", 6)[0]: json.loads(path.read_text())
        for path in out.glob("*/checks.json")
    }


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    installed(SUITE)
    with started("tests.servers.conformance") as url:
        yield url


@pytest.fixture(scope="module")
def results(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Checks, str]]:
    async def both() -> dict[str, tuple[Checks, str]]:
        # Side by side: most of it is waiting for one task to end after the other.
        runs = [run(server_url, tmp_path_factory.mktemp(each), "--requirements", each) for each in LEAST]
        return dict(zip(LEAST, await asyncio.gather(*runs), strict=True))

    return asyncio.run(both())


@pytest.mark.parametrize(
    "revision", [pytest.param(each, marks=peer("conformance", "client", each, "HTTP")) for each in LEAST]
)
def test_what_a_revision_requires(revision: str, results: dict[str, tuple[Checks, str]]) -> None:
    scenarios, printed = results[revision]
    checks = [check for found in scenarios.values() for check in found]
    status = Counter(check["status"] for check in checks)
    others = {
        (revision, check["id"]): check["status"] for check in checks if check["status"] not in ("SUCCESS", "INFO")
    }
    expected = {key: reason.split(":")[0] for key, reason in EXPECTED.items() if key[0] == revision}
    assert others == expected, printed[-6000:]
    assert status["SUCCESS"] >= LEAST[revision], (status, printed[-3000:])


@peer("conformance", "client", "2026-07-28", "HTTP")
def test_every_check_of_the_tasks_extension(results: dict[str, tuple[Checks, str]]) -> None:
    scenarios, _ = results["2026-07-28"]
    passed = {
        name: sum(check["status"] == "SUCCESS" for check in checks)
        for name, checks in scenarios.items()
        if name.startswith("tasks-")
    }
    assert passed == TASK_CHECKS


@pytest.mark.parametrize(("revision", "scenario"), SKILL_CHECKS)
async def test_every_check_of_the_skills_extension(
    revision: str, scenario: str, server_url: str, tmp_path: Path
) -> None:
    named = ("--scenario", f"sep-2640-skills-{scenario}", "--spec-version", revision, "--force")
    scenarios, printed = await run(server_url, tmp_path, *named)
    checks = [check for found in scenarios.values() for check in found]
    assert Counter(check["status"] for check in checks) == SKILL_CHECKS[revision, scenario], printed[-3000:]


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
@pytest.mark.parametrize("scenario", SKILL_CLIENT)
async def test_every_check_of_a_client_of_skills(scenario: str, mode: str, tmp_path: Path) -> None:
    installed(SUITE)
    name = f"sep-2640-client-{scenario}"
    command = f"{sys.executable} -m tests.interop.skills_client {mode}"
    named = ("--scenario", name, "--spec-version", "2026-07-28", "--force", "--verbose")
    scenarios, printed = await run_suite(tmp_path, "client", "--command", command, *named)
    checks = [check for found in scenarios.values() for check in found]
    assert [check["status"] for check in checks] == ["SUCCESS"], printed[-3000:]
    # Whoever reads nothing at all is refused nothing either.
    reason = SKILL_CLIENT[scenario]
    assert reason is None or f"{reason} SKILL.md of skill 'pdf-processing'" in printed, printed[-3000:]
