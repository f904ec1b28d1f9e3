"""What the package costs before it does anything: bytes per widget, and the time of `import pmcp_lab`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.benchmarks.bundles import gzip_size

STATIC = Path(__file__).parents[2] / "pmcp_lab" / "static"


def test_bundle_sizes() -> None:
    print(f"\n{'bundle':<20}{'bytes':>10}{'gzip':>10}")
    for bundle in sorted(path for path in STATIC.iterdir() if path.suffix in {".js", ".css"}):
        print(f"{bundle.name:<20}{bundle.stat().st_size:>10}{gzip_size(bundle):>10}")


def test_import_is_a_fraction_of_importing_mcp() -> None:
    ours, theirs = import_seconds("pmcp_lab"), import_seconds("mcp")
    print(f"\nimport pmcp_lab {ours * 1000:.1f} ms, import mcp {theirs * 1000:.1f} ms: {ours / theirs:.3f}")
    assert ours <= 0.15 * theirs


def import_seconds(module: str, tries: int = 5) -> float:
    """The best of some fresh interpreters: the others measure what else the machine did."""
    measure = f"from time import perf_counter as now; t = now(); import {module}; print(now() - t)"
    runs = [subprocess.run([sys.executable, "-c", measure], capture_output=True, check=True) for _ in range(tries)]
    return min(float(run.stdout) for run in runs)
