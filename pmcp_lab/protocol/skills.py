"""The wire of the extension `io.modelcontextprotocol/skills` (SEP-2640), of both generations. No I/O.

A skill is a folder with a SKILL.md. Its entry says what is in it: the front matter of that file, and each file with
its digest and size. What SKILL.md itself says is read in `front_matter`,
URIs are in `skill_uri`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pmcp_lab.protocol.front_matter import field_problems
from pmcp_lab.protocol.skill_uri import SKILL_FILE, InvalidSkill, SkillUri, skill_root

EXTENSION: Final = "io.modelcontextprotocol/skills"
DIRECTORY_READ: Final = "directoryRead"
"""The setting of the extension by which a server offers `resources/directory/read`."""
META_PREFIX: Final = "io.modelcontextprotocol.skills/"
"""Of the keys in `_meta` of a SKILL.md that is listed as a resource."""

LIST: Final = "skills/list"
GET: Final = "skills/get"
READ_DIRECTORY: Final = "resources/directory/read"

SKILL_TYPE: Final = "text/markdown"
DIRECTORY_TYPE: Final = "inode/directory"
DYNAMIC: Final = "dynamic"

MAX_FILES: Final = 512
MAX_BYTES: Final = 16_777_216
"""Of one skill: what each host must take, and no server should exceed."""

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")

CacheScope = Literal["public", "private"]


# --- entries ---


@dataclass(frozen=True)
class SkillFile:
    """A file as its skill's entry names it."""

    uri: str
    digest: str
    size: int

    @classmethod
    def of(cls, uri: str, data: bytes) -> SkillFile:
        return cls(uri, digest_of(data), len(data))

    def mismatch(self, data: bytes) -> InvalidSkill | None:
        """What is wrong with bytes that should be the file's: "size" or "digest"; None when they are."""
        if len(data) != self.size:
            return InvalidSkill("size", f"{self.uri} has {len(data):,} bytes; its skill's entry says {self.size:,}")
        if (digest := digest_of(data)) != self.digest:
            return InvalidSkill("digest", f"{self.uri} has the digest {digest}; its skill's entry says {self.digest}")
        return None


@dataclass(frozen=True)
class SkillEntry:
    """A skill as `skills/list` and `skills/get` give it."""

    uri: str
    """Of its SKILL.md."""
    frontmatter: dict[str, Any]
    files: tuple[SkillFile, ...] | None
    """Each of them, SKILL.md included; None where the server says "dynamic"."""
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.frontmatter["name"])

    @property
    def description(self) -> str:
        return str(self.frontmatter["description"])

    @property
    def dynamic(self) -> bool:
        return self.files is None

    @property
    def root(self) -> SkillUri:
        return skill_root(self.uri)

    @property
    def size(self) -> int:
        """Bytes of all files; 0 where they are not known."""
        return sum(file.size for file in self.files or ())

    def file(self, uri: str | SkillUri) -> SkillFile | None:
        """The file of that URI, compared by decoded segments; None where the entry has none.

        Raises:
            InvalidSkill: "uri".
        """
        wanted = uri if isinstance(uri, SkillUri) else SkillUri.parse(uri)
        return next((file for file in self.files or () if SkillUri.parse(file.uri) == wanted), None)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def entry_problems(raw: object) -> list[InvalidSkill]:
    """All that is wrong with an entry, in the order of its members; empty is one that may be used."""
    if not isinstance(raw, Mapping):
        return [InvalidSkill("uri", "the entry is no object")]
    problems: list[InvalidSkill] = []
    root: SkillUri | None = None
    uri = raw.get("uri")
    try:
        if not isinstance(uri, str):
            raise InvalidSkill("uri", "it has no uri")
        root = skill_root(uri)
    except InvalidSkill as problem:
        problems.append(problem)
    fields = raw.get("frontmatter")
    if isinstance(fields, Mapping):
        problems += [
            InvalidSkill(which, text) for which, text in field_problems(fields) if which in ("name", "description")
        ]
        name = fields.get("name")
        if root is not None and isinstance(name, str) and root.name != name:
            problems.append(InvalidSkill("name", f"its name is {name!r}, but the last folder of its URI {root.name!r}"))
    else:
        problems.append(InvalidSkill("frontmatter", "it has no frontmatter"))
    files = raw.get("resources")
    if isinstance(files, list):
        problems += _manifest_problems(files, root)
    elif files != DYNAMIC:
        problems.append(InvalidSkill("incomplete", f'its resources are neither a list nor "{DYNAMIC}"'))
    return problems


def decode_entry(raw: object) -> SkillEntry:
    """An entry that can be relied on.

    Raises:
        InvalidSkill: The first of `entry_problems`.
    """
    for problem in entry_problems(raw):
        raise problem
    assert isinstance(raw, Mapping)
    listed, meta = raw["resources"], raw.get("_meta")
    files = None
    if listed != DYNAMIC:
        files = tuple(SkillFile(each["uri"], each["digest"], each["size"]) for each in listed)
    return SkillEntry(
        uri=raw["uri"],
        frontmatter=dict(raw["frontmatter"]),
        files=files,
        meta=dict(meta) if isinstance(meta, Mapping) else {},
    )


def encode_entry(entry: SkillEntry) -> dict[str, Any]:
    files: object = DYNAMIC
    if entry.files is not None:
        files = [{"uri": file.uri, "digest": file.digest, "size": file.size} for file in entry.files]
    return {"uri": entry.uri, "frontmatter": entry.frontmatter, "resources": files}


def _manifest_problems(files: Sequence[Any], root: SkillUri | None) -> Iterable[InvalidSkill]:
    seen: set[SkillUri] = set()
    size = 0
    for raw in files:
        if not isinstance(raw, Mapping) or not isinstance(raw.get("uri"), str):
            yield InvalidSkill("incomplete", "it lists a file without a uri")
            continue
        try:
            uri = SkillUri.parse(raw["uri"])
        except InvalidSkill as problem:
            yield problem
            continue
        if uri in seen:
            yield InvalidSkill("twice", f"it lists {raw['uri']} twice")
        seen.add(uri)
        if root is not None and not root.holds(uri):
            yield InvalidSkill("outside", f"it lists {raw['uri']}, which is not in its directory, {root}")
        if not isinstance(raw.get("digest"), str) or not _DIGEST.fullmatch(raw["digest"]):
            yield InvalidSkill("digest", f"the digest of {raw['uri']} is not sha256: and 64 digits of 0-9a-f")
        count = raw.get("size")
        if type(count) is not int or count < 0:
            yield InvalidSkill("size", f"the size of {raw['uri']} is no number of bytes")
        else:
            size += count
    if root is not None and root.below(SKILL_FILE) not in seen:
        yield InvalidSkill("incomplete", f"its resources do not have its own {SKILL_FILE}")
    yield from limit_problems(len(files), size)


def limit_problems(files: int, size: int) -> list[InvalidSkill]:
    """What a skill has more of than a host must take: files, or bytes."""
    problems = []
    if files > MAX_FILES:
        problems.append(InvalidSkill("limit", f"it has {files:,} files; hosts need not take more than {MAX_FILES}"))
    if size > MAX_BYTES:
        problems.append(InvalidSkill("limit", f"it has {size:,} bytes; hosts need not take more than {MAX_BYTES:,}"))
    return problems


# --- what a method answers ---


@dataclass(frozen=True)
class Caching:
    """For how long an answer may be kept (2026-07-28; the other generation has no such fields)."""

    ttl_ms: int = 0
    scope: CacheScope = "private"

    @classmethod
    def decode(cls, raw: Mapping[str, Any]) -> Caching:
        """Of a result; what is missing or none of its kind is stale and private."""
        ttl = raw.get("ttlMs")
        known = isinstance(ttl, int | float) and not isinstance(ttl, bool) and 0 < ttl < float("inf")
        return cls(int(ttl) if known else 0, "public" if raw.get("cacheScope") == "public" else "private")  # type: ignore[arg-type]

    def encode(self) -> dict[str, Any]:
        return {"ttlMs": self.ttl_ms, "cacheScope": self.scope}


@dataclass(frozen=True)
class DirectoryItem:
    """A child of a directory, as `resources/directory/read` gives it."""

    uri: str
    name: str
    mime_type: str | None = None
    size: int | None = None
    """Bytes of a file, where the server says so."""

    @property
    def is_directory(self) -> bool:
        return self.mime_type == DIRECTORY_TYPE


def encode_listed(
    entries: Iterable[SkillEntry], *, next_cursor: str | None = None, caching: Caching | None
) -> dict[str, Any]:
    """The answer to `skills/list`; `caching` is None on 2025-11-25."""
    return _result({"skills": [encode_entry(entry) for entry in entries]}, next_cursor, caching)


def encode_got(entry: SkillEntry, *, caching: Caching | None) -> dict[str, Any]:
    """The answer to `skills/get`, likewise."""
    return _result({"skill": encode_entry(entry)}, None, caching)


def encode_directory(
    items: Iterable[DirectoryItem], *, next_cursor: str | None = None, caching: Caching | None
) -> dict[str, Any]:
    """The answer to `resources/directory/read`, likewise.

    The specification has no caching fields there; the TypeScript SDK's client wants them.
    """
    children = []
    for item in items:
        child: dict[str, Any] = {"uri": item.uri, "name": item.name}
        if item.mime_type:
            child["mimeType"] = item.mime_type
        if item.size is not None:
            child["size"] = item.size
        children.append(child)
    return _result({"resources": children}, next_cursor, caching)


def decode_directory(raw: Mapping[str, Any]) -> list[DirectoryItem]:
    """The children in a result of `resources/directory/read`; what is none is left out."""
    found = []
    items = raw.get("resources")
    for each in items if isinstance(items, list) else ():
        if isinstance(each, Mapping) and isinstance(each.get("uri"), str):
            name, kind, size = each.get("name"), each.get("mimeType"), each.get("size")
            found.append(
                DirectoryItem(
                    uri=each["uri"],
                    name=name if isinstance(name, str) else each["uri"],
                    mime_type=kind if isinstance(kind, str) else None,
                    size=size if type(size) is int and size >= 0 else None,
                )
            )
    return found


def _result(body: dict[str, Any], next_cursor: str | None, caching: Caching | None) -> dict[str, Any]:
    result: dict[str, Any] = {} if caching is None else {"resultType": "complete"}
    result |= body
    if next_cursor is not None:
        result["nextCursor"] = next_cursor
    return result | (caching.encode() if caching is not None else {})


# --- contents ---


def encode_content(uri: str, data: bytes, mime_type: str) -> dict[str, Any]:
    """An item of `resources/read` whose bytes are those of the file: text where they are UTF-8, else a blob."""
    try:
        return {"uri": uri, "mimeType": mime_type, "text": data.decode()}
    except UnicodeDecodeError:
        return {"uri": uri, "mimeType": mime_type, "blob": base64.b64encode(data).decode()}


def content_bytes(content: Mapping[str, Any]) -> bytes:
    """The bytes of an item of `resources/read`, as its server hashed them.

    Raises:
        InvalidSkill: "digest". It has neither text nor a blob, or one that can't be decoded.
    """
    text, blob = content.get("text"), content.get("blob")
    try:
        if isinstance(text, str):
            return text.encode()
        if isinstance(blob, str):
            return base64.b64decode(blob, validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        pass
    raise InvalidSkill("digest", "it has neither text nor a readable blob")
