"""What each kind of host wants to be told of a widget, as data: MIME type, `_meta` keys, CSP names, script.

An adapter is a table. What a client is given is chosen in `binding`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from pmcp_lab.apps.document import prefixed, with_bridge
from pmcp_lab.apps.metadata import WidgetCsp, WidgetMetadata
from pmcp_lab.apps.widget_dir import Widget
from pmcp_lab.errors import AppError, nearest
from pmcp_lab.protocol import chatgpt
from pmcp_lab.protocol.ui import FLAT_URI, MIME_TYPE, Csp, content_security_policy

Path = tuple[str, ...]
"""Where a value goes: the key in `_meta`, and the keys inside of it."""


@dataclass(frozen=True, kw_only=True)
class HostAdapter:
    """How one kind of host is served.

    Args:
        name: Also what its bridge is told to speak with.
        mime_type: What the document is served as.
        clients: Matches the `clientInfo.name` of such hosts, for those that don't say what they can show.
        tool: Where a tool's values go: `uri` (of its widget), `visibility` (a list), `private` (true when only the
            app may call it).
        tool_constants: What every tool with a widget has in its `_meta`.
        resource: Where a widget's values go: `csp`, `permissions`, `border`, `domain`, `description`.
        csp: What the host calls `connect`, `resources`, `frames`, `base_uri` and `redirect`.
        csp_in_document: The host knows no policy; it travels in the document, where the browser enforces it.
        embeds: The host shows what a tool's result brings along, and reads no resource.
    """

    name: str
    mime_type: str
    clients: str | None = None
    tool: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    tool_constants: Mapping[str, Any] = field(default_factory=dict)
    resource: Mapping[str, Path] = field(default_factory=dict)
    csp: Mapping[str, str] = field(default_factory=dict)
    csp_in_document: bool = False
    embeds: bool = False

    def tool_meta(self, uri: str, visibility: Sequence[str] | None = None) -> dict[str, Any]:
        """`_meta` of a tool that is shown by a widget.

        Args:
            visibility: Who may call it, of "model" and "app"; None is both.
        """
        values: dict[str, Any] = {"uri": uri}
        if visibility is not None:
            values["visibility"] = list(visibility)
            if "model" not in visibility:
                values["private"] = "private"
        meta: dict[str, Any] = dict(self.tool_constants)
        for name, value in values.items():
            for path in self.tool.get(name, ()):
                _put(meta, path, value)
        return meta

    def resource_meta(self, said: WidgetMetadata) -> dict[str, Any]:
        """`_meta` of a widget's resource, in the listing and beside its contents."""
        csp = {self.csp[name]: list(origins) for name, origins in _policy(said.csp).items() if name in self.csp}
        values: dict[str, Any] = {
            "csp": csp or None,
            "permissions": {name: {} for name in said.permissions} or None,
            "border": said.border,
            "domain": said.domain,
            "description": said.description,
        }
        meta: dict[str, Any] = {}
        for name, value in values.items():
            if value is not None and name in self.resource:
                _put(meta, self.resource[name], value)
        return meta

    def document(self, widget: Widget) -> str:
        """The widget's document for such a host: with its bridge, and its policy where that has no other way."""
        html = with_bridge(widget.html, host=self.name)
        if not self.csp_in_document:
            return html
        said = widget.metadata.csp
        csp = Csp(connect=said.connect, resources=said.resources, frames=said.frames, base=said.base_uri)
        policy = content_security_policy(csp)
        return prefixed(html, f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">')

    def contents(self, widget: Widget) -> dict[str, Any]:
        """The item of a `resources/read` result."""
        meta = self.resource_meta(widget.metadata)
        item = {"uri": widget.uri, "mimeType": self.mime_type, "text": self.document(widget)}
        return {**item, "_meta": meta} if meta else item

    def serves(self, client: str | None) -> bool:
        """Whether a client of this name is such a host."""
        return self.clients is not None and re.search(self.clients, client or "", re.IGNORECASE) is not None


STANDARD = HostAdapter(
    name="standard",
    mime_type=MIME_TYPE,
    # Hosts of before the standard read the flat key alone.
    tool={"uri": (("ui", "resourceUri"), (FLAT_URI,)), "visibility": (("ui", "visibility"),)},
    resource={
        "csp": ("ui", "csp"),
        "permissions": ("ui", "permissions"),
        "border": ("ui", "prefersBorder"),
        "domain": ("ui", "domain"),
    },
    csp={
        "connect": "connectDomains",
        "resources": "resourceDomains",
        "frames": "frameDomains",
        "base_uri": "baseUriDomains",
    },
)
"""MCP Apps as of 2026-01-26: Claude, VS Code, this notebook, and ChatGPT since it speaks it."""

CHATGPT = HostAdapter(
    name="chatgpt",
    mime_type=chatgpt.MIME_TYPE,
    clients=r"openai|chatgpt",
    tool={"uri": ((chatgpt.OUTPUT_TEMPLATE,),), "private": (("openai/visibility",),)},
    tool_constants={
        chatgpt.WIDGET_ACCESSIBLE: True,
        "openai/toolInvocation/invoking": "Running…",
        "openai/toolInvocation/invoked": "Done",
    },
    resource={
        "csp": (chatgpt.WIDGET_CSP,),
        "border": (chatgpt.PREFERS_BORDER,),
        "domain": ("openai/widgetDomain",),
        "description": ("openai/widgetDescription",),
    },
    csp={
        "connect": "connect_domains",
        "resources": "resource_domains",
        "frames": "frame_domains",
        "base_uri": "base_uri_domains",
        "redirect": "redirect_domains",
    },
)
"""ChatGPT's own keys (Apps SDK, `window.openai`)."""

MCP_UI = HostAdapter(
    name="mcp-ui",
    mime_type="text/html",
    clients=r"nanobot|mcp-?ui|mcpjam|goose|librechat|smithery",
    csp_in_document=True,
    embeds=True,
)
"""Hosts of MCP-UI, which show the `ui://` resource that a tool's result holds and know no `_meta`."""

HOSTS: Mapping[str, HostAdapter] = {adapter.name: adapter for adapter in (STANDARD, CHATGPT, MCP_UI)}


def host(name: str | HostAdapter) -> HostAdapter:
    """An adapter by its name.

    Raises:
        AppError: There is none.
    """
    if isinstance(name, HostAdapter):
        return name
    if name not in HOSTS:
        raise AppError(f"{name!r} is no kind of host.{nearest(name, HOSTS)}")
    return HOSTS[name]


def merged(metas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several hosts' `_meta` as one: no two of them use a key in two ways."""
    whole: dict[str, Any] = {}
    for meta in metas:
        for key, value in meta.items():
            both = isinstance(value, Mapping) and isinstance(whole.get(key), Mapping)
            whole[key] = {**whole[key], **value} if both else value
    return whole


def _policy(csp: WidgetCsp) -> dict[str, tuple[str, ...]]:
    named = {name: getattr(csp, name) for name in WidgetCsp.__dataclass_fields__}
    return {name: origins for name, origins in named.items() if origins}


def _put(meta: dict[str, Any], path: Path, value: Any) -> None:
    *outer, last = path
    for key in outer:
        meta = meta.setdefault(key, {})
    meta[last] = value
