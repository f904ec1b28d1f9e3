"""The columns of a sweep on a bare page: data, what is alike, kinds of failure."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.bare.test_bare_table import Table, delta, line, many, table, visible

__all__ = ["table"]

ROWS = """[
  {...task('a'), cells: {'arguments.seed': 1}, variables: {loss: 0.5}},
  {...task('b'), status: 'failed', error: 'job 2 diverged', cells: {'arguments.seed': 2}, variables: {loss: 2.5}},
  {...task('c'), status: 'failed', error: 'job 3 diverged', cells: {'arguments.seed': 3}, variables: {loss: 'nan'}},
  {...task('d'), status: 'failed', error: 'no room', cells: {'arguments.seed': 4}, variables: {}},
]"""
ABOUT = {
    "columns": [
        ["arguments.seed", "seed", True],
        ["variables.loss", "loss", True],
        ["result.<b>x</b>", "<b>x</b>", False],
    ],
    "more": 12,
    "shown": ["n", "arguments.seed", "status", "variables.loss", "result.<b>x</b>", "message"],
    "title": "jobs.simulate",
    "alike": [["region", "<i>eu</i>"]],
    "failures": [[2, "job {n} diverged"]],
    "moreFailures": 3,
}


def test_what_the_kernel_proposes_is_shown(table: Table) -> None:
    page = table(ROWS, {"about": ABOUT}, columns=[])
    heads = page.get_by_role("columnheader")
    expect(heads).to_have_text(["", "#", "seed", "Status", "loss", "<b>x</b>", "Message", "Actions"])
    expect(page.locator(".pmcp-toolbar-title")).to_have_text("jobs.simulate")
    expect(page.locator(".pmcp-overview")).to_have_text("region<i>eu</i>2 × job {n} diverged3 more kinds")
    cells = [line(page, n).locator(".pmcp-cell-data").nth(1) for n in range(4)]
    assert [cell.inner_text() for cell in cells] == ["0.5", "2.5", "nan", ""]
    assert [cell.evaluate("(node) => node.style.getPropertyValue('--at')") for cell in cells] == ["0%", "100%", "", ""]
    page.get_by_text("Columns").click()
    expect(page.locator(".pmcp-menu-list")).to_contain_text("12 more")


def test_columns_are_moved_and_given_back(table: Table) -> None:
    page = table(ROWS, {"about": ABOUT}, columns=["tool", "variables.loss", "server"])
    page.get_by_text("Columns").click()
    page.get_by_role("button", name="Move Server up").press("Enter")
    assert page.evaluate("() => model.state.columns") == ["tool", "server", "variables.loss"]
    page.get_by_role("button", name="Automatic").click()
    assert page.evaluate("() => model.state.columns") == []
    expect(page.get_by_role("columnheader", name="seed")).to_be_visible()


def test_a_kind_of_failure_is_its_rows_at_a_click(table: Table) -> None:
    page = table(ROWS, {"about": ABOUT}, columns=[])
    kind = page.get_by_role("button", name="2 × job")
    kind.press("Enter")
    expect(page.locator(".pmcp-footer")).to_contain_text("2 of 4 tasks")
    expect(kind).to_have_attribute("aria-pressed", "true")
    expect(kind).to_be_focused()
    page.wait_for_function("() => String(model.state._selected) === '1,2'")
    assert page.evaluate("() => model.state.filter") == 'error:"job {n} diverged"'
    kind.press("Enter")
    expect(page.locator(".pmcp-footer [role=status]")).to_have_text("4 tasks")
    page.wait_for_function("() => String(model.state._selected) === ''")


def test_columns_that_appear_while_it_runs(table: Table) -> None:
    page = table(ROWS, {"about": ABOUT}, columns=[])
    more = ABOUT | {
        "columns": [*ABOUT["columns"], ["result.score", "score", True]],
        "shown": [*ABOUT["shown"], "result.score"],
    }
    delta(page, "[{n: 0, cells: {'result.score': 7}}]", about=more)
    expect(page.get_by_role("columnheader", name="score")).to_be_visible()
    expect(line(page, 0)).to_contain_text("7")
    page.get_by_role("columnheader", name="score").get_by_role("button").click()
    expect(page.get_by_role("columnheader", name="score")).to_have_attribute("aria-sort", "ascending")


def test_a_narrow_table_says_what_tells_its_rows_apart(table: Table) -> None:
    page = table(ROWS, {"about": ABOUT}, columns=[])
    page.set_viewport_size({"width": 400, "height": 600})
    expect(line(page, 1).locator(".pmcp-cell-given")).to_have_text("#1  seed=2")


NOWHERE_AT_PAINTING = """() => {
  const root = document.querySelector(".pmcp-table"), own = window.requestAnimationFrame;
  window.requestAnimationFrame = (paint) => own((time) => {
    window.requestAnimationFrame = own;
    root.style.display = "none";
    paint(time);
    root.style.display = "";
  });
}"""


def test_a_page_that_loads_a_theme_while_it_paints(table: Table) -> None:
    page = table(many(40))
    before = visible(page)
    assert before >= 12
    page.evaluate(NOWHERE_AT_PAINTING)
    page.set_viewport_size({"width": 900, "height": 600})
    page.wait_for_function("() => !String(window.requestAnimationFrame).includes('none')")
    page.wait_for_timeout(200)
    assert visible(page) == before
