"""How a server wants people to sign in, as it says itself (RFC 9728, RFC 8414)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TIMEOUT = 10.0
"""Seconds for each document."""


def authorization(url: str, token: str | None) -> dict[str, str]:
    """The `auth` of `ai-plugin.json`: OAuth where the server names who signs people in, a bearer token where one is."""
    import httpx2
    from mcp.client.auth.utils import build_protected_resource_metadata_discovery_urls

    with httpx2.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
        for address in build_protected_resource_metadata_discovery_urls(None, url):
            resource = _fetch(client, address)
            servers = resource.get("authorization_servers")
            if isinstance(servers, list) and servers:
                return _oauth(client, str(servers[0]), url, resource)
    return {"type": "none"} if token is None else {"type": "user_http", "authorization_type": "bearer"}


def _oauth(client: Any, issuer: str, url: str, resource: Mapping[str, Any]) -> dict[str, str]:
    from mcp.client.auth.utils import build_oauth_authorization_server_metadata_discovery_urls

    addresses = build_oauth_authorization_server_metadata_discovery_urls(issuer, url)
    found = next((said for address in addresses if (said := _fetch(client, address))), {})
    scopes = resource.get("scopes_supported") or found.get("scopes_supported") or []
    return {
        "type": "oauth",
        "client_url": str(found.get("authorization_endpoint") or issuer),
        "authorization_url": str(found.get("token_endpoint") or issuer),
        "authorization_content_type": "application/x-www-form-urlencoded",
        "scope": " ".join(map(str, scopes)),
    }


def _fetch(client: Any, address: str) -> Mapping[str, Any]:
    """A JSON object, or an empty one where there is none: most servers have no such document."""
    import httpx2

    try:
        answer = client.get(address, headers={"Accept": "application/json"})
        said = answer.json() if answer.status_code == 200 else {}
    except (httpx2.HTTPError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
