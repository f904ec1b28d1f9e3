"""The server that is previewed, and what its pages are told of it and ask of it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any

from pmcp_lab.client import (
    ClientCredentials,
    Command,
    Local,
    OAuth,
    Server,
    Tool,
    Url,
    client_of,
    connect,
    runtime,
)
from pmcp_lab.errors import AppError, ConnectionClosed, LabError
from pmcp_lab.host import PROFILES, STANDARD, BridgeMode, Profile, now, open_app, problems, read_app
from pmcp_lab.preview.catalogue import catalogue
from pmcp_lab.preview.page import Page, PreviewApp

BEAT = 2.0
"""Seconds between two questions whether the server is there, while somebody looks."""
PING_TIMEOUT = 5.0
"""Seconds after which a server that does not answer is said to be silent."""
FORGET = 60.0
"""Seconds after which a page that went away is forgotten."""


class PreviewSession:
    """One previewed server, for any number of pages. Lives on the background loop; `start` is for other threads.

    Args:
        target: As for `connect`.
        options: Keyword arguments of `connect`.
        profile: The host that is played at first: "standard" or "chatgpt".
        tool: A tool that is selected when a page is opened.
    """

    bundle = "preview"

    def __init__(
        self,
        target: object,
        options: Mapping[str, Any] | None = None,
        *,
        profile: str = STANDARD.name,
        tool: str | None = None,
    ) -> None:
        self.profile: Profile = PROFILES[profile]
        self.pages: dict[str, Page] = {}
        self.server: Server | None = None
        self._target = target
        self._options = dict(options or {})
        self._options["auth"] = self._signing_in(self._options.get("auth"))
        self._selected = tool
        self._status: dict[str, Any] = {"status": "connecting", "text": "Connecting…", "detail": ""}
        self._catalogue: dict[str, Any] = {"tools": [], "resources": []}
        self._sign_in: str | None = None
        self._refused = False
        """Whether the server wants to know who asks."""
        self._opening = asyncio.Lock()
        self._work: set[asyncio.Task[None]] = set()
        self._calls: dict[tuple[Page, object], asyncio.Task[None]] = {}

    # --- the server ---

    def start(self) -> None:
        """Connect, and return when it is known what came of it.

        Raises:
            LabError: It can't be connected to, for another reason than that one has to sign in.
        """
        runtime().call_soon(lambda: self._spawn(self._watch()))
        if isinstance(self._options["auth"], OAuth):
            # Where to sign in is said by the page.
            runtime().call_soon(lambda: self._spawn(self.reconnect()))
            return
        try:
            runtime().run(self._open())
        except LabError:
            if not self._refused:
                raise

    async def _open(self) -> None:
        async with self._opening:
            if self.server is not None and not self.server.closed:
                return
            self._say("connecting", "Connecting…")
            try:
                server = await asyncio.to_thread(connect, self._target, **self._options)
            except LabError as error:
                head, _, detail = error.message.partition("\n")
                self._refused = isinstance(error.data, dict) and error.data.get("refused") is True
                self._say("failed", head, detail)
                raise
            finally:
                self._ask_to_sign_in(None)
            self._adopt(server)
        await self._list()

    def _adopt(self, server: Server) -> None:
        """This is the connection from now on; open apps go on with it."""
        self.server = server
        self._refused = False
        client = client_of(server)
        client.connection.on_status.add(self._changed)
        client.list_changes.on_changed.add(self._relist)
        for page in self.pages.values():
            if page.app is not None:
                page.app.move(server)
        self._say("open", "Connected")

    def _changed(self) -> None:
        if self.server is None:
            return
        connection = client_of(self.server).connection
        match connection.status:
            case "open":
                self._say("open", "Connected")
                self._spawn(self._list())
            case "reconnecting":
                attempt = max(1, connection.attempt)
                self._say("reconnecting", f"Connection lost; trying again (attempt {attempt})", connection.loss)
            case "closed":
                self._say("closed", "Connection lost", connection.ending())

    def _relist(self, _method: str) -> None:
        self._spawn(self._list())

    async def _list(self) -> None:
        """Ask for tools and resources, and show what there is now."""
        server = self.server
        if server is None:
            return
        server.refresh()
        try:
            self._catalogue = await asyncio.to_thread(catalogue, server, self.profile)
        except ConnectionClosed:
            return  # the status says so, and they are listed again when it is back
        except LabError as error:
            self._tell({"kind": "note", "text": "The server's lists could not be read.", "detail": error.message})
            return
        self._tell({"kind": "catalogue", **self._catalogue})

    async def _watch(self) -> None:
        """See to it that the status is true, and that pages that are gone are forgotten."""
        seen: dict[str, float] = {}
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(BEAT)
            for name, page in list(self.pages.items()):
                if page.streams:
                    seen.pop(name, None)
                elif clock() > seen.setdefault(name, clock()) + FORGET:
                    del self.pages[name], seen[name]
                    page.close()
            if self.server is None or self.server.status != "open" or not any(p.streams for p in self.pages.values()):
                continue
            with contextlib.suppress(ConnectionClosed):  # the connection tells of that itself
                try:
                    await client_of(self.server).connection.peer.ping(PING_TIMEOUT)
                except TimeoutError:
                    self._say("silent", f"The server has not answered for {PING_TIMEOUT:g} s")
                else:
                    if self._status["status"] == "silent":
                        self._say("open", "Connected")

    async def reconnect(self) -> None:
        """What the button does: try now what is being tried, or connect anew."""
        server = self.server
        if server is not None and server.status == "reconnecting":
            client_of(server).connection.hurry()
            return
        if server is not None and not server.closed:
            client_of(server).connection.on_status.discard(self._changed)
            await client_of(server).close()
        with contextlib.suppress(LabError):  # the status says it
            await self._open()

    async def sign_in(self) -> None:
        """Connect with OAuth; the page gets the link."""
        if self._sign_in is not None:
            return
        self._options = {**self._options, "auth": self._options["auth"] or self._signing_in("oauth"), "token": None}
        await self.reconnect()

    def _signing_in(self, auth: OAuth | ClientCredentials | str | None) -> OAuth | ClientCredentials | None:
        if auth is None or isinstance(auth, ClientCredentials):
            return auth
        return replace(auth if isinstance(auth, OAuth) else OAuth(), open=self._ask_to_sign_in)

    def _ask_to_sign_in(self, url: str | None) -> None:
        self._sign_in = url
        self._say_again()

    # --- what all pages are told ---

    def _say(self, status: str, text: str, detail: str = "") -> None:
        self._status = {"status": status, "text": text, "detail": detail, "since": now()}
        self._say_again()

    def _say_again(self) -> None:
        self._tell({"kind": "status", **self._status, **self._about()})

    def _about(self) -> dict[str, Any]:
        server = self.server
        about: dict[str, Any] = {
            "signIn": self._sign_in,
            "refused": self._refused,
            "profile": self.profile.name,
            "selected": self._selected,
            "server": None,
        }
        if server is not None:
            target = client_of(server).target
            kind = {Command: "stdio", Url: "HTTP", Local: "in process"}[type(target)]
            about["server"] = {"name": server.name, "target": str(target), "transport": kind, "info": {}}
            if server.status == "open":
                peer = client_of(server).connection.peer
                about["server"] |= {"info": peer.server_info, "version": peer.version}
        return about

    def _tell(self, message: dict[str, Any]) -> None:
        for page in list(self.pages.values()):
            page.send(message)

    # --- a page ---

    def page(self, name: str) -> Page:
        """The page of that id; told all there is to know when it is new."""
        if name not in self.pages:
            page = self.pages[name] = Page()
            page.send({"kind": "status", **self._status, **self._about()})
            page.send({"kind": "catalogue", **self._catalogue})
        return self.pages[name]

    def received(self, page: Page, message: dict[str, Any]) -> None:
        """What a page says."""
        match message.get("kind"):
            case "custom":
                content = message.get("content")
                if page.app is not None and message.get("model") == page.app.number and isinstance(content, dict):
                    page.app.received(content)
            case "run":
                self._run(page, message)
            case "cancel":
                if (work := self._calls.get((page, message.get("call")))) is not None:
                    work.cancel()
            case "show":
                self._spawn(self._attempt(page, self.show(page, str(message.get("uri")))))
            case "bridge" if (mode := message.get("mode")) in ("kernel", "direct"):
                self._spawn(self._attempt(page, self._use(page, mode)))
            case "profile":
                self._play(str(message.get("profile")))
            case "reconnect":
                self._spawn(self.reconnect())
            case "sign-in":
                self._spawn(self.sign_in())

    def _play(self, name: str) -> None:
        """Be another host from now on; what is open was opened by the old one, and ends."""
        if name not in PROFILES or name == self.profile.name:
            return
        self.profile = PROFILES[name]
        for page in self.pages.values():
            if page.app is not None:
                page.app.end()
                page.app = None
        self._say_again()
        self._spawn(self._list())

    async def show(self, page: Page, uri: str) -> None:
        """Open a resource before any tool is called; raises `LabError` if it can't be read."""
        server = self._served()
        resource = await read_app(client_of(server), uri, self.profile)
        tools = [tool for tool in server.tools.values() if self._template(tool) == uri]
        self._replace(page, PreviewApp(page, server, tools[0] if tools else None, None, self.profile))
        assert page.app is not None
        if page.bridge != "kernel":
            await asyncio.to_thread(setattr, page.app, "bridge", page.bridge)
        page.app.show(resource)

    def _template(self, tool: Tool) -> str | None:
        return self.profile.tool_ui(tool.raw.get("_meta")).resource_uri

    async def _use(self, page: Page, mode: BridgeMode) -> None:
        """Have the app's requests go through this process, or from the page itself."""
        if page.app is not None:
            await asyncio.to_thread(setattr, page.app, "bridge", mode)
        page.bridge = mode

    def _replace(self, page: Page, app: PreviewApp) -> None:
        if page.app is not None:
            page.app.end()
        page.app = app

    def _run(self, page: Page, message: dict[str, Any]) -> None:
        key = (page, message.get("call"))
        work = self._spawn(self._ran(page, message))
        self._calls[key] = work
        work.add_done_callback(lambda _: self._calls.pop(key, None))

    async def _ran(self, page: Page, message: dict[str, Any]) -> None:
        """Call a tool for the person: in its app where it has one, which stays open from call to call."""
        call, name, entered = message.get("call"), str(message.get("tool")), message.get("content")
        arguments = dict(entered) if isinstance(entered, Mapping) else {}
        began = now()

        def settled(outcome: dict[str, Any]) -> None:
            page.send({"kind": "ran", "call": call, "ms": now() - began, **outcome})

        try:
            server = self._served()
            tool = await asyncio.to_thread(server.tool, name)
            if wrong := await asyncio.to_thread(problems, tool.input_schema, arguments):
                settled({"problems": wrong})
                return
            if self._template(tool) is not None:
                await self._ran_in_app(page, server, tool, arguments)
                assert page.app is not None
                assert page.app.calling is not None
                settled({"result": await asyncio.wrap_future(page.app.calling)})
                return

            def report(progress: float, total: float | None, told: str | None) -> None:
                page.send({"kind": "progress", "call": call, "progress": progress, "total": total, "message": told})

            settled({"result": await client_of(server).pass_on(name, arguments, on_progress=report)})
        except LabError as error:
            settled({"error": {"code": error.code, "message": error.message, "data": error.data}})
        except asyncio.CancelledError:
            settled({"error": {"code": -32000, "message": "The call was cancelled."}})
            raise

    async def _ran_in_app(self, page: Page, server: Server, tool: Tool, arguments: dict[str, Any]) -> None:
        app = page.app
        if app is not None and not app.closed and app.uri == self._template(tool):
            await asyncio.to_thread(app.call, tool, arguments)
            return
        make = functools.partial(PreviewApp, page)
        opened = await asyncio.to_thread(open_app, make, server, tool.name, arguments, self.profile, page.bridge)
        self._replace(page, opened)

    def _served(self) -> Server:
        if self.server is None:
            raise AppError("There is no connection to the server.")
        return self.server

    async def _attempt(self, page: Page, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except LabError as error:
            head, _, detail = error.message.partition("\n")
            page.send({"kind": "failed", "text": head, "detail": detail})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    async def close(self) -> None:
        """Tell the pages that it is over, and end the connection."""
        self._tell({"kind": "ended"})
        for page in self.pages.values():
            page.close()
        for work in list(self._work):
            work.cancel()
        if self.server is not None:
            client_of(self.server).connection.on_status.discard(self._changed)
            await client_of(self.server).close()
