"""Every attack of `hostile_attacks.py`: it works in a plain iframe, and fails against our host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.bare.hostile import (
    Assault,
    assaults,
    attack_host,
    batches,
    document,
    stopped_by,
    violations,
    wait,
    went,
)
from tests.browser.bare.hostile_attacks import ATTACKS, Attack


@pytest.fixture(scope="module")
def browser(whole_browser: Browser) -> Browser:
    return whole_browser


@pytest.fixture(scope="module")
def assault(browser: Browser, site: str, api_hits: list[str]) -> Iterator[Callable[[], Assault]]:
    with assaults(browser, site, api_hits) as make:
        yield make


@pytest.fixture(scope="module")
def harm(assault: Callable[[], Assault]) -> set[str]:
    """What is left of all attacks in plain iframes of the page."""
    there = assault()
    proved = [attack for attack in ATTACKS if not attack.unproved]
    apart = [attack for attack in proved if attack.alone and (attack.click or not attack.stop.startswith("CSP"))]
    page = there.page()
    for group in [batches([attack for attack in proved if attack not in apart]), *([(each,)] for each in apart)]:
        there.notebook(page)
        for attacks in group:
            html = document(attacks, there.attacker.url, there.site)
            page.evaluate(
                """(html) => {
                  const frame = Object.assign(document.createElement("iframe"), {srcdoc: html, allow: "fullscreen"});
                  setTimeout(() => document.querySelector("#cell").append(frame));
                }""",
                html,
            )
        if group[0][0].click:
            page.bring_to_front()
            page.locator("iframe").click()
        expected = {attack.mark for attacks in group for attack in attacks}
        if group[0][0].name == "before-unload":
            went(page, "about:blank")
        wait(lambda: expected <= there.look(page), page, 10 if len(group) > 1 else 3)  # noqa: B023
    return there.marks


@pytest.fixture(scope="module")
def outcome(harm: set[str], assault: Callable[[], Assault]) -> Assault:
    """The same attacks as apps of our host, all in one notebook."""
    there = assault()
    page = there.page()
    there.notebook(page)
    groups = attack_host(there, page, ATTACKS)

    def all_stopped() -> bool:
        told = violations(page, groups)
        return all(stopped_by(attack, told[attack.name]) for attack in ATTACKS)

    wait(all_stopped, page, 10)
    # What is not stopped comes later than what is.
    page.wait_for_timeout(1000)
    there.violations = violations(page, groups)
    there.look(page)
    went(page, "about:blank")
    there.look(page)
    return there


SECURITY = Path(__file__).parents[3] / "js" / "src" / "app-view" / "SECURITY.md"
PROVED = [attack for attack in ATTACKS if not attack.unproved]


def names(attacks: list[Attack]) -> Any:
    return pytest.mark.parametrize("attack", attacks, ids=lambda attack: attack.name)


@names(PROVED)
def test_it_works_in_a_plain_frame(harm: set[str], attack: Attack) -> None:
    assert attack.mark in harm


@names(ATTACKS)
def test_it_fails_here(outcome: Assault, attack: Attack) -> None:
    assert attack.name in outcome.started, "it was made"
    assert attack.mark not in outcome.marks
    assert stopped_by(attack, outcome.violations[attack.name])


def test_the_table_is_written_down() -> None:
    lines = SECURITY.read_text(encoding="utf-8").splitlines()
    start = lines.index("| --- | --- | --- | --- |") + 1
    assert lines[start : start + len(ATTACKS)] == [attack.row for attack in ATTACKS]
    assert not lines[start + len(ATTACKS) :][0].startswith("|")
