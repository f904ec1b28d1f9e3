"""What a published app says of itself: `server.json` of the MCP registry, and `ai-plugin.json`.

Both are made from a live server and compared with their schemas (`schemas/`), which are read from the package.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from pmcp_lab._version import __version__
from pmcp_lab.apps.check import mismatches
from pmcp_lab.apps.served import Served
from pmcp_lab.errors import AppError

SERVER_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
_PUBLISHER = "io.modelcontextprotocol.registry/publisher-provided"
_PUBLISHER_LIMIT = 4096
"""Bytes of JSON that the registry takes under that key."""
_ICONS = ("image/png", "image/jpeg", "image/jpg", "image/svg+xml", "image/webp")


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What a server can't say of itself.

    Args:
        url: Where everybody will reach it.
        package: Where it is installed from, `pypi:my-app` or `npm:@me/app@1.2.0`; instead of a URL or besides.
        name: In the registry, `<reversed domain>/<name>`; by default from the URL.
        logo, contact, legal: An https address, an e-mail address, an address.
        auth: As `ai-plugin.json` has it.
        allow_http: Take plain http and addresses of this machine, to try it out.
    """

    url: str | None = None
    package: str | None = None
    name: str | None = None
    logo: str | None = None
    contact: str = ""
    legal: str = ""
    auth: Mapping[str, str] = field(default_factory=lambda: {"type": "none"})
    allow_http: bool = False


def manifests(served: Served, publication: Publication) -> dict[str, dict[str, Any]]:
    """The manifests by file name; without a URL there is no `ai-plugin.json`.

    Raises:
        AppError: Something is missing, or they would not fit their schemas.
    """
    if publication.url is None and publication.package is None:
        raise AppError("say where it will be reached: --url https://… or --package pypi:<name>")
    if publication.url is not None:
        _check_url(publication.url, publication.allow_http)
    made = {"server.json": server_json(served, publication)}
    if publication.url is not None:
        made["ai-plugin.json"] = ai_plugin(served, publication)
    for file, manifest in made.items():
        if wrong := mismatches(manifest, schema(file)):
            where, what = wrong[0]
            raise AppError(f"{file}{where} would not fit its schema: {what}")
    return made


@cache
def schema(file: str) -> dict[str, Any]:
    """The schema of a manifest, by the file's name."""
    name = f"{file.removesuffix('.json')}.schema.json"
    read: dict[str, Any] = json.loads(files("pmcp_lab.apps").joinpath("schemas", name).read_text(encoding="utf-8"))
    return read


def server_json(served: Served, publication: Publication) -> dict[str, Any]:
    """The registry's `server.json`."""
    info = served.info
    if not info.get("version"):
        raise AppError(f"server {served.name!r} does not say its version: MCPServer(…, version=…)")
    made: dict[str, Any] = {
        "$schema": SERVER_SCHEMA,
        "name": publication.name or _registry_name(served, publication),
        "title": _cut(_title(served), 100),
        "description": _cut(_description(served), 100),
        "version": str(info["version"]),
    }
    if info.get("websiteUrl"):
        made["websiteUrl"] = info["websiteUrl"]
    if icons := _icons(served):
        made["icons"] = icons
    if publication.url is not None:
        made["remotes"] = [{"type": "streamable-http", "url": publication.url}]
    if publication.package is not None:
        made["packages"] = [_package(publication.package, str(info["version"]))]
    provided: dict[str, Any] = {"tool": "pmcp-lab", "version": __version__}
    apps = [{"tool": tool, "resourceUri": uri} for tool, uri in served.ui_tools.items()]
    if len(json.dumps({**provided, "apps": apps})) <= _PUBLISHER_LIMIT:
        provided["apps"] = apps
    made["_meta"] = {_PUBLISHER: provided}
    return made


def ai_plugin(served: Served, publication: Publication) -> dict[str, Any]:
    """`ai-plugin.json`, with the tools and apps that the server really has."""
    description = _description(served)
    logo = publication.logo or next((icon["src"] for icon in _icons(served)), "")
    name = re.sub(r"\W+", "_", str(served.info.get("name") or served.name), flags=re.ASCII).strip("_")
    return {
        "schema_version": "v1",
        "name_for_human": _cut(_title(served), 20),
        "name_for_model": name[:50] or "server",
        "description_for_human": _cut(description, 100),
        "description_for_model": _cut(served.instructions or description, 8000),
        "auth": dict(publication.auth),
        "api": {"type": "mcp", "url": publication.url},
        "logo_url": logo,
        "contact_email": publication.contact,
        "legal_info_url": publication.legal,
        "mcp_apps": {
            "server_url": publication.url,
            "widgets": [
                {"tool": tool, "resource_uri": uri, "title": served.pages[uri].title}
                for tool, uri in served.ui_tools.items()
            ],
        },
    }


def _title(served: Served) -> str:
    return str(served.info.get("title") or served.info.get("name") or served.name)


def _description(served: Served) -> str:
    """What it is for: its own words, or else the tools it shows apps for."""
    description = served.info.get("description") or served.instructions
    if description:
        return " ".join(str(description).split())
    return f"Apps for {', '.join(served.ui_tools)}"


def _cut(text: str, limit: int) -> str:
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    whole = text[: limit - 1].rpartition(" ")[0] or text[: limit - 1]
    return whole.rstrip(" ,;:.") + "…"


def _icons(served: Served) -> list[dict[str, Any]]:
    icons = []
    for icon in served.info.get("icons") or ():
        src = str(icon.get("src", ""))
        if not src.startswith("https://") or len(src) > 255:
            continue  # the registry takes addresses alone
        kept = {key: icon[key] for key in ("mimeType", "sizes", "theme") if icon.get(key)}
        if kept.get("mimeType", _ICONS[0]) in _ICONS:
            icons.append({"src": src, **kept})
    return icons


def _registry_name(served: Served, publication: Publication) -> str:
    host = urlsplit(publication.url or "").hostname or ""
    if not host or _is_address(host) or "." not in host:
        raise AppError("the registry needs a name of a domain or account that is yours: --name io.github.<you>/<app>")
    own = re.sub(r"[^a-zA-Z0-9._-]+", "-", str(served.info.get("name") or served.name)).strip("-.") or "server"
    return f"{'.'.join(reversed(host.removeprefix('www.').split('.')))}/{own}"


def _package(text: str, version: str) -> dict[str, Any]:
    kind, _, identifier = text.partition(":")
    known = schema("server.json")["properties"]["packages"]["items"]["properties"]["registryType"]["enum"]
    if kind not in known or not identifier:
        raise AppError(f"--package is <{'|'.join(known)}>:<name>[@version], not {text!r}")
    name, at, pinned = identifier.rpartition("@")
    if not at or not name:
        name, pinned = identifier, version
    return {"registryType": kind, "identifier": name, "version": pinned, "transport": {"type": "stdio"}}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_url(url: str, allow_http: bool) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        raise AppError(f"{url!r} is no http(s) address") from None
    if not valid or re.search(r"\s", url):
        raise AppError(f"{url!r} is no http(s) address")
    if parts.username or parts.password:
        raise AppError("the address has a password in it, which would be published")
    if allow_http:
        return
    if parts.scheme != "https":
        raise AppError(
            f"{url} is not encrypted; hosts take https alone. Give --url https://…, or --allow-http to try it out"
        )
    host = str(parts.hostname)
    if host == "localhost" or host.endswith((".localhost", ".local")) or _is_private(host):
        raise AppError(f"nobody else can reach {host}; give --url https://…, or --allow-http to try it out")


def _is_private(host: str) -> bool:
    return _is_address(host) and not ipaddress.ip_address(host).is_global
