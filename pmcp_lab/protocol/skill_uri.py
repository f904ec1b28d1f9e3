"""URIs of skills and of what is in them, which are compared by their decoded segments (SEP-2640). No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote, unquote_to_bytes

SCHEME: Final = "skill"
SKILL_FILE: Final = "SKILL.md"

MAX_LENGTH: Final = 16_384
"""Of a URI; ours, and more than file systems give names for."""

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNQUOTED: Final = "!$&'()*+,;="
"""What a segment may have as it is, besides letters, digits and -._~: ":" and "@" mean something in an authority."""


class InvalidSkill(ValueError):
    """Something about a skill is not as it has to be.

    Attributes:
        code: What, as `pmcp-lab app check` names it: "uri", "name", "description", "frontmatter", "incomplete",
            "outside", "digest", "size", "twice" or "limit".
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class SkillUri:
    """A URI as it is compared: the decoded segments after the scheme, of which the authority is the first."""

    scheme: str
    segments: tuple[str, ...]
    lead: str = "://"
    """What is between the two: schemes other than `skill` may go without an authority, as in `file:///` and `repo:`."""

    @classmethod
    def parse(cls, uri: str) -> SkillUri:
        """Read one.

        Raises:
            InvalidSkill: "uri". It is too long, has no scheme, a query, a fragment, a backslash, a `%` that quotes
                nothing, or a segment that is empty, `.` or `..`, or hides a slash or a control character.
        """
        if len(uri) > MAX_LENGTH:
            raise InvalidSkill("uri", f"{uri[:80]!r}… has more than {MAX_LENGTH:,} characters")
        found = _SCHEME.fullmatch(uri)
        if not found:
            raise InvalidSkill("uri", f"{uri!r} has no scheme, such as {SCHEME}://")
        scheme, rest = found.groups()
        for mark, name in (("?", "a query"), ("#", "a fragment"), ("\\", "a backslash")):
            if mark in rest:
                raise InvalidSkill("uri", f"{uri!r} has {name}")
        if _PERCENT.search(rest):
            raise InvalidSkill("uri", f"{uri!r} has a % that quotes nothing")
        lead = next(lead for lead in ("///", "//", "/", "") if rest.startswith(lead))
        if lead == "///" and scheme.lower() == SCHEME:
            raise InvalidSkill("uri", f"{uri!r} has an empty segment")
        parts = rest.removeprefix(lead).split("/")
        return cls(scheme.lower(), tuple(_decoded(part, uri) for part in parts), f":{lead}")

    @property
    def name(self) -> str:
        return self.segments[-1]

    @property
    def parent(self) -> SkillUri:
        return replace(self, segments=self.segments[:-1])

    def holds(self, other: SkillUri) -> bool:
        """Whether the other one is below this."""
        if (self.scheme, self.lead) != (other.scheme, other.lead) or len(other.segments) <= len(self.segments):
            return False
        return other.segments[: len(self.segments)] == self.segments

    def below(self, path: str) -> SkillUri:
        """That of a file, by its path from here, such as "references/A.md", with nothing quoted.

        Raises:
            InvalidSkill: "uri". The path leads elsewhere, or is none.
        """
        segments = path.split("/")
        for segment in segments:
            _check_segment(segment, path)
        return replace(self, segments=(*self.segments, *segments))

    def path_of(self, other: SkillUri) -> str:
        """The path from here to what is below, such as "references/A.md".

        Raises:
            InvalidSkill: "outside". It is not below.
        """
        if not self.holds(other):
            raise InvalidSkill("outside", f"{other} is not in {self}")
        return "/".join(other.segments[len(self.segments) :])

    def __str__(self) -> str:
        return f"{self.scheme}{self.lead}" + "/".join(quote(segment, safe=_UNQUOTED) for segment in self.segments)


def skill_root(uri: str) -> SkillUri:
    """The directory of a skill, from the URI of its SKILL.md.

    Raises:
        InvalidSkill: "uri". It is none, or does not end in a folder and `/SKILL.md`.
    """
    parsed = SkillUri.parse(uri)
    if len(parsed.segments) < 2 or parsed.name != SKILL_FILE:
        raise InvalidSkill("uri", f"{uri!r} does not end in the skill's name and /{SKILL_FILE}")
    return parsed.parent


def _decoded(part: str, uri: str) -> str:
    try:
        segment = unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise InvalidSkill("uri", f"{uri!r} quotes what is no UTF-8") from None
    except UnicodeEncodeError:
        raise InvalidSkill("uri", f"{uri!r} has a character that is none") from None
    _check_segment(segment, uri)
    return segment


def _check_segment(segment: str, whole: str) -> None:
    if segment in ("", ".", ".."):
        raise InvalidSkill(
            "uri", f"{whole!r} has a segment {segment!r}" if segment else f"{whole!r} has an empty segment"
        )
    if "/" in segment or "\\" in segment:
        raise InvalidSkill("uri", f"{whole!r} hides a slash or a backslash in a segment")
    if any(ord(character) < 32 or ord(character) == 127 for character in segment):
        raise InvalidSkill("uri", f"{whole!r} has a control character")
    if any(0xD800 <= ord(character) < 0xE000 for character in segment):
        raise InvalidSkill("uri", f"{whole!r} has what is no character")
