"""How to be let in by a server, as a person or as a program. What is done with it is in `client.oauth`."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from pmcp_lab.errors import TargetError

_ELSEWHERE = ("JUPYTERHUB_USER", "SSH_CONNECTION", "COLAB_RELEASE_TAG", "CODESPACES", "KUBERNETES_SERVICE_HOST")
"""Environment variables of kernels whose loopback is not that of the browser."""


@dataclass(frozen=True)
class OAuth:
    """How to sign in to a server: `connect(url, auth=OAuth(…))`; `auth="oauth"` takes the defaults.

    Args:
        redirect: How the answer comes back from the browser. "loopback": to a port of this machine; "paste": the
            person copies the address they were sent to, for when the kernel runs elsewhere; "auto" finds out.
        client_id: A client that was registered by hand; by default the server is asked to register one.
        client_secret: Its secret, if it has one.
        client_metadata_url: An https URL that serves as the id of a client, for servers that take those.
        scope: What to ask for, separated by spaces; by default what the server says it needs.
        port: Of the loopback redirect; 0 takes a free one, which a client registered by hand rarely allows.
        keep: Whether the sign-in is kept for later kernels, in the system's keyring or a file only you can read.
        timeout: Seconds the person has.
        open: Called with the address to sign in at, instead of showing it as a link; `webbrowser.open` for one.
    """

    redirect: Literal["auto", "loopback", "paste"] = "auto"
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    client_metadata_url: str | None = None
    scope: str | None = None
    port: int = 0
    keep: bool = True
    timeout: float = 300.0
    open: Callable[[str], object] | None = field(default=None, repr=False)

    @property
    def pasted(self) -> bool:
        if self.redirect == "auto":
            return any(os.environ.get(name) for name in _ELSEWHERE)
        return self.redirect == "paste"


_SECRET_AT = re.compile(r"\$[A-Za-z_]\w*|keyring:[^/]+/.+")


@dataclass(frozen=True)
class ClientCredentials:
    """How a program is let in, where there is nobody to sign in: `connect(url, auth=ClientCredentials(…))`.

    The OAuth grant of that name (RFC 6749, section 4.4). Tokens are kept in memory alone. An entry of an `mcpServers`
    file says the same, for commands as well: `"clientCredentials": {"clientId": …, "secret": "$NAME", "issuer": …}`.

    Args:
        client_id: Of a client that was registered by hand.
        secret: Where its secret is, never the secret itself: `$NAME`, a variable of the environment, or
            `keyring:SERVICE/USER`, an entry of the system's keyring. Read at each `connect`.
        issuer: The authorization server that knows the client, https or on this machine, exactly as it names itself.
            The secret is sent nowhere else, whatever the MCP server says.
        scope: What to ask for, separated by spaces; by default what the server says it needs.

    Raises:
        TargetError: `secret` is no such place, or `issuer` no such address.
    """

    client_id: str
    secret: str = field(repr=False)
    issuer: str
    scope: str | None = None

    def __post_init__(self) -> None:
        if not _SECRET_AT.fullmatch(self.secret):
            # Not quoted: it may be the secret.
            raise TargetError(
                "secret= says where the secret is: '$NAME' for a variable of the environment, or "
                "'keyring:SERVICE/USER'. What was given is neither; the secret itself belongs in no cell."
            )
        parts = urlsplit(self.issuer)
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and _here(parts.hostname))):
            raise TargetError(f"issuer= must be an https address (or one of this machine), not {self.issuer!r}")


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
