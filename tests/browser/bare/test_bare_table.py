"""The task table on a bare page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

Table = Callable[..., Page]

OPEN = """async ([more, traits, options]) => {
  const rows = __ROWS__;
  const state = {total: rows.length, patch: rows.length ? patch(rows) : null, ...more};
  await open_widget("task-table", {columns: COLUMNS, filter: "", sort: "", group_by: null, _expanded: [], _folded: [],
    _selected: [], _state: {seq: 3, now: Date.now(), state}, ...traits}, options);
}"""


@pytest.fixture
def table(bare: Page) -> Table:
    """Opens a table whose rows are made by a JavaScript expression."""

    def opener(
        rows: str = "[]", state: dict[str, Any] | None = None, *, options: dict[str, Any] | None = None, **traits: Any
    ) -> Page:
        bare.evaluate(OPEN.replace("__ROWS__", rows), [state or {}, traits, options or {}])
        return bare

    return opener


def many(count: int) -> str:
    """A JavaScript expression for that many working rows."""
    return (
        f"Array.from({{length: {count}}}, (_, n) => task('k' + n, {{tool: ['train', 'tune', 'flaky'][n % 3], "
        "server: n % 2 ? 'demo' : 'old', message: 'step 0', variables: {n}}))"
    )


def delta(page: Page, rows: str, seq: int = 4, total: int | None = None, **more: Any) -> None:
    """Sends rows, made by a JavaScript expression; each says its number as `n`."""
    page.evaluate(
        """([seq, total, more]) => model.say({kind: "delta", seq, now: Date.now(),
             total: total ?? model.state._state.state.total, patch: patch(__ROWS__), ...more})""".replace(
            "__ROWS__", rows
        ),
        [seq, total, more],
    )


def line(page: Page, index: int) -> Locator:
    """The line at a place, the first being 0."""
    return page.locator(f'.pmcp-body [role=row][aria-rowindex="{index + 2}"]:not([hidden])')


def visible(page: Page) -> int:
    """How many lines of the pool are shown."""
    return page.locator(".pmcp-body > .pmcp-row:not([hidden])").count()


def tools(page: Page) -> list[str]:
    """The tools of the visible lines, from top to bottom."""
    cells: list[str] = page.evaluate(
        """() => [...document.querySelectorAll(".pmcp-body > .pmcp-row:not([hidden])")]
          .sort((a, b) => a.getAttribute("aria-rowindex") - b.getAttribute("aria-rowindex"))
          .map((row) => row.querySelector(".pmcp-cell-tool, .pmcp-group-name").textContent)"""
    )
    return cells


def sent(page: Page, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate("(kind) => model.kinds(kind)", kind)
    return found


def test_empty(table: Table) -> None:
    page = table()
    expect(page.locator(".pmcp-empty")).to_contain_text("No tasks yet")
    assert sent(page, "hello")[0]["seq"] == 3


def test_row_shows_everything(table: Table) -> None:
    page = table(
        "[task('a', {progress: 0.42, message: 'epoch 8', variables: {epoch: 8, loss: 0.5}, trouble: 'server stopped'})]"
    )
    page.set_viewport_size({"width": 1300, "height": 600})
    row = line(page, 0)
    for text in ("demo", "train", "working", "42%", "epoch 8", "epoch", "loss", "0:05", "59:5"):
        expect(row).to_contain_text(text)
    expect(row.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "42")
    expect(row.get_by_role("img", name="server stopped")).to_be_visible()
    expect(page.locator(".pmcp-figure:visible")).to_have_text(["1working"])
    expect(page.locator(".pmcp-footer")).to_contain_text("1 task")


def test_a_thousand_rows_and_deltas(table: Table) -> None:
    page = table(many(1000))
    assert 10 < visible(page) < 40
    expect(page.get_by_role("treegrid")).to_have_attribute("aria-rowcount", "1001")
    for seq in (4, 5):
        changed = f"Array.from({{length: 1000}}, (_, n) => ({{n, message: 'step {seq}', progress: {seq} / 30}}))"
        delta(page, changed, seq)
    expect(line(page, 0)).to_contain_text("step 5")
    page.locator(".pmcp-scroller").evaluate("(node) => { node.scrollTop = node.scrollHeight }")
    expect(line(page, 999)).to_contain_text("step 5")
    assert visible(page) < 40
    assert len(sent(page, "hello")) == 1


def test_rows_that_come_later_are_asked_for_and_join(table: Table) -> None:
    page = table(many(3), {"total": 5})
    expect(page.locator(".pmcp-footer")).to_contain_text("the first 3 of 5 tasks")
    page.wait_for_function("() => model.kinds('more').length === 1")
    assert sent(page, "more")[0]["rows"] == 3
    page.evaluate(
        """() => model.say({kind: "rows", seq: 4, now: Date.now(), total: 5,
             patch: patch([task("x", {tool: "late"}), task("y", {tool: "later"})], 3)})"""
    )
    expect(page.locator(".pmcp-footer [role=status]").first).to_have_text("5 tasks")
    expect(line(page, 4)).to_contain_text("later")
    delta(page, "[task('z', {n: 5, tool: 'latest', status: 'failed', error: 'boom'})]", 5, total=6)
    expect(line(page, 5)).to_contain_text("boom")
    expect(page.locator(".pmcp-figure:visible")).to_have_text(["5working", "1failed"])


def test_gap_asks_the_kernel(table: Table) -> None:
    page = table(many(2))
    delta(page, "[{n: 0, message: 'lost'}]", seq=6)
    page.wait_for_function("() => model.kinds('hello').length === 2")
    hello = sent(page, "hello")[1]
    assert hello["seq"] == 3
    page.evaluate(
        """(view) => model.say({kind: "state", to: view, seq: 6, now: Date.now(),
             state: {total: 1, patch: patch([task("new", {tool: "rebuilt"})])}})""",
        hello["view"],
    )
    expect(line(page, 0)).to_contain_text("rebuilt")
    expect(line(page, 1)).to_have_count(0)


def test_a_view_that_is_drawn_anew_stands_where_the_last_one_stood(table: Table) -> None:
    page = table(many(400))
    page.locator(".pmcp-scroller").evaluate("(node) => { node.scrollTop = 4000 }")
    shown = line(page, 120)
    expect(shown).to_be_visible()
    page.evaluate("() => { views[0].close(); mount() }")
    expect(shown).to_be_visible()
    assert page.locator(".pmcp-scroller").evaluate("(node) => node.scrollTop") == 4000


def test_remounted_view_paints_at_once(table: Table) -> None:
    page = table(many(2))
    delta(page, "[{n: 0, message: 'kept'}]")
    expect(line(page, 0)).to_contain_text("kept")
    text = page.evaluate("() => { views[0].close(); return mount().el.textContent }")
    assert "kept" in text
    assert sent(page, "hello")[-1]["seq"] == 4


def test_two_views_apply_once_and_look_alike(table: Table) -> None:
    page = table(many(2))
    page.evaluate("() => void mount()")
    delta(page, "[task('x', {n: 2})]", total=3)
    page.locator(".pmcp-search").first.fill("tune")
    for number in (1, 2):
        view = page.locator(f".view:nth-child({number})")
        expect(view.locator(".pmcp-footer")).to_contain_text("1 of 3 tasks")
    assert len(sent(page, "hello")) == 2


# --- finding ---


def test_search_and_status_narrow_it_down(table: Table) -> None:
    page = table(many(30))
    delta(page, "[{n: 4, status: 'failed', error: 'out of cheese'}, {n: 7, status: 'failed'}]")
    page.locator(".pmcp-figure", has_text="failed").click()
    expect(page.locator(".pmcp-footer")).to_contain_text("2 of 30 tasks")
    expect(page.get_by_label("Filter the tasks")).to_have_value("status:failed")
    page.get_by_label("Filter the tasks").fill("status:failed CHEESE")
    expect(page.locator(".pmcp-footer")).to_contain_text("1 of 30 tasks")
    expect(line(page, 0)).to_contain_text("out of cheese")
    assert page.evaluate("() => model.saved.at(-1).filter") == "status:failed CHEESE"
    page.get_by_label("Filter the tasks").fill("nothing like this")
    expect(page.locator(".pmcp-empty")).to_contain_text("Nothing matches")


def test_words_typed_last_are_not_lost(table: Table) -> None:
    page = table(many(9))
    page.get_by_label("Filter the tasks").fill("tune")
    page.get_by_label("Group by").select_option("server")
    page.get_by_label("Group by").focus()
    expect(page.locator(".pmcp-footer")).to_contain_text("3 of 9 tasks")


def test_headings_sort(table: Table) -> None:
    page = table(
        "[3, 1, 2].map((n) => task('k' + n, {tool: 't' + n, progress: n / 10})).concat(task('none', {tool: 't0'}))"
    )
    heading = page.get_by_role("columnheader", name="Progress")
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    page.wait_for_function("() => document.querySelector('[aria-rowindex=\"2\"]').textContent.includes('t1')")
    assert tools(page) == ["t1", "t2", "t3", "t0"]
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    expect(line(page, 0)).to_contain_text("t3")
    assert tools(page) == ["t3", "t2", "t1", "t0"]
    heading.get_by_role("button").click()
    expect(line(page, 1)).to_contain_text("t1")
    assert tools(page) == ["t3", "t1", "t2", "t0"]


def test_groups_fold(table: Table) -> None:
    page = table(many(9))
    page.get_by_label("Group by").select_option("tool")
    expect(line(page, 0)).to_contain_text("flaky")
    assert tools(page) == ["flaky", *["flaky"] * 3, "train", *["train"] * 3, "tune", *["tune"] * 3]
    expect(line(page, 0)).to_have_attribute("aria-level", "1")
    expect(line(page, 1)).to_have_attribute("aria-level", "2")
    line(page, 0).click()
    expect(line(page, 0)).to_have_attribute("aria-expanded", "false")
    expect(line(page, 1)).to_contain_text("train")
    assert page.evaluate("() => model.saved.at(-1)._folded") == ["flaky"]
    line(page, 0).press("ArrowRight")
    expect(line(page, 1)).to_contain_text("flaky")


def test_columns_are_chosen(table: Table) -> None:
    page = table("[task('a', {variables: {loss: 0.25}})]", columns=["tool", "status", "variables.loss"])
    expect(page.get_by_role("columnheader", name="loss")).to_be_visible()
    expect(line(page, 0).locator(".pmcp-cell-data")).to_have_text("0.25")
    page.get_by_text("Columns").click()
    page.get_by_role("checkbox", name="Server").check()
    expect(page.get_by_role("columnheader", name="Server")).to_be_visible()
    assert page.evaluate("() => model.state.columns") == ["tool", "status", "variables.loss", "server"]


# --- many at once ---


def test_click_shift_and_control_select(table: Table) -> None:
    page = table(many(20))
    line(page, 2).locator(".pmcp-cell-tool").click()
    line(page, 5).locator(".pmcp-cell-tool").click(modifiers=["Shift"])
    line(page, 8).locator(".pmcp-cell-tool").click(modifiers=["Control"])
    expect(page.locator(".pmcp-footer")).to_contain_text("5 selected")
    page.wait_for_function("() => String(model.state._selected) === '2,5,8,8'")
    expect(line(page, 3)).to_have_attribute("aria-selected", "true")
    expect(page.locator(".pmcp-footer code")).to_have_text("lab.selected.df")


def test_code_selects_too(table: Table) -> None:
    page = table(many(20))
    page.evaluate("() => model.set('_selected', [1, 2])")
    expect(line(page, 2)).to_have_attribute("aria-selected", "true")
    expect(page.locator(".pmcp-footer")).to_contain_text("2 selected")


def test_keyboard_alone(table: Table) -> None:
    page = table(many(200))
    page.locator(".pmcp-body [tabindex='0']").first.focus()
    for key in ("ArrowDown", "ArrowDown", "Space", "Shift+ArrowDown", "Shift+ArrowDown"):
        page.keyboard.press(key)
    expect(page.locator(".pmcp-footer")).to_contain_text("3 selected")
    page.keyboard.press("Escape")
    expect(page.locator(".pmcp-footer-selected")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(line(page, 4)).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert sent(page, "action") == []
    page.keyboard.press("Enter")
    action = sent(page, "action")[0]
    assert (action["action"], action["rows"]) == ("cancel", [4, 4])
    expect(line(page, 4).get_by_role("button")).to_have_text("Ending")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(line(page, 4)).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("End")
    expect(line(page, 199)).to_be_focused()
    page.keyboard.press("Home")
    expect(line(page, 0)).to_be_focused()
    page.keyboard.press("Control+a")
    expect(page.locator(".pmcp-footer")).to_contain_text("200 selected")
    page.keyboard.press("/")
    expect(page.get_by_label("Filter the tasks")).to_be_focused()


def test_focus_follows_its_row(table: Table) -> None:
    page = table("[1, 2, 3].map((n) => task('k' + n, {tool: 't' + n, progress: n / 10}))", sort="progress")
    line(page, 0).focus()
    delta(page, "[{n: 0, progress: 0.9}]")
    expect(line(page, 2)).to_contain_text("t1")
    expect(line(page, 2)).to_be_focused()


# --- expanded ---

DETAIL = {
    "row": 1,
    "from": 0,
    "history": [
        {"time": 1_000, "status": "working", "message": "loading"},
        {"time": 4_000, "status": "input_required", "message": "asking"},
    ],
    "variables": {"epoch": 3, "config": {"lr": 0.1}},
    "arguments": {"epochs": 20},
    "result": None,
}


def test_a_row_expands_to_its_life(table: Table) -> None:
    page = table(many(5), {"details": [DETAIL]})
    line(page, 1).locator(".pmcp-toggle").click()
    panel = page.locator(".pmcp-detail")
    for text in ("loading", "needs input", "epoch: 3", "epochs: 20"):
        expect(panel).to_contain_text(text)
    assert page.evaluate("() => model.saved.at(-1)._expanded") == [1]
    expect(page.get_by_role("treegrid")).to_have_attribute("aria-rowcount", "7")
    expect(panel).to_have_attribute("aria-rowindex", "4")
    below = page.evaluate(
        """() => document.querySelector('[aria-rowindex="5"]').getBoundingClientRect().top -
             document.querySelector(".pmcp-detail").getBoundingClientRect().bottom"""
    )
    assert abs(below) < 1
    panel.get_by_text("config").click()
    expect(panel).to_contain_text("lr: 0.1")
    more = [{"time": 5_000, "status": "working", "message": "goes on"}]
    variables = {"epoch": 4, "config": {"lr": 0.1}}
    delta(page, "[{n: 1, progress: 0.2}]", details=[DETAIL | {"from": 2, "history": more, "variables": variables}])
    expect(panel).to_contain_text("goes on")
    expect(panel).to_contain_text("loading")
    expect(panel).to_contain_text("lr: 0.1")
    assert panel.locator(".pmcp-tree-value").first.evaluate("(node) => node.getAnimations().length") == 1


def test_what_is_told_first_does_not_light_up(table: Table) -> None:
    page = table(many(2), _expanded=[1])
    delta(page, "[{n: 1, progress: 0.2}]", details=[DETAIL])
    expect(page.locator(".pmcp-detail")).to_contain_text("epochs: 20")
    lit = "(nodes) => nodes.flatMap((node) => node.getAnimations()).length"
    assert page.locator(".pmcp-tree-value").evaluate_all(lit) == 0


def test_raw_json_is_asked_for(table: Table) -> None:
    page = table(many(2), _expanded=[0])
    page.get_by_text("Raw JSON").click()
    page.wait_for_function("() => model.kinds('raw').length === 1")
    asked = sent(page, "raw")[0]
    page.evaluate("(to) => model.say({kind: 'raw', to, row: 0, text: '{\"deep\": 1}'})", asked["view"])
    expect(page.locator(".pmcp-raw pre").last).to_have_text('{"deep": 1}')


def test_expanded_rows_scroll_out_of_the_document(table: Table) -> None:
    page = table(many(500), _expanded=[0, 1, 2])
    expect(page.locator(".pmcp-detail")).not_to_have_count(0)
    page.locator(".pmcp-scroller").evaluate("(node) => { node.scrollTop = 9000 }")
    expect(page.locator(".pmcp-detail")).to_have_count(0)
    page.locator(".pmcp-scroller").evaluate("(node) => { node.scrollTop = 0 }")
    expect(page.locator(".pmcp-detail").first).to_contain_text("Raw JSON")


# --- life ---


def test_out_of_sight_it_sleeps_and_comes_back(table: Table) -> None:
    page = table(many(3))
    page.evaluate(
        "() => { const gap = document.createElement('div'); gap.style.height = '4000px'; document.body.append(gap) }"
    )
    page.evaluate("() => scrollTo(0, 3000)")
    page.wait_for_function("() => model.kinds('sleep').length === 1")
    delta(page, "[{n: 0, message: 'meanwhile'}]")
    page.wait_for_timeout(100)
    assert "meanwhile" not in page.evaluate("() => document.querySelector('.pmcp-body').textContent")
    page.evaluate("() => scrollTo(0, 0)")
    expect(line(page, 0)).to_contain_text("meanwhile")
    assert len(sent(page, "wake")) == 1


def test_the_kernel_hears_which_rows_are_looked_at(table: Table) -> None:
    page = table(many(1000))
    page.wait_for_function("() => model.kinds('visible').length === 1")
    assert sent(page, "visible")[0]["rows"][0] == 0
    page.locator(".pmcp-scroller").evaluate("(node) => { node.scrollTop = 20000 }")
    page.wait_for_function("() => model.kinds('visible').length === 2")
    first, last = sent(page, "visible")[1]["rows"]
    assert 500 < first < last < 700


def test_durations_tick_for_live_rows_only(table: Table) -> None:
    page = table("[task('a', {started: Date.now() - 5000}), task('b', {status: 'completed', started: 0, ended: 5000})]")
    cells = page.locator(".pmcp-body .pmcp-cell-duration")
    expect(cells.nth(0)).to_have_text("0:07", timeout=4000)
    expect(cells.nth(1)).to_have_text("0:05")


def test_snapshot_does_not_age(table: Table) -> None:
    page = table("[task('a', {started: Date.now() - 5000})]", options={"live": False})
    expect(page.locator(".pmcp-link-state")).to_have_text("no live kernel: static snapshot")
    page.wait_for_timeout(1600)
    expect(page.locator(".pmcp-body .pmcp-cell-duration").first).to_have_text("0:05")
    expect(line(page, 0).get_by_role("button")).to_have_count(0)
    assert page.evaluate("() => model.sent") == []


def test_kernel_that_goes_and_comes_back(table: Table) -> None:
    page = table(many(1))
    page.evaluate("() => model.setLive(false)")
    expect(page.locator(".pmcp-link-state")).to_have_text("no live kernel: static snapshot")
    expect(line(page, 0)).to_contain_text("step 0")
    page.evaluate("() => model.setLive(true)")
    expect(page.locator(".pmcp-link-state")).to_be_hidden()
    assert len(sent(page, "hello")) == 2


# --- looks ---


def test_narrow_layout_keeps_what_matters(table: Table) -> None:
    page = table("[task('a', {progress: 0.5, message: 'halfway', variables: {a: 1}})]")
    page.set_viewport_size({"width": 360, "height": 600})
    expect(page.locator("[data-narrow]")).to_have_count(1)
    row = line(page, 0)
    for name in ("status", "progress", "message", "duration", "actions"):
        expect(row.locator(f".pmcp-cell-{name}")).to_be_visible()
    for name in ("server", "variables"):
        expect(row.locator(f".pmcp-cell-{name}")).to_have_count(0)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_hostile_strings_are_text(table: Table) -> None:
    evil = "<img src=x onerror=hacked=1>"
    detail = DETAIL | {"row": 0, "variables": {evil: evil}, "arguments": {"__proto__": evil}, "result": evil}
    detail["history"] = [{"time": 1, "status": "working", "message": evil}]
    page = table(
        f"[task('a', {{tool: '{evil}', server: '{evil}', message: '{evil}', variables: {{'{evil}': '{evil}'}}, "
        f"questions: [{{key: 'q', message: '{evil}'}}]}})]",
        {"title": evil, "details": [detail]},
        group_by="server",
        _expanded=[0],
    )
    expect(page.locator(".pmcp-toolbar-title")).to_have_text(evil)
    expect(page.locator(".pmcp-group-name")).to_have_text(evil)
    expect(page.locator(".pmcp-detail")).to_contain_text(evil)
    assert page.locator("img").count() == 0
    assert page.evaluate("() => window.hacked") is None


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
        " trouble: 't', progress: 0.5, variables: {a: 1}, questions: [{key: 'q', message: 'Q?'}]}))",
        {"details": [DETAIL]},
        _expanded=[1],
        _selected=[0, 5],
        group_by="tool",
    )
    page.locator(".pmcp-scroller").evaluate("(node) => { node.style.maxHeight = 'none' }")
    expect(page.locator(".pmcp-detail")).to_contain_text("loading")
    assert page.evaluate("() => low_contrast()") == []


def test_every_part_has_its_role(table: Table) -> None:
    """What a screen reader needs: rows in a grid, cells in rows, a name on everything that can be used."""
    page = table(many(5), {"details": [DETAIL]}, _expanded=[1], group_by="server")
    expect(page.locator(".pmcp-detail")).to_have_count(1)
    wrong = page.evaluate(
        """() => {
          const wrong = [];
          const grid = document.querySelector('[role="treegrid"]');
          for (const row of grid.querySelectorAll('[role="row"]:not([hidden])')) {
            if (!row.closest('[role="rowgroup"]')) wrong.push("row outside a group");
            if (!row.getAttribute("aria-rowindex")) wrong.push("row without index");
            for (const cell of row.children)
              if (!["gridcell", "columnheader"].includes(cell.getAttribute("role"))) wrong.push(`${cell.className} in a row`);
          }
          for (const each of document.querySelectorAll("button, input, select, summary"))
            if (!(each.getAttribute("aria-label") || each.textContent.trim() || each.labels?.length)) wrong.push(`${each.className} has no name`);
          if (document.querySelectorAll('.pmcp-body > .pmcp-row[tabindex="0"]:not([hidden])').length !== 1) wrong.push("not one tab stop");
          const indexes = [...grid.querySelectorAll('[role="row"]:not([hidden])')].map((row) => Number(row.getAttribute("aria-rowindex")));
          if (new Set(indexes).size !== indexes.length) wrong.push("an index twice");
          if (Math.max(...indexes) !== Number(grid.getAttribute("aria-rowcount"))) wrong.push("row count");
          return wrong;
        }"""
    )
    assert wrong == []
