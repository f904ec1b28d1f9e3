"""A program that is let in by itself: OAuth's grant for clients that have a secret and nobody to ask.

The flow itself is the SDK's (`mcp.client.auth.extensions.client_credentials`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Iterable
from urllib.parse import urlsplit

import httpx2
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.auth.utils import extract_field_from_www_auth
from mcp.shared.auth import OAuthToken

from pmcp_lab.client.oauth.token_store import TokenStore, password
from pmcp_lab.client.targets import ClientCredentials, Url
from pmcp_lab.errors import SignInFailed

_TIMEOUT = 30.0
"""Seconds for an authorization server to answer."""


class ClientCredentialsProvider(ClientCredentialsOAuthProvider):
    """The SDK's flow, begun when the server asks for it, once for all requests that wait.

    Raises:
        SignInFailed: The secret is not where the settings say.
    """

    sign_in = None
    """Nobody is asked."""

    def __init__(self, target: Url, settings: ClientCredentials) -> None:
        self.secret = secret_of(settings)
        self._settings = settings
        super().__init__(
            urlsplit(target.url)._replace(query="", fragment="").geturl(),
            TokenStore(target.place, keep=False, found=dict),
            settings.client_id,
            self.secret,
            scope=settings.scope,
            issuer=settings.issuer,
        )

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        context = self.context
        # Not by way of the SDK, which holds a lock until the answer starts: a slow call would stop all others.
        for attempt in ("as it is", "with a new token"):
            sent = context.current_tokens if context.is_token_valid() else None
            if sent is not None:
                request.headers["Authorization"] = f"Bearer {sent.access_token}"
            response = yield request
            if attempt == "with a new token" or not _wants_another(response):
                return
            if not self._has_another(sent):
                like = httpx2.Request(request.method, request.url, headers=request.headers)
                await self._fetch(like, response, sent)
            if not self._has_another(sent):
                return

    def _has_another(self, known: OAuthToken | None) -> bool:
        return self.context.current_tokens is not known and self.context.is_token_valid()

    async def _fetch(self, like: httpx2.Request, refusal: httpx2.Response, known: OAuthToken | None) -> None:
        """Lead the SDK's flow from the server's refusal to a token, before it sends `like`. One at a time: it locks."""
        flow = super().async_auth_flow(like)
        async with httpx2.AsyncClient(timeout=_TIMEOUT) as client, contextlib.aclosing(flow):
            try:
                outgoing = await anext(flow)
                while not self._has_another(known):
                    answer = refusal if outgoing is like else await client.send(outgoing)
                    outgoing = await flow.asend(answer)
            except StopAsyncIteration:
                return
            except httpx2.HTTPError as error:
                # Of the authorization server: the connection to the MCP server stands.
                reason = f": {error}" if str(error) else ""
                raise SignInFailed(
                    f"The authorization server at {self._settings.issuer} does not answer{reason}"
                ) from None

    @property
    def who(self) -> str:
        """What a server refuses that is still not content."""
        client = f"client {self._settings.client_id!r}"
        if self.context.current_tokens is None:
            return client
        return f"the token that {self._settings.issuer} has just given to {client}"

    def secrets(self) -> Iterable[str]:
        """What must not appear in any text."""
        tokens = self.context.current_tokens
        return [self.secret, *([tokens.access_token] if tokens else [])]


def _wants_another(response: httpx2.Response) -> bool:
    if response.status_code == 401:
        return True
    return response.status_code == 403 and extract_field_from_www_auth(response, "error") == "insufficient_scope"


def secret_of(settings: ClientCredentials) -> str:
    """What is where the settings say.

    Raises:
        SignInFailed: Nothing is.
    """
    where = settings.secret
    if where.startswith("$"):
        found = os.environ.get(where[1:])
        missing = f"there is no variable {where[1:]} in the environment of this kernel"
    else:
        service, _, user = where.removeprefix("keyring:").partition("/")
        found = password(service, user)
        missing = f"the keyring has nothing for {user!r} of {service!r}, it is locked, or there is none on this machine"
    if not found:
        raise SignInFailed(f"The secret of client {settings.client_id!r} can't be read: {missing}")
    return found.strip()
