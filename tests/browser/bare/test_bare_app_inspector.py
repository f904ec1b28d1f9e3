"""The inspector: what it shows of an app, and what it does to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Locator, Page, expect

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]

ANSWERING = """({kind, view, call, payload}) => kind === "rpc" && model.say({
  kind: "rpc-result", to: view, call,
  payload: {result: {content: [{type: "text", text: JSON.stringify(payload.params.arguments)}]}}})"""


@pytest.fixture
def inspect(open_app: Open, inner: Inner) -> Callable[..., Locator]:
    """Opens an app and, once it has started, its inspector."""

    def opener(html: str, **traits: Any) -> Locator:
        page = open_app(html, onrpc=ANSWERING, **traits)
        expect(inner().locator("#state")).to_have_text("started")
        page.locator(".pmcp-app-inspect").click()
        panel = page.get_by_role("region", name="Inspector")
        expect(panel.get_by_role("heading", name="Messages")).to_be_visible()
        return panel

    return opener


Inspect = Callable[..., Locator]


def row(panel: Locator, text: str) -> Locator:
    return panel.locator(".pmcp-ins-row", has_text=text)


def app_says(inner: Inner, script: str) -> Any:
    return inner().locator("body").evaluate(f"async () => {{ {script} }}")


def told(inner: Inner) -> list[dict[str, Any]]:
    """The changes of the host context that the app was told."""
    script = "return log.filter((m) => m.method === 'ui/notifications/host-context-changed').map((m) => m.params)"
    changes: list[dict[str, Any]] = app_says(inner, script)
    return changes


def present(inner: Inner) -> dict[str, Any]:
    """The host context as the app knows it now."""
    return {name: value for change in told(inner) for name, value in change.items()}


def test_it_is_loaded_when_it_is_opened(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    expect(inner().locator("#state")).to_have_text("started")
    opening = page.get_by_role("button", name="Inspector")
    expect(opening).to_have_attribute("aria-expanded", "false")
    assert page.evaluate("() => model.kinds('code')") == []
    opening.click()
    expect(page.get_by_role("region", name="Inspector")).to_be_visible()
    opening.click()
    expect(page.get_by_role("region", name="Inspector")).to_have_count(0)
    opening.click()
    expect(page.get_by_role("heading", name="Handshake")).to_be_visible()
    assert len(page.evaluate("() => model.kinds('code')")) == 1


def test_the_handshake_as_it_happened(inspect: Inspect, app: App, inner: Inner) -> None:
    panel = inspect(app().replace('note("ui/notifications/initialized");', "window.late = 1;"))
    steps = panel.locator(".pmcp-ins-steps li")
    expect(steps.filter(has_text="host answered")).to_have_attribute("data-done", "true")
    expect(steps.filter(has_text="initialized")).to_have_attribute("data-done", "false")
    app_says(inner, "note('ui/notifications/initialized')")
    expect(steps.filter(has_text="initialized")).to_have_attribute("data-done", "true")
    expect(steps.filter(has_text="tool result sent")).to_contain_text("ms")
    app_says(inner, "location.reload()")
    expect(steps.filter(has_text="initialized")).to_have_attribute("data-done", "false")
    expect(steps.filter(has_text="host answered")).to_have_attribute("data-done", "true")


def test_every_message_with_its_duration_and_size(inspect: Inspect, app: App, inner: Inner) -> None:
    panel = inspect(app())
    methods = panel.locator(".pmcp-ins-method")
    expect(methods).to_have_text(
        [
            "ui/initialize",
            "↳ ui/initialize",
            "ui/notifications/initialized",
            "ui/notifications/tool-input",
            "ui/notifications/tool-result",
        ]
    )
    app_says(inner, "await rpc('tools/call', {name: 'add', arguments: {a: 1}})")
    asked = row(panel, "tools/call").first
    expect(asked).to_contain_text("app → host")
    expect(asked.locator(".pmcp-ins-duration")).to_contain_text("ms")
    expect(asked.locator(".pmcp-ins-size")).to_contain_text(" B")
    expect(row(panel, "↳ tools/call")).to_contain_text("host → app")
    asked.locator("summary").click()
    expect(asked.locator(".pmcp-ins-json")).to_contain_text('"name": "add"')
    problems = panel.locator(".pmcp-ins-row[data-level]")
    for each in problems.all():
        each.locator("summary").click()
    assert panel.locator(".pmcp-ins-problems").all_inner_texts() == [], "nothing of an honest app is a problem"


WRONG = [
    ("note('ui/notifications/size-changed', {height: 'tall'})", "params.height must be number, is string"),
    ("rpc('ui/open-link', {}).catch(() => 0)", "params.url is missing"),
    ("rpc('ui/request-display-mode', {mode: 'cinema'}).catch(() => 0)", 'params.mode must be one of "inline"'),
    (
        "rpc('ui/update-model-context', {content: [{type: 'text', txt: 'x'}]}).catch(() => 0)",
        "params.content[0].text is missing",
    ),
    (
        "rpc('ui/message', {role: 'user', content: []}).catch(() => 0); note('ui/notifications/initialized', 5)",
        "JSON-RPC",
    ),
    ("say({id: 'never asked', result: {}})", "answers no request"),
]


@pytest.mark.parametrize(("script", "violation"), WRONG)
def test_violations_are_named_by_path(inspect: Inspect, app: App, inner: Inner, script: str, violation: str) -> None:
    panel = inspect(app())
    app_says(inner, script)
    wrong = panel.locator('.pmcp-ins-row[data-level="error"]', has_not_text="↳").last
    wrong.locator("summary").click()
    expect(wrong.locator(".pmcp-ins-problems")).to_contain_text(violation)


def test_old_names_work_and_are_warned_of(inspect: Inspect, app: App, inner: Inner) -> None:
    host = {
        "info": {"name": "pmcp_lab", "version": "1"},
        "capabilities": {"message": {}},
        "initTimeout": 10_000,
        "server": "demo",
    }
    panel = inspect(app(), _host=host)
    page = panel.page
    app_says(inner, "void rpc('ui/openLink', {url: 'https://example.org/'}); note('ui/log', {message: 'hi'})")
    expect(page.locator(".pmcp-bar")).to_contain_text("https://example.org/")
    app_says(inner, "return rpc('ui/message', {message: 'say it'})")
    events = page.evaluate("() => model.kinds('event').map((e) => [e.event, e.payload])")
    assert ["log", {"level": "info", "data": "hi"}] in events
    assert ["old-name", {"method": "ui/openLink", "use": "ui/open-link"}] in events
    assert page.evaluate("() => model.kinds('rpc').at(-1).payload.params") == {
        "role": "user",
        "content": [{"type": "text", "text": "say it"}],
    }
    old = row(panel, "ui/openLink").first
    expect(old).to_have_attribute("data-level", "note")
    old.locator("summary").click()
    expect(old.locator(".pmcp-ins-problems")).to_contain_text("the standard’s is ui/open-link")


BLOCKED = [
    (
        "fetch('https://api.example/x').catch(() => 0)",
        "connect-src",
        '_meta.ui.csp.connectDomains = ["https://api.example"]',
    ),
    (
        "new Image().src = 'https://cdn.example/a.png'",
        "img-src",
        '_meta.ui.csp.resourceDomains = ["https://cdn.example"]',
    ),
    (
        "document.body.append(Object.assign(document.createElement('iframe'), {src: 'https://maps.example/'}))",
        "frame-src",
        '_meta.ui.csp.frameDomains = ["https://maps.example"]',
    ),
    ("location = 'https://evil.example/'", "frame-src", "https://evil.example"),
    ("setTimeout(() => { try { eval('1') } catch {} })", "script-src", "allow_apps(unsafe_eval=True)"),
    ("fetch('https://known.example/').catch(() => 0)", "connect-src", "nobody allowed it yet"),
]


@pytest.mark.parametrize(("script", "directive", "advice"), BLOCKED)
def test_what_the_policy_blocks_and_what_would_allow_it(
    inspect: Inspect, app: App, inner: Inner, script: str, directive: str, advice: str
) -> None:
    panel = inspect(app(), resource={"wanted": {"connect": ["https://known.example"]}})
    app_says(inner, script)
    blocked = panel.locator(".pmcp-ins-blocked li")
    expect(blocked).to_have_count(1)
    expect(blocked).to_contain_text(directive)
    expect(blocked).to_contain_text(advice)
    expect(panel.page.get_by_role("button", name="Inspector (1 problem)")).to_be_visible()
    events = panel.page.evaluate("() => model.kinds('event').filter((e) => e.event === 'csp-violation')")
    assert events[0]["payload"]["directive"].startswith(directive)


def test_the_type_of_an_old_widget_is_noted(inspect: Inspect, app: App) -> None:
    panel = inspect(app(), resource={"mimeType": "text/html+skybridge", "legacy": False})
    expect(panel.locator(".pmcp-ins-facts")).to_contain_text("MCP Apps are text/html;profile=mcp-app")


def test_the_host_context_can_be_changed_and_comes_back(inspect: Inspect, app: App, inner: Inner) -> None:
    panel = inspect(app().replace("appCapabilities: {}", 'appCapabilities: {availableDisplayModes: ["inline", "pip"]}'))
    page = panel.page
    scheme = "(node) => getComputedStyle(node).colorScheme"
    panel.get_by_label("Theme").select_option("dark")
    assert told(inner)[-1]["theme"] == "dark"
    assert told(inner)[-1]["styles"]["variables"]["--color-text-primary"] == "#e3e3e3"
    assert page.locator("#cell iframe.pmcp-app-frame").evaluate(scheme) == "dark"
    panel.get_by_label("Locale").fill("de-CH")
    panel.get_by_label("Locale").press("Enter")
    assert told(inner)[-1] == {"locale": "de-CH"}
    panel.get_by_label("Locale").fill("not a locale")
    panel.get_by_label("Locale").press("Enter")
    expect(panel.get_by_label("Locale")).to_have_attribute("aria-invalid", "true")
    panel.get_by_label("Safe area").select_option("44")
    assert told(inner)[-1]["safeAreaInsets"] == {"top": 44, "right": 44, "bottom": 44, "left": 44}
    panel.get_by_label("Size").select_option("phone-small")
    page.wait_for_function("() => document.querySelector('#cell iframe.pmcp-app-frame').offsetWidth === 320")
    inner().locator("body").evaluate(
        """async () => {
             const told = () => log.some((m) => m.params?.containerDimensions?.width === 320);
             for (let n = 0; n < 300 && !told(); n += 1) await new Promise((next) => setTimeout(next, 100));
           }"""
    )
    assert any(each.get("containerDimensions", {}).get("width") == 320 for each in told(inner)), told(inner)
    panel.get_by_label("Display mode").select_option("pip")
    expect(page.locator(".pmcp-app")).to_have_attribute("data-mode", "pip")
    panel.get_by_label("Display mode").select_option("fullscreen")
    expect(panel.get_by_label("Display mode")).to_have_value("fullscreen")
    page.get_by_role("button", name="Inspector").click()
    restored = present(inner)
    assert restored["theme"] == "light"
    assert restored["safeAreaInsets"]["top"] == 0
    assert restored["locale"] != "de-CH"


def test_a_call_is_repeated_with_other_arguments(inspect: Inspect, app: App, inner: Inner) -> None:
    panel = inspect(app())
    app_says(inner, "await rpc('tools/call', {name: 'add', arguments: {a: 1}})")
    asked = row(panel, "tools/call").first
    asked.locator("summary").click()
    asked.get_by_role("button", name="Edit and repeat").click()
    edit = asked.get_by_role("textbox", name="Parameters of tools/call")
    edit.fill('{"name": "add", "arguments": {"a": ')
    asked.get_by_role("button", name="Send").click()
    expect(asked.locator(".pmcp-ins-said")).to_contain_text("SyntaxError")
    edit.fill('{"name": "add", "arguments": {"a": 7}}')
    before = app_says(inner, "return log.length")
    asked.get_by_role("button", name="Send").click()
    expect(asked.locator(".pmcp-ins-said")).to_contain_text("Answered after")
    expect(asked.locator(".pmcp-ins-json").last).to_contain_text('{\\"a\\":7}')
    assert panel.page.evaluate("() => model.kinds('rpc').at(-1).payload.params.arguments") == {"a": 7}
    assert app_says(inner, "return log.length") == before, "the app does not hear of it"


def test_copy_as_cell(inspect: Inspect, app: App, inner: Inner) -> None:
    panel = inspect(app())
    panel.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    app_says(inner, """await rpc('tools/call', {name: 'add "x"', arguments: {a: 1, b: [true, null], c: 'é\\n"'}})""")
    asked = row(panel, "tools/call").first
    asked.locator("summary").click()
    asked.get_by_role("button", name="Copy as cell").click()
    expect(asked.locator(".pmcp-ins-said")).to_have_text("Copied.")
    code = panel.page.evaluate("() => navigator.clipboard.readText()")
    calls: list[Any] = []

    class Lab:
        def connected(self, name: str) -> Any:
            return type("Server", (), {"call": lambda _, tool, **named: calls.append((name, tool, named))})()

    statement = code.partition("import pmcp_lab as lab\n\n")[2]
    exec(statement, {"lab": Lab()})
    assert calls == [("demo", 'add "x"', {"a": 1, "b": [True, None], "c": 'é\n"'})]


def test_filter_and_clear(inspect: Inspect, app: App, inner: Inner) -> None:
    panel = inspect(app())
    app_says(
        inner,
        "await rpc('tools/call', {name: 'needle', arguments: {}}); note('ui/notifications/size-changed', {height: 'x'})",
    )
    rows = panel.locator(".pmcp-ins-row:visible")
    expect(row(panel, "size-changed")).to_be_visible()
    before = rows.count()
    panel.get_by_label("Filter messages").fill("NEEDLE")
    expect(rows).to_have_count(1)
    panel.get_by_label("Filter messages").fill("")
    panel.get_by_label("Kinds of messages").select_option("problems")
    expect(rows).to_have_count(1)
    shown, of, known = panel.locator(".pmcp-ins-count").inner_text().split()
    assert (shown, of) == ("1", "of")
    assert int(known) >= before  # in Firefox the app tells its size once more meanwhile
    panel.get_by_role("button", name="Clear").click()
    panel.get_by_label("Kinds of messages").select_option("all")
    expect(rows).to_have_count(0)
    app_says(inner, "await rpc('ping')")
    expect(row(panel, "ping")).to_have_count(2)


def test_the_keyboard_and_contrast(inspect: Inspect, app: App) -> None:
    panel = inspect(app())
    page = panel.page
    page.get_by_role("button", name="Inspector").focus()
    first = panel.locator(".pmcp-ins-row summary").first
    for _ in range(20):
        page.keyboard.press("Tab")
        if first.evaluate("(node) => node === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(panel.locator(".pmcp-ins-json").first).to_be_visible()
    for light in ("true", "false"):
        page.evaluate("(light) => { document.body.dataset.jpThemeLight = light }", light)
        assert page.evaluate("() => low_contrast()") == []
    unnamed = panel.evaluate(
        """(panel) => [...panel.querySelectorAll("button, input, select, textarea")]
             .filter((n) => !(n.textContent.trim() || n.getAttribute("aria-label") || n.labels?.length)).length"""
    )
    assert unnamed == 0


def test_strings_of_an_app_stay_text(inspect: Inspect, app: App, inner: Inner) -> None:
    panel = inspect(app())
    app_says(inner, "note('<img src=x onerror=window.owned=1>', {a: '<script>window.owned=1</script>'})")
    hostile = row(panel, "<img").first
    hostile.locator("summary").click()
    expect(hostile.locator(".pmcp-ins-json")).to_contain_text("<script>")
    assert panel.page.evaluate("() => window.owned") is None
    assert panel.locator(".pmcp-inspector img").count() == 0


def test_a_flood_keeps_the_list_short(inspect: Inspect, app: App, inner: Inner) -> None:
    panel = inspect(app())
    app_says(inner, "for (let n = 0; n < 900; n += 1) note('x/y', {n})")
    expect(row(panel, "x/y").last).to_be_attached()
    panel.page.wait_for_function("() => document.querySelector('.pmcp-ins-count').textContent.includes('older')")
    assert panel.locator(".pmcp-ins-row").count() <= 500


def test_a_page_without_a_kernel_says_so(open_app: Open, app: App) -> None:
    page = open_app(app(), options={"live": False})
    page.get_by_role("button", name="Inspector").click()
    expect(page.locator(".pmcp-bar", has_text="inspector")).to_contain_text("no live kernel")
