"""The UI resource of a tool: read, checked, and made ready for a frame."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from pmcp_lab.client import Client, Server, seen
from pmcp_lab.errors import METHOD_NOT_FOUND, AppError, LabError
from pmcp_lab.host.consent import granted, permissions_policy, wanted
from pmcp_lab.host.profile import PROFILES, STANDARD, Profile
from pmcp_lab.protocol.ui import MIME_TYPE, Csp, content_security_policy
from pmcp_lab.protocol.ui_resource import UiResource, document, plain

_sent: set[str] = set()
"""Hashes of documents that a page was sent once; another page asks."""

ALWAYS_READ = object()
"""In `Listings.documents`: this resource is made anew for each reader."""


def ui_uri(server: Server, name: str, profile: Profile = STANDARD) -> str:
    """The `ui://` address of a tool's app.

    Raises:
        AppError: The tool has none; names those that do.
        UnknownTool: There is no such tool.
    """
    uri = profile.tool_ui(server.tool(name).raw.get("_meta")).resource_uri
    if uri is None:
        apps = [other.name for other in server.tools.values() if profile.tool_ui(other.raw.get("_meta")).resource_uri]
        where = f" in {profile.only}, which looks for {profile.template}" if profile.only else ""
        hosts = [each for each in PROFILES.values() if each.tool_ui(server.tool(name).raw.get("_meta")).resource_uri]
        way = [f"It has one for {each.only}: app({name!r}, host={each.name!r})." for each in hosts if each.only]
        raise AppError(
            f"Tool {name!r} of server {server.name!r} has no app{where}. "
            + (way[0] if way else f"Tools with one: {', '.join(apps) or 'none'}.")
        )
    return uri


@dataclass(frozen=True)
class AppResource(UiResource):
    """A UI resource for one host."""

    profile: Profile = STANDARD

    def sandbox(self, client: Client) -> dict[str, Any]:
        """`hostCapabilities.sandbox`: what the app may have now."""
        return _sandbox(*granted(client, self.uri, self.ui))

    def trait(self, client: Client) -> dict[str, Any]:
        """The `_resource` trait, with what the app may have now."""
        csp, permissions = granted(client, self.uri, self.ui)
        grants = client.app_grants
        trait = {
            "uri": self.uri,
            "html": None if self.hash in _sent else self.html,
            "hash": self.hash,
            "csp": content_security_policy(csp, unsafe_eval=grants.unsafe_eval),
            "allow": permissions_policy(permissions),
            "proxy": grants.sandbox_origin and {"url": grants.sandbox_origin, **_sandbox(csp, permissions)},
            "wanted": wanted(self.ui, csp, permissions),
            "name": self.name,
            "prefersBorder": self.ui.prefers_border,
            "legacy": self.profile.only or self.old,
            "mimeType": self.mime_type,
        }
        _sent.add(self.hash)
        return trait


def _sandbox(csp: Csp, permissions: tuple[str, ...]) -> dict[str, Any]:
    """In the words of MCP Apps."""
    domains = {
        "connectDomains": csp.connect,
        "resourceDomains": csp.resources,
        "frameDomains": csp.frames,
        "baseUriDomains": csp.base,
    }
    return {
        "permissions": {name: {} for name in permissions},
        "csp": {name: list(origins) for name, origins in domains.items()},
    }


async def read_app(client: Client, uri: str, profile: Profile = STANDARD) -> AppResource:
    """Read a `ui://` resource. On the connection's loop.

    Raises:
        AppError: No HTML comes with it, or it has another MIME type.
    """
    # At once: whether the list is needed shows only in what is read.
    listing = asyncio.create_task(_listed_meta(client, uri))
    listing.add_done_callback(seen)
    try:
        contents = (await client.listings.read(uri)).get("contents")
        content = _app_of(client, uri, contents, profile)
        described = isinstance((content.get("_meta") or {}).get("ui"), dict)
        listed = [] if described else await listing
    finally:
        listing.cancel()
    resource = AppResource(
        uri=uri,
        name=str(content.get("name") or uri),
        html=document(content, f"{uri} of server {client.name!r}"),
        mime_type=str(content.get("mimeType")),
        ui=profile.resource_ui(content.get("_meta"), *listed),
        profile=profile,
    )
    if client.listings.documents.setdefault(uri, resource) is not ALWAYS_READ:
        client.listings.documents[uri] = resource
    return resource


def _app_of(client: Client, uri: str, contents: Any, profile: Profile) -> dict[str, Any]:
    """The item of `resources/read` that is the app."""
    found: list[dict[str, Any]] = (
        [item for item in contents if isinstance(item, dict)] if isinstance(contents, list) else []
    )
    if not found:
        raise AppError(f"Server {client.name!r} sent nothing for {uri}.")
    content = next((item for item in found if item.get("uri") == uri), found[0])
    mime = str(content.get("mimeType") or "")
    if plain(mime) not in profile.types:
        wanted = f"MCP Apps are {MIME_TYPE!r}"
        if profile.only:
            wanted = f"{profile.only} takes {' or '.join(map(repr, sorted(profile.types)))}"
        raise AppError(f"{uri} of server {client.name!r} is served as {mime or 'no MIME type'!r}; {wanted}.")
    return content


def recall_app(client: Client, uri: str, profile: Profile = STANDARD) -> AppResource | None:
    """What `read_app` found last; None if it must be read first, as every time where it is another each time."""
    known = client.listings.documents.get(uri)
    return known if isinstance(known, AppResource) and known.profile is profile else None


async def _listed_meta(client: Client, uri: str) -> list[dict[str, Any]]:
    """The resource's `_meta` in `resources/list`, which counts when the content brings no `ui` entry of its own."""
    try:
        listed = await client.ask(lambda peer: peer.list_resources(), again=True)
    except LabError as error:
        if error.code != METHOD_NOT_FOUND:
            raise
        return []  # it reads what it does not list: an app without metadata gets the tightest policy
    return [item.get("_meta") or {} for item in listed if item.get("uri") == uri]
