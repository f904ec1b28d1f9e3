"""Being let in by HTTP servers: OAuth with tokens that renew themselves, and refusals that say what to do.

The flow itself is the SDK's (`mcp.client.auth`). The person's part of it is in `sign_in`, and where tokens
are kept is in `token_store`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.client.auth.utils import extract_field_from_www_auth
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)
from mcp_types import INTERNAL_ERROR
from pydantic import AnyUrl

from pmcp_lab.client.oauth.client_credentials import ClientCredentialsProvider, secret_of
from pmcp_lab.client.oauth.sign_in import CALLBACK, PortTaken, SignIn
from pmcp_lab.client.oauth.token_store import TokenStore, delete_record
from pmcp_lab.client.runtime import seen
from pmcp_lab.client.targets import ClientCredentials, OAuth, Url
from pmcp_lab.errors import LabError, SignInFailed

# The SDK logs a stack for each flow that fails; here every one becomes an error that says what to do.
logging.getLogger("mcp.client.auth.oauth2").addHandler(logging.NullHandler())

_TIMEOUT = 30.0
"""Seconds for an authorization server to answer."""
_FOR_ANOTHER_KERNEL = (0.1, 0.4)
"""Seconds between looks at what is kept, after a renewal was refused: another kernel may have been first."""


class Provider(OAuthClientProvider):
    """The SDK's flow, with tokens that are renewed before a person is asked and kept with all it takes to do so.

    One per target: connections to the same one share it.
    """

    def __init__(self, target: Url, settings: OAuth) -> None:
        self.sign_in = SignIn(str(target), settings)
        self._settings = settings
        where = urlsplit(target.url)._replace(query="", fragment="").geturl()
        self.store = TokenStore(account(target, settings), keep=settings.keep, found=self._found)
        self._port = settings.port or _port_of(self.store.record()) or _free_port()
        redirect = _redirect_uri(self._port)
        if settings.client_id is not None:
            method = "none" if settings.client_secret is None else "client_secret_post"
            self.store.client = OAuthClientInformationFull(
                client_id=settings.client_id,
                client_secret=settings.client_secret,
                redirect_uris=[redirect],
                token_endpoint_auth_method=method,
            )
        metadata = OAuthClientMetadata(
            redirect_uris=[redirect],
            client_name="pmcp_lab",
            scope=settings.scope,
            token_endpoint_auth_method="none",  # noqa: S106 - a program on one's own machine can't keep a secret
        )
        self._url = ""
        self._renewal: asyncio.Task[None] | None = None
        super().__init__(
            where,
            metadata,
            self.store,
            redirect_handler=self._redirect,
            callback_handler=self._callback,
            client_metadata_url=settings.client_metadata_url,
        )

    async def _redirect(self, url: str) -> None:
        self._url = url

    async def _callback(self) -> AuthorizationCodeResult:
        try:
            return await self.sign_in.answer(self._url, self._port)
        except PortTaken:
            if not self._settings.port:
                await asyncio.to_thread(self.store.forget)  # the client was registered with that port
                self._port = _free_port()
                self.context.client_info = None
                self.context.client_metadata.redirect_uris = [_redirect_uri(self._port)]
            raise

    def _found(self) -> dict[str, Any]:
        """What a renewal in a later kernel needs: else the SDK would send the refresh token to the MCP server."""
        context = self.context
        return {
            "issuer": context.auth_server_url,
            "server": _raw(context.oauth_metadata),
            "resource": _raw(context.protected_resource_metadata),
        }

    async def _recall(self, known: OAuthToken | None) -> None:
        """Take what is kept, which another kernel may have renewed, unless it is what is known already."""
        context = self.context
        before = context.current_tokens
        record = await asyncio.to_thread(self.store.record)
        tokens = record.get("tokens")
        if not tokens or context.current_tokens is not before:
            return
        if known is not None and known.access_token == tokens["access_token"]:
            return
        context.current_tokens = OAuthToken.model_validate(tokens)
        context.token_expiry_time = record.get("expires_at")
        context.client_info = await self.store.get_client_info()
        found = record.get("found") or {}
        if context.oauth_metadata is None and found.get("server"):
            context.oauth_metadata = OAuthMetadata.model_validate(found["server"])
            context.auth_server_url = found.get("issuer")
        if context.protected_resource_metadata is None and found.get("resource"):
            context.protected_resource_metadata = ProtectedResourceMetadata.model_validate(found["resource"])

    async def _renew(self, request: httpx2.Request) -> None:
        """Have a token that counts, if that takes nobody to sign in: for this request and all that wait with it.

        In a task of its own, for a refresh token can often be used but once: what a request that is given up
        has begun must end, or the new one is lost and a person has to sign in again.
        """
        if self._renewal is None or self._renewal.done():
            like = httpx2.Request(request.method, request.url, headers=request.headers)
            self._renewal = asyncio.create_task(self._renewed(like, super().async_auth_flow(like)))
            self._renewal.add_done_callback(seen)
        await asyncio.shield(self._renewal)

    async def _renewed(self, request: httpx2.Request, flow: AsyncGenerator[httpx2.Request, httpx2.Response]) -> None:
        context = self.context
        await self._recall(context.current_tokens)
        if context.is_token_valid() or not context.can_refresh_token():
            return
        used = context.current_tokens
        async with httpx2.AsyncClient(timeout=_TIMEOUT) as client, contextlib.aclosing(flow):
            outgoing = await anext(flow)
            while outgoing is not request:
                outgoing = await flow.asend(await client.send(outgoing))
        for pause in _FOR_ANOTHER_KERNEL:
            if context.is_token_valid():
                return
            await asyncio.sleep(pause)
            await self._recall(used)

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        context = self.context
        # Not by way of the SDK, which holds a lock until the answer starts: a slow call would stop all others.
        for _ in ("as it is", "renewed"):
            if not context.is_token_valid():
                await self._renew(request)
            sent = context.current_tokens
            if sent is None or not context.is_token_valid():
                break
            request.headers["Authorization"] = f"Bearer {sent.access_token}"
            response = yield request
            if response.status_code not in (401, 403):
                return
            if response.status_code == 403 and extract_field_from_www_auth(response, "error") != "insufficient_scope":
                return
            if response.status_code == 401 and context.current_tokens is sent:
                context.token_expiry_time = 1.0  # whatever the server said of it; renew it before asking a person
            await self._renew(request)
            if context.current_tokens is sent:
                break
        flow = super().async_auth_flow(request)
        try:
            outgoing = await anext(flow)
            while True:
                outgoing = await flow.asend((yield outgoing))
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()

    def secrets(self) -> Iterable[str]:
        """What must not appear in any text."""
        tokens, client = self.context.current_tokens, self.context.client_info
        found = [tokens and tokens.access_token, tokens and tokens.refresh_token, client and client.client_secret]
        return [secret for secret in (*found, self._settings.client_secret) if secret]


def _raw(model: Any) -> Any:
    return None if model is None else model.model_dump(mode="json", exclude_none=True)


def _port_of(record: Mapping[str, Any]) -> int | None:
    """The port that a client which is kept was registered with."""
    uris = (record.get("client") or {}).get("redirect_uris") or [""]
    return urlsplit(str(uris[0])).port


def _redirect_uri(port: int) -> AnyUrl:
    return AnyUrl(f"http://127.0.0.1:{port}{CALLBACK}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def account(target: Url, settings: OAuth | ClientCredentials) -> str:
    """What tells one sign-in from another; nothing in it is secret."""
    if isinstance(settings, ClientCredentials):
        return json.dumps([target.place, settings.client_id, settings.scope, settings.issuer])
    return json.dumps([target.place, settings.client_id or settings.client_metadata_url, settings.scope])


_providers: dict[Url, Provider | ClientCredentialsProvider] = {}


def provider(target: Url) -> Provider | ClientCredentialsProvider | None:
    """What lets its requests in; None where a target has nothing of the kind.

    Raises:
        SignInFailed: A program's secret is not where its target says.
    """
    settings = target.auth
    if settings is None:
        return None
    known = _providers.get(target)
    if isinstance(settings, OAuth):
        known = known or Provider(target, settings)
    elif not isinstance(known, ClientCredentialsProvider) or known.secret != secret_of(settings):
        known = ClientCredentialsProvider(target, settings)
    _providers[target] = known
    return known


class AuthorizedClient(httpx2.AsyncClient):
    """An HTTP client that signs in as its target says, and tells refusals as JSON-RPC errors for people."""

    def __init__(self, target: Url, **options: Any) -> None:
        self._target = target
        self._provider = provider(target)
        super().__init__(headers=dict(target.headers), auth=self._provider, **options)

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        try:
            response = await super().send(request, **options)
        except (OAuthFlowError, SignInFailed) as error:
            return self._refused(request, self._explained(error))
        challenged = response.status_code == 401 or "www-authenticate" in response.headers
        if response.status_code not in (401, 403) or not challenged or request.method != "POST":
            return response
        detail = extract_field_from_www_auth(response, "error_description") or ""
        await response.aclose()
        return self._refused(request, self._refusal(response.status_code, detail[:200]))

    def _refused(self, request: httpx2.Request, message: str) -> httpx2.Response:
        # Where a program is refused, no person can help by signing in.
        who = "program" if isinstance(self._target.auth, ClientCredentials) else True
        error = {"code": INTERNAL_ERROR, "message": message, "data": {"refused": who}}
        return httpx2.Response(403, json={"jsonrpc": "2.0", "id": None, "error": error}, request=request)

    def _explained(self, error: Exception) -> str:
        if isinstance(error, LabError):
            return error.message
        auth = self._target.auth
        who = f" as client {auth.client_id!r}" if isinstance(auth, ClientCredentials) else ""
        text = f"Can't sign in at {self._target}{who}: {self._target.scrubbed(str(error))}"
        for secret in self._provider.secrets() if self._provider else ():
            text = text.replace(secret, "…")
        return text

    def _refusal(self, status: int, detail: str) -> str:
        said = f" ({status}: {detail})" if detail else f" ({status})"
        if status == 403:
            return f"it does not let you do this{said}"
        if isinstance(self._provider, ClientCredentialsProvider):
            return f"it refuses {self._provider.who}{said}"
        if self._provider is not None:
            return f"it refuses your sign-in{said}. Sign in anew: sign_out({self._target.place!r}), then connect again"
        if any(name.lower() == "authorization" for name, _ in self._target.headers):
            return f"it refuses the token{said}, which is wrong or has expired: connect again with a new token=…"
        return f'it wants to know who you are{said}: connect with auth="oauth" to sign in, or with token=…'


def sign_out(url: str, auth: OAuth | ClientCredentials | None = None) -> None:
    """Forget a sign-in, here and in later kernels. A connection that stands has to be closed first.

    Args:
        url: The server's, as it was given to `connect`.
        auth: The same, when it named a client or a scope.
    """
    wanted = account(Url(url), auth or OAuth())
    for target in [each for each in _providers if each.auth and account(each, each.auth) == wanted]:
        del _providers[target]
    delete_record(wanted)
