"""What a server offers, as it was listed: at first use, and kept until the server says that it changed."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pmcp_lab.client.catalogue import Prompt, Prompts, Resource, Resources, Tool, Tools
from pmcp_lab.client.connection import CHANGED, Connection
from pmcp_lab.client.skills import Skill, Skills, SkillSource

L = TypeVar("L")


class Listings:
    """The lists of one server. Coroutines run on the connection's loop; the rest never waits.

    Attributes:
        documents: UI resources that were read, by URI, until the resources change or the connection is made again.
        skill_source: Who asks for the skills. No notification tells of them: they are kept for as long as their server
            says, and no longer than its resources.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lists: dict[str, Any] = {}
        self._versions = dict.fromkeys((*CHANGED.values(), "skills"), 0)
        self._skills_until = 0.0
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
        """The "tools", "resources", "prompts" or "skills", if they were listed and are not stale, else None."""
        if which == "skills" and time.monotonic() >= self._skills_until:
            return None
        return self._lists.get(which)

    async def tools_with(self, name: str) -> Tools:
        """The tools; listed again if `name` is new."""
        if name not in await self.tools():
            self.forget("tools")
        return await self.tools()

    def forget(self, which: str) -> None:
        """One of "tools", "resources", "prompts" and "skills" is not what it was."""
        self._versions[which] += 1
        self._lists.pop(which, None)
        if which == "resources":
            self.documents.clear()
            self.forget("skills")

    def forget_all(self) -> None:
        for which in self._versions:
            self.forget(which)
        self.skill_source.forget()

    async def _list(self, which: str, ask: Callable[[], Awaitable[L]]) -> L:
        known: L | None = self.known(which)
        if known is None:
            version = self._versions[which]
            known = await ask()
            # It may have changed while it was on its way.
            if version == self._versions[which]:
                self._lists[which] = known
        return known

    async def _list_tools(self) -> Tools:
        raw = await self._connection.ask(lambda peer: peer.list_tools(), again=True)
        return Tools(self._connection.name, [Tool(self._connection.name, item) for item in raw])

    async def _list_resources(self) -> Resources:
        ask = self._connection.ask
        raw = await ask(lambda peer: peer.list_resources(), again=True)
        raw = raw + await ask(lambda peer: peer.list_resource_templates(), again=True)
        return Resources(self._connection.name, [Resource(self._connection.name, item) for item in raw])

    async def _list_prompts(self) -> Prompts:
        raw = await self._connection.ask(lambda peer: peer.list_prompts(), again=True)
        return Prompts(self._connection.name, [Prompt(self._connection.name, item) for item in raw])

    async def _list_skills(self) -> Skills:
        asked = time.monotonic()
        found = await self.skill_source.listed()
        self._skills_until = asked + found.keep
        skills = [Skill(self.skill_source, entry) for entry in found.entries]
        return Skills(self._connection.name, skills, found.aside)
