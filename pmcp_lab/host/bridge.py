"""What a page must know to speak to a server itself (`bridge="direct"`), and whether it may: never with a secret.

The speaking is `js/src/app-view/direct`.
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2

from pmcp_lab._version import __version__
from pmcp_lab.client import Client, Command, Url
from pmcp_lab.errors import AppError
from pmcp_lab.protocol.ui import MIME_TYPE, UI_EXTENSION

BridgeMode = Literal["kernel", "direct"]

KERNEL: dict[str, Any] = {"mode": "kernel"}
"""The `_bridge` trait of an app whose requests the kernel answers."""

PREFLIGHT_TIMEOUT = 5.0
"""Seconds for the server to say whether it lets pages in."""

_PREFLIGHT = {
    "Origin": "http://localhost:8888",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type, mcp-protocol-version",
}


def direct_bridge(client: Client) -> dict[str, Any]:
    """The `_bridge` trait of an app whose page asks the server itself.

    Raises:
        AppError: The page can't: the server is no URL, wants credentials, or lets no page in.
    """
    return {
        "mode": "direct",
        "url": _open_url(client),
        "version": str(client.connection.wait().version),
        "info": {"name": "pmcp_lab", "version": __version__},
        "capabilities": {
            "elicitation": {"form": {}, "url": {}},
            "extensions": {UI_EXTENSION: {"mimeTypes": [MIME_TYPE]}},
            **({"sampling": {}} if client.sampling.declared else {}),
        },
    }


def _open_url(client: Client) -> str:
    """The server's address, if anybody may know and use it."""
    target = client.target

    def refused(why: str) -> AppError:
        return AppError(f"A page can't speak to server {client.name!r} itself: {why}. Keep bridge='kernel'.")

    if not isinstance(target, Url):
        raise refused("it is a command of this machine" if isinstance(target, Command) else "it lives in this process")
    parts = urlsplit(target.url)
    # What a configuration file leaves to the environment, and what follows a `?`, is as often as not a key.
    hidden = target.shown is not None and target.shown != target.url
    if target.headers or target.auth or parts.query or parts.username or hidden:
        raise refused("it is reached with credentials, and secrets never reach the page")
    try:
        answer = httpx2.options(target.url, headers=_PREFLIGHT, timeout=PREFLIGHT_TIMEOUT)
    except httpx2.HTTPError as error:
        raise refused(f"it does not answer ({error})") from None
    # One that lets only some origins in says so to the page, which knows its own.
    if not any(name.lower().startswith("access-control-") for name in answer.headers):
        raise refused("it lets no pages in (it answers without CORS headers)")
    return target.url
