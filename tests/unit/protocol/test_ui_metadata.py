"""MCP Apps metadata comes from a server nobody knows: only plain origins get into the policy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_lab.protocol import chatgpt
from pmcp_lab.protocol.ui import Csp, content_security_policy, resource_ui, split_origins, tool_ui


def directives(policy: str) -> dict[str, str]:
    return dict(part.split(" ", 1) for part in policy.split("; "))


def test_nothing_declared_is_nothing_allowed() -> None:
    policy = directives(content_security_policy(Csp()))
    assert policy["default-src"] == policy["connect-src"] == policy["frame-src"] == "'none'"
    assert "unsafe-eval" not in policy["script-src"]
    assert policy["base-uri"] == policy["form-action"] == policy["object-src"] == "'none'"


def test_declared_origins_reach_their_directives() -> None:
    ui = resource_ui(
        {
            "ui": {
                "csp": {
                    "connectDomains": ["https://api.example.org", "wss://*.example.org:8443/"],
                    "resourceDomains": ["https://cdn.example.org"],
                    "frameDomains": ["https://player.example.org"],
                    "baseUriDomains": ["https://cdn.example.org"],
                },
                "permissions": {"camera": {}, "everything": {}},
                "prefersBorder": True,
            }
        }
    )
    policy = directives(content_security_policy(ui.csp))
    assert policy["connect-src"] == "https://api.example.org wss://*.example.org:8443"
    assert policy["script-src"].endswith(" https://cdn.example.org")
    assert policy["img-src"].endswith(" https://cdn.example.org")
    assert policy["frame-src"] == "https://player.example.org"
    assert policy["base-uri"] == "https://cdn.example.org"
    assert ui.permissions == ("camera",)
    assert ui.prefers_border is True


@pytest.mark.parametrize(
    "hostile",
    [
        "*",
        "https:",
        "https://*",
        "https://*.com",
        "https://localho\u017ft",
        "https://a.org; script-src *",
        "https://a.org 'unsafe-eval'",
        "https://a.org\nx",
        'https://a.org"',
        "https://a.org,https://b.org",
        "javascript:alert(1)",
        "data:",
        "'unsafe-eval'",
        "https://localhost:8888",
        "http://127.0.0.1",
        "http://127.1",
        "http://2130706433",
        "http://0x7f.1",
        "http://0.0.0.0:1",
        "http://sub.localhost",
        "http://[::1]",
        "https://user@a.org",
        "https://a.org/path",
        "https://a..-",
        None,
        7,
        {"a": 1},
    ],
)
def test_what_is_no_plain_origin_is_dropped(hostile: object) -> None:
    kept, dropped = split_origins([hostile, "https://good.org"])
    assert kept == ("https://good.org",)
    assert len(dropped) == 1


@given(st.lists(st.text()))
def test_no_text_breaks_out_of_its_directive(texts: list[str]) -> None:
    kept, _ = split_origins([f"https://{text}" for text in texts] + list(texts))
    policy = content_security_policy(Csp(connect=kept, resources=kept, frames=kept, base=kept))
    assert list(directives(policy)) == list(directives(content_security_policy(Csp())))
    assert "unsafe-eval" not in policy


def test_tools() -> None:
    assert tool_ui({"ui": {"resourceUri": "ui://a/b", "visibility": ["app"]}}).visibility == {"app"}
    assert tool_ui({"ui/resourceUri": "ui://a/b"}).resource_uri == "ui://a/b"
    assert tool_ui({"ui": {"resourceUri": "https://a/b"}}).resource_uri is None
    assert tool_ui(None).visibility == {"model", "app"}


def test_the_content_beats_the_listing() -> None:
    ui = resource_ui({"ui": {"prefersBorder": False}}, {"ui": {"prefersBorder": True}})
    assert ui.prefers_border is False
    assert resource_ui({}, {"ui": {"prefersBorder": True}}).prefers_border is True


def test_of_what_chatgpt_reads_the_content_beats_the_listing_key_by_key() -> None:
    border, csp = chatgpt.PREFERS_BORDER, chatgpt.WIDGET_CSP
    listed = {border: True, csp: {"connect_domains": ["https://a.org"], "resource_domains": ["https://b.org"]}}
    ui = chatgpt.resource_ui({border: False}, listed)
    assert ui.prefers_border is False
    assert (ui.csp.connect, ui.csp.resources, ui.csp.frames) == (("https://a.org",), ("https://b.org",), ())
    assert chatgpt.resource_ui(None, {border: "yes"}).prefers_border is None
