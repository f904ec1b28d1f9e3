"""What `app check` finds, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from pmcp_lab.apps.check import check
from pmcp_lab.apps.check_origins import allows, evaluates, uses_of
from pmcp_lab.apps.served import Call, Page, Served

URI = "ui://shop/cart"
HTML = "<!doctype html><title>Cart</title><script>parent.postMessage({method: 'ui/initialize'}, '*')</script>"
MIME = "text/html;profile=mcp-app"


def tool(**more: Any) -> dict[str, Any]:
    plain = {"name": "cart", "description": "The cart.", "inputSchema": {"type": "object"}}
    return {**plain, "_meta": {"ui": {"resourceUri": URI}}, **more}


def page(html: str = HTML, *, mime: str = MIME, ui: Any = None, **more: Any) -> Page:
    content = {"uri": URI, "mimeType": mime, "text": html} | ({"_meta": {"ui": ui}} if ui is not None else {})
    return Page(**{"uri": URI, "listed": {"uri": URI, "mimeType": mime}, "content": content, **more})


def codes(*tools: dict[str, Any], pages: Page | None = None, **more: Any) -> list[tuple[str, str]]:
    shown = pages or page()
    served = Served(
        **{"name": "shop", "announces_ui": True, "tools": tools or (tool(),), "pages": {URI: shown}, **more}
    )
    return [(finding.level, finding.code) for finding in check(served)]


def ui(**more: Any) -> dict[str, Any]:
    return {"ui": {"resourceUri": URI, **more}}


def test_a_good_app_has_nothing() -> None:
    assert codes() == []
    assert codes(tool(_meta=ui(visibility=["app"]) | {"ui/resourceUri": URI})) == []


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (tool(name="two words"), ("error", "tool-name")),
        (tool(name="x" * 129), ("error", "tool-name")),
        (tool(inputSchema=None), ("error", "schema")),
        (tool(inputSchema={"type": "object", "properties": {"a": {"type": "nmber"}}}), ("error", "schema")),
        (tool(outputSchema={"type": "string"}), ("error", "schema")),
        (tool(inputSchema={"type": "object", "allOf": [{"minimum": 0}] * 50_000}), ("error", "schema")),
        (tool(description=""), ("warning", "no-description")),
        (tool(_meta={"ui": "cart"}), ("error", "ui-meta")),
        (tool(_meta={"ui": {"resourceUri": "http://shop/cart"}}), ("error", "uri-scheme")),
        (tool(_meta={"ui": {"resourceUri": 7}}), ("error", "uri-scheme")),
        (tool(_meta={"ui/resourceUri": URI}), ("warning", "uri-old-key")),
        (tool(_meta={"openai/outputTemplate": URI}), ("error", "uri-old-key")),
        (tool(_meta=ui() | {"ui/resourceUri": "ui://shop/other"}), ("error", "uri-conflict")),
        (tool(_meta=ui(visibility="app")), ("error", "visibility")),
        (tool(_meta=ui(visibility=[])), ("error", "visibility")),
        (tool(_meta=ui(visibility=["user"])), ("error", "visibility")),
        (tool(_meta=ui(csp={"connectDomains": []})), ("warning", "meta-on-tool")),
        (tool(_meta=None), ("warning", "resource-unused")),
    ],
)
def test_tools(given: dict[str, Any], found: tuple[str, str]) -> None:
    assert found in codes(given)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (page(mime="text/html"), ("error", "mime")),
        (page(listed={"uri": URI, "mimeType": "text/html"}), ("warning", "mime-listed")),
        (page(listed=None), ("note", "resource-unlisted")),
        (page(content=None, trouble="no such file"), ("error", "resource-missing")),
        (page("cart"), ("error", "no-html")),
        (page(content={"uri": URI, "mimeType": MIME, "blob": "!"}), ("error", "no-html")),
        (page(ui={"csp": {"connectDomains": ["https://a.example/path"]}}), ("error", "csp-domain")),
        (page(ui={"csp": {"connectDomains": ["http://localhost:3000"]}}), ("error", "csp-domain")),
        (page(ui={"csp": {"connectDomains": "https://a.example"}}), ("error", "csp")),
        (page(ui={"csp": {"connect_domains": []}}), ("error", "csp")),
        (page(ui={"csp": []}), ("error", "csp")),
        (page(ui={"csp": {"connectDomains": ["https://a.example"]}}), ("warning", "csp-unused")),
        (page(ui={"permissions": {"usb": {}}}), ("error", "permission")),
        (page(ui={"permissions": ["camera"]}), ("error", "permission")),
        (page(ui={"prefersBorder": "yes"}), ("error", "ui-meta")),
        (page("<p>no bridge</p>"), ("warning", "no-bridge")),
        (page(HTML + "<script>eval('1')</script>"), ("warning", "eval")),
        (page(HTML + '<script src="./app.js"></script>'), ("error", "relative-url")),
        (page(HTML + '<script src="https://cdn.example/a.js"></script>'), ("error", "csp-undeclared")),
        (page(HTML + "<script>const home = 'https://a.example/'</script>"), ("note", "csp-perhaps")),
    ],
)
def test_resources(given: Page, found: tuple[str, str]) -> None:
    assert found in codes(pages=given)


def test_servers() -> None:
    assert ("note", "ui-not-announced") in codes(announces_ui=False)
    assert ("error", "tool-twice") in codes(tool(), tool())


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TEXT = [{"type": "text", "text": "one"}]


@pytest.mark.parametrize(
    ("result", "found"),
    [
        ({"content": TEXT, "structuredContent": {"n": 1}}, []),
        ({"content": TEXT}, [("error", "structured-missing")]),
        ({"content": TEXT, "structuredContent": {"n": "1"}}, [("error", "structured-mismatch")]),
        ({"content": [], "structuredContent": {"n": 1}}, [("warning", "no-text")]),
        ({"content": TEXT, "isError": True}, [("error", "call-failed")]),
    ],
)
def test_results(result: dict[str, Any], found: list[tuple[str, str]]) -> None:
    call = Call(tool="cart", arguments={}, result=result)
    assert codes(tool(outputSchema=SCHEMA), calls=(call,)) == found


@pytest.mark.parametrize(
    ("html", "kind", "origin", "line"),
    [
        ('<script src="https://a.example/x.js"></script>', "resource", "https://a.example", 1),
        ("\n<link rel=stylesheet href=//a.example/x.css>", "resource", "https://a.example", 2),
        ('<img srcset="https://a.example/1.png 1x, https://b.example/2.png 2x">', "resource", "https://b.example", 1),
        ("<p style=\"background:url('https://a.example/x.png')\">", "resource", "https://a.example", 1),
        ("<style>\n@import 'https://a.example/x.css';</style>", "resource", "https://a.example", 2),
        ("<style>@font-face{src:url(https://a.example/f.woff2)}</style>", "resource", "https://a.example", 1),
        ('<iframe src="https://a.example/"></iframe>', "frame", "https://a.example", 1),
        ('<video poster="https://A.example:8443/x.png"></video>', "resource", "https://a.example:8443", 1),
        ("<script>\n\nfetch('https://a.example/api')</script>", "connect", "https://a.example", 3),
        ("<script>fetch(`https://a.example/${id}`)</script>", "connect", "https://a.example", 1),
        ("<script>x.open('GET', 'https://a.example/')</script>", "connect", "https://a.example", 1),
        ("<script>new EventSource('https://a.example/')</script>", "connect", "https://a.example", 1),
        ("<script>const live = 'wss://a.example/'</script>", "connect", "wss://a.example", 1),
        ("<script type=module>import {a} from 'https://a.example/a.js'</script>", "resource", "https://a.example", 1),
        ("<script type=module>await import('https://a.example/a.js')</script>", "resource", "https://a.example", 1),
        ("<script>image.src = 'https://a.example/a.png'</script>", "resource", "https://a.example", 1),
        ('<script type=importmap>{"a": "https://a.example/a.js"}</script>', "resource", "https://a.example", 1),
        ("<p onclick=\"fetch('https://a.example/')\">", "connect", "https://a.example", 1),
    ],
)  # fmt: skip
def test_origins_that_are_asked_for(html: str, kind: str, origin: str, line: int) -> None:
    assert (kind, origin, line) in [(use.kind, use.origin, use.line) for use in uses_of(html)]


@pytest.mark.parametrize(
    "html",
    [
        "<!-- <script src='https://a.example/x.js'></script> -->",
        "<script>// fetch('https://a.example/')\n/* fetch('https://a.example/') */</script>",
        "<style>/* url(https://a.example/x.png) */</style>",
        "<a href='https://a.example/'>shown</a>",
        "<script>document.createElementNS('http://www.w3.org/2000/svg', 'svg')</script>",
        "<img src='data:image/png;base64,AAAA'><img src='#x'>",
        '<script type=\'application/json\'>{"at": "https://a.example/"}</script>',
        "<script>fetch(`${base}/x`)</script>",
    ],
)
def test_origins_that_are_not(html: str) -> None:
    assert uses_of(html) == []


def test_code_made_from_text() -> None:
    assert evaluates("<p>eval(1)</p>\n<script>\nnew Function('return 1')</script>") == 3
    assert evaluates("<script>// eval(1)\nmedieval(1); x = 'eval(1)'</script>") is None


@pytest.mark.parametrize(
    ("declared", "origin", "through"),
    [
        ("https://a.example", "https://a.example", True),
        ("https://a.example", "https://b.example", False),
        ("https://*.example", "https://a.example", True),
        ("https://*.a.example", "https://a.example", False),
        ("https://a.example", "http://a.example", False),
        ("http://a.example", "https://a.example", True),
        ("https://a.example", "wss://a.example", True),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example:8443", "https://a.example:8443", True),
    ],
)
def test_what_a_declared_domain_lets_through(declared: str, origin: str, through: bool) -> None:
    assert allows(declared, origin) is through
