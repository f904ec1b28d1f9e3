"""An app that asks for more, and a sandbox on an origin of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.bare.conftest import CSP, _serve
from tests.browser.conftest import press

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]


def test_the_person_decides(open_app: Open, app: App, inner: Inner) -> None:
    wanted = {"connect": ["https://api.example"], "permissions": ["camera"]}
    page = open_app(app(), resource={"wanted": wanted})
    bar = page.locator(".pmcp-bar", has_text="without something")
    expect(bar).to_contain_text("send data to https://api.example; use: the camera")
    expect(inner().locator("#state")).to_have_text("started")
    press(bar.get_by_role("button", name="Allow"))
    page.wait_for_function("() => model.kinds('consent').length === 1")
    page.evaluate("() => model.set('_resource', {...model.state._resource, allow: 'camera', wanted: {}})")
    expect(page.locator("#cell iframe.pmcp-app-frame")).to_have_attribute("allow", re.compile("^camera; "))
    expect(bar).to_have_count(0)


def test_or_leaves_it_out(open_app: Open, app: App) -> None:
    page = open_app(app(), resource={"wanted": {"load": ["https://cdn.example"]}})
    page.get_by_role("button", name="Keep it out").click()
    expect(page.locator(".pmcp-bar")).to_have_count(0)
    assert page.evaluate("() => model.kinds('consent').length") == 0


PROXY = """<!doctype html><script>
let inner;
addEventListener("message", ({data, source}) => {
  if (source === inner?.contentWindow) parent.postMessage(data, "*");
  else if (data.method === "ui/notifications/sandbox-resource-ready") {
    window.got = data.params;
    inner = document.createElement("iframe");
    inner.setAttribute("sandbox", data.params.sandbox);
    inner.srcdoc = data.params.html;
    document.body.append(inner);
  } else inner?.contentWindow.postMessage(data, "*");
});
parent.postMessage({jsonrpc: "2.0", method: "ui/notifications/sandbox-proxy-ready", params: {}}, "*");
</script><body>"""


FLAT = """<!doctype html><script>
addEventListener("message", ({data}) => {
  if (data.method !== "ui/notifications/sandbox-resource-ready") return;
  document.open();
  document.write(data.params.html);
  document.close();
}, {once: true});
parent.postMessage({jsonrpc: "2.0", method: "ui/notifications/sandbox-proxy-ready", params: {}}, "*");
</script>"""


@pytest.fixture
def proxy() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write((FLAT if self.path == "/flat" else PROXY).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    for address in _serve(Handler):
        # Another host name than the page's: another port alone would share its cookies.
        yield address.replace("127.0.0.1", "localhost")


def test_a_sandbox_proxy(open_app: Open, app: App, inner: Inner, proxy: str) -> None:
    csp = {"connectDomains": ["https://api.example"]}
    wish = {"url": f"{proxy}/proxy", "csp": csp, "permissions": {"camera": {}}}
    page = open_app(app(), resource={"proxy": wish})
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    outer = page.locator("#cell iframe.pmcp-app-frame")
    expect(outer).to_have_attribute("sandbox", "allow-scripts allow-same-origin allow-forms")
    got = page.frame_locator("#cell iframe.pmcp-app-frame").locator("body").evaluate("() => window.got")
    assert got["csp"] == csp
    assert got["permissions"] == {"camera": {}}
    assert got["html"].endswith(app())
    reached = inner().locator("body").evaluate("() => { try { return Boolean(top.document) } catch { return false } }")
    assert not reached


def test_a_sandbox_proxy_without_a_frame_in_it_is_not_dead(open_app: Open, app: App, proxy: str) -> None:
    """The frames in an app's frame tell whether its process lives; a proxy may do without."""
    page = open_app(app(), resource={"proxy": {"url": f"{proxy}/flat", "csp": {}, "permissions": {}}})
    state = page.locator(".pmcp-app-state-text")
    expect(state).to_have_text("ready")
    page.wait_for_timeout(6500)
    assert state.inner_text() == "ready"


def test_a_base_that_was_granted(open_app: Open, app: App, inner: Inner) -> None:
    """What is relative in the app is found there, and nowhere else."""
    ask = """() => { document.head.append(Object.assign(document.createElement("base"), {href: "https://cdn.example/lib/"}));
                     return new URL("chart.js", document.baseURI).href }"""
    page = open_app(app(), resource={"csp": CSP.replace("base-uri 'none'", "base-uri https://cdn.example")})
    expect(page.locator(".pmcp-app-state-text")).to_have_text("ready")
    assert inner().locator("body").evaluate(ask) == "https://cdn.example/lib/chart.js"
    elsewhere = ask.replace("cdn.example/lib/", "elsewhere.example/").replace("head.append", "head.prepend")
    assert "elsewhere" not in inner().locator("body").evaluate(elsewhere)
