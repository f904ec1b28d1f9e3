"""A question that an app of the server asks, in its card: what the app may do with it, and what becomes of it otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

import pmcp_lab as lab
from pmcp_lab.notebook import TaskCard
from tests.browser.bare.kernel import Kernel, running_kernel
from tests.browser.bare.test_bare_axe import check
from tests.servers.asking_app import build
from tests.unit.front_end import until

GENERATIONS = ["legacy", "2026-07-28"]


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel() as kernel:
        yield kernel


@pytest.fixture(scope="module")
def server() -> Iterator[lab.Server]:
    with lab.connect(build(), name="seats", app_elicitation=True) as server:
        yield server


class Asked:
    """A task that asks, in its card on a page."""

    def __init__(self, page: Page, server: lab.Server, manner: str) -> None:
        self.page, self.task = page, server.task("book", manner=manner)
        until(lambda: self.task.questions)
        card = TaskCard(self.task)
        page.evaluate("(id) => show_widget(id)", card.model_id)
        self.question = page.locator(".pmcp-ask").last

    @property
    def app(self) -> FrameLocator:
        return self.question.frame_locator("iframe.pmcp-app-frame").frame_locator("iframe")

    def asks(self) -> Asked:
        expect(self.app.locator("#asked")).to_have_text("Which seat do you want?")
        return self

    def fill(self, seat: str) -> None:
        self.question.locator("input[type=text]").fill(seat)
        self.question.get_by_role("button", name="Send").click()


@pytest.fixture
def page(browser: Browser, site: str, static: object, kernel: Kernel) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 900, "height": 900})
    page = context.new_page()
    page.goto(site)
    page.add_script_tag(url=f"{site}/linked.js")
    page.evaluate("(url) => link_kernel(url)", kernel.url)
    yield page
    context.close()


@pytest.mark.parametrize("mode", GENERATIONS)
def test_the_app_asks_and_what_a_person_does_in_it_is_the_answer(page: Page, mode: str) -> None:
    with lab.connect(build(), name=f"seats-{mode}", mode=mode, app_elicitation=True) as server:
        asked = Asked(page, server, "well").asks()
        expect(asked.question).to_contain_text(f"An app of seats-{mode} asks this here.")
        expect(asked.question.locator("input[type=text]")).to_be_hidden()
        expect(asked.question.get_by_role("button", name="Decline")).to_be_visible()
        asked.app.get_by_role("button", name="2A").click()
        assert asked.task.result(timeout=20).value == {"seat": "2A", "window": True}
        expect(page.locator(".pmcp-ask")).to_have_count(0)
        expect(page.locator(".pmcp-card iframe")).to_have_count(0)


def test_it_can_decline_for_the_person(page: Page, server: lab.Server) -> None:
    asked = Asked(page, server, "well").asks()
    asked.app.locator("#none").click()
    assert asked.task.result(timeout=20).value == {"action": "decline"}


def test_the_form_is_a_click_away_and_back(page: Page, server: lab.Server) -> None:
    asked = Asked(page, server, "well").asks()
    check(page)
    asked.question.get_by_role("button", name="Answer in a form").click()
    expect(asked.question.locator("iframe.pmcp-app-frame")).to_be_hidden()
    asked.question.get_by_role("button", name="Answer in the app").click()
    asked.asks()
    asked.question.get_by_role("button", name="Answer in a form").click()
    asked.fill("3C")
    assert asked.task.result(timeout=20).value == {"seat": "3C", "window": False}


def test_the_person_declines_whatever_the_app_does(page: Page, server: lab.Server) -> None:
    asked = Asked(page, server, "mute").asks()
    asked.question.get_by_role("button", name="Decline").click()
    assert asked.task.result(timeout=20).value == {"action": "decline"}


def test_an_app_answers_once(page: Page, server: lab.Server) -> None:
    asked = Asked(page, server, "twice").asks()
    asked.app.get_by_role("button", name="1A").click()
    assert asked.task.result(timeout=20).value == {"seat": "1A", "window": True}


def test_an_app_answers_nothing_that_it_was_not_asked(page: Page, server: lab.Server) -> None:
    """Before it is asked, under the numbers that others' questions have: theirs and its own stay open."""
    other = Asked(page, server, "mute").asks()
    asked = Asked(page, server, "early").asks()
    page.wait_for_timeout(500)
    assert [len(each.task.questions) for each in (other, asked)] == [1, 1]
    asked.app.get_by_role("button", name="1B").click()
    assert asked.task.result(timeout=20).value == {"seat": "1B", "window": False}
    assert len(other.task.questions) == 1
    other.task.cancel()


FAILURES = {
    "itself": "answered by itself",
    "misfit": "answered what does not fit: seat",
    "extra": "answered what was not asked: admin",
    "nonsense": "answered with what is no answer",
    "leaves": "closed without an answer",
    "unable": "does not say that it can ask this",
    "absent": "can’t be shown",
}


@pytest.mark.parametrize("manner", FAILURES)
def test_the_form_is_there_when_the_app_is_no_good(page: Page, server: lab.Server, manner: str) -> None:
    asked = Asked(page, server, manner)
    if manner in {"misfit", "extra", "nonsense"}:
        asked.asks().app.get_by_role("button", name="1A").click()
    expect(asked.question.locator(".pmcp-field-error").first).to_contain_text(FAILURES[manner])
    expect(asked.question.locator("iframe")).to_have_count(0)
    assert len(asked.task.questions) == 1
    asked.fill("3C")
    assert asked.task.result(timeout=20).value == {"seat": "3C", "window": False}


@pytest.mark.parametrize(("client", "offered"), [(False, True), (True, False)])
def test_it_is_off_unless_both_ends_want_it(page: Page, client: bool, offered: bool) -> None:
    name = f"seats-{client}-{offered}"
    with lab.connect(build(app_elicitation=offered), name=name, app_elicitation=client) as server:
        asked = Asked(page, server, "well")
        expect(asked.question.locator("input[type=text]")).to_be_visible()
        page.wait_for_timeout(300)
        expect(asked.question.locator("iframe")).to_have_count(0)
        expect(asked.question).not_to_contain_text("An app of")
        # A server tells of the app only whom it is agreed with.
        assert asked.task.questions[0].app == ("ui://seats/well" if client else None)
        asked.fill("3C")
        assert asked.task.result(timeout=20).text
