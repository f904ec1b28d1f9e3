"""Runs seeds and says what they did: `python -m tests.simulation 17`, `python -m tests.simulation 0-20000`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.simulation.loop import frozen_heap
from tests.simulation.simulation import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", help="one, or the first and the one after the last: 0-300")
    parser.add_argument("--table", action="store_true", help="the whole history, also when nothing is wrong")
    asked = parser.parse_args()
    first, _, end = asked.seeds.partition("-")
    seeds = range(int(first), int(end or int(first) + 1))
    failed: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, frozen_heap():
        for seed in seeds:
            outcome = simulate(seed, Path(folder))
            if outcome.violations:
                failed.update({found.kind for found in outcome.violations})
                print(f"seed {seed}: " + ", ".join(sorted({found.kind for found in outcome.violations})), flush=True)
            if len(seeds) == 1 and outcome.violations:
                print(outcome.report())
            if asked.table:
                print(outcome.history.table())
    print(f"{len(seeds)} seeds, {dict(failed.most_common()) or 'no violations'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
