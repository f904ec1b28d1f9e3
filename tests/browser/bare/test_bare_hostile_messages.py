"""A hostile app by what it says, and by what it does within its rights: nothing of it reaches further than it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import comm
import pytest
from mcp.server.apps import Apps
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.resources import TextResource
from playwright.sync_api import Browser, FrameLocator, Page, expect

import pmcp_lab as lab
import pmcp_lab.notebook
from tests.unit.front_end import Comm, FrontEnd

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]

SCHEMES = [
    "javascript:document.title=1",
    "data:text/html,x",
    "file:///etc/passwd",
    "blob:https://a.example/1",
    "about:blank",
    "chrome://settings",
    "chrome-extension://x/y",
    "view-source:https://a.example",
    "ftp://a.example/",
    "ws://a.example/",
    "mailto:a@b.example",
    "tel:1",
    "vscode://x",
    "ms-settings:x",
    "intent://x#Intent;end",
    "filesystem:https://a.example/t/x",
    "jar:https://a.example!/x",
]

#: What is no message, or none that a host should take; `say` sends with `jsonrpc`, `raw` without.
HARMLESS = {
    "nothing": "raw(null)",
    "text": "raw('tools/call')",
    "array": "raw([{jsonrpc: '2.0', id: 1, method: 'tools/call', params: {name: 'x'}}])",
    "another version": "raw({jsonrpc: '1.0', id: 1, method: 'tools/call', params: {name: 'x'}})",
    "an envelope of ours": "raw({kind: 'consent', view: 'x'}); raw({kind: 'rpc', call: 1, payload: {method: 'tools/call'}})",
    "an envelope within": "say({id: 9, method: 'ping', kind: 'consent', view: 'x', params: {kind: 'consent'}})",
    "an id that is an object": "say({id: {a: 1}, method: 'tools/call', params: {name: 'x'}})",
    "params that are text": "say({id: 1, method: 'tools/call', params: 'x'})",
    "a method that is an object": "say({id: 1, method: {toString: 1}, params: {}})",
    "a method nobody knows": "say({id: 1, method: 'notebook/run', params: {code: 'x'}})",
    "a method of every object": "say({id: 1, method: 'constructor'}); say({id: 2, method: '__proto__'})",
    "an answer to nothing": "say({id: 'host-1', result: {}}); say({id: 7, result: {}})",
    "ten megabytes": "say({id: 1, method: 'tools/call', params: {name: 'x'.repeat(10 << 20)}})",
    "fifty megabytes in a Map": "say({id: 1, method: 'tools/call', params: {x: new Map([[1, 'x'.repeat(50 << 20)]])}})",
    "a typed array": "say({id: 1, method: 'tools/call', params: {name: new Uint8Array(1 << 20)}})",
    "a bigint": "say({id: 1, method: 'tools/call', params: {name: 10n}})",
    "a cycle": "const c = {}; c.c = c; say({id: 1, method: 'tools/call', params: c})",
    "a deep nest": "let d = {}; for (let n = 0; n < 1500; n++) d = {d}; say({id: 1, method: 'tools/call', params: d})",
    "one object many times": "let d = ['x']; for (let n = 0; n < 40; n++) d = [d, d]; say({id: 1, method: 'tools/call', params: {d}})",
    "one text many times": "const x = 'x'.repeat(1 << 20); say({id: 1, method: 'tools/call', params: {d: Array(60).fill(x)}})",
    "an array with nothing in it": "for (const length of [2 ** 21, 2 ** 32 - 1]) say({id: 1, method: 'tools/call', params: {a: Object.assign([], {length})}})",
    "three hundred megabytes handed over": "for (const to of [parent, top]) { const {buffer} = new Uint8Array(300 << 20); to.postMessage({jsonrpc: '2.0', id: 1, method: 'tools/call', params: {buffer}}, '*', [buffer]) }",
    "what is no JSON": "for (const x of [new Blob(['x']), /x/, new Error('x'), new Set([1]), await createImageBitmap(new ImageData(1, 1))]) say({id: 1, method: 'tools/call', params: {x}})",
    "a port": "const {port1} = new MessageChannel(); parent.postMessage({jsonrpc: '2.0', id: 1, method: 'tools/call', params: {}, port1}, '*', [port1])",
    "the relay's own words": "say({method: 'ui/notifications/sandbox-resource-ready', params: {html: '<h1>x'}}); say({method: 'ui/notifications/sandbox-proxy-ready'})",
    "links of schemes that are no page's": "for (const address of SCHEMES) say({id: 1, method: 'ui/open-link', params: {url: address}})",
    "a display mode of its own": "say({id: 1, method: 'ui/request-display-mode', params: {mode: '__proto__'}})",
    "sizes that are none": "for (const height of [NaN, -1, 'x', {}, 1e9]) say({method: 'ui/notifications/size-changed', params: {height}})",
}


@pytest.fixture(scope="module")
def browser(whole_browser: Browser) -> Browser:
    return whole_browser


def test_messages_that_are_none(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    expect(inner().locator("#state")).to_have_text("started")
    for name, script in HARMLESS.items():
        left = (
            inner()
            .locator("body")
            .evaluate(
                f"async () => {{ const SCHEMES = {SCHEMES}; const raw = (data) => parent.postMessage(data, '*'); try {{ {script} }} catch {{ return }}"
                " await rpc('ping') }"
            )
        )
        assert left is None, name
    assert page.evaluate("() => model.kinds('rpc').length + model.kinds('consent').length") == 0
    expect(page.locator(".pmcp-bar")).to_have_count(0)
    frame = page.locator("#cell iframe.pmcp-app-frame")
    assert frame.evaluate("(node) => node.offsetHeight") <= 2000
    # The same words, rightly said, arrive.
    inner().locator("body").evaluate("() => say({id: 99, method: 'tools/call', params: {name: 'right'}})")
    page.wait_for_function("() => model.kinds('rpc').length === 1")


def test_a_refusal_says_why(open_app: Open, app: App, inner: Inner) -> None:
    open_app(app())
    expect(inner().locator("#state")).to_have_text("started")
    error = inner().locator("body").evaluate("() => rpc('tools/call', {name: 10n}).catch((error) => error)")
    assert error["code"] == -32602
    assert "no JSON" in error["message"]


def test_prototypes_stay_clean(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    expect(inner().locator("#state")).to_have_text("started")
    inner().locator("body").evaluate(
        """() => {
          const evil = JSON.parse('{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}');
          say({id: 1, method: "tools/call", params: evil, ...evil});
          note("notifications/message", evil);
          note("run.pmcp/notifications/stored", {local: evil, state: evil});
          say({id: 2, method: "ui/initialize", params: {appInfo: evil, appCapabilities: evil}});
          note("ui/notifications/initialized");
        }"""
    )
    page.wait_for_function("() => model.kinds('event').filter(({event}) => event === 'initialized').length === 2")
    assert page.evaluate("() => [{}.polluted, (() => {}).polluted, [].polluted]") == [None, None, None]


def test_a_flood_is_slowed_down(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    expect(inner().locator("#state")).to_have_text("started")
    inner().locator("body").evaluate(
        """() => { for (let n = 0; n < 20_000; n++) note("run.pmcp/notifications/stored", {local: {n}}) }"""
    )
    slow = page.evaluate(
        """async () => {
          let worst = 0;
          for (let n = 0; n < 40; n++) {
            const at = performance.now();
            await new Promise((next) => setTimeout(next));
            worst = Math.max(worst, performance.now() - at);
          }
          return worst;
        }"""
    )
    assert slow < 1000, "the page stays usable"
    assert page.evaluate("() => model.kinds('event').length") < 2000


def test_large_messages_are_slowed_down_by_their_size(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    expect(inner().locator("#state")).to_have_text("started")
    refused = (
        inner()
        .locator("body")
        .evaluate(
            """async () => {
          const megabyte = "x".repeat(4 << 20);
          for (let n = 0; n < 30; n++) rpc("tools/call", {name: megabyte}, 500 + n).catch(() => {});
          while (!log.some(({error}) => error?.code === -32000)) await new Promise((next) => setTimeout(next, 20));
          return log.find(({error}) => error).error.message;
        }"""
        )
    )
    assert "more than the host takes" in refused
    assert page.evaluate("() => model.kinds('rpc').length") < 15


def test_a_busy_app_stops_only_itself(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app("setTimeout(() => { const end = Date.now() + 1500; while (Date.now() < end); }, 200)"))
    expect(inner().locator("#state")).to_have_text("started")
    worst = page.evaluate(
        """async () => {
          let worst = 0;
          for (const end = performance.now() + 1500; performance.now() < end; ) {
            const at = performance.now();
            await new Promise((next) => setTimeout(next, 10));
            worst = Math.max(worst, performance.now() - at);
          }
          return worst;
        }"""
    )
    assert worst < 1200
    page.get_by_role("button", name="Reload the app").click()
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")


def test_a_link_within_the_document(open_app: Open, app: App, inner: Inner) -> None:
    open_app(app() + "<a id=link href='#there'>there</a><p id=there>there")
    expect(inner().locator("#state")).to_have_text("started")
    inner().locator("#link").click()
    expect(inner().locator("#there:target")).to_be_visible()
    expect(inner().locator("#state")).to_have_text("started")


def test_an_app_that_will_not_be_sent_back(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app().replace("appCapabilities: {}", 'appCapabilities: {availableDisplayModes: ["fullscreen"]}'))
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    ask = "() => rpc('ui/request-display-mode', {mode: 'fullscreen'})"
    # Whatever is driven from outside counts as the person's doing.
    page.evaluate(
        "() => Object.defineProperty(navigator, 'userActivation', {value: {isActive: false}, configurable: true})"
    )
    assert inner().locator("body").evaluate(ask) == {"mode": "inline"}
    page.evaluate("() => { delete navigator.userActivation }")
    assert inner().locator("body").evaluate(ask) == {"mode": "fullscreen"}


def test_nagging_ends(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app("setInterval(() => rpc('ui/open-link', {url: 'https://a.example@b.example/'}), 50)"))
    bar = page.locator(".pmcp-bar")
    for _ in range(2):
        expect(bar).to_contain_text("a page of b.example in a new tab")
        bar.get_by_role("button", name="Don’t open").click()
    page.wait_for_timeout(1000)
    expect(bar).to_have_count(0)


# --- with the kernel's half ---


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[lab.Server]:
    monkeypatch.setattr(comm, "create_comm", Comm)
    apps = Apps()
    apps.add_html_resource("ui://evil/page", "<p>")
    apps.tool(resource_uri="ui://evil/page", name="show")(lambda: "shown")
    apps.tool(resource_uri="ui://evil/page", name="hidden", visibility=["model"])(lambda: "secret")
    other = MCPServer("other")
    other.add_resource(TextResource(uri="ui://other/page", name="page", text="secret of another server"))
    with lab.connect(MCPServer("evil", extensions=[apps])) as evil, lab.connect(other):
        yield evil


ASKED = [
    ("tools/call", {"name": "hidden"}, "not visible to apps"),
    ("tools/call", {"name": "__class__"}, "no tool"),
    ("resources/read", {"uri": "ui://other/page"}, ""),
    ("resources/read", {"uri": "file:///etc/passwd"}, ""),
    ("tasks/list", {}, "Method not found"),
    ("sampling/createMessage", {"messages": []}, "Method not found"),
]


def test_the_kernel_gives_no_more(server: lab.Server, open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    expect(inner().locator("#state")).to_have_text("started")
    kernel = FrontEnd(server.app("show"))
    answers: list[dict[str, Any]] = []
    for method, params, _ in ASKED:
        inner().locator("body").evaluate(
            "(_, [method, params]) => { window.answer = rpc(method, params).catch((error) => ({error})) }",
            [method, params],
        )
        page.wait_for_timeout(50)
        for message in page.evaluate("() => model.kinds('rpc').splice(0)")[len(kernel.of("rpc-result")) :]:
            count = len(kernel.of("rpc-result"))
            kernel.send(**{name: value for name, value in message.items() if name not in ("at", "command")})
            reply = kernel.wait("rpc-result", count + 1)[-1]
            page.evaluate("(reply) => model.say(reply)", reply)
        answers.append(inner().locator("body").evaluate("() => window.answer"))
    for (method, _, why), answer in zip(ASKED, answers, strict=True):
        assert why in answer["error"]["message"], method
    assert "secret" not in str(answers)
