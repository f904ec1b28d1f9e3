"""The task table on a bare page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

Table = Callable[..., Page]


@pytest.fixture
def table(bare: Page) -> Table:
    """Opens a table whose rows are made by a JavaScript expression."""

    def opener(rows: str = "[]", more: str = "", options: str = "{}") -> Page:
        bare.evaluate(
            f"() => open_widget('task-table', {{_state: {{seq: 3, now: Date.now(), state: {{rows: {rows} {more}}}}}}}, {options})"
        )
        return bare

    return opener


def many(count: int) -> str:
    """A JavaScript expression for that many working rows."""
    return f"Array.from({{length: {count}}}, (_, n) => task('k' + n, {{message: 'step 0', variables: {{n}}}}))"


def visible(page: Page) -> int:
    """How many lines of the pool are shown."""
    return page.locator(".pmcp-body > .pmcp-row:not([hidden])").count()


def test_empty(table: Table) -> None:
    page = table()
    expect(page.locator(".pmcp-empty")).to_contain_text("No tasks yet")
    assert page.evaluate("() => model.sent[0].seq") == 3


def test_row_shows_everything(table: Table) -> None:
    page = table(
        "[task('a', {progress: 0.42, message: 'epoch 8', variables: {epoch: 8, loss: 0.5}, trouble: 'server stopped'})]"
    )
    row = page.get_by_role("row").nth(1)
    for text in ("demo", "train", "working", "42%", "epoch 8", "epoch", "loss", "0:05"):
        expect(row).to_contain_text(text)
    expect(row.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "42")
    expect(row.get_by_role("img", name="server stopped")).to_be_visible()
    expect(page.locator(".pmcp-figure:visible")).to_have_text(["1working"])


def test_a_thousand_rows_and_deltas(table: Table) -> None:
    page = table(many(1000))
    assert 10 < visible(page) < 40
    expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", "1001")
    took = page.evaluate(
        """async () => {
          const frame = () => new Promise(requestAnimationFrame);
          const times = [];
          for (let seq = 4; seq < 24; seq += 1) {
            const rows = Array.from({length: 1000}, (_, n) => task("k" + n, {message: "step " + seq, progress: seq / 30}));
            const began = performance.now();
            model.emit("msg:custom", {kind: "delta", seq, now: Date.now(), rows, removed: []});
            await frame(); await frame();
            times.push(performance.now() - began);
          }
          return times.sort((a, b) => a - b)[10];
        }"""
    )
    assert took < 100
    expect(page.get_by_role("row").nth(1)).to_contain_text("step 23")
    page.locator(".pmcp-scroller").evaluate("(node) => { node.scrollTop = node.scrollHeight }")
    expect(page.locator('[aria-rowindex="1001"]')).to_contain_text("step 23")
    assert visible(page) < 40
    assert page.evaluate("() => model.kinds('hello').length") == 1


def test_removed_and_counted(table: Table) -> None:
    page = table(many(3))
    page.evaluate(
        """() => model.say({kind: "delta", seq: 4, now: Date.now(), removed: ["k0"],
             rows: [task("k1", {status: "failed", error: "boom"})]})"""
    )
    expect(page.get_by_role("row")).to_have_count(3)
    expect(page.locator(".pmcp-figure:visible")).to_have_text(["1working", "1failed"])
    expect(page.get_by_role("row").nth(1)).to_contain_text("boom")
    page.locator(".pmcp-figure", has_text="failed").click()
    expect(page.get_by_role("row")).to_have_count(2)


def test_gap_asks_the_kernel(table: Table) -> None:
    page = table(many(2))
    page.wait_for_timeout(50)
    page.evaluate("() => model.say({kind: 'delta', seq: 6, now: Date.now(), rows: [task('lost')], removed: []})")
    page.wait_for_function("() => model.kinds('hello').length === 2")
    hello = page.evaluate("() => model.kinds('hello')[1]")
    assert hello["seq"] == 3
    page.evaluate(
        """(view) => model.say({kind: "state", to: view, seq: 6, now: Date.now(),
             state: {rows: [task("new", {tool: "rebuilt"})]}})""",
        hello["view"],
    )
    expect(page.get_by_role("row").nth(1)).to_contain_text("rebuilt")
    expect(page.get_by_role("row")).to_have_count(2)


def test_remounted_view_paints_at_once(table: Table) -> None:
    page = table(many(2))
    page.evaluate(
        """() => model.emit("msg:custom", {kind: "delta", seq: 4, now: Date.now(),
             rows: [task("k0", {message: "kept"})], removed: []})"""
    )
    text = page.evaluate("() => { views[0].close(); return mount().el.textContent }")
    assert "kept" in text
    assert page.evaluate("() => model.kinds('hello').at(-1).seq") == 4


def test_two_views_apply_once(table: Table) -> None:
    page = table(many(1))
    page.evaluate("() => void mount()")
    page.evaluate("() => model.say({kind: 'delta', seq: 4, now: Date.now(), rows: [task('x')], removed: []})")
    for number in (1, 2):
        expect(page.locator(f".view:nth-child({number})").get_by_role("row")).to_have_count(3)
    assert page.evaluate("() => model.kinds('hello').length") == 2


def test_cancel_by_keyboard(table: Table) -> None:
    page = table(many(200))
    page.locator(".pmcp-body [tabindex='0']").first.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    action = page.evaluate("() => model.kinds('action')[0]")
    assert (action["action"], action["key"]) == ("cancel", "k2")
    expect(page.locator('[aria-rowindex="4"]').get_by_role("button")).to_have_text("Cancelling")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("End")
    expect(page.locator('[aria-rowindex="201"]')).to_be_focused()
    page.keyboard.press("Home")
    expect(page.locator('[aria-rowindex="2"]')).to_be_focused()


def test_elapsed_ticks_for_live_rows_only(table: Table) -> None:
    page = table("[task('a', {started: Date.now() - 5000}), task('b', {status: 'completed', started: 0, ended: 5000})]")
    cells = page.locator(".pmcp-body .pmcp-cell-elapsed")
    expect(cells.nth(0)).to_have_text("0:07", timeout=4000)
    expect(cells.nth(1)).to_have_text("0:05")


def test_snapshot_does_not_age(table: Table) -> None:
    page = table("[task('a', {started: Date.now() - 5000})]", options="{live: false}")
    expect(page.locator(".pmcp-link-state")).to_have_text("no live kernel: static snapshot")
    page.wait_for_timeout(1600)
    expect(page.locator(".pmcp-body .pmcp-cell-elapsed").first).to_have_text("0:05")
    assert page.evaluate("() => model.sent") == []


def test_narrow_layout_keeps_what_matters(table: Table) -> None:
    page = table("[task('a', {progress: 0.5, message: 'halfway', variables: {a: 1}})]")
    page.set_viewport_size({"width": 360, "height": 600})
    row = page.get_by_role("row").last
    for name in ("status", "progress", "message", "elapsed", "actions"):
        expect(row.locator(f".pmcp-cell-{name}")).to_be_visible()
    for name in ("server", "variables"):
        expect(row.locator(f".pmcp-cell-{name}")).to_be_hidden()
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_hostile_strings_are_text(table: Table) -> None:
    evil = "<img src=x onerror=hacked=1>"
    page = table(
        f"[task('a', {{tool: '{evil}', server: '{evil}', message: '{evil}', variables: {{'{evil}': '{evil}'}}}})]",
        f", title: '{evil}'",
    )
    expect(page.locator(".pmcp-summary-title")).to_have_text(evil)
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_is_aa(table: Table, bare: Page, theme: str) -> None:
    bare.emulate_media(reduced_motion="reduce")
    bare.evaluate(
        """(theme) => { document.body.dataset.jpThemeLight = String(theme === "light");
             document.body.style.background = theme === "light" ? "white" : "#111" }""",
        theme,
    )
    statuses = "['working', 'input_required', 'completed', 'failed', 'cancelled', 'unknown']"
    page = table(
        f"{statuses}.map((status) => task(status, {{status, ended: Date.now(), message: 'm', error: 'e',"
        " trouble: 't', progress: 0.5, variables: {a: 1}, questions: [{key: 'q', message: 'Q?'}]}))"
    )
    assert page.evaluate("() => low_contrast()") == []


def test_kernel_that_goes_and_comes_back(table: Table) -> None:
    page = table(many(1))
    page.evaluate("() => model.setLive(false)")
    expect(page.locator(".pmcp-link-state")).to_have_text("no live kernel: static snapshot")
    page.evaluate("() => model.setLive(true)")
    expect(page.locator(".pmcp-link-state")).to_be_hidden()
    assert page.evaluate("() => model.kinds('hello').length") == 2
