"""One skill: its files, what is wrong with them, and the entries they make."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pmcp_lab.errors import SkillInvalid
from pmcp_lab.protocol.front_matter import FrontMatter, InvalidFrontMatter, field_problems, read_front_matter
from pmcp_lab.protocol.served_front_matter import served_problems
from pmcp_lab.protocol.skill_uri import SCHEME, SKILL_FILE, InvalidSkill, SkillUri
from pmcp_lab.protocol.skills import SKILL_TYPE, SkillEntry, SkillFile, limit_problems

_TYPES: Final = mimetypes.MimeTypes()
"""Python's own table: what the machine has besides would make one skill two on two machines."""
_TEXT_TYPES: Final = {
    ".js": "text/javascript",
    ".jsonl": "application/jsonl",
    ".md": SKILL_TYPE,
    ".mjs": "text/javascript",
    ".sh": "application/x-sh",
    ".toml": "application/toml",
    ".ts": "text/x-typescript",
    ".tsx": "text/x-typescript",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


@dataclass(frozen=True)
class ServedFile:
    """A file as it is served: the bytes that were hashed."""

    uri: str
    data: bytes
    mime_type: str


class Skill:
    """A skill in memory: a SKILL.md, and the files beside it.

    A SKILL.md further down is a skill of its own, with its own entry, and a file of this one.

    Args:
        files: Texts, or bytes, by their path: `{"SKILL.md": "---\\nname: …", "references/A.md": "…"}`.

    Raises:
        SkillInvalid: It breaks a rule of Agent Skills or of the extension; every problem is named. So is what peers
            would not all read alike in its YAML.
    """

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self.files = {path: _encoded(files[path]) for path in sorted(files)}
        self.front_matters: dict[str, FrontMatter] = {}
        """Of each SKILL.md, by its path."""
        problems = list(self._problems())
        if problems:
            name = self.front_matters[SKILL_FILE].fields.get("name") if SKILL_FILE in self.front_matters else None
            raise SkillInvalid(f"skill {name!r}" if name else "the skill", problems)

    @property
    def name(self) -> str:
        return str(self.front_matters[SKILL_FILE].fields["name"])

    def __repr__(self) -> str:
        return f"<Skill {self.name!r}: {len(self.files)} files>"

    def _problems(self) -> Iterator[tuple[str, str]]:
        if SKILL_FILE not in self.files:
            yield "", f"it has no {SKILL_FILE}"
        somewhere = SkillUri(SCHEME, ("skill",))
        for path, data in self.files.items():
            try:
                somewhere.below(path)
            except InvalidSkill as error:
                yield path, str(error)
                continue
            if path.rsplit("/", 1)[-1] == SKILL_FILE:
                yield from ((path, what) for what in self._skill_problems(path, data))
        for problem in limit_problems(len(self.files), sum(map(len, self.files.values()))):
            yield "", str(problem)

    def _skill_problems(self, path: str, data: bytes) -> Iterator[str]:
        try:
            front_matter = read_front_matter(data.decode())
        except UnicodeDecodeError:
            yield "it is no UTF-8"
            return
        except InvalidFrontMatter as error:
            yield str(error)
            return
        self.front_matters[path] = front_matter
        yield from (what for _, what in field_problems(front_matter.fields))
        yield from served_problems(front_matter)
        name, folders = front_matter.fields.get("name"), path.split("/")[:-1]
        if folders and name != folders[-1]:
            yield f"its name is {name!r}, but its folder {folders[-1]!r}: they have to be the same"


@dataclass(frozen=True)
class PlacedSkill:
    """A skill where it is served."""

    root: SkillUri
    skill: Skill

    @classmethod
    def below(cls, folder: tuple[str, ...], skill: Skill) -> PlacedSkill:
        return cls(SkillUri(SCHEME, (*folder, skill.name)), skill)

    @cached_property
    def files(self) -> dict[SkillUri, ServedFile]:
        served = {}
        for path, data in self.skill.files.items():
            uri = self.root.below(path)
            served[uri] = ServedFile(str(uri), data, _mime_type(path, data))
        return served

    @cached_property
    def entries(self) -> list[SkillEntry]:
        """Its own, and those of the skills in it."""
        listed = {uri: SkillFile.of(file.uri, file.data) for uri, file in self.files.items()}
        entries = []
        for path, front_matter in self.skill.front_matters.items():
            own = self.root.below(path)
            files = tuple(file for uri, file in listed.items() if own.parent.holds(uri))
            entries.append(SkillEntry(str(own), front_matter.fields, files))
        return entries


def _encoded(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else bytes(content)


def _mime_type(path: str, data: bytes) -> str:
    end = path[path.rfind(".") :].lower() if "." in path.rsplit("/", 1)[-1] else ""
    if end in _TEXT_TYPES:
        return _TEXT_TYPES[end]
    kind, encoding = _TYPES.guess_type(path.rsplit("/", 1)[-1].replace(":", "_"))
    if encoding is not None:
        return f"application/{encoding}"
    if kind is not None:
        return kind
    try:
        data.decode()
    except UnicodeDecodeError:
        return "application/octet-stream"
    return "text/plain"
