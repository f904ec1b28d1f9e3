"""An app out of a notebook's file: nothing in it opens a connection before somebody runs a cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.bare.conftest import Attacker

Open = Callable[..., Page]
App = Callable[..., str]

SAVED = {"live": False}
WIDE = "default-src * 'unsafe-inline' data: blob:"


def calling(attacker: Attacker) -> str:
    """What loads in every way that the policy of a granted app may let through."""
    return f"""
      fetch("{attacker.url}/~fetch~", {{mode: "no-cors"}}).catch(() => {{}});
      new Image().src = "{attacker.url}/~image~";
      document.body.append(Object.assign(document.createElement("iframe"), {{src: "{attacker.url}/~frame~"}}));
      new Worker(URL.createObjectURL(new Blob(["fetch('{attacker.url}/~worker~', {{mode: 'no-cors'}})"])));
      setTimeout(() => {{ location = "{attacker.url}/~location~" }}, 300);
    """


def traits(attacker: Attacker, **resource: Any) -> dict[str, Any]:
    """All that a stored state may say of an app's surroundings, at its worst."""
    proxy = {"url": f"{attacker.url}/~spare~", "csp": {}, "permissions": {}}
    return {
        "resource": {"csp": WIDE, "allow": "camera", **resource},
        "_bridge": {
            "mode": "direct",
            "url": f"{attacker.url}/~direct~",
            "version": "2026-07-28",
            "info": {"name": "pmcp_lab", "version": "1"},
            "capabilities": {},
        },
        "_host": {
            "info": {"name": "x", "version": "1"},
            "capabilities": {"serverTools": {}},
            "initTimeout": 10_000,
            "server": "python -c 'print(1)'",
            "policy": {"csp": WIDE, "allow": "camera", "proxy": proxy},
        },
        "_cards": ["0" * 32],
    }


def test_what_it_was_granted_is_not_in_the_file(open_app: Open, app: App, attacker: Attacker) -> None:
    page = open_app(app(calling(attacker)), options=SAVED, **traits(attacker))
    expect(page.locator(".pmcp-app-state-text")).to_have_text("no live kernel: static snapshot")
    # It runs, and is kept from all of it.
    expect(page.get_by_role("button", name="problems")).to_be_visible()
    page.wait_for_timeout(800)
    assert attacker.hits == []
    assert "camera" not in str(page.locator("iframe.pmcp-app-frame").first.get_attribute("allow")).split(";")[0]
    assert page.evaluate("() => model.sent") == [], "and there is nobody to ask"


def test_with_a_kernel_it_has_what_it_was_granted(open_app: Open, app: App, attacker: Attacker) -> None:
    page = open_app(app(calling(attacker)), **traits(attacker))
    page.wait_for_timeout(800)
    assert {"~fetch~", "~image~", "~frame~", "~worker~"} <= {hit.partition("/")[2] for hit in attacker.hits}


@pytest.mark.parametrize("legacy", [False, True])
def test_a_proxy_is_not_in_the_file(open_app: Open, app: App, attacker: Attacker, legacy: bool) -> None:
    proxy = {"url": f"{attacker.url}/~proxy~", "csp": {}, "permissions": {}}
    page = open_app(app(), options=SAVED, **traits(attacker, proxy=proxy, legacy=legacy))
    expect(page.locator(".pmcp-app-frame").first).to_be_attached()
    page.wait_for_timeout(300)
    assert attacker.hits == []


def test_nothing_begins_ahead(open_app: Open, app: App, attacker: Attacker) -> None:
    """A frame that is made ahead is for any app of the page, and is given none that has more than it may have."""
    page = open_app(app(), options=SAVED, **traits(attacker))
    expect(page.locator(".pmcp-app-state-text")).to_have_text("no live kernel: static snapshot")
    expect(page.locator("body > div[aria-hidden=true] iframe")).to_be_attached()
    open_app(f"<body><script>{calling(attacker)}</script>", options={**SAVED, "mount": False}, **traits(attacker))
    page.wait_for_timeout(600)
    assert attacker.hits == []
