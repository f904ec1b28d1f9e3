"""A demo page of a server's apps in one file: the real host, and a server that answers as it was recorded.

It opens from a disk, fetches nothing, and needs nobody behind it. What answers is `js/src/landing`.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any

from pmcp_lab.apps.document import BRIDGE
from pmcp_lab.apps.recording import LEFT_OUT, RecordedCall, Recording
from pmcp_lab.errors import AppError, LabError
from pmcp_lab.protocol.ui import Csp, content_security_policy, resource_ui, tool_ui
from pmcp_lab.protocol.ui_resource import UiResource, document

_STATIC = BRIDGE.parent

_POLICY = "; ".join(
    # Frames inherit it, and ours has a <base> that leads nowhere.
    part
    for part in content_security_policy(Csp()).split("; ")
    if not part.startswith("base-uri")
)


def landing_page(recording: Recording, *, title: str | None = None, description: str | None = None) -> str:
    """The page's HTML.

    Args:
        recording: Its widgets are shown, each with the first recorded call of a tool that it shows.
        title: By default the server's.
        description: By default the server's.

    Raises:
        AppError: The recording has no widget, or one that can't be shown.
        LabError: The front end was never built.
    """
    server = recording.server
    title = title or str(server.get("title") or server["name"])
    description = description if description is not None else str(server.get("description") or "")
    widgets = [_widget(recording, item) for item in recording.resources if str(item["uri"]).startswith("ui://")]
    if not widgets:
        raise AppError(f"The recording of {server['name']!r} has no widget to show. Record a server with apps.")
    wanted = ["prelude", "consent", *(["old-widgets"] if any(each["resource"]["legacy"] for each in widgets) else [])]
    data = {
        "title": title,
        "description": description,
        "server": {"name": server["name"], "version": str(server.get("version") or "")},
        "leftOut": LEFT_OUT,
        "widgets": widgets,
        "tools": recording.tools,
        "resources": recording.resources,
        "calls": [_call(call) for call in recording.calls],
        "code": {name: _built(f"{name}.js") for name in wanted},
    }
    about = f'<meta name="description" content="{escape(description)}">\n' if description else ""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
{about}<link rel="icon" href="data:,">
<style>{_built("landing.css")}</style>
<body>
<noscript>This page shows apps, which need JavaScript.</noscript>
<script type="application/json" id="data">{_in_script(data)}</script>
<script type="module">{_built("landing.js")}</script>
"""


def _widget(recording: Recording, item: dict[str, Any]) -> dict[str, Any]:
    """A widget, with the calls that it can be shown with."""
    uri = str(item["uri"])
    ui = resource_ui(item.get("_meta"))
    found = UiResource(uri, str(item.get("name") or uri), document(item, uri), str(item.get("mimeType") or ""), ui)
    tools = [
        tool
        for tool in recording.tools
        if (shown := tool_ui(tool.get("_meta"))).resource_uri == uri and "model" in shown.visibility
    ]
    names = [tool["name"] for tool in tools]
    calls = [place for place, call in enumerate(recording.calls) if call.tool in names]
    main = next(iter(tools), None)
    return {
        "title": str(item.get("title") or (main or {}).get("title") or found.name),
        "description": str(item.get("description") or (main or {}).get("description") or ""),
        "calls": calls,
        "tool": names[0] if names else None,
        "resource": {
            "uri": uri,
            "name": found.name,
            "html": found.html,
            "hash": found.hash,
            # What a page from a disk may have: nothing from elsewhere.
            "csp": content_security_policy(Csp()),
            "allow": "",
            "proxy": None,
            "wanted": {},
            "prefersBorder": ui.prefers_border,
            "legacy": found.old,
            "mimeType": found.mime_type,
        },
    }


def _call(call: RecordedCall) -> dict[str, Any]:
    ending = {"result": call.result} if call.error is None else {"error": call.error}
    return {"tool": call.tool, "arguments": call.arguments, "ms": call.ms, **ending}


def _in_script(value: Any) -> str:
    """JSON that can't end the element it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _built(name: str) -> str:
    """A file of the front end, as it can stand in an element of its own."""
    try:
        text = (_STATIC / name).read_text(encoding="utf-8")
    except OSError:
        raise LabError(
            f"The front end is not built ({name} is missing): run `make front-end` in the source tree."
        ) from None
    return text.replace("</script", "<\\/script").replace("</style", "<\\/style")
