"""Whether what a server shows of its apps is what the specifications ask for (MCP 2025-11-25, ext-apps 2026-01-26).

Rules over plain data: nothing here talks to a server. What the HTML of an app asks for is read in `check_origins`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pmcp_lab.apps.check_origins import DOMAINS, Use, allows, evaluates, is_document, uses_of
from pmcp_lab.apps.served import Call, Page, Raw, Served, named_uris
from pmcp_lab.protocol.ui import FLAT_URI, MIME_TYPE, PERMISSIONS, UI_EXTENSION, Csp, resource_ui

Level = Literal["error", "warning", "note"]

_TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_VISIBLE_TO = ("model", "app")
_RESOURCE_KEYS = ("csp", "permissions", "prefersBorder", "domain")
_CSP_KEYS = ("connectDomains", "resourceDomains", "frameDomains", "baseUriDomains")
# How a page can reach its host: the protocol's own method, an SDK's class, or a bridge of old.
_BRIDGES = re.compile(
    r"ui/initialize|PostMessageTransport|mcpBridge|window\.openai|@modelcontextprotocol/ext-apps|@pmcp-lab/bridge"
)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Args:
        level: "error" breaks an app in some host, "warning" will surprise somebody, "note" is to be known.
        code: Stable, for scripts.
        place: The tool or resource, and where in it.
        what: What was found.
        fix: What to do.
    """

    level: Level
    code: str
    place: str
    what: str
    fix: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def check(served: Served) -> list[Finding]:
    """Everything that is not as it should be, errors first."""
    found = [*_server(served)]
    for tool in served.tools:
        found += _tool(tool, served)
    for page in served.pages.values():
        found += _page(page, served)
    for call in served.calls:
        found += _call(call, served)
    order = ("error", "warning", "note")
    return sorted(dict.fromkeys(found), key=lambda finding: order.index(finding.level))


def _server(served: Served) -> Iterator[Finding]:
    names = Counter(str(tool.get("name")) for tool in served.tools)
    for name, count in names.items():
        if count > 1:
            yield Finding(
                "error", "tool-twice", f"tool {name}", f"is listed {count} times", "give each a name of its own"
            )
    if not served.announces_ui:
        yield Finding(
            "warning",
            "ui-not-announced",
            "server",
            f"its capabilities do not name {UI_EXTENSION}",
            "pass an Apps extension to MCPServer(extensions=[…]); hosts may show no app without it",
        )


# --- tools ------------------------------------------------------------------------------------------


def _tool(tool: Raw, served: Served) -> Iterator[Finding]:
    name = str(tool.get("name"))
    place = f"tool {name}"
    if not _TOOL_NAME.fullmatch(name):
        yield Finding(
            "error",
            "tool-name",
            place,
            "has a name that hosts refuse",
            "use 1 to 128 letters, digits, '_', '-' and '.'",
        )
    for key in ("inputSchema", "outputSchema"):
        yield from _schema(tool.get(key), key, place)
    uris = named_uris(tool)
    meta = tool.get("_meta")
    ui = meta.get("ui") if isinstance(meta, Mapping) else None
    if ui is not None and not isinstance(ui, Mapping):
        yield Finding("error", "ui-meta", f"{place} _meta.ui", "is no object", 'write {"resourceUri": "ui://…"}')
        ui = None
    if ui is not None:
        yield from _visibility(ui, place)
        for key in _RESOURCE_KEYS:
            if key in ui:
                yield Finding(
                    "warning",
                    "meta-on-tool",
                    f"{place} _meta.ui.{key}",
                    "is on the tool, where hosts do not look",
                    "put it on the resource's content",
                )
    if not uris:
        return
    if not tool.get("description"):
        yield Finding(
            "warning", "no-description", place, "has no description", "say what it shows: a model chooses by that"
        )
    for where, uri in uris.items():
        if not isinstance(uri, str) or not re.fullmatch(r"ui://[^\s/]\S*", uri):
            yield Finding(
                "error", "uri-scheme", f"{place} {where}", f"{uri!r} is no ui:// address", "write ui://<app>/<name>"
            )
    if len(set(map(str, uris.values()))) > 1:
        told = ", ".join(f"{where} is {uri}" for where, uri in uris.items())
        yield Finding("error", "uri-conflict", place, f"names more than one app: {told}", "let all name the same")
    if "_meta.ui.resourceUri" not in uris:
        yield Finding(
            "error" if f'_meta["{FLAT_URI}"]' not in uris else "warning",
            "uri-old-key",
            place,
            f"names its app only in {', '.join(uris)}",
            "set _meta.ui.resourceUri: it is the key of the standard",
        )
    for uri in dict.fromkeys(str(uri) for uri in uris.values()):
        page = served.pages.get(uri)
        if page is not None and page.content is None:
            yield Finding(
                "error",
                "resource-missing",
                place,
                f"names {uri}, which can't be read: {page.trouble}",
                "serve it, or correct the address" + _close(uri, served),
            )


def _close(uri: str, served: Served) -> str:
    from pmcp_lab.errors import nearest

    others = [page.uri for page in served.pages.values() if page.content is not None]
    return f".{nearest(uri, others)}" if others else ""


def _schema(schema: object, key: str, place: str) -> Iterator[Finding]:
    where = f"{place} {key}"
    if schema is None:
        if key == "inputSchema":
            yield Finding("error", "schema", where, "is missing", 'write at least {"type": "object"}')
        return
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        yield Finding("error", "schema", where, "is not the schema of an object", 'give it "type": "object"')
        return
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    try:
        validator_for(schema, default=Draft202012Validator).check_schema(dict(schema))
    except SchemaError as error:
        path = "/".join(map(str, error.absolute_path)) or "the top"
        yield Finding("error", "schema", where, f"is no JSON Schema: {path}: {error.message[:120]}", "correct it")


def _visibility(ui: Raw, place: str) -> Iterator[Finding]:
    if "visibility" not in ui:
        return
    value, where = ui["visibility"], f"{place} _meta.ui.visibility"
    if not isinstance(value, list | tuple):
        yield Finding("error", "visibility", where, f"{value!r} is no list", 'write ["model", "app"]')
    elif not value:
        yield Finding("error", "visibility", where, "is empty: nobody can call the tool", 'write ["model"] or ["app"]')
    elif unknown := [each for each in value if each not in _VISIBLE_TO]:
        yield Finding("error", "visibility", where, f"{unknown[0]!r} is unknown", 'there are "model" and "app"')


# --- UI resources -----------------------------------------------------------------------------------


def _page(page: Page, served: Served) -> Iterator[Finding]:
    users = [name for name, uri in served.ui_tools.items() if uri == page.uri]
    place = page.uri
    if page.listed is None:
        if page.content is not None and not any(_fits(template, page.uri) for template in served.templates):
            yield Finding(
                "note",
                "resource-unlisted",
                place,
                "is not in resources/list",
                "hosts that prefetch apps will not find it",
            )
    elif not users:
        yield Finding(
            "warning",
            "resource-unused",
            place,
            "no tool names it",
            "name it in a tool's _meta.ui.resourceUri or drop it",
        )
    if page.content is None:
        if page.listed is not None and not users:
            yield Finding("error", "resource-missing", place, f"can't be read: {page.trouble}", "serve what is listed")
        return
    yield from _mime(page)
    if page.content.get("uri") not in (None, page.uri):
        yield Finding(
            "warning",
            "content-uri",
            place,
            f"its content says it is {page.content['uri']}",
            "answer with the address asked for",
        )
    yield from _page_meta(page)
    html = html_of(page)
    if html is None:
        yield Finding("error", "no-html", place, "has neither text nor a readable blob", "send the document as text")
    elif not is_document(html):
        yield Finding("error", "no-html", place, "is no HTML document", "send a whole document")
    else:
        yield from _document(page, html)


def html_of(page: Page) -> str | None:
    """The document of a page that was read; None when there is none."""
    content = page.content or {}
    text = content.get("text")
    if isinstance(text, str):
        return text
    try:
        return base64.b64decode(content.get("blob") or "", validate=True).decode("utf-8") or None
    except (binascii.Error, UnicodeDecodeError, TypeError):
        return None


def csp_of(page: Page) -> Csp:
    """The domains a page declares, in its content or else in the list."""
    return resource_ui((page.content or {}).get("_meta"), (page.listed or {}).get("_meta")).csp


def _fits(template: str, uri: str) -> bool:
    parts = re.split(r"\{[^{}]*\}", template)
    return re.fullmatch(".+".join(map(re.escape, parts)), uri) is not None


def _mime(page: Page) -> Iterator[Finding]:
    assert page.content is not None
    sent = str(page.content.get("mimeType") or "")
    if sent.replace(" ", "").lower() != MIME_TYPE:
        yield Finding(
            "error",
            "mime",
            page.uri,
            f"is served as {sent or 'nothing'!r}",
            f"serve it as {MIME_TYPE!r}: hosts show no other",
        )
    listed = (page.listed or {}).get("mimeType")
    if listed is not None and str(listed).replace(" ", "").lower() != sent.replace(" ", "").lower():
        yield Finding(
            "warning", "mime-listed", page.uri, f"is listed as {listed!r} but served as {sent!r}", "list what is served"
        )


def _page_meta(page: Page) -> Iterator[Finding]:
    metas = ((page.content or {}).get("_meta"), (page.listed or {}).get("_meta"))
    ui: Any = next((meta["ui"] for meta in metas if isinstance(meta, Mapping) and "ui" in meta), {})
    place = f"{page.uri} _meta.ui"
    if not isinstance(ui, Mapping):
        yield Finding(
            "error", "ui-meta", place, "is no object", "write csp, permissions, prefersBorder and domain into one"
        )
        return
    csp = ui.get("csp", {})
    if not isinstance(csp, Mapping):
        yield Finding("error", "csp", f"{place}.csp", "is no object", f"write {{{', '.join(_CSP_KEYS)}}}, each a list")
        csp = {}
    for key, value in csp.items():
        if key not in _CSP_KEYS:
            yield Finding(
                "error",
                "csp",
                f"{place}.csp.{key}",
                "is unknown, so hosts ignore it",
                f"there are {', '.join(_CSP_KEYS)}",
            )
        elif not isinstance(value, list | tuple):
            yield Finding("error", "csp", f"{place}.csp.{key}", f"{value!r} is no list", "write a list of origins")
    for domain in csp_of(page).dropped:
        yield Finding(
            "error",
            "csp-domain",
            f"{place}.csp",
            f"{domain!r} is no origin that a host lets through",
            "write scheme and host alone, such as https://cdn.example or https://*.example; nothing of this machine",
        )
    permissions = ui.get("permissions", {})
    if not isinstance(permissions, Mapping):
        yield Finding(
            "error",
            "permission",
            f"{place}.permissions",
            "is no object",
            'write {"camera": {}} for each that is needed',
        )
    elif unknown := [name for name in permissions if name not in PERMISSIONS]:
        yield Finding(
            "error",
            "permission",
            f"{place}.permissions",
            f"{unknown[0]!r} is unknown",
            f"there are {', '.join(PERMISSIONS)}",
        )
    if not isinstance(ui.get("prefersBorder", False), bool):
        yield Finding("error", "ui-meta", f"{place}.prefersBorder", "is neither true nor false", "write one of them")


def _document(page: Page, html: str) -> Iterator[Finding]:
    csp = csp_of(page)
    declared = {"connect": csp.connect, "resource": csp.resources, "frame": csp.frames}
    every = {origin for origins in declared.values() for origin in origins}
    uses = uses_of(html)
    told: set[tuple[str, str]] = set()
    for use in uses:
        place = f"{page.uri} line {use.line}"
        if not use.origin:
            yield Finding(
                "error",
                "relative-url",
                place,
                f"{use.how} asks for {use.url!r}, which is beside the document",
                "put it into the document: an app is one file, without an address of its own",
            )
        elif (use.kind, use.origin) not in told and (finding := _undeclared(use, declared, every, place)):
            told.add((use.kind, use.origin))
            yield finding
    for origin in sorted(every):
        if not any(use.origin and allows(origin, use.origin) for use in uses):
            yield Finding(
                "warning",
                "csp-unused",
                f"{page.uri} _meta.ui.csp",
                f"{origin} is declared, and not named in the document",
                "drop it, unless a script puts the address together",
            )
        if origin.startswith(("http://", "ws://")):
            yield Finding(
                "warning",
                "csp-plain",
                f"{page.uri} _meta.ui.csp",
                f"{origin} is not encrypted",
                "use https:// or wss://",
            )
    if line := evaluates(html):
        yield Finding(
            "warning",
            "eval",
            f"{page.uri} line {line}",
            "makes code from text, which hosts block",
            "do without eval and new Function",
        )
    if not _BRIDGES.search(html):
        yield Finding(
            "warning",
            "no-bridge",
            page.uri,
            "never speaks to its host: no ui/initialize in it",
            "without the handshake it gets no arguments and no result; use the bridge of a WidgetDir or an SDK",
        )


def _undeclared(use: Use, declared: dict[str, tuple[str, ...]], every: set[str], place: str) -> Finding | None:
    if use.kind == "unknown":
        if any(allows(origin, use.origin) for origin in every):
            return None
        return Finding(
            "note",
            "csp-perhaps",
            place,
            f"{use.origin} stands in a script and is not declared",
            "declare it if anything is loaded from there; a link that is only shown needs nothing",
        )
    if any(allows(origin, use.origin) for origin in declared[use.kind]):
        return None
    return Finding(
        "error",
        "csp-undeclared",
        place,
        f"{use.how} needs {use.origin}, which hosts block",
        f"add it to _meta.ui.csp.{DOMAINS[use.kind]}, or put what it brings into the document",
    )


# --- results ----------------------------------------------------------------------------------------


def _call(call: Call, served: Served) -> Iterator[Finding]:
    tool = next((tool for tool in served.tools if tool.get("name") == call.tool), {})
    place = f"tool {call.tool}"
    if call.result.get("isError"):
        texts = [str(block.get("text")) for block in call.result.get("content") or () if isinstance(block, Mapping)]
        said = " ".join(" ".join(texts).split())[:160]
        yield Finding(
            "error", "call-failed", place, f"failed with {dict(call.arguments)}: {said}", "mend it, or its example"
        )
        return
    if not call.result.get("content"):
        yield Finding(
            "warning",
            "no-text",
            place,
            "returns no content",
            "add a line of text for hosts that show no apps, and for the model",
        )
    schema, structured = tool.get("outputSchema"), call.result.get("structuredContent")
    if not isinstance(schema, Mapping):
        return
    if structured is None:
        yield Finding(
            "error",
            "structured-missing",
            place,
            "has an outputSchema but returns no structuredContent",
            "return what it promises",
        )
        return
    yield from (
        Finding(
            "error",
            "structured-mismatch",
            f"{place} structuredContent{where}",
            what,
            "correct the result or the outputSchema",
        )
        for where, what in mismatches(structured, schema)
    )


def mismatches(value: Any, schema: Raw) -> list[tuple[str, str]]:
    """Where a value does not fit a schema: path (".a[0]") and what the schema wants there. Empty for a bad schema."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(dict(schema))
    except SchemaError:
        return []
    found = []
    for error in kind(dict(schema)).iter_errors(value):
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        found.append((path, error.message if len(error.message) < 160 else error.message[:160] + "…"))
    return found
