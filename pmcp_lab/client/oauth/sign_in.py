"""The person's part of signing in: where they are sent, and how what they come back with arrives.

What is asked of them and what becomes of it is in `flow`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import html
import queue
from collections.abc import AsyncGenerator, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mcp.shared.auth import AuthorizationCodeResult

from pmcp_lab.client.runtime import SLICE
from pmcp_lab.client.targets import OAuth
from pmcp_lab.errors import SignInFailed

CALLBACK = "/callback"


class PortTaken(SignInFailed):
    """The browser can't be sent back to the port that the client was registered with."""


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
        raise PortTaken(
            f"Port {port}, to which {where} would send your browser back, is taken by another program. "
            "Connect again, or give another one: auth=OAuth(port=…)."
        ) from None
    async with server:
        yield arrived
