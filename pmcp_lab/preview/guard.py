"""Who may talk to the preview: a browser of this machine, at our own address, with the key that was printed.

A web page elsewhere can make a browser send requests here. It can neither know the key nor forge `Host` and `Origin`.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

KEYLESS = (
    "This preview is for the browser that was given its key: open the whole address that `pmcp-lab preview` printed "
    "(http://127.0.0.1:…/?token=…). If the preview was started again since, its key is a new one.\n"
)


class Guard:
    """ASGI middleware: refuses what is not for us.

    Args:
        hosts: `Host` headers that are ours, with the port.
        token: Must come in the address once, which becomes a cookie, or as a bearer token.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], token: str) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._token = token
        # Cookies know no ports: another preview must not take this one's place.
        self._cookie = f"pmcp_lab_preview_{min(self._hosts).rpartition(':')[2]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # a websocket is not answered, which uvicorn makes a refusal
        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is None:
            await self._app(scope, receive, send)
            return
        await refusal(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to what goes no further; None lets it through."""
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return PlainTextResponse("This is not the address of the preview.\n", 421)
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        # A page of another port of this machine is "same-site", and gets the cookie sent.
        foreign = (origin is not None and origin.lower() != f"http://{host}") or (
            site not in (None, "same-origin", "none") and scope["path"] != "/"
        )
        if foreign:
            return PlainTextResponse("Another site's page may not use the preview.\n", 403)
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._right(bearer):
            return None
        if scope["method"] == "GET" and scope["path"] == "/":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if self._right(given):
                # Out of the address, where it would be seen, kept in the history and sent along.
                entrance = RedirectResponse("/", 303)
                entrance.set_cookie(self._cookie, given, httponly=True, samesite="strict", path="/")
                return entrance
        if not self._right(self._cookie_of(headers)):
            return PlainTextResponse(KEYLESS, 403)
        if scope["method"] not in ("GET", "HEAD") and origin is None:
            return PlainTextResponse("A browser says where a request comes from.\n", 403)
        return None

    def _right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _cookie_of(self, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return found.value if found is not None else ""
