"""An MCP server that wants a token, and the authorization server that gives them out, in one process."""

from __future__ import annotations

import base64
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from anyio import to_thread
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    RefreshToken,
    construct_redirect_uri,
)
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyHttpUrl
from starlette.responses import JSONResponse, Response


class Guard:
    """Lets everybody in who asks. `life` is what tokens live, in seconds."""

    def __init__(self) -> None:
        self.life: int | None = 3600
        self.clients: dict[str, OAuthClientInformationFull] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        self.access: dict[str, AccessToken] = {}
        self.refresh: dict[str, RefreshToken] = {}
        self.given: list[str] = []
        """Every secret there ever was."""
        self.authorized = 0
        self.renewed = 0
        self.programs: dict[str, str] = {}
        """Clients that are let in without a person, and their secrets."""
        self.asked: list[str] = []
        """Which of them asked for a token."""
        self.useless = False
        """What is given lets nobody in."""
        self.refuse = False
        self.forbidden = False
        """Everything is refused with 403, whoever asks, and not for want of a scope."""
        self.turned_away: list[str] = []
        """The methods of those."""
        self.entered = threading.Event()
        """The tool `hold` was called, which ends with `leave`."""
        self.leave = threading.Event()
        self.renewing = threading.Event()
        """A token is being renewed: the old one is used up, the new one not yet on its way."""
        self.refused = threading.Event()
        """A token was to be renewed with what was used up."""
        self.renew = threading.Event()
        self.renew.set()

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        self.authorized += 1
        if self.refuse:
            return construct_redirect_uri(
                str(params.redirect_uri), error="access_denied", error_description="not you", state=params.state
            )
        code = self._secret()
        self.codes[code] = AuthorizationCode(
            code=code,
            client_id=client.client_id,
            scopes=params.scopes or [],
            expires_at=time.time() + 60,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
        )
        return construct_redirect_uri(str(params.redirect_uri), code=code, state=params.state)

    async def load_authorization_code(self, client: Any, authorization_code: str) -> AuthorizationCode | None:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(self, client: Any, authorization_code: AuthorizationCode) -> OAuthToken:
        del self.codes[authorization_code.code]
        return self._give(client.client_id, authorization_code.scopes)

    async def load_refresh_token(self, client: Any, refresh_token: str) -> RefreshToken | None:
        if refresh_token not in self.refresh:
            self.refused.set()
        return self.refresh.get(refresh_token)

    async def exchange_refresh_token(self, client: Any, refresh_token: RefreshToken, scopes: list[str]) -> OAuthToken:
        del self.refresh[refresh_token.token]
        self.renewed += 1
        self.renewing.set()
        await to_thread.run_sync(self.renew.wait, 10)
        return self._give(client.client_id, scopes)

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.access.get(token)

    async def revoke_token(self, token: Any) -> None:
        self.access.pop(token.token, None)

    def _secret(self) -> str:
        self.given.append(secrets.token_urlsafe(24))
        return self.given[-1]

    def _give(self, client_id: str, scopes: list[str]) -> OAuthToken:
        access, refresh = self._secret(), self._secret()
        if not self.useless:
            self.access[access] = AccessToken(token=access, client_id=client_id, scopes=scopes)
        self.refresh[refresh] = RefreshToken(token=refresh, client_id=client_id, scopes=scopes)
        return OAuthToken(access_token=access, refresh_token=refresh, expires_in=self.life, scope=" ".join(scopes))

    def let_in(self, authorization: str) -> Response:
        """OAuth's grant for programs, which the SDK's server does not know (RFC 6749, section 4.4)."""
        client, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        self.asked.append(client)
        if self.programs.get(client) != secret:
            return JSONResponse({"error": "invalid_client", "error_description": "who is that?"}, 401)
        token = self._give(client, ["use"]).model_dump(exclude={"refresh_token"}, exclude_none=True)
        return JSONResponse(token)

    def end_access(self) -> None:
        """No access token counts any more, whatever was said of its life."""
        self.access.clear()

    def narrow(self) -> None:
        """What was given so far is not enough any more: 403, `insufficient_scope`."""
        self.access = {name: token.model_copy(update={"scopes": []}) for name, token in self.access.items()}


@contextmanager
def guarded_server(guard: Guard, *, json_response: bool = False, issuer: str | None = None) -> Iterator[str]:
    """URL of the MCP server, which sends people to itself or to `issuer`."""
    listening = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server: MCPServer[Any] = MCPServer(
        "guarded",
        auth_server_provider=guard,
        auth=AuthSettings(
            issuer_url=AnyHttpUrl(issuer or base),
            resource_server_url=AnyHttpUrl(f"{base}/mcp"),
            validate_token_resource=False,
            required_scopes=["use"],
            client_registration_options=ClientRegistrationOptions(
                enabled=True, valid_scopes=["use"], default_scopes=["use"]
            ),
        ),
        log_level="ERROR",
    )

    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool()
    async def hold() -> str:
        guard.entered.set()
        await to_thread.run_sync(guard.leave.wait, 10)
        return "held"

    app = server.streamable_http_app(json_response=json_response)

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if guard.forbidden and scope.get("path") == "/mcp":
            guard.turned_away.append(dict(scope["headers"]).get(b"mcp-method", b"").decode())
            await Response("not here", 403, {"www-authenticate": 'Bearer error="access_denied"'})(scope, receive, send)
        elif guard.programs and scope.get("path") == "/token":
            await guard.let_in(dict(scope["headers"])[b"authorization"].decode())(scope, receive, send)
        else:
            await app(scope, receive, send)

    uvi = uvicorn.Server(uvicorn.Config(guarded, log_level="critical", timeout_graceful_shutdown=1, lifespan="on"))
    thread = threading.Thread(target=uvi.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"{base}/mcp"
    finally:
        guard.leave.set()
        uvi.should_exit = True
        thread.join(10)
        listening.close()
