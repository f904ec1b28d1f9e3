"""Seeds in which nothing may go wrong, and faults in the code under test, with which it does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pmcp_lab.execution import Recovery
from pmcp_lab.tasks import Leases, TaskRecord, TaskStore
from pmcp_lab.tasks.leases import leased
from tests.simulation.simulation import simulate

ROOT = Path(__file__).parents[2]


def test_nothing_goes_wrong(seeds: range, tmp_path: Path) -> None:
    failed = [outcome for seed in seeds if (outcome := simulate(seed, tmp_path)).violations]
    assert not failed, "\n\n".join(outcome.report() for outcome in failed[:3])


def test_a_seed_is_the_same_everywhere(tmp_path: Path) -> None:
    seeds = (3, 14, 15)
    here = "".join(f"{simulate(seed, tmp_path).history.table()}\n" for seed in reversed(seeds))
    script = (
        "import sys; from pathlib import Path; from tests.simulation.simulation import simulate\n"
        f"for seed in {seeds[::-1]}: print(simulate(seed, Path(sys.argv[1])).history.table())"
    )
    there = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout == here


# --- what it finds ---


def _unfenced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run writes is written whoever holds the task."""
    monkeypatch.setattr(TaskStore, "held_by", lambda self, run: self)


def _claimed_from_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim succeeds whoever holds the task."""

    async def claim(self: Leases, owner: Any, task_id: str, run: str, seconds: float, *, phase: Any = "running") -> Any:
        return await self._store.change(owner, task_id, lambda record: leased(record, run, seconds, phase), silent=True)

    monkeypatch.setattr(Leases, "claim", claim)


def _start_not_taken_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that waited for its turn does not write down that its tool is called now."""
    heartbeat = Leases.heartbeat

    async def forgetful(self: Leases, *args: Any, phase: Any = None) -> TaskRecord:
        return await heartbeat(self, *args, phase=None if phase == "running" else phase)

    monkeypatch.setattr(Leases, "heartbeat", forgetful)


def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease is taken for lost after half of what it lasts."""
    init = Recovery.__init__

    def hasty(self: Recovery, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        observed = self._observed
        self._observed = lambda: 2 * observed()  # type: ignore[method-assign]

    monkeypatch.setattr(Recovery, "__init__", hasty)


def _nobody_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def blind(self: Recovery) -> int:
        return 0

    monkeypatch.setattr(Recovery, "look", blind)


@pytest.mark.parametrize(
    ("broken", "kinds"),
    [
        (_unfenced, {"written without the lease", "undone", "terminal record changed"}),
        (_claimed_from_anybody, {"taken from the living"}),
        (_start_not_taken_down, {"started twice"}),
        (_impatient, {"taken from the living"}),
        (_nobody_recovers, {"never ended", "found late"}),
    ],
)
def test_it_finds(
    broken: Callable[[pytest.MonkeyPatch], None], kinds: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken(monkeypatch)
    for seed in range(200):
        found = {violation.kind for violation in simulate(seed, tmp_path).violations}
        if found & kinds:
            return
    pytest.fail(f"200 seeds, and none of {kinds}")
