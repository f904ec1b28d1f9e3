"""The app view and an app talk: who says what, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import FrameLocator, Page, expect

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]


def received(inner: Inner) -> list[dict[str, Any]]:
    """Everything the app was sent so far."""
    log: list[dict[str, Any]] = inner().locator("body").evaluate("() => log")
    return log


def methods(inner: Inner) -> list[str]:
    """The requests and notifications among it."""
    return [message["method"] for message in received(inner) if "method" in message]


def started(inner: Inner) -> None:
    """Waits until the app shook hands and was told what it was called with."""
    expect(inner().locator("#state")).to_have_text("started")
    inner().locator("body").evaluate(
        """async () => { while (!log.some((m) => m.method === "ui/notifications/tool-input"))
             await new Promise((next) => setTimeout(next, 10)) }"""
    )


def until(page: Page, condition: str) -> None:
    """Waits until an expression over the page's globals holds."""
    page.wait_for_function(f"() => {condition}", timeout=5000)


def test_handshake_then_input_then_result(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    started(inner)
    page.wait_for_timeout(150)
    first, *rest = received(inner)
    assert first["result"]["protocolVersion"] == "2026-01-26"
    assert first["result"]["hostInfo"] == {"name": "pmcp_lab", "version": "0.1.0"}
    assert [(message["method"], message["params"]) for message in rest] == [
        ("ui/notifications/tool-input", {"arguments": {"city": "Bern"}}),
        ("ui/notifications/tool-result", {"content": [{"type": "text", "text": "sunny"}]}),
    ]
    event = page.evaluate("() => model.kinds('event')[0]")
    assert event["event"] == "initialized"
    assert event["payload"]["appInfo"] == {"name": "test", "version": "1"}


def test_host_context(open_app: Open, app: App, inner: Inner) -> None:
    open_app(app())
    started(inner)
    context = received(inner)[0]["result"]["hostContext"]
    assert context["theme"] == "light"
    assert context["toolInfo"]["tool"]["name"] == "show"
    assert context["displayMode"] == "inline"
    assert context["availableDisplayModes"] == ["inline", "fullscreen", "pip"]
    assert context["platform"] == "web"
    assert context["userAgent"] == "pmcp_lab"
    assert context["containerDimensions"]["width"] > 500
    variables = context["styles"]["variables"]
    assert len(variables) >= 70
    assert all(isinstance(value, str) and value for value in variables.values())


def test_late_result_is_pushed(open_app: Open, app: App, inner: Inner) -> None:
    call = {"tool": {"name": "show"}, "arguments": {}, "result": None, "cancelled": None, "error": None}
    page = open_app(app(), _call=call)
    started(inner)
    page.wait_for_timeout(100)
    assert methods(inner) == ["ui/notifications/tool-input"]
    page.evaluate("c => model.set('_call', {...c, result: {content: []}})", call)
    page.evaluate("c => model.set('_call', {...c, result: {content: []}})", call)
    page.wait_for_timeout(100)
    assert methods(inner) == ["ui/notifications/tool-input", "ui/notifications/tool-result"]


def test_calls_go_to_the_kernel_and_back(open_app: Open, app: App, inner: Inner) -> None:
    open_app(
        app(),
        onrpc="""({kind, view, call, payload}) => kind === "rpc" && setTimeout(() =>
          model.say({kind: "rpc-result", to: view, call, payload: payload.params.name === "bad"
            ? {error: {code: -32042, message: "no", data: {why: 1}}}
            : {result: {content: [{type: "text", text: payload.params.name}]}}}),
          payload.params.name === "slow" ? 150 : 0)""",
    )
    started(inner)
    answers = (
        inner()
        .locator("body")
        .evaluate(
            """async () => {
          const order = [];
          const call = (name) => rpc("tools/call", {name}).then(
            (result) => order.push(result.content[0].text), (error) => order.push(error));
          await Promise.all([call("slow"), call("quick"), call("bad")]);
          return order;
        }"""
        )
    )
    assert answers == ["quick", {"code": -32042, "message": "no", "data": {"why": 1}}, "slow"]


def test_cancelled_call(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    started(inner)
    inner().locator("body").evaluate(
        """() => { rpc("tools/call", {name: "x"}, 77);
                   note("notifications/cancelled", {requestId: 77}) }"""
    )
    until(page, "model.kinds('rpc-cancel').length === 1")
    assert page.evaluate("() => model.kinds('rpc-cancel')[0].call === model.kinds('rpc')[0].call")


def test_other_windows_are_ignored(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    started(inner)
    page.evaluate(
        """() => {
          const message = {jsonrpc: "2.0", id: 1, method: "tools/call", params: {name: "forged"}};
          window.postMessage(message, "*");
          const other = document.createElement("iframe");
          other.sandbox = "allow-scripts";
          other.srcdoc = `<script>parent.postMessage(${JSON.stringify(message)}, "*")</script>`;
          document.body.append(other);
        }"""
    )
    # The app reaches past the relay, and a frame of the app's speaks to the relay.
    inner().locator("body").evaluate(
        """() => {
          const message = {jsonrpc: "2.0", id: 2, method: "tools/call", params: {name: "past"}};
          top.postMessage(message, "*");
          const nested = document.createElement("iframe");
          nested.srcdoc = `<script>parent.parent.postMessage(${JSON.stringify(message)}, "*");
            parent.parent.parent.postMessage(${JSON.stringify(message)}, "*")</script>`;
          document.body.append(nested);
        }"""
    )
    page.wait_for_timeout(400)
    assert page.evaluate("() => model.kinds('rpc')") == []


def test_the_app_cannot_play_the_proxy(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    started(inner)
    inner().locator("body").evaluate(
        """() => { note("ui/notifications/sandbox-proxy-ready");
                   note("ui/notifications/sandbox-resource-ready", {html: "<h1>taken over</h1>"});
                   document.querySelector("#state").textContent = "still here" }"""
    )
    page.wait_for_timeout(200)
    expect(inner().locator("#state")).to_have_text("still here")
    assert methods(inner).count("ui/notifications/tool-input") == 1


def test_every_view_has_its_own_session(open_app: Open, app: App, bare: Page) -> None:
    page = open_app(app())
    page.evaluate("() => void mount()")
    until(page, "model.kinds('event').filter((e) => e.event === 'initialized').length === 2")
    until(page, "model.kinds('hello').length === 2")
    ids = page.evaluate("() => model.kinds('hello').map((hello) => hello.view)")
    assert len(set(ids)) == 2
    first = page.frame_locator(".view:nth-child(1) iframe").frame_locator("iframe")
    second = page.frame_locator(".view:nth-child(2) iframe").frame_locator("iframe")
    page.evaluate(
        "([view]) => model.say({kind: 'notify', to: view, payload: {method: 'notifications/x', params: {}}})", ids
    )
    page.wait_for_timeout(150)
    seen = "() => log.filter((m) => m.method === 'notifications/x').length"
    assert first.locator("body").evaluate(seen) == 1
    assert second.locator("body").evaluate(seen) == 0


def test_reload_gets_everything_again(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    started(inner)
    page.get_by_role("button", name="Reload the app").click()
    until(page, "model.kinds('event').filter((e) => e.event === 'initialized').length === 2")
    page.wait_for_timeout(100)
    assert methods(inner) == ["ui/notifications/tool-input", "ui/notifications/tool-result"]
    inner().locator("body").evaluate("() => location.reload()")
    until(page, "model.kinds('event').filter((e) => e.event === 'initialized').length === 3")
    started(inner)
    page.wait_for_timeout(100)
    assert methods(inner) == ["ui/notifications/tool-input", "ui/notifications/tool-result"]


def test_teardown_by_the_kernel(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(
        app(
            "addEventListener('message', ({data}) => data.method === 'ui/resource-teardown' && say({id: data.id, result: {}}))"
        )
    )
    started(inner)
    page.evaluate("() => model.set('_closed', true)")
    expect(page.locator(".pmcp-app-state-text")).to_have_text("closed")
    expect(page.locator("#cell iframe")).to_have_count(0)
    assert page.evaluate("() => model.kinds('event').at(-1).event") == "closed"


def test_leaving_view_cancels_and_says_bye(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    started(inner)
    inner().locator("body").evaluate("() => void rpc('tools/call', {name: 'x'})")
    until(page, "model.kinds('rpc').length === 1")
    page.evaluate("() => views[0].close()")
    kinds = page.evaluate("() => model.sent.map((m) => m.kind)")
    assert kinds[-2:] == ["rpc-cancel", "bye"]


def test_theme_switch_reaches_the_app(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    started(inner)
    page.evaluate("() => { document.body.dataset.jpThemeLight = 'false' }")
    page.wait_for_timeout(200)
    changes = [m for m in received(inner) if m.get("method") == "ui/notifications/host-context-changed"]
    assert changes[-1]["params"]["theme"] == "dark"
    assert changes[-1]["params"]["styles"]["variables"]["--color-text-primary"] == "#e3e3e3"
    scheme = "(node) => getComputedStyle(node).colorScheme"
    outer = page.locator("#cell iframe.pmcp-app-frame")
    assert outer.evaluate(scheme) == "dark"
    document = page.frame_locator("#cell iframe.pmcp-app-frame")
    assert document.locator("html").evaluate(scheme) == "dark"
    assert document.locator("iframe").evaluate(scheme) == "dark"


def test_width_change_reaches_the_app(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    started(inner)
    page.set_viewport_size({"width": 500, "height": 800})
    page.wait_for_timeout(500)
    changes = [m for m in received(inner) if m.get("method") == "ui/notifications/host-context-changed"]
    assert 300 < changes[-1]["params"]["containerDimensions"]["width"] < 500
    assert len(changes) <= 2


def test_size_is_followed_and_a_greedy_app_is_not(open_app: Open, app: App, inner: Inner) -> None:
    page = open_app(app())
    started(inner)
    frame = page.locator("#cell iframe.pmcp-app-frame")
    inner().locator("body").evaluate("() => note('ui/notifications/size-changed', {width: 10, height: 611})")
    expect(frame).to_have_css("height", "611px")
    page.wait_for_timeout(400)
    inner().locator("body").evaluate(
        """() => new ResizeObserver(() => note("ui/notifications/size-changed",
             {height: innerHeight + 16})).observe(document.documentElement.appendChild(
             Object.assign(document.createElement("div"), {style: "position:fixed;inset:0"})))"""
    )
    page.wait_for_timeout(1500)
    assert frame.evaluate("(node) => node.offsetHeight") < 800
    assert page.evaluate("() => model.kinds('event').filter((e) => e.event === 'size').length") < 10


def test_official_app_sdk_connects(open_app: Open, inner: Inner, sdk_app: str) -> None:
    page = open_app(
        sdk_app,
        onrpc="""({kind, view, call}) => kind === "rpc" && model.say(
             {kind: "rpc-result", to: view, call, payload: {result: {content: [{type: "text", text: "4"}]}}})""",
    )
    expect(inner().locator("#log")).to_have_text('input {"city":"Bern"};result sunny;call 4;')
    page.evaluate("() => { document.body.dataset.jpThemeLight = 'false' }")
    expect(inner().locator("#log")).to_contain_text("theme dark;")
    page.evaluate("() => model.set('_closed', true)")
    expect(page.locator(".pmcp-app-state-text")).to_have_text("closed")
