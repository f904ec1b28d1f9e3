"""A hostile app and what is around it: frames of its own, other apps, words that are shown, a process that ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]

#: `own` tells the window to which it may speak in its own right. Whatever could be taken for the host's, the app's or the relay's, to every window that can be had.
SPOOF = """
  const words = [
    {jsonrpc: "2.0", id: 1, method: "tools/call", params: {name: "spoofed", arguments: {}}},
    {jsonrpc: "2.0", id: 2, method: "ui/open-link", params: {url: "https://spoofed.example/"}},
    {jsonrpc: "2.0", id: 3, method: "ui/initialize", params: {appInfo: {name: "spoofed", version: "1"}, appCapabilities: {}}},
    {jsonrpc: "2.0", method: "ui/notifications/tool-result", params: {content: [{type: "text", text: "spoofed"}]}},
    {jsonrpc: "2.0", method: "ui/notifications/sandbox-resource-ready", params: {html: "spoofed", sandbox: "allow-scripts"}},
    {jsonrpc: "2.0", method: "ui/notifications/sandbox-proxy-ready", params: {}},
    {jsonrpc: "2.0", method: "ui/notifications/request-teardown"},
    {jsonrpc: "2.0", method: "run.pmcp/notifications/stored", params: {local: {spoofed: "1"}}},
    {jsonrpc: "2.0", method: "ui/resource-teardown", id: "host-1", params: {}},
    {jsonrpc: "2.0", id: "host-1", result: {}},
  ];
  const windows = new Set();
  const climb = (at) => {
    if (windows.has(at)) return;
    windows.add(at);
    for (let n = 0; n < at.length; n++) climb(at[n]);
  };
  climb(top);
  for (const to of windows) {
    if (to === window || own(to)) continue;
    for (const each of words) {
      const {port1, port2} = new MessageChannel();
      to.postMessage(each, "*", [port2]);
    }
  }
"""


@pytest.fixture(scope="module")
def browser(whole_browser: Browser) -> Browser:
    return whole_browser


def said(page: Page) -> list[Any]:
    """What reached a kernel, but for the signs of life of an app that was opened."""
    found: list[Any] = page.evaluate(
        """() => (window.models ?? [model]).flatMap((each) => each.sent)
             .filter(({kind, event}) => !["hello", "ping"].includes(kind) && !["initialized", "size"].includes(event))"""
    )
    return found


def test_a_frame_in_the_app_is_not_the_app(open_app: Open, app: App, inner: Inner) -> None:
    child = json.dumps(f"<script>const own = () => false; {SPOOF}</script>").replace("</", "<\\/")
    page = open_app(app(f"document.body.append(Object.assign(document.createElement('iframe'), {{srcdoc: {child}}}))"))
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    assert inner().frame_locator("iframe").locator("html").evaluate("() => windows.size") == 4
    page.wait_for_timeout(500)
    assert said(page) == []
    expect(page.locator(".pmcp-bar")).to_have_count(0)
    expect(inner().locator("#state")).to_have_text("started")


def test_an_app_is_not_its_neighbour(open_app: Open, app: App) -> None:
    page = open_app(app())
    page.evaluate("() => { window.models = [model] }")
    open_app(app(f"const own = (to) => to.length && to[0] === window; setTimeout(() => {{ {SPOOF} }}, 300)"))
    page.evaluate("() => models.push(model)")
    views = page.locator(".view")
    for index in (0, 1):
        expect(views.nth(index).locator(".pmcp-app-state-text")).to_have_text("ready")
    page.wait_for_timeout(1000)
    assert said(page) == []
    expect(page.locator(".pmcp-bar")).to_have_count(0)
    # A window of another app can be written to; who wrote is known by `event.source`, and is not the host.
    heard = views.nth(0).frame_locator("iframe").frame_locator("iframe").locator("body")
    assert "spoofed" not in str(heard.evaluate("() => log"))
    assert heard.evaluate("() => localStorage.length") == 0


NASTY = "<img src=x onerror='top.owned=1'>\x1b[31m\x1b]0;x\x07\u202e../../etc/passwd\u2028{{x}}"


def test_names_are_text(open_app: Open, app: App) -> None:
    tool = {"name": NASTY, "title": NASTY, "description": NASTY, "inputSchema": {"type": "object"}}
    call = {"tool": tool, "arguments": {}, "result": None, "cancelled": None, "error": NASTY}
    host = {
        "info": {"name": "x", "version": "1"},
        "capabilities": {},
        "initTimeout": 10_000,
        "server": NASTY,
        "stale": NASTY,
    }
    wanted = {"connect": [NASTY], "permissions": [NASTY], "refused": [NASTY]}
    resource = {"name": NASTY, "uri": f"ui://{NASTY}", "wanted": wanted}
    page = open_app(app(f"throw new Error({json.dumps(NASTY)})"), resource=resource, _call=call, _host=host)
    expect(page.locator(".pmcp-app")).to_have_attribute("data-state", "trouble")
    page.get_by_role("button", name="Inspector").click()
    expect(page.get_by_role("heading", name="Messages")).to_be_visible()
    assert page.evaluate("() => window.owned") is None
    assert page.locator(".view img").count() == 0
    assert NASTY.split("\x1b")[0] in page.locator(".pmcp-app").inner_text()


def test_a_frame_whose_process_ends(open_app: Open, app: App) -> None:
    """The notebook goes on, and the app begins anew when it is told to."""
    page = open_app(app())
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    browser = page.context.browser
    assert browser is not None
    cdp = browser.new_browser_cdp_session()
    targets = cdp.send("Target.getTargets")["targetInfos"]
    here = next(each["targetId"] for each in targets if each["type"] == "page" and each["url"] == page.url)
    frames = [each["targetId"] for each in targets if each["type"] == "iframe"]
    assert frames, "an app has a process of its own"
    answers: list[dict[str, Any]] = []
    cdp.on("Target.receivedMessageFromTarget", lambda event: answers.append(json.loads(event["message"])))

    def send(target: str, method: str, **params: Any) -> None:
        session = cdp.send("Target.attachToTarget", {"targetId": target, "flatten": False})["sessionId"]
        message = json.dumps({"id": 1, "method": method, "params": params})
        cdp.send("Target.sendMessageToTarget", {"sessionId": session, "message": message})

    # Playwright takes the page for crashed, too, and hears no more of it.
    for frame in frames:
        send(frame, "Page.crash")
    reload = """(async () => {
      const find = (text) => document.querySelector(text);
      await new Promise((next) => setTimeout(next, 300));
      find("[aria-label='Reload the app']").click();
      const end = Date.now() + 20000;
      const seen = () => model.kinds("event").filter((each) => each.event === "initialized").length;
      while (seen() < 2 && Date.now() < end) await new Promise((next) => setTimeout(next, 20));
      return [seen(), find(".pmcp-app-state-text").textContent];
    })()"""
    send(here, "Runtime.evaluate", expression=reload, awaitPromise=True, returnByValue=True)
    for _ in range(300):
        values = [answer["result"]["result"].get("value") for answer in answers if "result" in answer.get("result", {})]
        if values:
            break
        cdp.send("Target.getTargets")
        time.sleep(0.1)
    assert values == [[2, "ready"]]
