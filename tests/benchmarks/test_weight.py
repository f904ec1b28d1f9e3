"""What the package costs before it does anything: bytes per widget, and the time of `import pmcp_lab`."""

from __future__ import annotations

import gzip
import statistics
import subprocess
import sys
from pathlib import Path

STATIC = Path(__file__).parents[2] / "pmcp_lab" / "static"
APP_VIEW_LIMIT = 20_000
ALL_LIMIT = 80 * 1024
"""Of all that a notebook may load."""
BRIDGE_LIMIT = 6_000
"""Goes into every widget that brings none, and not into the notebook."""
PAGES = ("preview", "landing", "opening", "probe")
"""Pages of their own, which are loaded from this machine."""
IMPORT_LIMIT = 0.15
ROUNDS = 7


def gzip_size(file: Path) -> int:
    return len(gzip.compress(file.read_bytes(), mtime=0))


def test_bundle_sizes() -> None:
    print(f"\n{'bundle':<20}{'bytes':>10}{'gzip':>10}")
    sizes = {file.name: gzip_size(file) for file in sorted(STATIC.iterdir()) if file.suffix in {".js", ".css"}}
    for name, size in sizes.items():
        print(f"{name:<20}{(STATIC / name).stat().st_size:>10}{size:>10}")
    for name in ("cards.js", "task-table.js"):
        sent = (STATIC / "views.js").read_bytes() + (STATIC / name).read_bytes()
        print(f"{f'{name} as sent':<20}{len(sent):>10}{len(gzip.compress(sent, mtime=0)):>10}")
    print(f"{'all':<30}{sum(sizes.values()):>10}")
    assert sizes["app-view.js"] + sizes["app-view.css"] <= APP_VIEW_LIMIT
    assert sizes.pop("bridge.js") <= BRIDGE_LIMIT
    assert sum(size for name, size in sizes.items() if not name.startswith(PAGES)) <= ALL_LIMIT


def test_import_is_a_fraction_of_importing_mcp() -> None:
    pairs = [(import_seconds("pmcp_lab"), import_seconds("mcp")) for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(mine / other for mine, other in pairs)
    print(
        f"\nimport pmcp_lab {ours * 1000:.1f} ms, import mcp {theirs * 1000:.1f} ms: {ratio:.3f} (median of {ROUNDS})"
    )
    assert ratio <= IMPORT_LIMIT


def import_seconds(module: str) -> float:
    """Time of an import in a fresh interpreter."""
    measure = f"from time import perf_counter as now; t = now(); import {module}; print(now() - t)"
    run = subprocess.run([sys.executable, "-c", measure], capture_output=True, check=True)
    return float(run.stdout)
