"""The frames' settings, and that nothing of a server becomes markup. What an app may try is in `hostile_attacks.py`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import FrameLocator, Page, expect

Open = Callable[..., Page]
App = Callable[..., str]
Inner = Callable[[], FrameLocator]


def test_frames_have_exactly_the_sandbox(open_app: Open, app: App) -> None:
    page = open_app(app(), resource={"allow": "camera; clipboard-write"})
    outer = page.locator("#cell iframe.pmcp-app-frame")
    inner = page.frame_locator("#cell iframe.pmcp-app-frame").locator("iframe")
    for frame in (outer, inner):
        expect(frame).to_have_attribute("sandbox", "allow-scripts allow-forms")
        expect(frame).to_have_attribute("referrerpolicy", "no-referrer")
        expect(frame).to_have_attribute("allow", re.compile("^camera; clipboard-write"))
    # A frame within has no more than the one around it.
    denied = outer.evaluate("(node) => node.allow.split('; ').slice(2)")
    assert "picture-in-picture 'none'" in denied
    assert all(each.endswith(" 'none'") for each in denied)


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
