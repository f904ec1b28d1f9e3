"""The preview's web server: the page, its code, a stream of events down and requests up. On the loopback interface."""

from __future__ import annotations

import concurrent.futures
import json
import re
import secrets
import socket
from collections.abc import AsyncIterator
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pmcp_lab.client import runtime
from pmcp_lab.errors import LabError
from pmcp_lab.host import built
from pmcp_lab.preview.guard import Guard
from pmcp_lab.preview.page import Page

ADDRESS = "127.0.0.1"
LARGEST = 16 * 1024 * 1024
"""Bytes of one request of a page."""
STYLES = "preview.css"
HEADERS = {
    # The app's frame inherits what is said here of scripts and styles, so nothing is.
    "content-security-policy": "frame-ancestors 'none'; object-src 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pmcp-lab preview</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/{styles}">
<body>
<noscript>The preview needs JavaScript.</noscript>
<script type="module" src="/static/{code}"></script>
"""


class Shown(Protocol):
    """What is behind the pages that are served."""

    bundle: str
    """The code of the page."""
    pages: dict[str, Page]

    def page(self, name: str) -> Page: ...

    def received(self, page: Page, message: dict[str, Any]) -> None: ...

    async def close(self) -> None: ...


class Headed:
    """ASGI middleware: says with every answer what the browser may do with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name for name, _ in message["headers"]}
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *(each for each in more if each[0] not in known)]
            await send(message)

        await self._app(scope, receive, headed)


def web_app(session: Shown, port: int, token: str) -> Starlette:
    """The ASGI application.

    Args:
        port: Where it is served; the page may be called by no other address.
        token: What a browser has to know.
    """

    code = f"{session.bundle}.js"
    files = {code: "text/javascript", STYLES: "text/css"}

    async def page(_: Request) -> Response:
        return HTMLResponse(PAGE.format(code=code, styles=STYLES))

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in files:
            return Response(status_code=404)
        return Response(built(name).read_bytes(), media_type=files[name])

    async def events(request: Request) -> Response:
        name = request.query_params.get("page", "")
        if not re.fullmatch(r"[a-z0-9]{8,40}", name):
            return Response("A page has an id.\n", 400)
        last = request.headers.get("last-event-id", "")
        if last and name not in session.pages:
            # It slept for too long, and what it shows is not known here any more.
            return StreamingResponse(_once({"kind": "stale"}), media_type="text/event-stream")
        stream = session.page(name).stream(int(last) if last.isdecimal() else 0)
        return StreamingResponse(stream, media_type="text/event-stream")

    async def send(request: Request) -> Response:
        if int(request.headers.get("content-length") or LARGEST + 1) > LARGEST:
            return Response("This is too large.\n", 413)
        try:
            body = json.loads(await request.body())
            found, messages = session.pages[body["page"]], body["messages"]
        except (ValueError, TypeError, KeyError):
            return Response("No page of this preview sends that.\n", 400)
        for message in messages if isinstance(messages, list) else ():
            if isinstance(message, dict):
                session.received(found, message)
        return JSONResponse({})

    routes = [
        Route("/", page),
        Route("/static/{name}", static),
        Route("/events", events),
        Route("/send", send, methods=["POST"]),
    ]
    hosts = [f"{name}:{port}" for name in (ADDRESS, "localhost")]
    return Starlette(routes=routes, middleware=[Middleware(Headed), Middleware(Guard, hosts=hosts, token=token)])


async def _once(message: dict[str, Any]) -> AsyncIterator[str]:
    yield f"data: {json.dumps(message)}\n\n"


class PreviewServer:
    """Serves a session until it is closed.

    Args:
        port: TCP port on the loopback interface; 0 takes a free one.

    Raises:
        LabError: The port is taken.
    """

    def __init__(self, session: Shown, port: int = 0) -> None:
        self.session = session
        self.token = secrets.token_urlsafe(24)
        # asyncio turns off Nagle's algorithm only where the protocol is named.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((ADDRESS, port))
        except OSError as error:
            self._socket.close()
            raise LabError(f"can't listen on {ADDRESS}:{port}: {error.strerror}. Choose another with --port.") from None
        self._socket.listen(128)
        self.port = int(self._socket.getsockname()[1])
        app = web_app(session, self.port, self.token)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, lifespan="off")
        self._uvicorn = uvicorn.Server(config)
        self._serving: concurrent.futures.Future[None] | None = None

    @property
    def url(self) -> str:
        """Where the page is, with the key to it."""
        return f"http://{ADDRESS}:{self.port}/?token={self.token}"

    def start(self) -> None:
        """Serve on the background thread."""
        self._serving = runtime().start(self._uvicorn.serve(sockets=[self._socket]))

    def wait(self) -> None:
        """Return when it is closed, or at an interrupt."""
        if self._serving is not None:
            runtime().wait(self._serving)

    def close(self) -> None:
        runtime().run(self.session.close())
        self._uvicorn.should_exit = True
        self.wait()
        self._socket.close()
