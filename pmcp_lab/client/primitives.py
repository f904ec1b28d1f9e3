"""What a server has besides its tasks: tools, resources, prompts and skills, its log, and the roots it is given.

Calling tools and starting tasks is in `server`.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pmcp_lab.client.catalogue import Content, Contents, Messages, Prompt, Prompts, Resources, Tools
from pmcp_lab.client.client import Client
from pmcp_lab.client.connection import LEVELS, Peer
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.skills import Skill, Skills
from pmcp_lab.errors import InvalidArguments, NotOffered, nearest
from pmcp_lab.protocol.skill_uri import InvalidSkill, skill_root

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
L = TypeVar("L")


class Primitives:
    """The half of `Server` that only reads. Listings are made at first use, and again when the server says that they
    changed, when the time is over for which it said that they are fresh, and after `refresh()`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def name(self) -> str:
        """What it is called here."""
        return self._client.name

    @property
    def _peer(self) -> Peer:
        return self._client.connection.wait()

    def _ask(self, request: Callable[[Peer], Awaitable[T]]) -> T:
        """Ask what may be asked twice, and wait for the answer."""
        self._client.connection.wait()
        return runtime().run(self._client.ask(request, again=True))

    @property
    def tools(self) -> Tools:
        """The server's tools by name."""
        return self._listed("tools", self._client.listings.tools)

    @property
    def resources(self) -> Resources:
        """The server's resources and resource templates by URI."""
        return self._listed("resources", self._client.listings.resources)

    @property
    def prompts(self) -> Prompts:
        """The server's prompts by name."""
        return self._listed("prompts", self._client.listings.prompts)

    @property
    def skills(self) -> Skills:
        """The server's skills by URI, and by name (SEP-2640); none where it declares none.

        Listed at first use, and again when the server's answer is older than it says that it may be. No file of a
        skill is read before `skill.read(…)`.

        Raises:
            NotOffered: The server ended when it was asked.
        """
        return self._listed("skills", self._client.listings.skills)

    def skill(self, uri: str) -> Skill:
        """One skill by its URI, listed or not, as it is now.

        Raises:
            InvalidArguments: That is no URI of a skill; nothing was sent.
            UnknownSkill: The server has none of that URI.
            NotOffered: It declares no skills.
            SkillUnverified: What it says of the skill can't be used.
        """
        try:
            skill_root(uri)
        except InvalidSkill as problem:
            raise InvalidArguments(f"{problem}. A skill is named by the URI of its SKILL.md.") from None
        source = self._client.listings.skill_source
        self._client.connection.wait()
        return Skill(source, runtime().run(source.get(uri)))

    def refresh(self) -> None:
        """List tools, resources, prompts and skills again, each at its next use, and read resources again."""
        self._client.listings.forget_all()

    def _listed(self, which: str, ask: Callable[[], Coroutine[Any, Any, L]]) -> L:
        listings = self._client.listings
        # What runs on the loop can't wait there: it gets what is known.
        known: L | None = listings.known(which) if runtime().here else listings.fresh(which)
        if known is None:
            self._client.connection.wait()
            known = runtime().run(ask())
        return known

    def _with(self, which: str, name: str, ask: Callable[[], Coroutine[Any, Any, L]]) -> L:
        """A list that has `name`, however old; the present one if none has."""
        known: Any = self._client.listings.known(which)
        return known if known is not None and name in known else self._listed(which, ask)

    @property
    def log(self) -> pd.DataFrame:
        """The server's log messages as a pandas DataFrame: time, level, logger, data."""
        return self._client.log.df

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
        return self._client.roots.uris

    @roots.setter
    def roots(self, roots: Iterable[str | os.PathLike[str]]) -> None:
        self._client.roots.assign(roots)
        self._ask(lambda peer: peer.tell_roots_changed())

    def _prompt(self, name: str) -> Prompt:
        return self._with("prompts", name, self._client.listings.prompts)[name]

    def read(self, uri: str, /, **variables: Any) -> Contents:
        """The contents of a resource, to be looked at; `.text`, `.data` and `.json` take them out.

        What a server says is fresh for a while (2026-07-28, `ttlMs`) is not asked for again so long.

        Args:
            uri: The address, or a listed template together with its variables.

        Raises:
            UnknownResource, InvalidArguments: A template that is not listed, or is not filled in.
            PeerError: The server has no such resource.
        """
        if variables:
            uri = self._with("resources", uri, self._client.listings.resources)[uri].expand(variables)
        self._client.connection.wait()
        raw = runtime().run(self._client.listings.read(uri)).get("contents") or ()
        return Contents(Content.of_resource(item) for item in raw)

    def prompt(
        self, name: str, arguments: Mapping[str, Any] | None = None, /, *, check: bool = True, **named: Any
    ) -> Messages:
        """The messages of a prompt.

        Args:
            arguments: The prompt's arguments; keyword arguments are added. All are sent as text.
            check: Compare them with what the prompt declares first. Some servers declare less than they take.

        Raises:
            UnknownPrompt, InvalidArguments: Before anything is sent.
            PeerError: The server refused.
        """
        given = {**(arguments or {}), **named}
        prompt = self._prompt(name)
        if check:
            prompt.check(given)
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
        none = f"Server {self.name!r} offers no completion of arguments."
        if self._peer.capabilities.completions is None:
            raise NotOffered(none)
        if of in self._with("resources", of, self._client.listings.resources):
            ref = {"type": "ref/resource", "uri": of}
        else:
            ref = {"type": "ref/prompt", "name": self._prompt(of).name}
        params: dict[str, Any] = {"ref": ref, "argument": {"name": argument, "value": value}}
        if known:
            params["context"] = {"arguments": {k: str(v) for k, v in known.items()}}
        answer = self._ask(lambda peer: peer.optional("completion/complete", params, otherwise=none))
        return [str(each) for each in (answer.get("completion") or {}).get("values") or ()]
