"""Signing in to HTTP servers: OAuth with a person at a browser, tokens that renew themselves, clear refusals.

The flow itself is the SDK's (`mcp.client.auth`). Here is what it leaves to its host: the redirect, the
person, what outlives the process, and renewing without asking anybody. Where tokens are kept is in
`token_store`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import html
import json
import logging
import os
import queue
import socket
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit

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

from pmcp_lab.client.runtime import SLICE
from pmcp_lab.client.token_store import TokenStore, delete_record
from pmcp_lab.errors import LabError, SignInFailed

if TYPE_CHECKING:
    from pmcp_lab.client.target import Url

# The SDK logs a stack for each flow that fails; here every one becomes an error that says what to do.
logging.getLogger("mcp.client.auth.oauth2").addHandler(logging.NullHandler())

CALLBACK = "/callback"
_ELSEWHERE = ("JUPYTERHUB_USER", "SSH_CONNECTION", "COLAB_RELEASE_TAG", "CODESPACES", "KUBERNETES_SERVICE_HOST")


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


class _PortTaken(SignInFailed):
    pass


class SignIn:
    """What lies between the connection's loop, which needs a person, and the cell where one sits."""

    def __init__(self, where: str, settings: OAuth) -> None:
        self.where = where
        self.settings = settings
        self._attended = False
        self._failed: SignInFailed | None = None
        self._wanted: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._pasted: concurrent.futures.Future[str] = concurrent.futures.Future()

    # --- in the cell ---

    def attend(
        self,
        ready: concurrent.futures.Future[Any],
        show: Callable[[str, str], Callable[[], object]],
        ask: Callable[[str], str],
    ) -> None:
        """Wait for a connection, and for the person when it needs one.

        Args:
            show: Called with the server and the address to sign in at; returns how to take the address away.
            ask: Called with a prompt, in the "paste" way; must not show what is typed.
        """
        self._attended, self._failed = True, None
        self._wanted = queue.SimpleQueue()
        hide: Callable[[], object] = int
        try:
            while not ready.done():
                concurrent.futures.wait([ready], timeout=SLICE)
                if self._wanted.empty():
                    continue
                url = self._wanted.get()
                if self.settings.open is None:
                    hide()  # a server may want more than one sign-in
                    hide = show(self.where, url)
                if self.settings.pasted:
                    answer = ask("The address you were sent to (it is not shown): ")
                    with contextlib.suppress(concurrent.futures.InvalidStateError):  # it came too late
                        self._pasted.set_result(answer)
        finally:
            self._attended = False
            hide()
        ready.result()

    # --- on the connection's loop ---

    async def answer(self, url: str, port: int) -> AuthorizationCodeResult:
        """Send the person to `url` and wait for what they come back with.

        Raises:
            SignInFailed: Nobody is there, they took too long, or the server said no.
        """
        if not self._attended:
            raise SignInFailed(
                f"{self.where} wants you to sign in again, and no cell is waiting that could show you where: "
                "close the connection and connect again."
            )
        if self._failed is not None:
            raise self._failed  # the handshake has more than one request, the person said it once
        try:
            return await self._answer(url, port)
        except SignInFailed as error:
            self._failed = error
            raise

    async def _answer(self, url: str, port: int) -> AuthorizationCodeResult:
        state = parse_qs(urlsplit(url).query).get("state", [""])[0]
        try:
            async with asyncio.timeout(self.settings.timeout):
                if self.settings.pasted:
                    self._pasted = concurrent.futures.Future()
                    await self._send(url)
                    return self._read(await asyncio.wrap_future(self._pasted), state)
                async with _redirected(port, state, self.where) as arrived:
                    await self._send(url)
                    return self._read(await arrived, state)
        except TimeoutError:
            raise SignInFailed(
                f"Nobody signed in at {self.where} within {self.settings.timeout:g} s. Connect again; if your browser "
                "could not open the last page, the kernel runs on another machine: use "
                'auth=OAuth(redirect="paste").'
            ) from None

    async def _send(self, url: str) -> None:
        if self.settings.open is not None:
            await asyncio.to_thread(self.settings.open, url)
        self._wanted.put(url)

    def _read(self, text: str, state: str) -> AuthorizationCodeResult:
        """The answer in an address, or a bare code."""
        text = text.strip()
        given = {name: values[0] for name, values in parse_qs(urlsplit(text).query).items()}
        if not given and text and "/" not in text:
            given = {"code": text, "state": state}
        if "error" in given:
            why = given.get("error_description") or given["error"]
            raise SignInFailed(f"{self.where} did not let you in: {why[:200]}")
        if "code" not in given:
            raise SignInFailed(
                "There is no code in what was pasted. It should be the whole address of the page that could not be "
                f"opened: http://127.0.0.1:…{CALLBACK}?code=…&state=…"
            )
        return AuthorizationCodeResult(code=given["code"], state=given.get("state"), iss=given.get("iss"))


@contextlib.asynccontextmanager
async def _redirected(port: int, state: str, where: str) -> AsyncGenerator[asyncio.Future[str]]:
    """Listens on a loopback port; the future has the address that the browser was sent to."""
    arrived: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            line = (await reader.readline()).decode("latin-1").split()
            while (await reader.readline()).strip():
                continue  # the headers
            target = line[1] if len(line) > 1 else ""
            ours = urlsplit(target).path == CALLBACK and parse_qs(urlsplit(target).query).get("state") == [state]
            # Any page may send a browser here; only who knows the state is the server.
            text = f"That is all: {where} has answered. You can close this page." if ours else "Nothing here."
            body = f"<!doctype html><meta charset=utf-8><title>pmcp_lab</title><p>{html.escape(text)}</p>".encode()
            head = f"HTTP/1.1 {'200 OK' if ours else '404 Not Found'}\r\nContent-Type: text/html; charset=utf-8\r\n"
            head += f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
            if ours and not arrived.done():
                arrived.set_result(target)

    try:
        server = await asyncio.start_server(serve, "127.0.0.1", port)
    except OSError:
        raise _PortTaken(
            f"Port {port}, to which {where} would send your browser back, is taken by another program. "
            "Connect again, or give another one: auth=OAuth(port=…)."
        ) from None
    async with server:
        yield arrived


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
        except _PortTaken:
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

    async def _recall(self) -> None:
        """Take what is kept, which another kernel may have renewed."""
        record = await asyncio.to_thread(self.store.record)
        tokens = record.get("tokens")
        context = self.context
        if not tokens or (context.current_tokens and context.current_tokens.access_token == tokens["access_token"]):
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

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        context = self.context
        if not context.is_token_valid():
            await self._recall()
        if context.is_token_valid() and context.current_tokens is not None:
            # Not by way of the SDK, which holds a lock until the answer starts: a slow call would stop all others.
            sent = context.current_tokens.access_token
            request.headers["Authorization"] = f"Bearer {sent}"
            response = yield request
            if response.status_code not in (401, 403):
                return
            if response.status_code == 403 and extract_field_from_www_auth(response, "error") != "insufficient_scope":
                return
            await self._recall()
            if response.status_code == 401 and context.current_tokens.access_token == sent:
                context.token_expiry_time = 1.0  # whatever the server said of it; renew it before asking a person
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


def account(target: Url, settings: OAuth) -> str:
    """What tells one sign-in from another; nothing in it is secret."""
    return json.dumps([str(target), settings.client_id or settings.client_metadata_url, settings.scope])


_providers: dict[Url, Provider] = {}


def provider(target: Url) -> Provider | None:
    """The sign-in of a target; None where it has none."""
    if target.auth is None:
        return None
    if target not in _providers:
        _providers[target] = Provider(target, target.auth)
    return _providers[target]


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
            return _refused(request, self._told(error))
        challenged = response.status_code == 401 or "www-authenticate" in response.headers
        if response.status_code not in (401, 403) or not challenged or request.method != "POST":
            return response
        detail = extract_field_from_www_auth(response, "error_description") or ""
        await response.aclose()
        return _refused(request, self._refusal(response.status_code, detail[:200]))

    def _told(self, error: Exception) -> str:
        if isinstance(error, LabError):
            return error.message
        text = f"Can't sign in at {self._target}: {error}"
        for secret in self._provider.secrets() if self._provider else ():
            text = text.replace(secret, "…")
        return text

    def _refusal(self, status: int, detail: str) -> str:
        said = f" ({status}: {detail})" if detail else f" ({status})"
        if status == 403:
            return f"it does not let you do this{said}"
        if self._provider is not None:
            return f"it refuses your sign-in{said}. Sign in anew: sign_out({str(self._target)!r}), then connect again"
        if any(name.lower() == "authorization" for name, _ in self._target.headers):
            return f"it refuses the token{said}, which is wrong or has expired: connect again with a new token=…"
        return f'it wants to know who you are{said}: connect with auth="oauth" to sign in, or with token=…'


def _refused(request: httpx2.Request, message: str) -> httpx2.Response:
    error = {"code": INTERNAL_ERROR, "message": message, "data": {"refused": True}}
    return httpx2.Response(403, json={"jsonrpc": "2.0", "id": None, "error": error}, request=request)


def sign_out(url: str, auth: OAuth | None = None) -> None:
    """Forget a sign-in, here and in later kernels. A connection that stands has to be closed first.

    Args:
        url: The server's, as it was given to `connect`.
        auth: The same, when it named a client or a scope.
    """
    from pmcp_lab.client.target import Url

    wanted = account(Url(url), auth or OAuth())
    for target in [each for each in _providers if each.auth and account(each, each.auth) == wanted]:
        del _providers[target]
    delete_record(wanted)
