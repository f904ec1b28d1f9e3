"""Attacks of `hostile_attacks.py` in Firefox: as apps of our host they get no further than in Chromium, but for two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.bare.hostile import Assault, assaults, attack_host, open_app, wait, went
from tests.browser.bare.hostile_attacks import ATTACKS

SECURITY = Path(__file__).parents[3] / "js" / "src" / "app-view" / "SECURITY.md"

#: What Firefox lets a sandboxed frame do, and no host can take away. Written down in SECURITY.md.
LEAVES = "history"
GETS = "clipboard-click"

#: Of those that need a document each, one of every kind.
ALONE = {
    *("location", "link", "meta-refresh", "form", "blob-self", "data-self"),
    *("top-location", "top-javascript", "link-top", "form-top", "open-top"),
    *("popup", "popup-link", "top-click", "download", GETS),
}


@pytest.fixture(scope="module")
def browser(firefox: Browser) -> Browser:
    return firefox


@pytest.fixture(scope="module")
def assault(browser: Browser, site: str, api_hits: list[str]) -> Iterator[Callable[[], Assault]]:
    with assaults(browser, site, api_hits) as make:
        yield make


def test_what_gets_through(assault: Callable[[], Assault]) -> None:
    there = assault()
    page = there.page()
    there.notebook(page)
    attacks = [attack for attack in ATTACKS if not attack.alone or attack.name in ALONE]
    attack_host(there, page, attacks)
    assert {attack.name for attack in attacks} - there.started == set()
    # What is not stopped comes later than what is.
    page.wait_for_timeout(1500)
    there.look(page)
    went(page, "about:blank")
    assert there.look(page) == {f"~{GETS}~"}


def test_an_app_can_send_the_page_back(assault: Callable[[], Assault]) -> None:
    there = assault()
    page = there.page()
    there.notebook(page)
    [attack] = (attack for attack in ATTACKS if attack.name == LEAVES)
    open_app(there, page, (attack,))
    assert wait(lambda: attack.mark in there.look(page), page, 15)


def test_both_are_written_down() -> None:
    _, _, text = SECURITY.read_text(encoding="utf-8").partition("## What a page cannot prevent")
    [told] = [part for part in text.split("\n* ") if part.startswith("**Firefox.**")]
    assert f"`{LEAVES}`" in told
    assert f"`{GETS}`" in told
