"""No view ends unlike the kernel, whatever was lost, late or said twice on the way."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import Browser

from tests.browser.bare.shaken import KINDS, besieged

RUNS = int(os.environ.get("PMCP_LAB_FAULT_RUNS", "49"))
TOGETHER = 12
FIRST = int(os.environ.get("PMCP_LAB_FAULT_SEED", "0"))


@pytest.mark.timeout(240)
def test_every_view_ends_as_the_kernel(browser: Browser, site: str) -> None:
    wrong = []
    with besieged(browser, site) as siege:
        for first in range(FIRST, FIRST + RUNS, TOGETHER):
            wrong += siege.run(range(first, min(first + TOGETHER, FIRST + RUNS)))
        faults = siege.page.evaluate("() => faults")
        slowest = siege.slowest
    print(f"\n{RUNS} views of {len(KINDS)} kinds, {faults}, slowest to heal {slowest:.1f} s of the page's time")
    assert faults["lost"] > RUNS
    assert faults["late"] > RUNS
    assert faults["twice"] > RUNS
    assert not wrong, "\n".join(f"{run.name}: {'; '.join(run.wrong)}" for run in wrong)


@pytest.mark.timeout(120)
def test_a_page_of_live_cards_asks_once_for_all(browser: Browser, site: str) -> None:
    with besieged(browser, site, speed=1) as siege:
        counted = siege.idle(cards=100, seconds=20)
    print(f"\n100 live cards, 20 s: {counted}")
    assert 0 < counted["ping"] <= 5
    assert counted == {"ping": counted["ping"], "pong": counted["ping"]}
