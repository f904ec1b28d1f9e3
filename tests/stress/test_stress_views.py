"""Five hundred views behind a wire that loses, delays and repeats messages: none ends unlike the kernel."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.browser.bare.conftest import api_hits, site, static  # noqa: F401 - fixtures
from tests.browser.bare.shaken import besieged
from tests.browser.bare.test_bare_faults import TOGETHER

RUNS = 500


@pytest.mark.timeout(1800)
def test_no_view_ends_unlike_the_kernel(browser: Browser, site: str) -> None:  # noqa: F811
    wrong = []
    slowest = 0.0
    for first in range(10_000, 10_000 + RUNS, 10 * TOGETHER):
        # A page of its own now and then: what is measured is the wire, not how many views a page can have had.
        with besieged(browser, site) as siege:
            for begin in range(first, min(first + 10 * TOGETHER, 10_000 + RUNS), TOGETHER):
                wrong += siege.run(range(begin, min(begin + TOGETHER, 10_000 + RUNS)))
            slowest = max(slowest, siege.slowest)
            print(siege.page.evaluate("() => faults"))
    print(f"slowest to heal: {slowest:.1f} s of the page's time")
    assert not wrong, "\n".join(f"{run.name}: {'; '.join(run.wrong)}" for run in wrong)
