"""The rules for UI resources: how they are served, what is said of them, what their HTML asks for."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pmcp_lab.apps.check_origins import DOMAINS, Use, allows, evaluates, is_document, uses_of
from pmcp_lab.apps.document import has_bridge
from pmcp_lab.apps.finding import Finding
from pmcp_lab.apps.served import Page, Served
from pmcp_lab.protocol.ui import BRIDGE_MARK, MIME_TYPE, PERMISSIONS, Csp, resource_ui

_CSP_KEYS = ("connectDomains", "resourceDomains", "frameDomains", "baseUriDomains")
_OLD_BRIDGES = re.compile(r"mcpBridge|window\.openai")
_PUT_IN = re.compile(rf"<script {BRIDGE_MARK}=.*?</script>", re.DOTALL)
"""The bridge that a `WidgetDir` puts before a widget: not its author's, and in no line of the file."""


def check_page(page: Page, served: Served) -> Iterator[Finding]:
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
    own = _PUT_IN.sub("", html)
    uses = uses_of(own)
    reported: set[tuple[str, str]] = set()
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
        elif (use.kind, use.origin) not in reported and (finding := _undeclared(use, declared, every, place)):
            reported.add((use.kind, use.origin))
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
    if line := evaluates(own):
        yield Finding(
            "warning",
            "eval",
            f"{page.uri} line {line}",
            "makes code from text, which hosts block",
            "do without eval and new Function",
        )
    if not has_bridge(html) and not _OLD_BRIDGES.search(html):
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
