"""The table for ten minutes: it must not grow, nor slow down."""

from __future__ import annotations

import statistics

import pytest
from playwright.sync_api import Page

import pmcp_lab as lab
from tests.benchmarks.test_table import stream
from tests.browser.bare.conftest import api_hits, bare, site, static  # noqa: F401 - fixtures

MINUTES = 10
PER_SECOND = 5


@pytest.mark.timeout(MINUTES * 60 + 300)
def test_ten_minutes_of_changes_leave_nothing_behind(bare: Page) -> None:  # noqa: F811
    with lab.connect("demo", name="endurance") as demo:
        found = stream(bare, demo, 10_000, MINUTES * 60 * PER_SECOND, 1000 // PER_SECOND)
    heaps, script = found["heaps"], found["script"]
    tenth = len(heaps) // 10
    early, late = min(heaps[tenth : 2 * tenth]), min(heaps[-tenth:])
    print(f"\nheap {early / 1e6:.1f} → {late / 1e6:.1f} MB, script {statistics.median(script):.2f} ms")
    assert late <= early * 1.2
    assert statistics.median(script[-tenth:]) <= 2 * statistics.median(script[tenth : 2 * tenth]) + 1
