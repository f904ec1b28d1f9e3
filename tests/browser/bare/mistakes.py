"""Mistakes in apps, each in an app of its own that has no other: what `app check` has to find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MIME = "text/html;profile=mcp-app"
GOOD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Cart</title>HEAD
<p id="count">…</p>
<script>
const waiting = new Map();
let last = 0;
const say = (message) => parent.postMessage({jsonrpc: "2.0", ...message}, "*");
const ask = (method, params) => new Promise((resolve, reject) => {
  waiting.set(++last, {resolve, reject});
  say({id: last, method, params});
});
const show = (data) => { document.getElementById("count").textContent = data.items.length; };
addEventListener("message", ({data}) => {
  const {resolve, reject} = waiting.get(data.id) ?? {};
  if (data.method === "ui/notifications/tool-result") { show(data.params.structuredContent); AFTER }
  else if (resolve) data.error ? reject(new Error(data.error.message)) : resolve(data.result);
});
START
</script>
BODY
"""
START = """ask("ui/initialize", {protocolVersion: "2026-01-26", appInfo: {name: "cart", version: "1"}, appCapabilities: {}})
  .then(() => { say({method: "ui/notifications/initialized", params: {}}); READY });"""
OUTPUT = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"type": "string"}}},
    "required": ["items"],
}


def html(*, head: str = "", body: str = "", ready: str = "", after: str = "", start: str = START) -> str:
    """A good app with more in it: in its head, its body, when it is ready, after it was told the result."""
    text = GOOD.replace("START", start).replace("READY", ready).replace("AFTER", after)
    return text.replace("HEAD", head).replace("BODY", body)


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """
    Args:
        name: Of its tool, and in the address of its app.
        codes: Of the findings, any of which tells of it.
        page: The document.
        tool: What its tool has instead; of None, nothing.
        ui: `_meta.ui` of its resource.
        content: What the item of `resources/read` has instead.
        listed: The same of `resources/list`.
        seen: Whether it takes a browser to find it.
    """

    name: str
    codes: tuple[str, ...]
    page: str = field(default_factory=html)
    tool: dict[str, Any] = field(default_factory=dict)
    ui: dict[str, Any] | None = None
    content: dict[str, Any] = field(default_factory=dict)
    listed: dict[str, Any] = field(default_factory=dict)
    more_tools: tuple[dict[str, Any], ...] = ()
    twice: bool = False
    seen: bool = False

    @property
    def uri(self) -> str:
        return f"ui://shop/{self.name}"


def schema(**more: Any) -> dict[str, Any]:
    return {"inputSchema": {"type": "object", **more}}


def ui_of(name: str, **more: Any) -> dict[str, Any]:
    return {"_meta": {"ui": {"resourceUri": f"ui://shop/{name}", **more}}}


CALL = 'ask("tools/call", {name: "%s", arguments: {}}).catch(() => 0);'
READ = 'ask("resources/read", {uri: "%s"}).catch(() => 0);'
SDK = """<script type="module">
import {App} from "https://cdn.example/ext-apps.js";
const app = new App({name: "a", version: "1"});
await app.connect();
app.ontoolresult = ({structuredContent}) => console.log(structuredContent);
</script>"""
CDN = {"csp": {"resourceDomains": ["https://cdn.example"]}}

KNOWN = (
    Mistake(name="two words", codes=("tool-name",)),
    Mistake(name="plain-http", codes=("csp-plain",), ui={"csp": {"connectDomains": ["http://a.example"]}}),
    Mistake(name="no-type", codes=("schema",), tool=schema(properties={"a": {"type": "nmber"}})),
    Mistake(name="no-description", codes=("no-description",), tool={"description": ""}),
    Mistake(name="http-uri", codes=("uri-scheme",), tool={"_meta": {"ui": {"resourceUri": "http://shop/x"}}}),
    Mistake(name="flat-key", codes=("uri-old-key",), tool={"_meta": {"ui/resourceUri": "ui://shop/flat-key"}}),
    Mistake(name="for-whom", codes=("visibility",), tool=ui_of("for-whom", visibility=["user"])),
    Mistake(name="for-nobody", codes=("visibility",), tool=ui_of("for-nobody", visibility=[])),
    Mistake(name="csp-on-tool", codes=("meta-on-tool",), tool=ui_of("csp-on-tool", csp={"connectDomains": []})),
    Mistake(name="no-page", codes=("resource-missing",), tool=ui_of("no-pge")),
    Mistake(name="unused", codes=("resource-unused",), tool={"_meta": {}}),
    Mistake(name="plain-html", codes=("mime",), content={"mimeType": "text/html"}),
    Mistake(name="listed-as", codes=("mime-listed",), listed={"mimeType": "text/plain"}),
    Mistake(name="no-markup", codes=("no-html",), page="a cart"),
    Mistake(name="a-path", codes=("csp-domain",), ui={"csp": {"connectDomains": ["https://a.example/path"]}}),
    Mistake(name="snake-case", codes=("csp",), ui={"csp": {"connect_domains": []}}),
    Mistake(name="no-list", codes=("csp",), ui={"csp": {"connectDomains": "https://a.example"}}),
    Mistake(name="too-much", codes=("csp-unused",), ui={"csp": {"connectDomains": ["https://a.example"]}}),
    Mistake(name="usb", codes=("permission",), ui={"permissions": {"usb": {}}}),
    Mistake(name="no-bridge", codes=("no-bridge",), page="<!doctype html><p>nothing</p>"),
    Mistake(name="beside", codes=("relative-url",), page=html(head='<script src="./app.js"></script>')),
    Mistake(name="cdn", codes=("csp-undeclared",), page=html(head='<script src="https://cdn.example/a.js"></script>')),
)
"""Found by reading for long."""

NAMED = (
    Mistake(name="same-name", codes=("tool-twice",), more_tools=({"name": "same-name"},)),
    Mistake(name="no-tool", codes=("unknown-tool",), page=html(ready=CALL % "chekout")),
    Mistake(
        name="models-tool",
        codes=("tool-not-for-apps",),
        page=html(ready=CALL % "for-the-model"),
        more_tools=({"name": "for-the-model", "_meta": {"ui": {"visibility": ["model"]}}},),
    ),
    Mistake(name="no-resource", codes=("unknown-resource",), page=html(ready=READ % "shop://prices")),
    Mistake(name="no-parse", codes=("app-error",), page=html(body="<script>\nconst a = ;\n</script>"), seen=True),
    Mistake(name="alert", codes=("dialog",), page=html(ready='alert("ready");')),
    Mistake(name="confirm", codes=("dialog",), page=html(after='if (confirm("really?")) show({items: []});')),
    Mistake(name="open", codes=("popup",), page=html(ready='window.open("https://shop.example/");')),
    Mistake(
        name="form", codes=("form",), page=html(body='<form action="https://shop.example/buy"><input name="a"></form>')
    ),
    Mistake(name="base", codes=("base",), page=html(head='<base href="https://shop.example/">')),
    Mistake(
        name="template-url",
        codes=("csp-undeclared", "app-blocked"),
        page=html(ready='const host = ["api", "example"].join("."); fetch(`https://${host}/v1`).catch(() => 0);'),
    ),
    Mistake(
        name="camera",
        codes=("permission-undeclared",),
        page=html(ready="navigator.mediaDevices?.getUserMedia({video: true}).catch(() => 0);"),
    ),
    Mistake(
        name="location",
        codes=("permission-undeclared",),
        page=html(ready="navigator.geolocation.getCurrentPosition(() => 0, () => 0);"),
    ),
    Mistake(
        name="clipboard",
        codes=("permission-undeclared",),
        page=html(body="<button onclick=\"navigator.clipboard.writeText('a')\">Copy</button>"),
    ),
    Mistake(name="no-ref", codes=("schema-ref",), tool=schema(properties={"a": {"$ref": "#/$defs/Size"}})),
    Mistake(name="required", codes=("schema-required",), tool=schema(properties={"a": {}}, required=["a", "b"])),
    Mistake(name="domain", codes=("ui-meta",), ui={"domain": 7}),
    Mistake(name="twice", codes=("uri-twice",), twice=True),
    Mistake(name="a-key", codes=("secret",), page=html(ready='const key = "sk-ant-api03-Zm9vYmFyYmF6cXV4MTIzNDU2";')),
    Mistake(name="six-mb", codes=("page-large",), page=html(body="<!--" + "x" * 6_000_000 + "-->")),
    Mistake(name="late-handler", codes=("late-handler",), page=html(body=SDK), ui=CDN),
)
"""Those of the issue that nothing found."""

MORE = (
    Mistake(
        name="late-listener",
        codes=("late-handler", "app-silent"),
        page=html(
            start="""say({id: 1, method: "ui/initialize", params: {protocolVersion: "2026-01-26", appInfo: {name: "c", version: "1"},
  appCapabilities: {}}}); say({method: "ui/notifications/initialized", params: {}});"""
        )
        .replace('addEventListener("message"', 'setTimeout(() => addEventListener("message"')
        .replace("resolve(data.result);\n})", "resolve(data.result);\n}), 900)"),
        seen=True,
    ),
    Mistake(name="wrong-field", codes=("app-error",), page=html().replace("data.items", "data.rows"), seen=True),
    Mistake(
        name="null-element", codes=("no-element", "app-error"), page=html().replace('ById("count")', 'ById("cuont")')
    ),
    Mistake(
        name="rejection",
        codes=("app-error",),
        page=html(ready="return Promise.reject(new Error('no stock'));"),
        seen=True,
    ),
    Mistake(name="bad-onclick", codes=("app-error",), page=html(body='<button onclick="buy(">Buy</button>'), seen=True),
    Mistake(
        name="never-ready",
        codes=("app-silent",),
        page=html(start=START.replace('say({method: "ui/notifications/initialized", params: {}});', "")),
        seen=True,
    ),
    Mistake(
        name="wrong-origin",
        codes=("aimed",),
        page=html().replace('...message}, "*")', "...message}, location.origin)"),
        seen=True,
    ),
    Mistake(
        name="unknown-method",
        codes=("unknown-message",),
        page=html(ready='ask("ui/open-url", {url: "https://a.example"}).catch(() => 0);'),
        seen=True,
    ),
    Mistake(
        name="unknown-notice",
        codes=("unknown-message",),
        page=html(ready='say({method: "ui/notifications/resized", params: {}});'),
        seen=True,
    ),
    Mistake(name="resource-url", codes=("ui-key",), tool={"_meta": {"ui": {"resourceUrl": "ui://shop/resource-url"}}}),
    Mistake(name="prefer-border", codes=("ui-key",), ui={"preferBorder": True}),
    Mistake(name="permission-true", codes=("permission",), ui={"permissions": {"camera": True}}),
    Mistake(name="parent-document", codes=("reaches-out",), page=html(ready="try { parent.document.title } catch {}")),
    Mistake(
        name="goes-away",
        codes=("navigates",),
        page=html(body="<button onclick=\"location.href = 'https://a.example/'\">Go</button>"),
    ),
    Mistake(
        name="refresh",
        codes=("navigates",),
        page=html(head='<meta http-equiv="refresh" content="9; url=https://a.example/">'),
    ),
    Mistake(name="cookie", codes=("no-storage",), page=html(ready="try { document.cookie = 'a=1' } catch {}")),
    Mistake(name="eval", codes=("eval",), page=html(ready="try { eval('1') } catch {}")),
    Mistake(name="timer-text", codes=("eval",), page=html(ready="setTimeout('show()', 9e5);")),
    Mistake(
        name="bad-default",
        codes=("schema-default",),
        tool=schema(properties={"n": {"type": "integer", "default": "one"}}),
    ),
    Mistake(
        name="bounds",
        codes=("schema-empty",),
        tool=schema(properties={"n": {"type": "integer", "minimum": 9, "maximum": 1}}),
    ),
    Mistake(name="both-hints", codes=("hint",), tool={"annotations": {"readOnlyHint": True, "destructiveHint": True}}),
    Mistake(
        name="key-in-tool",
        codes=("secret",),
        tool={"description": "Ask with ghp_16C7e42F292c6912E7710c838347Ae178B4a."},
    ),
    Mistake(
        name="named-url",
        codes=("csp-undeclared",),
        page=html(
            body='<script>const API = "https://api.example/v1"; const get = () => fetch(API + "/cart");</script>'
        ),
    ),
    Mistake(name="id-twice", codes=("id-twice",), page=html(body='<p id="count"></p>')),
    Mistake(
        name="full-screen",
        codes=("fullscreen",),
        page=html(ready="document.body.requestFullscreen().catch(() => 0);"),
        seen=True,
    ),
    Mistake(
        name="built-image",
        codes=("app-blocked",),
        page=html(ready="const img = new Image(); img.src = ['https:', '', 'cdn.example', 'a.png'].join('/');"),
        seen=True,
    ),
    Mistake(name="wrong-result", codes=("app-error",), page=html(after="undefinedThing();"), seen=True),
    Mistake(name="bad-json", codes=("app-error",), page=html(ready="JSON.parse('{');"), seen=True),
)
"""What else people do."""

GOOD_ONE = Mistake(name="good", codes=())
MISTAKES = (*KNOWN, *NAMED, *MORE)


def served() -> dict[str, Any]:
    """What `tests/servers/mistaken.py` serves: all of them, and one without."""
    found: dict[str, Any] = {"tools": [], "resources": [], "pages": {}, "results": {}}
    for each in (GOOD_ONE, *MISTAKES):
        plain = {
            "name": each.name,
            "description": "The cart.",
            "inputSchema": {"type": "object"},
            "outputSchema": OUTPUT,
        }
        found["tools"].append({**plain, **ui_of(each.name), **each.tool})
        found["tools"] += [{**plain, **more} for more in each.more_tools]
        listed = {"uri": each.uri, "name": each.name, "mimeType": MIME, **each.listed}
        found["resources"] += [listed] * (2 if each.twice else 1)
        content = {"uri": each.uri, "mimeType": MIME, "text": each.page, **each.content}
        found["pages"][each.uri] = [content | ({"_meta": {"ui": each.ui}} if each.ui is not None else {})]
        found["results"][each.name] = {
            "content": [{"type": "text", "text": "one"}],
            "structuredContent": {"items": ["a"]},
        }
    return found
