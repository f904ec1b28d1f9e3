"""What one server is asked about its skills, and how what it answers is checked. Keeps no file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pmcp_lab.client.connection import Connection, Peer
from pmcp_lab.client.skills.content import SkillContent
from pmcp_lab.client.skills.paths import Located, located
from pmcp_lab.client.targets import Command
from pmcp_lab.errors import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    ConnectionClosed,
    NotOffered,
    PeerError,
    ServerBusy,
    SkillUnverified,
    UnknownSkill,
)
from pmcp_lab.protocol.front_matter import InvalidFrontMatter, read_front_matter
from pmcp_lab.protocol.skill_uri import SKILL_FILE, InvalidSkill, SkillUri
from pmcp_lab.protocol.skills import (
    EXTENSION,
    GET,
    LIST,
    Caching,
    SkillEntry,
    content_bytes,
    decode_entry,
    entry_problems,
)

MOST_PAGES: Final = 1000

FileKey = tuple[str, str | None]
"""A file's URI and digest: what a check is good for."""


@dataclass(frozen=True)
class SetAside:
    """What a server lists as a skill, and none that may be used. It hides no other.

    Attributes:
        uri: As it came; "" where there is none.
        problems: Why, one sentence each.
    """

    uri: str
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Listed:
    """What `skills/list` came to.

    Attributes:
        keep: Seconds for which it may be kept; 0 where the server does not say.
    """

    entries: tuple[SkillEntry, ...] = ()
    aside: tuple[SetAside, ...] = ()
    keep: float = 0.0


class SkillSource:
    """The skills of one connection. Coroutines run on the connection's loop; the rest never waits.

    Attributes:
        checks: What became of the files that were read, by URI and digest: "" for one that was what its entry says.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.checks: dict[FileKey, str] = {}
        self._held: dict[SkillUri, SkillEntry] = {}
        self._ended = ""

    @property
    def server(self) -> str:
        return self.connection.name

    def forget(self) -> None:
        """Ask again, also a server that ended when it was asked."""
        self._ended = ""

    async def listed(self) -> Listed:
        """Every page of `skills/list`; empty for a server that does not declare skills.

        Raises:
            NotOffered: It ends when it is asked, as PMCP's servers do on stdio.
        """
        if not offered(await self.connection.live()):
            return Listed()
        if self._ended:
            raise NotOffered(self._ended)
        raw, keep, trouble = await self._pages()
        entries, aside = sorted_out(raw)
        for entry in entries:
            self._held[SkillUri.parse(entry.uri)] = entry
        return Listed(entries, (*aside, *(SetAside("", (each,)) for each in trouble)), keep)

    async def get(self, uri: str) -> SkillEntry:
        """The entry of one skill, as it is now; listed or not.

        Raises:
            UnknownSkill: The server has none of that URI.
            SkillUnverified: "entry". What it answers can't be used.
            NotOffered: It has no skills.
        """
        try:
            answer = await self._ask(GET, {"uri": uri})
        except PeerError as error:
            if error.code == METHOD_NOT_FOUND:
                raise NotOffered(f"Server {self.server!r} declares skills and does not know {GET}.") from None
            if error.code == INVALID_PARAMS:
                raise UnknownSkill(self.server, uri, [each.uri for each in self._held.values()]) from None
            raise
        try:
            entry = decode_entry(answer.get("skill"))
            if SkillUri.parse(entry.uri) != SkillUri.parse(uri):
                raise InvalidSkill("uri", f"it is that of {entry.uri}")
        except InvalidSkill as problem:
            raise SkillUnverified(
                "entry", f"Server {self.server!r} gives an entry of skill {uri} that can't be used: {problem}."
            ) from None
        self._held[SkillUri.parse(entry.uri)] = entry
        return entry

    async def read(self, entry: SkillEntry, path: str) -> tuple[SkillContent, SkillEntry]:
        """A file of a skill, with the entry that it fits: the one held, or what it turned into meanwhile.

        What is not as the entry says is asked for once more, after the entry itself. Nothing here goes through a
        cache of responses, so the second answer is the server's own.

        Raises:
            SkillUnverified: It is not listed, or is not what the entry says, twice.
            PeerError: The server does not give it, although it lists it.
        """
        file = located(self.server, entry, path)
        try:
            return await self._read(entry, file), entry
        except ServerBusy:
            raise
        except (SkillUnverified, PeerError) as error:
            failure = error
        try:
            current = await self.get(entry.uri)
            if file.path != SKILL_FILE and (inner := self._held_of(file)) is not None:
                await self.get(inner.uri)
        except (SkillUnverified, UnknownSkill, NotOffered, PeerError):
            raise failure from None
        if isinstance(failure, PeerError) and current == entry:
            raise failure
        return await self._read(current, located(self.server, current, path)), current

    async def _read(self, entry: SkillEntry, file: Located) -> SkillContent:
        key = (file.uri, file.digest)
        try:
            answer = await self.connection.ask(lambda peer: peer.read_resource(file.uri), again=True)
            item, data = _file_in(answer, file.uri)
            if file.listed is not None and (mismatch := file.listed.mismatch(data)) is not None:
                raise mismatch
            if file.path.rpartition("/")[2] == SKILL_FILE:
                self._compare_front_matter(entry, file, data)
        except InvalidSkill as problem:
            self.checks[key] = str(problem)
            what = f"{file.path} of skill {entry.name!r} of server {self.server!r} is not what its entry says"
            raise SkillUnverified(problem.code, f"{what}: {problem}. Nothing of it was used.") from None
        self.checks[key] = ""
        return SkillContent(item, server=self.server, skill=entry.uri, path=file.path, digest=file.digest)

    def _compare_front_matter(self, entry: SkillEntry, file: Located, data: bytes) -> None:
        """Also of a skill within this one, whose entry is held."""
        held = entry if file.path == SKILL_FILE else self._held_of(file)
        if held is None:
            return
        try:
            found = read_front_matter(data.decode())
        except (InvalidFrontMatter, UnicodeDecodeError) as error:
            reason = "it is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise InvalidSkill("frontmatter", f"{file.uri}: {reason}") from None
        if not found.matches(held.frontmatter):
            keys = ", ".join(found.differences(held.frontmatter))
            raise InvalidSkill("frontmatter", f"the front matter of {file.uri} differs from the entry's: {keys}")

    def _held_of(self, file: Located) -> SkillEntry | None:
        """The entry of the skill whose SKILL.md it is, if it is one and was listed or asked for."""
        return self._held.get(SkillUri.parse(file.uri))

    async def _pages(self) -> tuple[list[Any], float, list[str]]:
        """The entries as they came, for how long they may be kept, and what was wrong with the answers."""
        raw: list[Any] = []
        keep = float("inf")
        cursors: set[str] = set()
        params: dict[str, Any] = {}
        for _ in range(MOST_PAGES):
            try:
                page = await self._ask(LIST, params)
            except PeerError as error:
                if error.code != METHOD_NOT_FOUND:
                    raise
                return raw, 0.0, [f"the server declares skills and does not know {LIST}"]
            skills = page.get("skills")
            if not isinstance(skills, list):
                return raw, 0.0, [f"the server's answer to {LIST} has no list of skills"]
            raw += skills
            keep = min(keep, Caching.decode(page).ttl_ms / 1000)
            cursor = page.get("nextCursor")
            if cursor is None:
                return raw, keep, []
            if not isinstance(cursor, str) or cursor in cursors:
                return raw, keep, [f"the server's answers to {LIST} go in a circle: the cursor {cursor!r} came before"]
            cursors.add(cursor)
            params = {"cursor": cursor}
        return raw, keep, [f"the server's answer to {LIST} has more than {MOST_PAGES:,} pages"]

    async def _ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        async def ask(peer: Peer) -> dict[str, Any]:
            if not offered(peer):
                raise NotOffered(f"Server {self.server!r} declares no skills.")
            return await peer.request(method, dict(params))

        # A command may end at a method that it does not know, and would do so again.
        command = isinstance(self.connection.target, Command)
        try:
            return await self.connection.ask(ask, again=not command)
        except ConnectionClosed as error:
            if not command or method != LIST or not error.delivered:
                raise
            self._ended = (
                f"Server {self.server!r} ended when it was asked for its skills ({LIST}), which it declares. It is not "
                "asked again before server.refresh(); where it can also be reached by a URL, skills may work there."
            )
            raise NotOffered(f"{self._ended}\n{error}") from None


def offered(peer: Peer) -> bool:
    """Whether a server declares skills, in either generation. What it sets with that is its own business."""
    return EXTENSION in (peer.capabilities.extensions or {})


def sorted_out(raw: Iterable[Any]) -> tuple[tuple[SkillEntry, ...], tuple[SetAside, ...]]:
    """The entries that may be used, and the others with what is wrong with each.

    Of those that are there twice the first stays where they are the same; else one can't tell which is right.
    """
    found: dict[SkillUri, list[SkillEntry]] = {}
    aside: list[SetAside] = []
    for each in raw:
        if problems := entry_problems(each):
            uri = each.get("uri") if isinstance(each, Mapping) else None
            aside.append(SetAside(uri if isinstance(uri, str) else "", tuple(map(str, problems))))
            continue
        entry = decode_entry(each)
        found.setdefault(SkillUri.parse(entry.uri), []).append(entry)
    entries: list[SkillEntry] = []
    for first, *others in found.values():
        if all(other == first for other in others):
            entries.append(first)
            aside += [SetAside(other.uri, ("it is listed twice",)) for other in others]
        else:
            why = "it is listed more than once, and not alike; server.skill(uri) asks for it by itself"
            aside.append(SetAside(first.uri, (why,)))
    return tuple(entries), tuple(aside)


def _file_in(answer: Mapping[str, Any], uri: str) -> tuple[Mapping[str, Any], bytes]:
    """The item of `resources/read` that is the file, and its bytes."""
    contents = answer.get("contents")
    items = [each for each in (contents if isinstance(contents, list) else ()) if isinstance(each, Mapping)]
    if len(items) != 1:
        items = [each for each in items if each.get("uri") == uri]
    if len(items) != 1:
        raise InvalidSkill("digest", f"the answer has not one file of the URI {uri}")
    return items[0], content_bytes(items[0])
