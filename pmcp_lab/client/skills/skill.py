"""One skill of a server, as a cell holds it."""

from __future__ import annotations

import html
import json
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from pmcp_lab.client.catalogue import first_line, size_text
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.skills.content import SkillContent
from pmcp_lab.client.skills.paths import located
from pmcp_lab.client.skills.source import SkillSource
from pmcp_lab.protocol.front_matter import allowed_tools, field_problems
from pmcp_lab.protocol.skill_uri import SCHEME, SKILL_FILE, SkillUri
from pmcp_lab.protocol.skills import SkillEntry, SkillFile

T = TypeVar("T")

LEFT = "style='text-align:left;vertical-align:top'"


class SkillFiles(dict[str, SkillFile]):
    """The files of a skill by path, as its entry lists them; shows itself as a table. Nothing was read for it."""

    def __repr__(self) -> str:
        return "\n".join(f"{path}  {size_text(file.size)}  {file.digest}" for path, file in self.items()) or "no files"

    def _repr_html_(self) -> str:
        return _table(("file", "size", "digest"), [(p, size_text(f.size), f.digest) for p, f in self.items()])


@dataclass(frozen=True)
class SkillChanges:
    """What of a skill is another than before: paths of its files, and keys of its front matter."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    front_matter: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.front_matter)

    def __repr__(self) -> str:
        said = {
            "added": self.added,
            "changed": self.changed,
            "removed": self.removed,
            "front matter changed": self.front_matter,
        }
        return "; ".join(f"{what}: {', '.join(each)}" for what, each in said.items() if each) or "nothing changed"


class Skill:
    """A skill that a server has: its front matter and its files, of which none is fetched before `read`.

    Nothing in it is trusted: it is shown as text, nothing is run, and `allowed_tools` grants none. Two skills are the
    same when their server and URI are, whatever their names.
    """

    def __init__(self, source: SkillSource, entry: SkillEntry) -> None:
        self._source = source
        self._entry = entry
        self._changes = SkillChanges()

    # --- what it is ---

    @property
    def server(self) -> str:
        """What its server is called here."""
        return self._source.server

    @property
    def uri(self) -> str:
        """Of its SKILL.md."""
        return self._entry.uri

    @property
    def key(self) -> str:
        return self.uri

    @property
    def name(self) -> str:
        return self._entry.name

    @property
    def title(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        """Where it is among the server's skills, such as "acme/refunds"; the last part is its name."""
        root = self._entry.root
        return "/".join(root.segments) if root.scheme == SCHEME else str(root)

    @property
    def description(self) -> str:
        return self._entry.description

    @property
    def frontmatter(self) -> dict[str, Any]:
        """That of its SKILL.md, as the server's entry has it."""
        return dict(self._entry.frontmatter)

    @property
    def license(self) -> str | None:
        return self._text("license")

    @property
    def compatibility(self) -> str | None:
        """What it says that it needs."""
        return self._text("compatibility")

    @property
    def allowed_tools(self) -> list[str]:
        """The tools that it asks for, of a host that runs skills. It is granted none here."""
        return allowed_tools(self._entry.frontmatter) or []

    @property
    def dynamic(self) -> bool:
        """Whether its server does not list its files, so that there is nothing to verify them with."""
        return self._entry.dynamic

    @property
    def files(self) -> SkillFiles:
        """Its files by path, with digest and size; empty where it is dynamic. Asks nobody anything."""
        return _files(self._entry)

    @property
    def size(self) -> int:
        """Bytes of all its files; 0 where it is dynamic."""
        return self._entry.size

    @property
    def verified(self) -> bool | None:
        """Whether each file that was read was what the entry says; None before the first, and where it is dynamic."""
        found = [check == "" for check in self._checks() if check is not None]
        if not all(found):
            return False
        return True if found and not self.dynamic else None

    @property
    def problems(self) -> list[str]:
        """What is wrong with it, and does not forbid its use; and what was with files that were read."""
        told = [text for _, text in field_problems(self._entry.frontmatter)]
        return [*told, *(check for check in self._checks() if check)]

    @property
    def changes(self) -> SkillChanges:
        """What the last `refresh` brought, or a `read` that found the skill changed."""
        return self._changes

    # --- what it does ---

    def read(self, path: str = SKILL_FILE) -> SkillContent:
        """A file of the skill, verified: its size and digest, and of SKILL.md the front matter (SEP-2640).

        What does not fit is asked for once more, with the skill's entry: a skill that changed meanwhile is then what
        the server says now, and `changes` tells.

        Args:
            path: Such as "references/A.md", from the skill's own folder; or the file's URI.

        Raises:
            SkillUnverified: It is not listed, and was not asked for; or it is not what the entry says.
            PeerError: The server does not give it.
        """
        located(self.server, self._entry, path)
        content, current = self._wait(self._source.read(self._entry, path))
        self._take(current)
        return content

    def refresh(self) -> SkillChanges:
        """Ask for the skill's entry again (`skills/get`), and return what is another than before. Reads no file.

        Raises:
            UnknownSkill: The server has it no more.
            SkillUnverified: What it answers can't be used.
        """
        before = self._entry
        self._changes = SkillChanges()
        self._take(self._wait(self._source.get(before.uri)))
        return self._changes

    def _wait(self, asking: Coroutine[Any, Any, T]) -> T:
        try:
            self._source.connection.wait()
        except BaseException:
            asking.close()
            raise
        return runtime().run(asking)

    def _take(self, entry: SkillEntry) -> None:
        if entry != self._entry:
            self._changes = changes_between(self._entry, entry)
            self._entry = entry

    def _checks(self) -> Iterable[str | None]:
        if self._entry.files is not None:
            return [self._source.checks.get((file.uri, file.digest)) for file in self._entry.files]
        root = self._entry.root
        return [
            check
            for (uri, digest), check in self._source.checks.items()
            if digest is None and root.holds(SkillUri.parse(uri))
        ]

    def _text(self, key: str) -> str | None:
        value = self._entry.frontmatter.get(key)
        return value if isinstance(value, str) else None

    # --- how it is shown ---

    @property
    def extent(self) -> str:
        """How much it is, in a few words."""
        if self.dynamic:
            return "dynamic"
        count = len(self._entry.files or ())
        return f"{count} file{'' if count == 1 else 's'}, {size_text(self.size)}"

    def row(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": self.description,
            "uri": self.uri,
            "files": None if self.dynamic else len(self._entry.files or ()),
            "bytes": None if self.dynamic else self.size,
            "dynamic": self.dynamic,
            "license": self.license,
            "compatibility": self.compatibility,
            "allowed_tools": ", ".join(self.allowed_tools),
            "verified": self.verified,
            "problems": "; ".join(self.problems),
        }

    def cells(self) -> tuple[str, str, str]:
        return self.path, first_line(self.description), self.extent

    def __repr__(self) -> str:
        return f"<Skill {self.server} {self.uri}>"

    def _lines(self) -> list[tuple[str, str]]:
        """The front matter, where it is from, and what is special about it."""
        fields = [(key, _shown(value)) for key, value in self._entry.frontmatter.items() if key != "name"]
        state = {True: "what was read is what the entry says", False: "NOT what the entry says", None: "nothing read"}
        more = [("from", f"server {self.server}, {self.uri}"), ("files", self.extent)]
        if not self.dynamic:
            more.append(("verified", state[self.verified]))
        return [*fields, *more, *(("problem", each) for each in self.problems)]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        lines = [self.name, *(f"    {key}: {value}" for key, value in self._lines())]
        lines += [f"    {path}  {size_text(file.size)}" for path, file in self.files.items()]
        head = f"<p><b>{html.escape(self.name)}</b>, a skill of {html.escape(self.server)}</p>"
        files = self.files._repr_html_() if not self.dynamic else ""
        return {"text/plain": "\n".join(lines), "text/html": head + _table((), self._lines()) + files}


def changes_between(before: SkillEntry, after: SkillEntry) -> SkillChanges:
    """What of a skill is another than before."""
    old, new = _files(before), _files(after)
    keys = {**before.frontmatter, **after.frontmatter}
    return SkillChanges(
        added=tuple(path for path in new if path not in old),
        changed=tuple(path for path in new if path in old and new[path].digest != old[path].digest),
        removed=tuple(path for path in old if path not in new),
        front_matter=tuple(key for key in keys if before.frontmatter.get(key) != after.frontmatter.get(key)),
    )


def _files(entry: SkillEntry) -> SkillFiles:
    root = entry.root
    return SkillFiles({root.path_of(SkillUri.parse(file.uri)): file for file in entry.files or ()})


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th {LEFT}>{html.escape(each)}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td {LEFT}>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"
