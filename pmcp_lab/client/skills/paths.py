"""Which file of a skill is meant."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from pmcp_lab.errors import SkillUnverified, nearest
from pmcp_lab.protocol.skill_uri import InvalidSkill, SkillUri
from pmcp_lab.protocol.skills import SkillEntry, SkillFile


@dataclass(frozen=True)
class Located:
    """A file that may be asked for.

    Attributes:
        path: In its skill.
        uri: As its server writes it.
        listed: As the entry lists it; None in a dynamic skill.
    """

    path: str
    uri: str
    listed: SkillFile | None

    @property
    def digest(self) -> str | None:
        return None if self.listed is None else self.listed.digest


def located(server: str, entry: SkillEntry, path: str) -> Located:
    """The file of that path, or of that URI.

    A path is as it is on a disk; one that is quoted, as links in a SKILL.md are, is understood where there is no file
    of the path as it stands.

    Raises:
        SkillUnverified: "unlisted". The skill's entry has no such file, or it would not be in the skill.
    """
    wrong = ""
    meant: list[SkillUri] = []
    for reading in (_as_uri,) if "://" in path else (_as_path, _as_link):
        try:
            meant.append(reading(entry, path))
        except InvalidSkill as problem:
            wrong = wrong or f" ({problem})"
    for uri in meant:
        if (file := entry.file(uri)) is not None:
            return Located(entry.root.path_of(uri), file.uri, file)
    if entry.dynamic and meant:
        inner = entry.root.path_of(meant[0])
        return Located(inner, f"{entry.uri.rpartition('/')[0]}/{quote(inner, safe=_AS_IT_IS)}", None)
    known = [entry.root.path_of(SkillUri.parse(file.uri)) for file in entry.files or ()]
    what = f"Skill {entry.name!r} of server {server!r} lists no file {path!r}{wrong}; it was not asked for."
    raise SkillUnverified("unlisted", what + (nearest(path, known) if known else ""))


_AS_IT_IS = "/!$&'()*+,;="


def _as_path(entry: SkillEntry, path: str) -> SkillUri:
    return entry.root.below(path.removeprefix("./"))


def _as_link(entry: SkillEntry, path: str) -> SkillUri:
    return _as_uri(entry, f"{entry.uri.rpartition('/')[0]}/{path.removeprefix('./')}")


def _as_uri(entry: SkillEntry, uri: str) -> SkillUri:
    parsed = SkillUri.parse(uri)
    entry.root.path_of(parsed)
    return parsed
