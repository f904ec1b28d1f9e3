"""What a server offers, as it was listed and read: at first use, and again when that is stale.

A 2026-07-28 server says how long an answer is fresh (`ttlMs`, MCP "Caching"); what it tells of changes counts for more.
What a 2025-11-25 server listed is kept until it says that it changed. All this belongs to one connection and to whoever
is signed in there, so that nothing is ever shared, `cacheScope` or not.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from pmcp_lab.client.catalogue import Prompt, Prompts, Resource, Resources, Tool, Tools, ToolUser
from pmcp_lab.client.connection import CHANGED, Connection, Listed, Peer, fresh_until
from pmcp_lab.client.skills import Skill, Skills, SkillSource
from pmcp_lab.errors import LabError

L = TypeVar("L")

MAX_READ, MAX_CHARACTERS = 64, 8_000_000
"""Contents of resources that are kept while they are fresh: so many, so long together."""


class Listings:
    """The lists of one server. Coroutines run on the connection's loop; the rest never waits.

    Attributes:
        user: What its tools are called through: the `Server`, once there is one.
        documents: UI resources that were read, by URI, until the resources change or the connection is made again.
        skill_source: Who asks for the skills. No notification tells of them: they are kept for as long as their server
            says, and no longer than its resources.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lists: dict[str, Any] = {}
        self._until: dict[str, float | None] = {}
        self._versions = dict.fromkeys((*CHANGED.values(), "skills"), 0)
        self.user: ToolUser | None = None
        self._contents: dict[str, tuple[float, dict[str, Any], int]] = {}
        self.documents: dict[str, Any] = {}
        self.skill_source = SkillSource(connection)

    async def tools(self) -> Tools:
        return await self._list("tools", self._list_tools)

    async def resources(self) -> Resources:
        return await self._list("resources", self._list_resources)

    async def prompts(self) -> Prompts:
        return await self._list("prompts", self._list_prompts)

    async def skills(self) -> Skills:
        return await self._list("skills", self._list_skills)

    @property
    def known_tools(self) -> Tools | None:
        """The tools, if they were listed."""
        return self._lists.get("tools")

    def known(self, which: str) -> Any:
        """The "tools", "resources", "prompts", "skills" as they were listed last, however long ago, or None."""
        return self._lists.get(which)

    def fresh(self, which: str) -> Any:
        """The same, unless they should be listed again, and can be."""
        return None if self.stale(which) and self._connection.open else self._lists.get(which)

    def stale(self, which: str) -> bool:
        """Whether the server may offer others by now, by what it says itself."""
        until = self._until.get(which)
        return until is not None and time.monotonic() >= until

    async def tools_with(self, name: str) -> Tools:
        """The tools as they were listed last; listed again if `name` is new."""
        known = self.known_tools
        if known is not None and name in known:
            return known
        self.forget("tools")
        return await self.tools()

    async def read(self, uri: str) -> dict[str, Any]:
        """What `resources/read` gives, or gave while that is fresh.

        Raises:
            PeerError, ConnectionClosed: As for every request.
        """
        until, raw, _ = self._contents.get(uri, (0.0, {}, 0))
        if time.monotonic() < until:
            return raw
        version = self._versions["resources"]

        async def read(peer: Peer) -> tuple[dict[str, Any], bool]:
            return await peer.read_resource(uri), peer.modern

        raw, hinted = await self._connection.ask(read, again=True)
        until = fresh_until(raw.get("ttlMs") if hinted else None, time.monotonic())
        self._contents.pop(uri, None)
        if time.monotonic() < until and version == self._versions["resources"]:
            self._contents[uri] = until, raw, _length(raw)
            while len(self._contents) > MAX_READ or sum(each[2] for each in self._contents.values()) > MAX_CHARACTERS:
                del self._contents[next(iter(self._contents))]
        return raw

    def forget(self, which: str) -> None:
        """One of "tools", "resources", "prompts" and "skills" is not what it was."""
        self._versions[which] += 1
        self._lists.pop(which, None)
        self._until.pop(which, None)
        if which == "resources":
            self.documents.clear()
            self._contents.clear()
            self.forget("skills")

    def forget_contents(self, uri: str) -> None:
        """A resource is not what it was."""
        self._versions["resources"] += 1
        self._contents.pop(uri, None)

    def forget_all(self) -> None:
        for which in self._versions:
            self.forget(which)
        self.skill_source.forget()

    async def _list(self, which: str, ask: Callable[[], Awaitable[tuple[L, float | None]]]) -> L:
        fresh: L | None = self.fresh(which)
        if fresh is not None:
            return fresh
        known: L | None = self._lists.get(which)
        version = self._versions[which]
        try:
            listed, until = await ask()
        except LabError:
            if known is None or version != self._versions[which]:
                raise
            return known  # stale is better than nothing
        # It may have changed while it was on its way.
        if version == self._versions[which]:
            self._lists[which], self._until[which] = listed, until
        return listed

    async def _list_tools(self) -> tuple[Tools, float | None]:
        raw = await self._connection.ask(lambda peer: peer.list_tools(), again=True)
        name = self._connection.name
        return Tools(name, [Tool(name, item, self.user) for item in raw]), raw.fresh_until

    async def _list_resources(self) -> tuple[Resources, float | None]:
        ask, name = self._connection.ask, self._connection.name
        raw = await ask(lambda peer: peer.list_resources(), again=True)
        templates = await ask(lambda peer: peer.list_resource_templates(), again=True)
        until = _first((raw, templates))
        return Resources(name, [Resource(name, item) for item in [*raw, *templates]]), until

    async def _list_prompts(self) -> tuple[Prompts, float | None]:
        raw = await self._connection.ask(lambda peer: peer.list_prompts(), again=True)
        name = self._connection.name
        return Prompts(name, [Prompt(name, item) for item in raw]), raw.fresh_until

    async def _list_skills(self) -> tuple[Skills, float | None]:
        asked = time.monotonic()
        found = await self.skill_source.listed()
        skills = [Skill(self.skill_source, entry) for entry in found.entries]
        return Skills(self._connection.name, skills, found.aside), asked + found.keep


def _first(lists: Iterable[Listed]) -> float | None:
    """When the first of them is stale."""
    return min((each.fresh_until for each in lists if each.fresh_until is not None), default=None)


def _length(raw: dict[str, Any]) -> int:
    items = raw.get("contents") or ()
    return sum(len(str(item.get("text") or item.get("blob") or "")) for item in items if isinstance(item, dict))
