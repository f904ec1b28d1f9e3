"""What is ours on the page is checked by axe-core, light and dark. What an app shows in its frame is its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.bare.conftest import JS
from tests.browser.bare.test_bare_workflow import WORKFLOW

Open = Callable[..., Page]
App = Callable[..., str]

RUN = """async () => {
  const found = await axe.run({include: [".pmcp"], exclude: ["iframe"]}, {
    iframes: false,
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  });
  return found.violations.flatMap(({id, nodes}) => nodes.map(({html, failureSummary}) => `${id}: ${html} ${failureSummary}`));
}"""


def check(page: Page) -> None:
    page.add_script_tag(path=str(JS / "node_modules" / "axe-core" / "axe.min.js"))
    for light in ("true", "false"):
        page.evaluate(
            """(light) => {
              document.body.dataset.jpThemeLight = light;
              document.body.style.background = light === "true" ? "#fff" : "#111";
            }""",
            light,
        )
        expect(page.locator(".pmcp").first).to_have_attribute("data-theme", "light" if light == "true" else "dark")
        assert page.evaluate(RUN) == [], f"light: {light}"


def test_app_view_and_its_bars(open_app: Open, app: App) -> None:
    wanted = {"connect": ["https://api.example"], "permissions": ["camera"]}
    page = open_app(app("rpc('ui/open-link', {url: 'https://b.example/'})"), resource={"wanted": wanted})
    expect(page.locator(".pmcp-bar")).to_have_count(2)
    check(page)
    page.get_by_role("button", name="1 more").click()
    for button in ("Allow", "Open"):
        expect(page.get_by_role("button", name=button, exact=True)).to_be_visible()
    check(page)


def test_inspector(open_app: Open, app: App) -> None:
    page = open_app(app("rpc('tools/call', {name: 'x'}); say({id: 7, method: 'ui/open-link', params: {}})"))
    page.get_by_role("button", name="Inspector").click()
    expect(page.locator(".pmcp-inspector")).to_contain_text("tools/call")
    check(page)


FIELDS = [
    {"name": "city", "title": "City", "description": "Where", "required": True, "kind": "text"},
    {"name": "days", "title": "Days", "description": "", "required": False, "kind": "integer", "minimum": 1},
    {"name": "units", "title": "Units", "description": "", "required": True, "kind": "choice",
     "options": [{"value": "c", "title": "C"}, {"value": "f", "title": "F"}]},
    {"name": "all", "title": "All", "description": "", "required": False, "kind": "boolean"},
]  # fmt: skip

QUESTION = {"key": "q1", "message": "Which city?", "url": None, "fields": FIELDS}


def cases() -> dict[str, tuple[str, str]]:
    """By name: the bundle, and the state that it opens with (JavaScript)."""
    import json

    fields, question = json.dumps(FIELDS), json.dumps(QUESTION)
    item = {
        "name": "train", "title": "Train", "summary": "Trains", "description": "Trains a model", "badges": ["task"], "trouble": "set aside",
        "code": [{"label": "Call", "text": "demo.train()"}],
        "tables": [
            {"caption": caption, "heads": heads, "rows": [
                {"name": "epochs", "type": "integer", "required": True, "notes": "", "description": "How many"},
            ]}
            for caption, heads in (("Arguments", ["name", "type", "about"]), ("Front matter", ["field", "", "value"]))
        ],
    }  # fmt: skip
    catalogue = json.dumps({"server": "demo", "noun": "tools", "items": [item]})
    row = "task('a', {status: 'input_required', progress: 0.4, questions: [{key: 'q1', message: 'Which city?'}]})"
    card = f"{{row: {row}, history: [{{time: Date.now(), status: 'working', message: 'on it'}}], questions: [{question}], visiting: null}}"
    detail = f"{{row: 1, from: 0, history: [{{time: Date.now() - 5000, status: 'working', message: 'on it'}}], variables: {{}}, arguments: {{a: 1}}, result: null, asked: [{question}]}}"
    rows = "['working', 'input_required', 'completed', 'failed', 'cancelled', 'unknown'].map((status) => task(status, {status, message: status, progress: 0.5, questions: status === 'input_required' ? [{key: 'q1', message: 'Which city?'}] : []}))"
    table = "filter: '', sort: '', group_by: null, columns: COLUMNS, _expanded: [1], _folded: [], _selected: [0, 5]"
    tool = f"_tool: {{name: 'show', title: 'Show', server: 'demo', description: 'Shows', fields: {fields}}}"
    workflow = json.dumps({"workflow": WORKFLOW, "questions": []})
    return {
        "card": ("cards", f"{{_card: 'task', _state: {{seq: 0, now: Date.now(), state: {card}}}}}"),
        "table": ("task-table", f"{{_state: {{seq: 0, now: Date.now(), state: {{total: 6, patch: patch({rows}), details: [{detail}]}}}}, {table}}}"),
        "tool-form": ("cards", f"{{_card: 'tool', {tool}, _state: {{seq: 0, now: Date.now(), state: {{row: null, history: [], questions: [], visiting: null}}}}}}"),
        "catalogue": ("cards", f"{{_card: 'catalogue', _catalogue: {catalogue}}}"),
        "workflow": ("cards", f"{{_card: 'workflow', _state: {{seq: 0, now: Date.now(), state: {workflow}}}}}"),
    }  # fmt: skip


@pytest.mark.parametrize("name", cases())
def test_widgets(bare: Page, name: str) -> None:
    bundle, state = cases()[name]
    bare.evaluate(f"async () => {{ await open_widget({bundle!r}, {state}) }}")
    expect(bare.locator(".pmcp").first).to_be_visible()
    check(bare)


def test_it_finds_what_is_wrong(open_app: Open, app: App) -> None:
    page = open_app(app())
    page.add_script_tag(path=str(JS / "node_modules" / "axe-core" / "axe.min.js"))
    page.evaluate("() => document.querySelector('.pmcp-app-header').append(document.createElement('button'))")
    found: list[Any] = page.evaluate(RUN)
    assert any(each.startswith("button-name") for each in found)
