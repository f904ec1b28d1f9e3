"""What ChatGPT reads of a tool and a widget: its own MIME type and `_meta` keys, beside those of MCP Apps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pmcp_lab.protocol.ui import ResourceUi, ToolUi, read_csp

MIME_TYPE = "text/html+skybridge"
OUTPUT_TEMPLATE = "openai/outputTemplate"
WIDGET_ACCESSIBLE = "openai/widgetAccessible"
WIDGET_CSP = "openai/widgetCSP"
PREFERS_BORDER = "openai/widgetPrefersBorder"


def tool_ui(meta: Mapping[str, Any] | None) -> ToolUi:
    """The widget of a tool, and whether widgets may call it: only where it says so."""
    meta = meta or {}
    uri = meta.get(OUTPUT_TEMPLATE)
    seen = {"model", "app"} if meta.get(WIDGET_ACCESSIBLE) is True else {"model"}
    return ToolUi(
        resource_uri=uri if isinstance(uri, str) and uri.startswith("ui://") else None, visibility=frozenset(seen)
    )


def resource_ui(*metas: Mapping[str, Any] | None) -> ResourceUi:
    """What a widget asks for; of several metas the first that has a key wins."""
    known: dict[str, Any] = {}
    for meta in reversed([meta for meta in metas if meta]):
        known |= {key: meta[key] for key in (WIDGET_CSP, PREFERS_BORDER) if key in meta}
    border = known.get(PREFERS_BORDER)
    return ResourceUi(
        csp=read_csp(known.get(WIDGET_CSP), "connect_domains", "resource_domains", "frame_domains", "base_uri_domains"),
        prefers_border=border if isinstance(border, bool) else None,
    )
