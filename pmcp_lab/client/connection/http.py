"""What HTTP says beside MCP: a server that is gone, a session that ended, a server that is busy.

The SDK lets a refused connection end the whole transport and drops an answer's status and headers. Here
each becomes a JSON-RPC error of the one request it happened to, which `peer` reads.
"""

from __future__ import annotations

import html
import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import anyio
import httpx2
from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR, METHOD_NOT_FOUND, REQUEST_TIMEOUT

from pmcp_lab.client.connection.accepted import Accepted
from pmcp_lab.client.connection.refusals import BROKE, BUSY, RETRY_AFTER, UNDELIVERED
from pmcp_lab.client.oauth import AuthorizedClient
from pmcp_lab.client.targets import Url
from pmcp_lab.protocol import address

_READ, _SHOWN = 65_536, 200
"""Of what answers instead of a server: bytes that are looked at, characters that are quoted."""
_TITLE = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)
_SIGN_IN = re.compile(r"log[-_]?in|sign[-_]?in|auth|sso", re.IGNORECASE)

_SESSION = "mcp-session-id"
_BUSY = {429, 502, 503, 504}
_TIMEOUT = httpx2.Timeout(30.0, read=300.0)
# A question of a legacy task keeps its request open until it is answered, and there may be many.
# And uvicorn and Node close an idle connection after 5 s: one that is kept as long is at times used just then.
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=2.0)
_REACH_TIMEOUT = 2.0
"""Seconds for a server to accept a connection."""


class _Worthwhile(logging.Filter):
    """What other packages log of requests, without what is secret in a URL and what is nothing to anybody."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], anyio.BrokenResourceError | anyio.ClosedResourceError):
            return False  # "Error parsing SSE message": its reader has gone, because the connection was closed
        record.msg, record.args = address.within(record.getMessage()), None
        # What answers instead of a server is told where the connection fails, and once. A session that its server does
        # not end with a 200 or 204 (rmcp says 202) is over for us all the same.
        return not record.msg.startswith(("Unexpected content type", "Redirect to", "Session termination failed"))


for _name in ("httpx2", "mcp.client.streamable_http"):
    logging.getLogger(_name).addFilter(_Worthwhile())


class HttpClient(AuthorizedClient):
    """The client under a streamable HTTP transport.

    Args:
        target: What is sent with every request, and how to be let in.
        on_loss: Called with the reason when the server or the session is gone. Returns False before the
            connection stands: what goes wrong then is the handshake's to tell.
        on_stranger: Called with what it is instead when an answer is none of an MCP server's.
        accepted: Waits for the answers that come on the session's stream.
    """

    def __init__(
        self,
        target: Url,
        on_loss: Callable[[str], bool],
        on_stranger: Callable[[str], None],
        accepted: Accepted,
    ) -> None:
        super().__init__(target, timeout=_TIMEOUT, limits=_LIMITS)
        self._accepted = accepted
        accepted.lose = self._lose
        self._on_loss = on_loss
        self._on_stranger = on_stranger
        self._lost = False

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        if self._lost and request.method == "DELETE":
            return httpx2.Response(204, request=request)  # the session that is to end has ended
        if self._lost:
            raise httpx2.ConnectError("the connection was given up", request=request)
        opens_stream = self._accepted.asks(request)
        try:
            response = await super().send(request, **options)
        except httpx2.ReadTimeout:
            if opens_stream:
                self._accepted.refused("the server does not answer to a request for one")
            if request.method != "POST":
                raise
            return _error(request, REQUEST_TIMEOUT, f"no answer within {_TIMEOUT.read:g} s")
        except httpx2.TransportError as error:
            reason = str(error) or type(error).__name__
            unsent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            if not unsent and request.method == "POST" and await _reachable(request.url):
                # One connection of several broke, and with it this request alone.
                text = f"the connection broke before the answer came ({reason}): nobody knows whether it was done"
                return _error(request, CONNECTION_CLOSED, text, {UNDELIVERED: False, BROKE: True})
            if not self._lose(reason):
                if opens_stream:
                    self._accepted.refused(f"it could not be opened ({reason})")
                raise
            return _error(request, CONNECTION_CLOSED, reason, {UNDELIVERED: unsent})
        if request.method == "POST" and response.status_code == 202:
            return self._accepted.take(response)
        if request.method == "POST" and (said := await stranger(response)):
            self._on_stranger(said)
        if response.status_code in _BUSY:
            if opens_stream:
                self._accepted.opened(response)
            await response.aclose()
            data = {BUSY: response.status_code, RETRY_AFTER: seconds(response.headers.get("retry-after"))}
            return _error(request, INTERNAL_ERROR, f"{response.reason_phrase} (HTTP {response.status_code})", data)
        if request.headers.get(_SESSION) and await _ended(response) and self._lose("its session ended"):
            await response.aclose()
            return _error(request, CONNECTION_CLOSED, "the session ended", {UNDELIVERED: True})
        if opens_stream:
            self._accepted.opened(response)
        return response

    def _lose(self, reason: str) -> bool:
        self._lost = self._on_loss(reason)
        return self._lost


async def stranger(response: httpx2.Response) -> str | None:
    """What answers there, if that is no MCP server: in words, with what to do."""
    status, kind = response.status_code, response.headers.get("content-type", "").partition(";")[0].strip().lower()
    place = response.request.url.copy_with(query=None, fragment=None)
    if status in (301, 302, 303, 307, 308):
        return _redirected(place, response.headers.get("location", ""))
    page = kind in ("text/html", "application/xhtml+xml")
    if not page and (status < 400 or status == 401):
        return None
    try:
        with anyio.fail_after(_REACH_TIMEOUT):
            text = (await response.aread())[:_READ].decode("utf-8", "replace")
    except (TimeoutError, httpx2.HTTPError):
        text = ""
    if kind == "application/json" and '"jsonrpc"' in text:
        return None
    line = _title(text) if page else next((line.strip() for line in text.splitlines() if line.strip()), "")
    said = f": {line[:_SHOWN]!r}" if line else ""
    what = f"it answers with a page of HTML{said}" if page and status < 400 else f"HTTP {status}"
    if status >= 400:
        what += f" {response.reason_phrase}".rstrip() + said
    if (status in (404, 405) or page) and not place.path.rstrip("/").endswith("/mcp"):
        what += f". MCP servers are often at {place.copy_with(path=place.path.rstrip('/') + '/mcp')}"
    return what


def _redirected(place: httpx2.URL, location: str) -> str:
    try:
        to = place.join(location).copy_with(query=None, fragment=None)
    except (httpx2.InvalidURL, ValueError):
        return "it redirects to an address that is none"
    if _SIGN_IN.search(to.path):
        return f'it sends you to {to} to sign in: connect with auth="oauth", or with token=…'
    return f"it redirects to {to}: connect to that, if it is what you want"


def _title(page: str) -> str:
    found = _TITLE.search(page)
    return " ".join(html.unescape(found[1]).split()) if found else ""


async def _reachable(url: httpx2.URL) -> bool:
    """Whether somebody accepts connections there."""
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        with anyio.fail_after(_REACH_TIMEOUT):
            stream = await anyio.connect_tcp(url.host, port)
    except (OSError, TimeoutError):
        return False
    await stream.aclose()
    return True


async def _ended(response: httpx2.Response) -> bool:
    """Whether the server does not know the session (404, or what servers copied from the TypeScript SDK's examples)."""
    if response.status_code not in (400, 404):
        return False
    try:
        error = json.loads(await response.aread())["error"]
        code, message = error.get("code"), str(error.get("message"))
    except (ValueError, LookupError, TypeError, AttributeError):
        code, message = None, ""
    if response.status_code == 404:
        return bool(code != METHOD_NOT_FOUND)
    return bool(code == CONNECTION_CLOSED) and "session" in message.lower()


def _error(request: httpx2.Request, code: int, message: str, data: dict[str, Any] | None = None) -> httpx2.Response:
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message, "data": data or {}}}
    return httpx2.Response(502, json=body, request=request)


def seconds(retry_after: str | None) -> float | None:
    """A `Retry-After` header (RFC 9110 §10.2.3: seconds or a date) as seconds from now."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
