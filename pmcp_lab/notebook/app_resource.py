"""The UI resource of a tool: read, checked, and made ready for a frame."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from pmcp_lab.client import Server
from pmcp_lab.errors import AppError
from pmcp_lab.protocol.ui import MIME_TYPE, content_security_policy, resource_ui

OLD_TYPES = frozenset({"text/html+mcp", "text/html+skybridge", "text/html"})
"""What widgets were served as before `text/html;profile=mcp-app`; they are shown too, and get `window.mcpBridge`."""


def ui_uri(server: Server, name: str) -> str:
    """The `ui://` address of a tool's app.

    Raises:
        AppError: The tool has none; names those that do.
        UnknownTool: There is no such tool.
    """
    uri = server.tool(name).ui.resource_uri
    if uri is None:
        apps = [other.name for other in server.tools.values() if other.ui.resource_uri]
        raise AppError(
            f"Tool {name!r} of server {server.name!r} has no app. Tools with one: {', '.join(apps) or 'none'}."
        )
    return uri


def read_app(server: Server, uri: str) -> dict[str, Any]:
    """The `_resource` trait for a `ui://` resource.

    Raises:
        AppError: No HTML comes with it, or it has another MIME type.
    """
    contents = server.read(uri)
    if not contents:
        raise AppError(f"Server {server.name!r} sent nothing for {uri}.")
    content = next((item for item in contents if item.get("uri") == uri), contents[0])
    mime = str(content.get("mimeType") or "")
    if (kind := mime.replace(" ", "").lower()) not in {MIME_TYPE, *OLD_TYPES}:
        raise AppError(
            f"{uri} of server {server.name!r} is served as {mime or 'no MIME type'!r}; MCP Apps are {MIME_TYPE!r}."
        )
    page = content.get("text")
    if not isinstance(page, str):
        try:
            page = base64.b64decode(content.get("blob") or "", validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError, TypeError):
            raise AppError(f"{uri} of server {server.name!r} has neither text nor a readable blob.") from None
    ui = resource_ui(content.get("_meta"), *listed_meta(server, uri, content))
    return {
        "uri": uri,
        "html": page,
        "csp": content_security_policy(ui.csp),
        # Permissions need a person's consent, which nobody was asked for yet.
        "allow": "",
        "name": str(content.get("name") or uri),
        "prefersBorder": ui.prefers_border,
        "legacy": kind in OLD_TYPES or "mcpBridge" in page,
        "mimeType": mime,
    }


def listed_meta(server: Server, uri: str, content: dict[str, Any]) -> list[dict[str, Any]]:
    """The resource's `_meta` in `resources/list`, asked for only when the content brings no `ui` entry of its own."""
    if isinstance((content.get("_meta") or {}).get("ui"), dict):
        return []
    return [item.get("_meta") or {} for item in server.resources() if item.get("uri") == uri]
