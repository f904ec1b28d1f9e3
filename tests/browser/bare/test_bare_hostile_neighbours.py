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


class Debugger:
    """The browser behind the page. Playwright takes the page for crashed, too, when a frame of it is, and hears no more."""

    def __init__(self, page: Page) -> None:
        browser = page.context.browser
        assert browser is not None
        self.cdp = browser.new_browser_cdp_session()
        self.url = page.url
        self.answers: list[dict[str, Any]] = []
        self.cdp.on("Target.receivedMessageFromTarget", lambda event: self.answers.append(json.loads(event["message"])))

    def targets(self, kind: str) -> list[str]:
        found = self.cdp.send("Target.getTargets")["targetInfos"]
        return [
            each["targetId"] for each in found if each["type"] == kind and (kind != "page" or each["url"] == self.url)
        ]

    def send(self, target: str, method: str, **params: Any) -> None:
        session = self.cdp.send("Target.attachToTarget", {"targetId": target, "flatten": False})["sessionId"]
        message = json.dumps({"id": 1, "method": method, "params": params})
        self.cdp.send("Target.sendMessageToTarget", {"sessionId": session, "message": message})

    def end_frames(self) -> None:
        frames = self.targets("iframe")
        assert frames, "an app has a process of its own"
        for frame in frames:
            self.send(frame, "Page.crash")

    def evaluate(self, body: str) -> Any:
        """The value of a function with this body, in the page."""
        expression = f"""(async () => {{
          const find = (text) => document.querySelector(text);
          const state = () => find(".pmcp-app-state-text").textContent;
          const events = (name) => model.kinds("event").filter((each) => each.event === name);
          const until = async (what) => {{
            const end = Date.now() + 20000;
            while (!what() && Date.now() < end) await new Promise((next) => setTimeout(next, 20));
          }};
          {body}
        }})()"""
        (page,) = self.targets("page")
        self.send(page, "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        for _ in range(300):
            failed = [each for each in self.answers if "exceptionDetails" in each.get("result", {})]
            assert not failed, failed
            results = [each["result"]["result"] for each in self.answers if "result" in each.get("result", {})]
            if results:
                self.answers.clear()
                return results[0].get("value")
            self.cdp.send("Target.getTargets")
            time.sleep(0.1)
        raise AssertionError("the page does not answer")


def test_a_frame_whose_process_ends(open_app: Open, app: App) -> None:
    """The view says so, nobody waits for the app, and it begins anew when it is told to."""
    page = open_app(app())
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    browser = Debugger(page)
    browser.end_frames()
    dead = "The app’s process ended."
    said = browser.evaluate(
        f"""await until(() => state() === "{dead}");
        model.say({{kind: "ask", to: model.sent[0].view, call: 7, payload: {{method: "tools/list", params: {{}}}}}});
        await until(() => model.kinds("answer").length);
        return [state(), find(".pmcp-app").dataset.state, find(".pmcp-bar").textContent,
          events("app-error").map((each) => each.payload.message), model.kinds("answer")[0].payload.error.code]"""
    )
    assert said == [dead, "trouble", f"{dead}Reload", [dead], -32000]
    again = browser.evaluate(
        """find(".pmcp-bar-actions button").click();
        await until(() => events("initialized").length === 2 && state() === "ready");
        return [state(), find(".pmcp-bar"), events("app-error").length]"""
    )
    assert again == ["ready", None, 1]


def test_a_spare_whose_process_ended_is_given_to_no_app(open_app: Open, app: App) -> None:
    """It has no app that could say so; the next one gets a frame that lives, at once."""
    page = open_app(app())
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    expect(page.locator("body > [aria-hidden] iframe")).to_have_count(1)
    browser = Debugger(page)
    browser.end_frames()
    opened = browser.evaluate(
        """await new Promise((next) => setTimeout(next, 300));
        const dead = find("body > [aria-hidden] iframe");
        mount();
        await until(() => events("initialized").length === 2);
        const second = document.querySelectorAll(".pmcp-app")[1];
        return [second.dataset.state, second.contains(dead), dead.isConnected]"""
    )
    assert opened == ["ready", False, False]


def test_an_app_that_is_busy_is_not_called_dead(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    state = page.locator(".pmcp-app-state-text")
    expect(state).to_have_text("ready")
    inner().locator("body").evaluate(
        "() => { setTimeout(() => { const end = Date.now() + 7000; while (Date.now() < end); }); }"
    )
    expect(state).to_have_text("app not answering for 4 s")
    expect(page.locator(".pmcp-app")).to_have_attribute("data-state", "busy")
    expect(state).to_have_text("ready")
    expect(page.locator(".pmcp-bar")).to_have_count(0)
    reported = page.evaluate("() => model.kinds('event').filter((each) => each.event === 'app-error').length")
    assert reported == 0


def test_an_app_that_nobody_sees_is_not_asked_for_a_sign_of_life(open_app: Open, app: App, inner: Inner) -> None:
    """Nor is it told of one: what it hears is what a host of the standard says."""
    page = open_app(app())
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    page.evaluate(
        """() => {
          window.asked = 0;
          const post = MessagePort.prototype.postMessage;
          MessagePort.prototype.postMessage = function (data, ...rest) {
            if (data.method?.endsWith("-ping")) asked += 1;
            return post.call(this, data, ...rest);
          };
        }"""
    )
    inner().locator("body").evaluate(
        "() => { window.heard = []; addEventListener('message', ({data}) => heard.push(data)) }"
    )
    page.wait_for_timeout(4500)
    assert page.evaluate("() => asked") in (2, 3)
    assert inner().locator("body").evaluate("() => heard") == []
    page.evaluate("() => { document.querySelector('.view').style.display = 'none'; asked = 0 }")
    page.wait_for_timeout(4500)
    assert page.evaluate("() => asked") == 0
