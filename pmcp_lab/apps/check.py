"""Whether what a server shows of its apps is what the specifications ask for (MCP 2025-11-25, ext-apps 2026-01-26).

Rules over plain data: nothing here talks to a server. The rules for UI resources are in `check_pages` and
`check_scripts`, those for schemas in `check_schemas`, those for apps that were opened in `check_opened`, those for
skills in `check_skills`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pmcp_lab.apps.check_opened import check_opened
from pmcp_lab.apps.check_pages import check_page, is_chatgpts
from pmcp_lab.apps.check_schemas import check_schema
from pmcp_lab.apps.check_scripts import check_secret
from pmcp_lab.apps.check_skills import check_skills
from pmcp_lab.apps.finding import Finding
from pmcp_lab.apps.served import CHATGPT_KEY, Call, Raw, Served, named_uris
from pmcp_lab.errors import nearest
from pmcp_lab.protocol.ui import FLAT_URI, UI_EXTENSION
from pmcp_lab.protocol.validation import Comparison, UnusableSchema

_TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_VISIBLE_TO = ("model", "app")
_RESOURCE_KEYS = ("csp", "permissions", "prefersBorder", "domain")
_TOOL_KEYS = ("resourceUri", "visibility")
_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")


def check(served: Served) -> list[Finding]:
    """Everything that is not as it should be, errors first."""
    found = [*_server(served)] if served.pages or served.skills is None else []
    if served.skills is not None:
        found += check_skills(served.skills)
    for tool in served.tools:
        found += _tool(tool, served)
    for page in served.pages.values():
        found += check_page(page, served)
    for call in served.calls:
        found += _call(call, served)
    for opened in served.opened:
        found += check_opened(opened, served)
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
            "note",
            "ui-not-announced",
            "server",
            f"its capabilities do not name {UI_EXTENSION}",
            "announce it, in Python with MCPServer(…, extensions=[apps]); some hosts look for it",
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
        yield from check_schema(tool.get(key), key, place)
    uris = named_uris(tool)
    meta = tool.get("_meta")
    ui = meta.get("ui") if isinstance(meta, Mapping) else None
    if ui is not None and not isinstance(ui, Mapping):
        yield Finding("error", "ui-meta", f"{place} _meta.ui", "is no object", 'write {"resourceUri": "ui://…"}')
        ui = None
    if ui is not None:
        yield from _visibility(ui, place)
        for key in ui:
            if key in _RESOURCE_KEYS:
                yield Finding(
                    "warning",
                    "meta-on-tool",
                    f"{place} _meta.ui.{key}",
                    "is on the tool, where hosts do not look",
                    "put it on the resource's content",
                )
            elif key not in _TOOL_KEYS and "Did you mean" in (near := nearest(str(key), _TOOL_KEYS)):
                yield Finding(
                    "error", "ui-key", f"{place} _meta.ui.{key}", "is unknown, so hosts ignore it", near.strip()
                )
    yield from _hints(tool.get("annotations"), place)
    yield from check_secret(json.dumps(dict(tool), indent=1, default=str), place)
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
        named = ", ".join(f"{where} is {uri}" for where, uri in uris.items())
        yield Finding("error", "uri-conflict", place, f"names more than one app: {named}", "let all name the same")
    if list(uris) == [CHATGPT_KEY] and is_chatgpts(served.pages.get(str(uris[CHATGPT_KEY]))):
        yield Finding(
            "note",
            "chatgpt-only",
            place,
            "and its app are for ChatGPT alone",
            "name the app in _meta.ui.resourceUri and serve it as MCP Apps are, too, for all other hosts",
        )
    elif "_meta.ui.resourceUri" not in uris:
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


def _hints(annotations: object, place: str) -> Iterator[Finding]:
    if not isinstance(annotations, Mapping):
        return
    for name in _HINTS:
        if not isinstance(annotations.get(name), bool | None):
            said = f"{annotations[name]!r} is neither true nor false"
            yield Finding("error", "hint", f"{place} annotations.{name}", said, "write one of them")
    if annotations.get("readOnlyHint") is True and annotations.get("destructiveHint") is True:
        said = "says that it only reads, and that it destroys"
        yield Finding("warning", "hint", f"{place} annotations", said, "say what it does: clients ask people by that")


def _close(uri: str, served: Served) -> str:
    others = [page.uri for page in served.pages.values() if page.content is not None]
    return f".{nearest(uri, others)}" if others else ""


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
    try:
        errors = Comparison(schema, formats=False).errors(value)
    except UnusableSchema:
        return []
    found = []
    for error in errors:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        found.append((path, error.message if len(error.message) < 160 else error.message[:160] + "…"))
    return found
