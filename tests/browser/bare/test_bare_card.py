"""The task card on a bare page: each state it can be in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

Card = Callable[..., Page]


@pytest.fixture
def card(bare: Page) -> Card:
    """Opens a card whose row differs from a plain one by a JavaScript object."""

    def opener(row: str = "{}", history: str = "[]", options: str = "{}") -> Page:
        bare.evaluate(
            f"() => open_widget('task-card', {{_state: {{seq: 1, now: Date.now(), state: {{row: task('a', {row}), history: {history}}}}}}}, {options})"
        )
        return bare

    return opener


@pytest.mark.parametrize(
    ("row", "badge", "texts"),
    [
        ("{progress: 0.4, message: 'epoch 8'}", "working", ["40%", "epoch 8"]),
        ("{status: 'completed', ended: Date.now(), result: '{\"n\": 1}'}", "completed", ["100%", "Result", '"n": 1']),
        ("{status: 'failed', ended: Date.now(), error: 'boom'}", "failed", ["Error", "boom"]),
        ("{status: 'cancelled', ended: Date.now(), message: 'by the user'}", "cancelled", ["by the user"]),
        ("{status: 'unknown'}", "unknown", []),
        (
            "{status: 'input_required', questions: [{key: 'q', message: 'Publish?'}]}",
            "needs input",
            ["Publish?", "task.answer({...})"],
        ),
    ],
)
def test_state(card: Card, row: str, badge: str, texts: list[str]) -> None:
    page = card(row)
    root = page.locator(".pmcp-card")
    expect(root.locator(".pmcp-badge")).to_have_text(badge)
    expect(root.locator(".pmcp-step[aria-current]")).to_contain_text(badge)
    for text in texts:
        expect(root).to_contain_text(text)
    live = badge in ("working", "needs input")
    expect(root.get_by_role("button", name="Cancel")).to_have_count(1 if live else 0)


def test_lifecycle_grows(card: Card) -> None:
    page = card("{}", "[{time: Date.now(), status: 'working', message: null}]")
    expect(page.locator(".pmcp-step-name")).to_have_text(["submitted", "working"])
    page.evaluate(
        """() => model.say({kind: "delta", seq: 2, now: Date.now(),
             row: task("a", {status: "completed", ended: Date.now()}),
             history: [{time: Date.now(), status: "input_required", message: "q"},
                       {time: Date.now(), status: "completed", message: "done"}]})"""
    )
    expect(page.locator(".pmcp-step-name")).to_have_text(["submitted", "working", "needs input", "completed"])
    page.locator("summary").click()
    expect(page.locator(".pmcp-log li").first).to_contain_text("done")


def test_variables_change_in_place(card: Card) -> None:
    page = card("{variables: {epoch: 1, gone: 1}}")
    page.evaluate("() => { window.cell = document.querySelector('td') }")
    page.evaluate(
        """() => model.say({kind: "delta", seq: 2, now: Date.now(), history: [],
             row: task("a", {variables: {epoch: 2, loss: 0.5}})})"""
    )
    expect(page.locator("tr")).to_have_text(["epoch2", "loss0.5"])
    assert page.evaluate("() => window.cell.isConnected && window.cell.textContent") == "2"


def test_cancel(card: Card) -> None:
    page = card()
    page.get_by_role("button", name="Cancel").click()
    action = page.evaluate("() => model.kinds('action')[0]")
    assert (action["action"], action["key"]) == ("cancel", "a")
    expect(page.locator(".pmcp-cancel")).to_have_attribute("aria-disabled", "true")
    page.evaluate(
        """() => model.say({kind: "delta", seq: 2, now: Date.now(), history: [],
             row: task("a", {trouble: "could not be cancelled"})})"""
    )
    expect(page.get_by_role("button", name="Cancel")).to_be_enabled()


def test_trouble_is_shown(card: Card) -> None:
    page = card("{trouble: 'server stopped: exit code 1'}")
    expect(page.locator(".pmcp-bar")).to_have_text("server stopped: exit code 1")


def test_remounted_card_paints_at_once(card: Card) -> None:
    page = card()
    page.evaluate(
        """() => model.emit("msg:custom", {kind: "delta", seq: 2, now: Date.now(), history: [],
             row: task("a", {message: "kept"})})"""
    )
    assert "kept" in page.evaluate("() => { views[0].close(); return mount().el.textContent }")


def test_without_a_kernel(card: Card) -> None:
    page = card(options="{live: false}")
    expect(page.locator(".pmcp-link-state")).to_have_text("no live kernel: static snapshot")
    expect(page.get_by_role("button", name="Cancel")).to_have_attribute("aria-disabled", "true")


def test_before_any_state(bare: Page) -> None:
    bare.evaluate("() => open_widget('task-card', {_state: null}, {answers: false})")
    expect(bare.locator(".pmcp-empty")).to_have_text("Waiting for the kernel…")
    expect(bare.locator(".pmcp-link-state")).to_have_text("kernel busy, queued")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("status", ["working", "input_required", "completed", "failed", "cancelled", "unknown"])
def test_contrast_is_aa(card: Card, bare: Page, theme: str, status: str) -> None:
    bare.emulate_media(reduced_motion="reduce")
    bare.evaluate(
        """(theme) => { document.body.dataset.jpThemeLight = String(theme === "light");
             document.body.style.background = theme === "light" ? "white" : "#111" }""",
        theme,
    )
    page = card(
        f"{{status: '{status}', ended: Date.now(), message: 'm', error: 'e', result: 'r', trouble: 't',"
        " progress: 0.5, variables: {a: 1}, questions: [{key: 'q', message: 'Q?'}]}",
        "[{time: Date.now(), status: 'working', message: 'm'}]",
    )
    page.locator("summary").click()
    assert page.evaluate("() => low_contrast()") == []


def test_the_table_on_the_same_page_does_not_restyle_it(card: Card) -> None:
    page = card("{status: 'working'}")
    page.set_viewport_size({"width": 420, "height": 700})
    page.add_style_tag(url="/static/task-table.css")
    button = page.get_by_role("button", name="Cancel")
    assert button.evaluate("(node) => getComputedStyle(node, '::before').content") == "none"
    box = button.bounding_box()
    assert box
    assert box["width"] > 50


def test_a_narrow_table_has_room_for_its_cross(bare: Page) -> None:
    bare.set_viewport_size({"width": 420, "height": 700})
    bare.evaluate(
        """() => open_widget('task-table',
             {_state: {seq: 0, now: Date.now(), state: {rows: [task('a', {status: 'working'})]}}})"""
    )
    button = bare.get_by_role("button", name="Cancel")
    assert button.evaluate("(node) => getComputedStyle(node).fontSize") == "0px"
    assert button.evaluate("(node) => node.scrollWidth <= node.clientWidth + 1")
