"""What is served at a moment: entries by their URI, files by theirs, and the folders between them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pmcp_lab.errors import SkillInvalid
from pmcp_lab.protocol.skill_uri import SkillUri
from pmcp_lab.protocol.skills import DIRECTORY_TYPE, DirectoryItem, SkillEntry
from pmcp_lab.server.skills.skill import PlacedSkill, ServedFile

logger = logging.getLogger(__name__)


class Source(Protocol):
    """Where skills come from."""

    def read(self) -> list[PlacedSkill]:
        """All of them, or SkillInvalid."""

    def look(self) -> list[PlacedSkill]:
        """All of them as they are now; the same objects where nothing changed."""


@dataclass(frozen=True)
class Written:
    """Skills that were written in the program, and stay as they are."""

    skills: list[PlacedSkill]

    def read(self) -> list[PlacedSkill]:
        return self.skills

    look = read


@dataclass
class Shelf:
    """What is served, to be looked up."""

    placed: tuple[PlacedSkill, ...] = ()
    entries: dict[SkillUri, SkillEntry] = field(default_factory=dict)
    """By the URI of SKILL.md, in the order of the URIs."""
    files: dict[SkillUri, ServedFile] = field(default_factory=dict)
    directories: dict[SkillUri, list[DirectoryItem]] = field(default_factory=dict)
    """Children by the directory they are in, in the order of their names; also of directories above the skills."""

    @classmethod
    def of(cls, placed: Iterable[PlacedSkill]) -> Shelf:
        shelf = cls(tuple(placed))
        entries: dict[SkillUri, SkillEntry] = {}
        for each in shelf.placed:
            shelf.files.update(each.files)
            entries.update({SkillUri.parse(entry.uri): entry for entry in each.entries})
        shelf.entries = dict(sorted(entries.items(), key=lambda item: item[0].segments))
        children: dict[SkillUri, dict[SkillUri, DirectoryItem]] = {}
        for uri, file in shelf.files.items():
            item = DirectoryItem(file.uri, uri.name, file.mime_type, len(file.data))
            while len(uri.segments) > 1:
                known = children.setdefault(uri.parent, {})
                if uri in known:
                    break
                known[uri] = item
                uri = uri.parent
                item = DirectoryItem(str(uri), uri.name, DIRECTORY_TYPE)
        shelf.directories = {uri: sorted(items.values(), key=lambda item: item.name) for uri, items in children.items()}
        return shelf

    def covers(self, uri: SkillUri) -> bool:
        """Whether it is that of a skill's directory, or of what would be in it."""
        return any(uri == each.root or each.root.holds(uri) for each in self.placed)


class Library:
    """The sources of a server, and the shelf that they make."""

    def __init__(self) -> None:
        self._sources: list[Source] = []
        self._shelf = Shelf()
        self._lock = threading.Lock()
        self._seen: tuple[PlacedSkill, ...] = ()
        self._look_again = 0.0

    def add(self, sources: Sequence[Source]) -> None:
        """More sources.

        Raises:
            SkillInvalid: One has a skill that can't be served, or that is where another one is.
        """
        with self._lock:
            placed = [*self._shelf.placed, *(skill for source in sources for skill in source.read())]
            kept, clashes = _apart(placed)
            if clashes:
                raise SkillInvalid("what was given", [(where, what) for where, what in clashes])
            self._sources += sources
            self._seen = tuple(kept)
            self._shelf = Shelf.of(kept)

    def recent(self) -> Shelf | None:
        """What is to be served, where that is known without looking at files."""
        return self._shelf if time.monotonic() < self._look_again else None

    def look(self, *, fresh: bool = False) -> Shelf:
        """What is to be served now. Reads files, so not on an event loop.

        Args:
            fresh: Look at the files in any case. Else no more than a tenth of the time goes by with looking, nobody
                waits for a look of somebody else's, and what is served is a second and a look behind at most.
        """
        if not fresh and (recent := self.recent()) is not None:
            return recent
        if not self._lock.acquire(blocking=fresh):
            return self._shelf
        try:
            began = time.monotonic()
            self._take(tuple(skill for source in self._sources for skill in source.look()))
            self._look_again = time.monotonic() + min(1.0, 9 * (time.monotonic() - began))
            return self._shelf
        finally:
            self._lock.release()

    def _take(self, seen: tuple[PlacedSkill, ...]) -> None:
        if len(seen) == len(self._seen) and all(one is other for one, other in zip(seen, self._seen, strict=True)):
            return
        self._seen = seen
        kept, clashes = _apart(seen)
        for where, what in clashes:
            logger.warning("skill %s is left out: %s", where, what)
        self._shelf = Shelf.of(kept)


def _apart(placed: Iterable[PlacedSkill]) -> tuple[list[PlacedSkill], list[tuple[str, str]]]:
    """Those that are in nobody's way, the first of two staying; and the others, with the reason."""
    kept: dict[tuple[str, ...], PlacedSkill] = {}
    above: set[tuple[str, ...]] = set()
    clashes: list[tuple[str, str]] = []
    for each in placed:
        root = each.root.segments
        parents = [root[:length] for length in range(1, len(root))]
        if root in kept:
            clashes.append((str(each.root), "there is one already; give one of them another prefix"))
        elif root in above or any(parent in kept for parent in parents):
            clashes.append((str(each.root), "it is inside another one, or that in it; give one of them another prefix"))
        else:
            kept[root] = each
            above.update(parents)
    return list(kept.values()), clashes
