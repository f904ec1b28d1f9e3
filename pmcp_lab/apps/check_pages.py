"""The rules for UI resources: how they are served, what is said of them, what their HTML asks for."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pmcp_lab.apps.check_origins import DOMAINS, SOMEWHERE, Reading, Use, allows, is_document, read_document
from pmcp_lab.apps.check_scripts import check_scripts, check_secret, fits
from pmcp_lab.apps.document import has_bridge
from pmcp_lab.apps.finding import Finding
from pmcp_lab.apps.served import Page, Served, named_uris
from pmcp_lab.errors import nearest
from pmcp_lab.protocol.chatgpt import MIME_TYPE as CHATGPT_TYPE
from pmcp_lab.protocol.ui import BRIDGE_MARK, MIME_TYPE, PERMISSIONS, Csp, resource_ui

LARGEST = 5_000_000
"""Bytes of a document that every host may be expected to take."""
_UI_KEYS = ("csp", "permissions", "prefersBorder", "domain")
_CSP_KEYS = ("connectDomains", "resourceDomains", "frameDomains", "baseUriDomains")
_OLD_BRIDGES = re.compile(r"mcpBridge|window\.openai")
_PUT_IN = re.compile(rf"<script {BRIDGE_MARK}=.*?</script>", re.DOTALL)
"""The bridge that a `WidgetDir` puts before a widget: not its author's, and in no line of the file."""


def check_page(page: Page, served: Served) -> Iterator[Finding]:
    users = [tool for tool in served.tools if page.uri in named_uris(tool).values()]
    place = page.uri
    if page.times > 1:
        fix = "give each an address of its own: hosts take one of them, and nobody knows which"
        yield Finding("error", "uri-twice", place, f"is served {page.times} times", fix)
    if page.listed is None:
        if page.content is not None and not any(fits(template, page.uri) for template in served.templates):
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
    # Of a tool that names it for ChatGPT alone.
    yield from _mime(page, chatgpts=is_chatgpts(page) and page.uri not in served.ui_tools.values() and bool(users))
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
        size = len(html.encode())
        if size > LARGEST:
            said = f"is {size / 1e6:.1f} MB: hosts may refuse it, and each one who opens it waits"
            yield Finding("note", "page-large", place, said, "leave out what is not needed; fetch data by a tool")
        yield from check_secret(_PUT_IN.sub("", html), place)
        yield from _document(page, html, served)


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


def is_chatgpts(page: Page | None) -> bool:
    """Whether it is served as what ChatGPT alone shows."""
    sent = (page.content or {}).get("mimeType") if page is not None else None
    return str(sent).replace(" ", "").lower() == CHATGPT_TYPE


def _mime(page: Page, *, chatgpts: bool) -> Iterator[Finding]:
    assert page.content is not None
    sent = str(page.content.get("mimeType") or "")
    if sent.replace(" ", "").lower() != MIME_TYPE and not chatgpts:
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
    for name in permissions if isinstance(permissions, Mapping) else ():
        if name in PERMISSIONS and not isinstance(permissions[name], Mapping):
            said = f"{permissions[name]!r} is no object"
            yield Finding("error", "permission", f"{place}.permissions.{name}", said, f'write "{name}": {{}}')
    if not isinstance(ui.get("prefersBorder", False), bool):
        yield Finding("error", "ui-meta", f"{place}.prefersBorder", "is neither true nor false", "write one of them")
    if not isinstance(ui.get("domain", ""), str):
        said = f"{ui['domain']!r} is no text"
        yield Finding(
            "error", "ui-meta", f"{place}.domain", said, "write the origin that the host's documentation says"
        )
    for key in ui:
        if key not in _UI_KEYS and "Did you mean" in (near := nearest(str(key), _UI_KEYS)):
            yield Finding("error", "ui-key", f"{place}.{key}", "is unknown, so hosts ignore it", near.strip())


def _document(page: Page, html: str, served: Served) -> Iterator[Finding]:
    reading = read_document(_PUT_IN.sub("", html))
    seen = any(each.uri == page.uri and each.started for each in served.opened)
    yield from _addresses(page, reading, seen=seen)
    yield from _declared(page, reading)
    yield from _markup(page, reading)
    yield from check_scripts(page, reading, served)
    if found := reading.evaluates:
        line, bundled = found
        yield Finding(
            "note" if bundled else "warning",
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


def _addresses(page: Page, reading: Reading, *, seen: bool) -> Iterator[Finding]:
    """What the document asks for.

    Args:
        seen: Whether a browser told what of it is really asked for.
    """
    csp = csp_of(page)
    declared = {"connect": csp.connect, "resource": csp.resources, "frame": csp.frames}
    every = {origin for origins in declared.values() for origin in origins}
    reported: set[tuple[str, str]] = set()
    for use in reading.uses:
        place = f"{page.uri} line {use.line}"
        if not use.origin:
            yield Finding(
                "note" if use.bundled else "error",
                "relative-url",
                place,
                f"{use.how} asks for {use.url!r}, which is beside the document",
                "put it into the document: an app is one file, without an address of its own",
            )
        elif (use.kind, use.origin) not in reported and (finding := _undeclared(use, declared, every, place)):
            reported.add((use.kind, use.origin))
            if not (seen and use.bundled and finding.level == "note"):
                yield finding


def _declared(page: Page, reading: Reading) -> Iterator[Finding]:
    """Domains that are declared and not needed, or not well."""
    csp = csp_of(page)
    every = {*csp.connect, *csp.resources, *csp.frames}
    # What a script from elsewhere asks for, and what a library of the document does, is not seen here.
    hidden = any(use.origin and use.kind == "resource" for use in reading.uses) or any(
        script.place(0)[1] for script in reading.scripts
    )
    for origin in sorted(every):
        if not any(use.origin and allows(origin, use.origin) for use in reading.uses if use.origin != SOMEWHERE):
            yield Finding(
                "note" if hidden else "warning",
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


def _markup(page: Page, reading: Reading) -> Iterator[Finding]:
    """Elements that do what hosts keep an app from."""
    base = csp_of(page).base
    for line, markup, where in reading.marked:
        place = f"{page.uri} line {line}"
        match markup:
            case "<base href>":
                if not any(where.lower().startswith(each) for each in base):
                    fix = "write whole addresses; or declare it in _meta.ui.csp.baseUriDomains"
                    yield Finding("error", "base", place, f"<base href> is {where!r}, which hosts block", fix)
            case "<a href>":
                fix = "ask the host by ui/open-link (app.openLink) when it is clicked"
                yield Finding("note", "link", place, f"a link leads to {where}, which hosts keep an app from", fix)
            case "<meta http-equiv=refresh>":
                fix = "stay in the document"
                yield Finding("error", "navigates", place, f"{markup} leaves the page, which hosts block", fix)
            case "<meta http-equiv=content-security-policy>":
                fix = "leave it to the host, and declare domains in _meta.ui.csp"
                yield Finding("warning", "own-policy", place, "has a policy of its own beside the host's", fix)
            case _:
                fix = "take the submit event, and call a tool"
                yield Finding("error", "form", place, f"{markup} sends to {where}, which hosts block", fix)
    names = [name for _, name in reading.ids]
    for line, name in reading.ids:
        if names.count(name) > 1:
            fix = "give each an id of its own"
            yield Finding(
                "warning", "id-twice", f"{page.uri} line {line}", f"the id {name!r} is there more than once", fix
            )
            break


def _undeclared(use: Use, declared: dict[str, tuple[str, ...]], every: set[str], place: str) -> Finding | None:
    if use.origin == SOMEWHERE:
        if declared[use.kind] or use.bundled:
            return None
        return Finding(
            "warning",
            "csp-undeclared",
            place,
            f"{use.how} asks for an address that is put together ({use.url}), and nothing is declared for it",
            f"add what it may be to _meta.ui.csp.{DOMAINS[use.kind]}",
        )
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
