"""What goes before an app's own scripts: storage that a sandbox does not have, and the bridge of old widgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import FrameLocator, Page, expect

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]

SETTINGS = """<!doctype html><p id=out></p><script>
localStorage.setItem("visits", String(Number(localStorage.getItem("visits") ?? 0) + 1));
sessionStorage.tab = "1";
delete localStorage.gone;
out.textContent = [localStorage.visits, localStorage.length, Object.keys(localStorage), "visits" in localStorage,
  localStorage.getItem("none"), sessionStorage.length, document.compatMode].join(" ");
</script>"""


def stored(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(
        "() => model.kinds('event').filter((e) => e.event === 'stored').map((e) => e.payload)"
    )
    return found


def test_settings_survive(open_app: Open, inner: Inner) -> None:
    page = open_app(SETTINGS, _storage={"local": {"visits": "4", "gone": "</script><script>alert(1)</script>"}})
    expect(inner().locator("#out")).to_have_text("5 1 visits true  1 CSS1Compat")
    page.wait_for_function("() => model.kinds('event').some((e) => e.event === 'stored')")
    assert stored(page)[-1] == {"local": {"visits": "5"}}


def test_storage_is_bounded(open_app: Open, inner: Inner) -> None:
    open_app(
        """<p id=out></p><script>
        try { for (let n = 0; n < 100; n++) localStorage.setItem("k" + n, "x".repeat(50_000)) }
        catch (error) { out.textContent = error.name + " " + localStorage.length }
        </script>"""
    )
    expect(inner().locator("#out")).to_have_text("QuotaExceededError 20")


OLD = """<!doctype html><title>chess</title><p id=out></p><script>
const tell = (text) => { out.textContent += text + ";" };
tell(typeof window.mcpBridge.callTool);
addEventListener("openai:set_globals", ({detail}) => {
  if (detail.globals.toolOutput) tell("output " + window.openai.toolOutput.board);
});
addEventListener("mcpBridgeReady", async () => {
  const answer = await mcpBridge.callTool("move", {to: "e4"});
  tell(`moved ${answer.turn} ${answer.structuredContent.turn} ${answer.success}`);
  const failed = await openai.callTool("fail");
  tell(`failed ${failed.success} ${failed.error}`);
  mcpBridge.setState({moves: (mcpBridge.getState().moves ?? 0) + 1});
  openai.sendFollowUpMessage({prompt: "your turn"});
});
</script>"""


def test_what_was_stored_just_before_a_reload_is_there_after_it(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app("") + "<input id=field>")
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    inner().locator("#field").fill("typed")
    inner().locator("body").evaluate("() => localStorage.setItem('kept', 'yes')")
    page.locator("[aria-label='Reload the app']").evaluate("(button) => button.click()")
    page.wait_for_function("() => model.kinds('event').filter((e) => e.event === 'initialized').length === 2")
    assert inner().locator("body").evaluate("() => localStorage.getItem('kept')") == "yes"
    expect(inner().locator("#field")).to_have_value("")


def test_a_widget_of_the_old_kind(open_app: Open, inner: Inner) -> None:
    result = {"content": [{"type": "text", "text": '{"board": "start"}'}]}
    call = {"tool": {"name": "show"}, "arguments": {}, "result": result}
    page = open_app(
        OLD,
        onrpc="""({kind, view, call, payload}) => {
             if (kind !== "rpc") return;
             const failed = payload.params.name === "fail";
             const result = failed ? {isError: true, content: [{type: "text", text: "illegal"}]}
               : {content: [], structuredContent: {turn: "black"}};
             model.say({kind: "rpc-result", to: view, call, payload: {result}}) }""",
        resource={"legacy": True},
        _call=call,
        _storage={"state": {"moves": 2}},
    )
    expect(inner().locator("#out")).to_have_text("function;output start;moved black black true;failed false illegal;")
    page.wait_for_function("() => model.kinds('event').some((e) => e.event === 'stored')")
    assert stored(page)[-1] == {"state": {"moves": 3}}
    assert page.evaluate("() => model.kinds('event')[0].payload.appInfo.name") == "chess"


def test_a_standard_app_gets_no_old_bridge(open_app: Open, inner: Inner) -> None:
    open_app("<p id=out></p><script>out.textContent = [typeof mcpBridge, typeof openai]</script>")
    expect(inner().locator("#out")).to_have_text("undefined,undefined")


def test_escape_in_the_app_leaves_full_screen(open_app: Open, app: App, inner: Inner) -> None:
    able = app().replace("appCapabilities: {}", 'appCapabilities: {availableDisplayModes: ["fullscreen"]}')
    page = open_app(able)
    page.get_by_role("button", name="Full screen").click()
    inner().locator("#state").click()
    page.keyboard.press("Escape")
    expect(page.locator(".pmcp-app")).to_have_attribute("data-mode", "inline")


def test_a_flood_is_slowed_down_and_answered(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    outcome = (
        inner()
        .locator("body")
        .evaluate(
            """async () => {
             const began = performance.now();
             const all = await Promise.allSettled(Array.from({length: 3000}, () => rpc("ping")));
             return [all.filter((each) => each.status === "fulfilled").length,
                     all.filter((each) => each.reason?.code === -32000).length, performance.now() - began] }"""
        )
    )
    answered, refused, took = outcome
    assert answered + refused == 3000
    assert 1000 <= answered <= 2000
    assert took > 400, "the host is spared"
    assert inner().locator("body").evaluate("() => rpc('ping')") == {}


def test_a_document_the_page_has_seen_need_not_be_sent(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app(), resource={"hash": "h1"})
    expect(inner().locator("#state")).to_have_text("started")
    page.evaluate("() => views[0].close()")
    page.evaluate("() => { model.state._resource = {...model.state._resource, html: null}; mount() }")
    expect(inner().locator("#state")).to_have_text("started")
    assert page.evaluate("() => model.kinds('document').length") == 0


def test_a_document_the_page_lacks_is_asked_for(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app("", resource={"html": None, "hash": "h2"})
    page.wait_for_function("() => model.kinds('document').length === 1")
    payload = {"hash": "h2", "html": app()}
    page.evaluate("([payload]) => model.say({kind: 'document', to: model.sent[0].view, payload})", [payload])
    expect(inner().locator("#state")).to_have_text("started")


def test_a_notebook_without_kernel_says_what_it_lacks(open_app: Open) -> None:
    page = open_app("", resource={"html": None, "hash": "h3"}, options={"live": False})
    expect(page.locator(".pmcp-bar")).to_contain_text("not saved in this notebook")
