"""What a server has besides its tasks: tools, resources and prompts, its log, and the roots it is given.

Calling tools and starting tasks is in `server`.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from pmcp_lab.client.catalogue import Tool, Tools
from pmcp_lab.client.changes import CHANGED
from pmcp_lab.client.connection import Connection
from pmcp_lab.client.content import Content, Contents
from pmcp_lab.client.hosting import LEVELS
from pmcp_lab.client.peer import Peer
from pmcp_lab.client.prompts import Messages, Prompt, Prompts
from pmcp_lab.client.resources import Resource, Resources
from pmcp_lab.client.runtime import runtime
from pmcp_lab.errors import InvalidArguments, NotOffered, nearest

T = TypeVar("T")
L = TypeVar("L")


class Primitives:
    """The half of `Server` that only reads. Listings are made at first use and kept until the server says that
    they changed, or `refresh()`."""

    connection: Connection

    def __init__(self) -> None:
        self._listings: dict[str, Any] = {}
        self._versions = dict.fromkeys(CHANGED.values(), 0)
        self.documents: dict[str, Any] = {}
        """UI resources that were read, by URI, until the resources change or the connection is made again."""
        self.connection.follower.listings.forget = self._forget

    @property
    def name(self) -> str:
        return self.connection.name

    @property
    def _peer(self) -> Peer:
        return self.connection.wait()

    def _ask(self, request: Callable[[Peer], Awaitable[T]]) -> T:
        """Ask what may be asked twice, and wait for the answer."""
        self.connection.wait()
        return runtime().run(self.connection.ask(request, again=True))

    @property
    def tools(self) -> Tools:
        """The server's tools by name."""
        return self._listed("tools", self._list_tools)

    @property
    def resources(self) -> Resources:
        """The server's resources and resource templates by URI."""
        return self._listed("resources", self._list_resources)

    @property
    def prompts(self) -> Prompts:
        """The server's prompts by name."""
        return self._listed("prompts", self._list_prompts)

    def refresh(self) -> None:
        """List tools, resources and prompts again, each at its next use."""
        for listing in self._versions:
            self._forget(listing)

    def _listed(self, name: str, ask: Callable[[], Awaitable[L]]) -> L:
        known: L | None = self._listings.get(name)
        if known is None:
            self.connection.wait()
            known = runtime().run(self._list(name, ask))
        return known

    async def _list(self, name: str, ask: Callable[[], Awaitable[L]]) -> L:
        known: L | None = self._listings.get(name)
        if known is None:
            version = self._versions[name]
            known = await ask()
            # It may have changed while it was on its way.
            if version == self._versions[name]:
                self._listings[name] = known
        return known

    def _forget(self, listing: str) -> None:
        """One list is not what it was."""
        self._versions[listing] += 1
        self._listings.pop(listing, None)
        if listing == "resources":
            self.documents.clear()

    async def _list_tools(self) -> Tools:
        raw = await self.connection.ask(lambda peer: peer.list_tools(), again=True)
        return Tools(self.name, [Tool(self.name, item) for item in raw])

    async def _list_resources(self) -> Resources:
        ask = self.connection.ask
        raw = await ask(lambda peer: peer.list_resources(), again=True)
        raw = raw + await ask(lambda peer: peer.list_resource_templates(), again=True)
        return Resources(self.name, [Resource(self.name, item) for item in raw])

    async def _list_prompts(self) -> Prompts:
        raw = await self.connection.ask(lambda peer: peer.list_prompts(), again=True)
        return Prompts(self.name, [Prompt(self.name, item) for item in raw])

    @property
    def listed_tools(self) -> Tools | None:
        """The tools, if they were listed; asks nothing."""
        return self._listings.get("tools")

    @property
    def log(self) -> Any:
        """The server's log messages as a pandas DataFrame: time, level, logger, data."""
        return self.connection.log.df

    def set_log_level(self, level: str) -> None:
        """Ask the server for its log messages of `level` and above; they are in `log`.

        Args:
            level: debug, info, notice, warning, error, critical, alert or emergency.

        Raises:
            InvalidArguments: There is no such level.
            NotOffered: A 2025-11-25 server takes no level; what it sends by itself is in `log` all the same.
        """
        if level not in LEVELS:
            raise InvalidArguments(f"{level!r} is no log level.{nearest(level, LEVELS)}")
        self._ask(lambda peer: peer.set_log_level(level))  # type: ignore[arg-type]

    @property
    def roots(self) -> list[str]:
        """The folders and files the server is told it may work on, as `file://` URIs. Assign paths or such URIs."""
        return self.connection.roots.uris

    @roots.setter
    def roots(self, roots: Iterable[str | os.PathLike[str]]) -> None:
        self.connection.roots.assign(roots)
        self._ask(lambda peer: peer.tell_roots_changed())

    def tool(self, name: str) -> Tool:
        """One tool; the list is refreshed once if the name is new.

        Raises:
            UnknownTool: Offers the nearest names.
        """
        if name not in self.tools:
            self._forget("tools")
        return self.tools[name]

    async def known_tools(self, name: str) -> list[dict[str, Any]]:
        """The listed tools, as they came; listed again if `name` is new. On the connection's loop."""
        if name not in await self.ask_tools():
            self._forget("tools")
        return [dict(tool.raw) for tool in (await self.ask_tools()).values()]

    async def ask_tools(self) -> Tools:
        """What `tools` is, on the connection's loop, where nothing may wait."""
        return await self._list("tools", self._list_tools)

    def read(self, uri: str, /, **variables: Any) -> Contents:
        """The contents of a resource, to be looked at; `.text`, `.data` and `.json` take them out.

        Args:
            uri: The address, or a listed template together with its variables.

        Raises:
            UnknownResource, InvalidArguments: A template that is not listed, or is not filled in.
            PeerError: The server has no such resource.
        """
        if variables:
            uri = self.resources[uri].expand(variables)
        raw = self._ask(lambda peer: peer.read_resource(uri)).get("contents") or ()
        return Contents(Content.of_resource(item) for item in raw)

    def prompt(self, name: str, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> Messages:
        """The messages of a prompt.

        Args:
            arguments: The prompt's arguments; keyword arguments are added. All are sent as text.

        Raises:
            UnknownPrompt, InvalidArguments: Before anything is sent.
            PeerError: The server refused.
        """
        given = {**(arguments or {}), **named}
        self.prompts[name].check(given)
        texts = {key: str(value) for key, value in given.items()}
        return Messages(self._ask(lambda peer: peer.get_prompt(name, texts)))

    def complete(self, of: str, argument: str, value: str = "", /, **known: Any) -> list[str]:
        """What the server offers for an argument of a prompt, or a variable of a resource template.

        Args:
            of: The prompt's name or the template.
            argument: Which argument.
            value: What was typed so far.
            known: Other arguments, which the offer may depend on.

        Raises:
            NotOffered: The server completes nothing.
            UnknownPrompt: There is neither a prompt nor a template of that name.
        """
        if self._peer.capabilities.completions is None:
            raise NotOffered(f"Server {self.name!r} offers no completion of arguments.")
        if of in self.resources:
            ref = {"type": "ref/resource", "uri": of}
        else:
            ref = {"type": "ref/prompt", "name": self.prompts[of].name}
        params: dict[str, Any] = {"ref": ref, "argument": {"name": argument, "value": value}}
        if known:
            params["context"] = {"arguments": {k: str(v) for k, v in known.items()}}
        answer = self._ask(lambda peer: peer.request("completion/complete", params))
        return [str(each) for each in (answer.get("completion") or {}).get("values") or ()]
