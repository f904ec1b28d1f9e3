"""The UI resource of a tool: read, checked, and made ready for a frame."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pmcp_lab.client import Server
from pmcp_lab.errors import AppError
from pmcp_lab.notebook.app_consent import granted, permissions_policy, wanted
from pmcp_lab.protocol.ui import MIME_TYPE, ResourceUi, content_security_policy, resource_ui

_sent: set[str] = set()
"""Hashes of documents that a page was sent once; another page asks."""

ALWAYS_READ = object()
"""In `Server.documents`: this resource is made anew for each reader."""

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


@dataclass(frozen=True)
class AppResource:
    """A UI resource as its server sent it."""

    uri: str
    name: str
    html: str
    mime_type: str
    ui: ResourceUi

    @cached_property
    def hash(self) -> str:
        return hashlib.blake2b(self.html.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def trait(self, server: Server) -> dict[str, Any]:
        """The `_resource` trait, with what the app may have now."""
        csp, permissions = granted(server, self.uri, self.ui)
        grants = server.app_grants
        trait = {
            "uri": self.uri,
            "html": None if self.hash in _sent else self.html,
            "hash": self.hash,
            "csp": content_security_policy(csp, unsafe_eval=grants.unsafe_eval),
            "allow": permissions_policy(permissions),
            "proxy": grants.sandbox_origin
            and {
                "url": grants.sandbox_origin,
                "csp": {
                    "connectDomains": csp.connect,
                    "resourceDomains": csp.resources,
                    "frameDomains": csp.frames,
                },
                "permissions": {name: {} for name in permissions},
            },
            "wanted": wanted(self.ui, csp, permissions),
            "name": self.name,
            "prefersBorder": self.ui.prefers_border,
            "legacy": plain(self.mime_type) in OLD_TYPES or "mcpBridge" in self.html,
            "mimeType": self.mime_type,
        }
        _sent.add(self.hash)
        return trait


def plain(mime_type: str) -> str:
    return mime_type.replace(" ", "").lower()


def read_app(server: Server, uri: str) -> AppResource:
    """Read a `ui://` resource.

    Raises:
        AppError: No HTML comes with it, or it has another MIME type.
    """
    contents = [item.resource for item in server.read(uri)]
    if not contents:
        raise AppError(f"Server {server.name!r} sent nothing for {uri}.")
    content = next((item for item in contents if item.get("uri") == uri), contents[0])
    mime = str(content.get("mimeType") or "")
    if plain(mime) not in {MIME_TYPE, *OLD_TYPES}:
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
    resource = AppResource(uri=uri, name=str(content.get("name") or uri), html=page, mime_type=mime, ui=ui)
    if server.documents.setdefault(uri, resource) is not ALWAYS_READ:
        server.documents[uri] = resource
    return resource


def recall_app(server: Server, uri: str) -> AppResource | None:
    """What `read_app` found last; None if it must be read first, as every time where it is another each time."""
    known = server.documents.get(uri)
    return known if isinstance(known, AppResource) else None


def reread_app(server: Server, known: AppResource) -> AppResource | None:
    """Read what was shown from memory again: the new one if it is another. Raises as `read_app` does."""
    found = read_app(server, known.uri)
    if found == known:
        return None
    server.documents[known.uri] = ALWAYS_READ
    return found


def listed_meta(server: Server, uri: str, content: dict[str, Any]) -> list[dict[str, Any]]:
    """The resource's `_meta` in `resources/list`, asked for only when the content brings no `ui` entry of its own."""
    if isinstance((content.get("_meta") or {}).get("ui"), dict):
        return []
    return [item.raw.get("_meta") or {} for item in server.resources.values() if item.uri == uri]
