"""One app on the official SDK, in the official host and in ours: both hear and say the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.conftest import press

# Keeps what the app is sent; both hosts get it with the app.
EAR = "<script>addEventListener('message', ({data}) => (window.heard ??= []).push(data))</script>"
# Keeps what the page is sent by the app, in either host.
HOST_EAR = """() => addEventListener("message", ({data}) => {
  if (data?.jsonrpc && !/sandbox|run.pmcp/.test(data.method ?? "")) (window.heard ??= []).push(data) })"""

ANSWERS = """({kind, view, call, payload: asked}) => {
  if (kind !== "rpc") return;
  const {method, params} = asked;
  const payload = params?.name === "bad" ? {error: {code: -32602, message: "no such tool"}}
    : method === "tools/call" ? {result: {content: [{type: "text", text: "4"}]}}
    : method === "resources/read" ? {result: {contents: [{uri: params.uri, text: "<p>"}]}} : {result: {}};
  model.say({kind: "rpc-result", to: view, call, payload}) }"""

CAPABILITIES = {
    "serverTools": {},
    "serverResources": {},
    "openLinks": {},
    "logging": {},
    "message": {"text": {}},
    "updateModelContext": {"text": {}},
}
CALL = {
    "tool": {"name": "show", "inputSchema": {"type": "object"}},
    "arguments": {"city": "Bern"},
    "result": {"content": [{"type": "text", "text": "everything"}]},
    "cancelled": None,
    "error": None,
}


def ended(app: FrameLocator) -> list[dict[str, Any]]:
    """What the app was sent, once its session is over."""
    expect(app.locator("#log")).to_contain_text("end;")
    heard: list[dict[str, Any]] = app.locator("body").evaluate("() => window.heard")
    return [message for message in heard if message.get("jsonrpc")]


def said(page: Page, *, after: int = 0) -> list[dict[str, Any]]:
    """What the app said; of its sizes only the one that it chose, not those that came of the frame's."""
    heard: list[dict[str, Any]] = page.evaluate("(after) => window.heard.slice(after)", after)
    chosen = {"width": 300, "height": 200}
    return [m for m in heard if m.get("method") != "ui/notifications/size-changed" or m["params"] == chosen]


def test_the_same_session_in_both_hosts(
    open_app: Callable[..., Page], inner: Callable[[], FrameLocator], bare: Page, sdk_app: str, official_host: str
) -> None:
    html = EAR + sdk_app
    bare.evaluate(HOST_EAR)
    host = {"info": {"name": "host", "version": "1"}, "capabilities": CAPABILITIES, "initTimeout": 0, "server": "demo"}
    page = open_app(html, onrpc=ANSWERS, _call=CALL, _host=host)
    page.evaluate("() => addEventListener('click', (event) => event.target.tagName === 'A' && event.preventDefault())")
    press(page.get_by_role("button", name="Open", exact=True))
    ours = ended(inner())
    log = inner().locator("#log").inner_text()
    our_ear = said(page)
    page.evaluate("() => views[0].close()")
    # Its last words are heard before its frame goes.
    expect(page.locator("#cell iframe")).to_have_count(0)
    count = page.evaluate("() => window.heard.length")

    session = {
        "html": html,
        "info": host["info"],
        "capabilities": CAPABILITIES,
        "context": ours[0]["result"]["hostContext"],
        "input": CALL["arguments"],
        "result": CALL["result"],
    }
    page.evaluate("async ([from, session]) => { (await import(from)).show(session) }", [official_host, session])
    official = page.frame_locator("iframe.official")
    theirs = ended(official)
    assert official.locator("#log").inner_text() == log
    assert [strip(message) for message in ours] == [strip(message) for message in theirs]
    assert said(page, after=count) == our_ear


def strip(message: dict[str, Any]) -> dict[str, Any]:
    """Without the words of an error, which are each host's own."""
    error = message.get("error")
    return {**message, "error": error["code"]} if error else message
