"""The task card on a bare page: each state it can be in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

Card = Callable[..., Page]

QUESTIONS = """[
    {key: "q", message: "Who?", url: null, fields: [
        {name: "name", title: "Name", description: "As it is written", required: true, kind: "text", maxLength: 9},
        {name: "age", title: "Age", description: "", required: false, kind: "integer", minimum: 1, maximum: 120},
        {name: "ok", title: "OK?", description: "", required: true, kind: "boolean"},
        {name: "size", title: "Size", description: "", required: true, kind: "choice",
         options: [{value: "s", title: "Small"}, {value: "l", title: "Large"}]},
        {name: "tags", title: "Tags", description: "", required: false, kind: "choices", maxItems: 1,
         default: ["x"], options: [{value: "x", title: "Ex"}, {value: "y", title: "Why"}]},
        {name: "more", title: "More", description: "", required: false, kind: "json", type: "object"},
    ]},
    {key: "u", message: "Pay there", url: "https://pay.example:8443/a?b=c", openable: true, fields: []},
]"""


@pytest.fixture
def card(bare: Page) -> Card:
    """Opens a card whose row differs from a plain one by a JavaScript object."""

    def opener(row: str = "{}", history: str = "[]", options: str = "{}", questions: str = "[]") -> Page:
        state = f"{{row: task('a', {row}), history: {history}, questions: {questions}, visiting: null}}"
        bare.evaluate(
            f"() => open_widget('cards', {{_card: 'task', _state: {{seq: 1, now: Date.now(), state: {state}}}}}, {options})"
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
        ("{status: 'input_required', message: 'waits'}", "needs input", ["waits"]),
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
    page.get_by_text("History").click()
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


def test_a_variable_has_as_many_lines_as_its_text(card: Card) -> None:
    program = "\\n".join(["  1  for city in cities:", "▶ 2      book(city=city)   # …", "  3  'over'"])
    page = card(f"{{variables: {{program: \"{program}\", steps: [{{step: 1}}, {{step: 2}}], loss: 'a  b'}}}}")
    cells = page.locator("td")
    assert cells.evaluate_all("(cells) => cells.map((cell) => cell.innerText)") == [
        program.replace("\\n", "\n"),
        '{"step":1}\n{"step":2}',
        "a b",
    ]
    heights = cells.evaluate_all("(cells) => cells.map((cell) => Math.round(cell.clientHeight / 14))")
    assert heights[0] > heights[1] > heights[2], heights


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
    expect(page.locator(".pmcp-bar:visible")).to_have_text("server stopped: exit code 1")


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
    bare.evaluate("() => open_widget('cards', {_card: 'task', _state: null}, {answers: false})")
    expect(bare.locator(".pmcp-empty")).to_have_text("Waiting for the kernel…")
    expect(bare.locator(".pmcp-link-state")).to_have_text("no answer from the kernel for over 1 s, asking again")


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
        " progress: 0.5, variables: {a: 1}}",
        "[{time: Date.now(), status: 'working', message: 'm'}]",
        questions=QUESTIONS,
    )
    page.get_by_text("History").click()
    page.get_by_role("button", name="Send").first.click()
    expect(page.get_by_text("Required.")).to_be_visible()
    assert page.evaluate("() => low_contrast()") == []


def test_what_is_for_tables_does_not_restyle_it(card: Card) -> None:
    page = card("{status: 'working'}")
    page.set_viewport_size({"width": 420, "height": 700})
    button = page.get_by_role("button", name="Cancel")
    assert button.evaluate("(node) => getComputedStyle(node, '::before').content") == "none"
    box = button.bounding_box()
    assert box
    assert box["width"] > 50


# --- questions ---


def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_sent(card: Card) -> None:
    page = card("{status: 'input_required'}", questions=QUESTIONS)
    form = page.get_by_role("group", name="Who?")
    form.get_by_label("Age").fill("400")
    form.get_by_label("Why").check()
    form.get_by_label("More").fill("[]")
    form.get_by_role("button", name="Send").click()
    said = ["Required.", "At most 120.", "Choose one.", "Choose at most 1.", "A JSON object: {…}."]
    expect(form.locator(".pmcp-field-error:visible")).to_have_text(said)
    name = form.get_by_label("Name")
    expect(name).to_be_focused()
    expect(name).to_have_attribute("aria-invalid", "true")
    described = str(name.get_attribute("aria-describedby")).split()
    assert [page.locator(f"#{each}").inner_text() for each in described] == [
        "As it is written · at most 9 characters",
        "Required.",
    ]
    name.fill("Ada")
    expect(form.get_by_text("Required.")).to_have_count(0)
    assert page.evaluate("() => model.kinds('answer')") == []


def test_a_form_is_filled_in_and_sent_with_the_keyboard(card: Card) -> None:
    page = card("{status: 'input_required'}", questions=QUESTIONS)
    page.get_by_label("Name").focus()
    page.keyboard.type("Ada")
    page.keyboard.press("Tab")
    page.keyboard.type("36")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type("Large")
    page.get_by_label("Age").press("Enter")
    (answer,) = page.evaluate("() => model.kinds('answer')")
    assert (answer["question"], answer["action"]) == ("q", "accept")
    assert answer["content"] == {"name": "Ada", "age": 36, "ok": True, "size": "l", "tags": ["x"]}
    form = page.get_by_role("group", name="Who?")
    expect(form.get_by_role("button", name="Sending…")).to_have_attribute("aria-disabled", "true")
    form.get_by_role("button", name="Decline").click(force=True)
    assert len(page.evaluate("() => model.kinds('answer')")) == 1, "one answer is enough"


def test_what_the_kernel_refuses_can_be_corrected(card: Card) -> None:
    page = card("{status: 'input_required'}", questions=QUESTIONS)
    form = page.get_by_role("group", name="Who?")
    form.get_by_label("Name").fill("Ada")
    form.get_by_label("Size").select_option("Small")
    form.get_by_role("button", name="Send").click()
    page.evaluate(
        """() => model.say({kind: "answered", to: model.kinds("answer")[0].view, question: "q",
             problems: {name: "is taken", "": "and so is all else"}})"""
    )
    expect(form.get_by_text("is taken")).to_be_visible()
    expect(form.get_by_role("alert")).to_have_text("and so is all else")
    expect(form.get_by_label("Name")).to_be_focused()
    form.get_by_role("button", name="Dismiss").click()
    assert page.evaluate("() => model.kinds('answer').map((each) => each.action)") == ["accept", "cancel"]


def test_typing_survives_deltas_and_focus_goes_on_when_it_is_answered(card: Card) -> None:
    page = card("{status: 'input_required'}", questions=QUESTIONS)
    page.get_by_label("Name").fill("Ad")
    delta = """(left) => model.say({kind: "delta", seq: model.seq = (model.seq ?? 1) + 1, now: Date.now(), history: [],
        row: task("a", {status: "input_required"}), questions: left, visiting: null})"""
    page.evaluate(delta, page.evaluate(f"() => ({QUESTIONS})"))
    page.evaluate("() => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)))")
    expect(page.get_by_label("Name")).to_have_value("Ad")
    expect(page.get_by_label("Name")).to_be_focused()
    page.evaluate(delta, [])
    expect(page.locator(".pmcp-ask")).to_have_count(0)
    expect(page.locator(".pmcp-card")).to_be_focused()


def test_a_url_is_shown_whole_with_its_host_before_it_is_opened(card: Card) -> None:
    page = card("{status: 'input_required'}", questions=QUESTIONS)
    ask = page.get_by_role("group", name="Pay there")
    expect(ask.locator("code")).to_have_text("https://pay.example:8443/a?b=c")
    expect(ask.locator("strong")).to_have_text("pay.example:8443")
    link = ask.get_by_role("link", name="Open pay.example:8443")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    assert page.evaluate("() => model.kinds('answer')") == [], "nothing is agreed to by looking"
    page.context.route("https://pay.example:8443/**", lambda route: route.fulfill(body="paid"))
    with page.context.expect_page() as opened:
        link.click()
    assert opened.value.evaluate("() => window.opener") is None
    assert [(a["question"], a["action"]) for a in page.evaluate("() => model.kinds('answer')")] == [("u", "accept")]


@pytest.mark.parametrize(
    "url", ["javascript:window.pwned=1", "data:text/html,<script>1</script>", "file:///etc/passwd"]
)
def test_what_is_no_web_address_is_never_a_link(card: Card, url: str) -> None:
    page = card(questions=f"[{{key: 'u', message: 'Go', url: {url!r}, openable: true, fields: []}}]")
    ask = page.get_by_role("group", name="Go")
    expect(ask.get_by_role("link")).to_have_count(0)
    expect(ask.locator("code")).to_have_text(url)
    expect(ask.get_by_role("button")).to_have_text(["Decline", "Dismiss"])


HOSTILE = ["<img src=x onerror='window.pwned=1'>", "<script>window.pwned=1</script>", "**bold** [x](javascript:1)"]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_server_says_stays_text(card: Card, text: str) -> None:
    page = card("{status: 'input_required'}")
    kinds = ["text", "boolean", "choice", "choices", "json"]
    page.evaluate(
        """([text, kinds]) => {
            const options = [{value: text, title: text}];
            const fields = kinds.map((kind) => (
                {name: kind + text, title: kind + text, description: text, required: true, kind, options, default: text, pattern: text}));
            const row = task("a", {status: "input_required", server: text, tool: text, taskId: text, message: text,
                variables: {[text]: text}, trouble: text, error: text, result: text});
            model.say({kind: "delta", seq: 2, now: Date.now(), history: [{time: 0, status: "working", message: text}],
                row, visiting: text, questions: [
                    {key: "a", message: text, url: null, fields},
                    {key: "b", message: text, url: "https://a.example/" + text, openable: true, fields: []},
                    {key: "c", message: text, url: text, openable: false, fields: []}]});
        }""",
        [text, kinds],
    )
    expect(page.locator(".pmcp-question")).to_have_text([text] * 3)
    page.get_by_text("History").click()
    page.get_by_text("Raw JSON").click()
    page.wait_for_function("() => model.kinds('raw').length")
    page.evaluate("(text) => model.say({kind: 'raw', to: model.kinds('raw')[0].view, text})", text)
    page.evaluate(
        "(text) => model.say({kind: 'answered', to: model.kinds('raw')[0].view, question: 'a', problems: {'': text}})",
        text,
    )
    expect(page.locator(".pmcp-raw pre")).to_have_text(text)
    expect(page.locator(".pmcp-form-error").first).to_have_text(text)
    assert page.locator(".pmcp-card").locator("img, script, strong:has-text('bold'), a[href^=javascript]").count() == 0
    assert page.evaluate("() => window.pwned") is None


def test_questions_without_a_kernel_can_not_be_answered(card: Card) -> None:
    page = card("{status: 'input_required'}", questions=QUESTIONS, options="{live: false}")
    expect(page.get_by_label("Name")).to_be_disabled()
    page.get_by_role("link", name="Open").click(force=True)
    page.get_by_role("button", name="Send").click(force=True)
    assert page.evaluate("() => model.kinds('answer')") == []
    assert len(page.context.pages) == 1


def test_questions_fit_a_narrow_cell(card: Card, bare: Page) -> None:
    bare.set_viewport_size({"width": 300, "height": 900})
    page = card("{status: 'input_required'}", questions=QUESTIONS)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_raw_json_is_fetched_when_somebody_looks(card: Card) -> None:
    page = card()
    assert page.evaluate("() => model.kinds('raw')") == []
    page.get_by_text("Raw JSON").click()
    page.wait_for_function("() => model.kinds('raw').length")
    page.evaluate("() => model.say({kind: 'raw', to: model.kinds('raw')[0].view, text: '{\"a\": 1}'})")
    expect(page.locator(".pmcp-raw pre")).to_have_text('{"a": 1}')
