"""How to sign in to a server. What is done with it is in `client.oauth`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

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
