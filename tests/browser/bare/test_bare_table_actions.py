"""What is done to rows of the table on a bare page: one or many, with what is told of it."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.bare.test_bare_table import DETAIL, Table, delta, line, many, sent, table  # noqa: F401

FIELDS = [{"name": "city", "title": "City", "description": "", "required": True, "kind": "text"}]


def asking(*rows: int) -> str:
    """A JavaScript expression for four rows, of which some ask."""
    return (
        f"[0, 1, 2, 3].map((n) => task('k' + n, {json.dumps(list(rows))}.includes(n)"
        " ? {status: 'input_required', questions: [{key: 'q' + n, message: `Which of ${n}?`}]} : {}))"
    )


def form(n: int, message: str = "Which city?") -> dict[str, Any]:
    return {"key": f"q{n}", "message": message, "url": None, "fields": FIELDS}


def say(page: Page, **message: Any) -> None:
    page.evaluate("(message) => model.say({to: model.kinds('hello')[0].view, ...message})", message)


def select(page: Page, *rows: int) -> None:
    for row in rows:
        line(page, row).locator(".pmcp-cell-lead").click()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_a_rows_cancel_is_meant_at_the_second_click(table: Table) -> None:  # noqa: F811
    page = table(many(3))
    button = line(page, 1).locator(".pmcp-cancel")
    button.click()
    expect(button).to_have_text("Sure?")
    assert sent(page, "action") == []
    button.click()
    expect(button).to_have_text("Ending")
    assert [(each["action"], each["rows"]) for each in sent(page, "action")] == [("cancel", [1, 1])]
    button.dispatch_event("click")
    assert len(sent(page, "action")) == 1
    say(page, kind="done", action="cancel", text="1 refused: not now", refused=[1])
    expect(button).to_have_text("Cancel")
    expect(page.locator(".pmcp-footer")).to_contain_text("1 refused: not now")


def test_what_was_meant_for_a_row_is_not_for_the_next(table: Table) -> None:  # noqa: F811
    page = table(many(500))
    line(page, 1).locator(".pmcp-cancel").click()
    page.locator(".pmcp-scroller").evaluate("(node) => { node.scrollTop = 9000 }")
    expect(line(page, 270)).to_be_visible()
    expect(page.locator(".pmcp-row:not([hidden]) [data-sure]")).to_have_count(0)


def test_the_button_covers_nothing(table: Table) -> None:  # noqa: F811
    page = table("[task('a', {message: 'm'.repeat(400), variables: {aaaa: 'x'.repeat(99), b: 'y'.repeat(99)}})]")
    for width in (1600, 1000, 700, 500, 360):
        page.set_viewport_size({"width": width, "height": 600})
        page.wait_for_timeout(100)
        line(page, 0).locator(".pmcp-cancel").click()
        covered = page.evaluate(
            """() => {
              const row = document.querySelector(".pmcp-body > .pmcp-row:not([hidden])");
              const box = (node) => node.getBoundingClientRect();
              const button = box(row.querySelector(".pmcp-cancel"));
              const over = (r) => r.right > button.left && r.left < button.right && r.bottom > button.top && r.top < button.bottom;
              return [...row.children].filter((cell) => !cell.matches(".pmcp-cell-actions") && over(box(cell))).map((cell) => cell.className);
            }"""
        )
        assert covered == [], width
        page.wait_for_function("() => !document.querySelector('[data-sure]')", timeout=7000)


def test_several_are_cancelled_on_second_thought_only(table: Table) -> None:  # noqa: F811
    page = table(many(50))
    page.get_by_label("Select all rows").check()
    press(page, "Cancel 50")
    assert sent(page, "action") == []
    press(page, "Really cancel 50?")
    assert sent(page, "action")[0]["rows"] == [0, 49]
    expect(line(page, 4).locator(".pmcp-cancel")).to_have_text("Ending")
    expect(page.locator(".pmcp-footer")).to_contain_text("under way…")
    say(page, kind="done", action="cancel", text="47 cancelled, 2 had ended, 1 refused: not now", refused=[4])
    expect(page.locator(".pmcp-footer")).to_contain_text("47 cancelled, 2 had ended, 1 refused: not now")
    expect(line(page, 4).locator(".pmcp-cancel")).to_have_text("Cancel")
    expect(line(page, 5).locator(".pmcp-cancel")).to_have_text("Ending")


def test_only_what_can_be_done_is_offered(table: Table) -> None:  # noqa: F811
    statuses = "['working', 'input_required', 'completed', 'failed', 'cancelled', 'unknown']"
    page = table(f"{statuses}.map((status) => task(status, {{status}}))")
    select(page, 2)
    expect(page.locator(".pmcp-footer button:visible")).to_have_text(["Copy code of 1", "Clear"])
    page.get_by_label("Select all rows").check()
    expect(page.locator(".pmcp-footer button:visible")).to_have_text(["Cancel 2", "Retry 3", "Copy code of 6", "Clear"])
    press(page, "Retry 3")
    assert [(each["action"], each["rows"]) for each in sent(page, "action")] == [("retry", [3, 5])]
    say(page, kind="done", action="retry", text="3 started again", refused=[])
    expect(page.locator(".pmcp-footer")).to_contain_text("3 started again")


def test_code_goes_to_the_clipboard(table: Table, bare: Page) -> None:  # noqa: F811
    bare.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = table(many(3))
    select(page, 0, 1)
    press(page, "Copy code of 2")
    assert sent(page, "action")[0]["action"] == "code"
    say(page, kind="cell", text="lab.connected('demo').map(…)")
    expect(page.locator(".pmcp-footer")).to_contain_text("copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == "lab.connected('demo').map(…)"
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')) }")
    say(page, kind="cell", text="by hand")
    expect(page.get_by_label("Code that starts these tasks again")).to_have_value("by hand")
    press(page, "Close")
    expect(page.locator(".pmcp-answers")).to_be_hidden()


# --- answers ---


def test_an_expanded_row_has_the_form_itself(table: Table) -> None:  # noqa: F811
    page = table(asking(1), {"details": [DETAIL | {"asked": [form(1)]}]}, _expanded=[1])
    panel = page.locator(".pmcp-detail")
    panel.get_by_role("textbox", name="City").fill("Bern")
    assert [each["name"] for each in sent(page, "code")] == ["cards"]
    delta(page, "[{n: 1, progress: 0.5}]")
    expect(panel.get_by_role("textbox", name="City")).to_have_value("Bern")
    panel.get_by_role("button", name="Send").click()
    answer = sent(page, "answer")[0]
    assert (answer["asked"], answer["action"], answer["content"]) == ([[1, "q1"]], "accept", {"city": "Bern"})
    expect(panel.get_by_role("button", name="Sending…")).to_be_visible()
    say(page, kind="answered", form=answer["form"], problems={"city": "No such city."}, text="")
    expect(panel.locator(".pmcp-field")).to_contain_text("No such city.")
    panel.get_by_role("button", name="Decline").click()
    assert sent(page, "answer")[1]["action"] == "decline"
    delta(page, "[{n: 1, status: 'working', questions: []}]", 5)
    expect(panel.get_by_role("textbox", name="City")).to_have_count(0)
    expect(line(page, 1)).to_be_focused()


def test_what_is_typed_outlives_a_scroll(table: Table) -> None:  # noqa: F811
    rows = "Array.from({length: 300}, (_, n) => task('k' + n, n ? {} : {status: 'input_required', questions: [{key: 'q0', message: 'Which?'}]}))"
    page = table(rows, {"details": [DETAIL | {"row": 0, "asked": [form(0)]}]}, _expanded=[0])
    page.get_by_role("textbox", name="City").fill("Bern")
    scroller = page.locator(".pmcp-scroller")
    scroller.evaluate("(node) => { node.scrollTop = 6000 }")
    expect(line(page, 180)).to_be_visible()
    scroller.evaluate("(node) => { node.scrollTop = 0 }")
    expect(page.get_by_role("textbox", name="City")).to_have_value("Bern")
    line(page, 0).locator(".pmcp-toggle").click()
    expect(page.locator(".pmcp-detail")).to_have_count(0)


def test_without_the_code_of_forms_it_says_how_to_answer(table: Table) -> None:  # noqa: F811
    page = table(asking(1), {"details": [DETAIL | {"asked": [form(1)]}]}, options={"answers": False}, _expanded=[1])
    expect(page.locator(".pmcp-detail .pmcp-question")).to_have_text("Which of 1?")
    say(page, kind="code", payload={"name": "cards", "module": "no script", "style": ""})
    expect(page.locator(".pmcp-detail .pmcp-question")).to_contain_text("lab.selected.answer({…})")


def test_rows_that_ask_alike_have_one_form(table: Table) -> None:  # noqa: F811
    page = table(asking(0, 1, 3))
    page.get_by_label("Select all rows").check()
    press(page, "Answer 3")
    assert [(each["action"], each["rows"]) for each in sent(page, "action")] == [("ask", [0, 1, 3, 3])]
    alike = {"asked": [[0, "q0"], [1, "q1"]], "form": form(0, "Which of 0?\nWhich of 1?")}
    say(page, kind="asked", groups=[alike, {"asked": [[3, "q3"]], "form": form(3, "Other?")}], text="")
    panel = page.get_by_role("region", name="Answer several")
    expect(panel.get_by_role("group")).to_have_count(2)
    first, second = panel.get_by_role("group").all()
    expect(first).to_contain_text("Which of 1?")
    expect(first.get_by_role("textbox", name="City")).to_be_focused()
    expect(second.get_by_role("button", name="Send", exact=True)).to_be_visible()
    first.get_by_role("textbox", name="City").fill("Bern")
    first.get_by_role("button", name="Send to 2").click()
    answer = sent(page, "answer")[0]
    assert (answer["asked"], answer["content"]) == ([[0, "q0"], [1, "q1"]], {"city": "Bern"})
    delta(page, "[{n: 0, status: 'working', questions: []}]")
    refused = "1 answered, 1 refused: gone"
    say(page, kind="answered", form=answer["form"], problems={"": refused}, text=refused)
    expect(first).to_contain_text(refused)
    first.get_by_role("button", name="Send", exact=True).click()
    assert sent(page, "answer")[1]["asked"] == [[1, "q1"]], "what is answered is not answered again"
    delta(page, "[{n: 1, status: 'working', questions: []}, {n: 3, status: 'working', questions: []}]", 5)
    expect(panel).to_be_hidden()


def test_the_lifecycle_is_as_wide_as_it_was_long(table: Table) -> None:  # noqa: F811
    history = [
        {"time": 1_000, "status": "working", "message": None},
        {"time": 9_000, "status": "input_required", "message": None},
        {"time": 10_000, "status": "working", "message": None},
    ]
    page = table(
        "[task('a'), task('b', {status: 'completed', started: 1000, ended: 11000})]",
        {"details": [DETAIL | {"history": history}]},
        _expanded=[1],
    )
    widths = page.locator(".pmcp-life-part").evaluate_all("(all) => all.map((each) => each.offsetWidth)")
    assert [round(width / sum(widths), 2) for width in widths] == [0.8, 0.1, 0.1]
    expect(page.get_by_role("img", name="working 8 s, needs input 1 s, working 1 s")).to_be_visible()


LINK = """() => {
  const link = document.createElement("a");
  link.href = "#pmcp-row-demo-a%20sweep-270";
  link.innerHTML = "<b>that one</b>";
  document.body.prepend(link);
}"""


def test_a_link_of_a_picture_leads_to_its_row(table: Table) -> None:  # noqa: F811
    page = table(many(500))
    page.evaluate(LINK)
    page.get_by_text("that one").click()
    assert [each["anchor"] for each in sent(page, "find")] == ["pmcp-row-demo-a%20sweep-270"]
    assert page.evaluate("() => location.hash") == ""
    say(page, kind="found", row=270)
    expect(line(page, 270)).to_be_focused()
    expect(line(page, 270)).to_have_attribute("aria-expanded", "true")
    expect(line(page, 270)).to_be_in_viewport()


def test_a_link_to_a_row_that_is_not_shown_says_so(table: Table) -> None:  # noqa: F811
    page = table(many(20))
    page.get_by_label("Filter the tasks").fill("tool:flaky")
    expect(line(page, 6)).to_have_count(0)
    say(page, kind="found", row=3)
    expect(page.locator(".pmcp-footer")).to_contain_text("row 3 is filtered out, or in a closed group")
