"""Many seeds of the simulation: `tests/simulation/README.md`."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation.loop import frozen_heap
from tests.simulation.simulation import simulate

SEEDS = 20_000
TOGETHER = 100


def blocks() -> Iterator[range]:
    return (range(first, first + TOGETHER) for first in range(0, SEEDS, TOGETHER))


def failing(seeds: range) -> list[str]:
    """The reports of those seeds in which something went wrong."""
    with tempfile.TemporaryDirectory() as folder, frozen_heap():
        outcomes = (simulate(seed, Path(folder)) for seed in seeds)
        return [outcome.report() for outcome in outcomes if outcome.violations]


def test_twenty_thousand_seeds() -> None:
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        reports = [report for found in pool.map(failing, blocks()) for report in found]
    assert not reports, f"{len(reports)} of {SEEDS} seeds\n\n" + "\n\n".join(reports[:5])
    print(f"\n{SEEDS} seeds, no violation")
