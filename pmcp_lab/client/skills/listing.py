"""The skills a server lists, by URI and by name."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from pmcp_lab.client.catalogue import Listing
from pmcp_lab.client.skills.skill import Skill
from pmcp_lab.client.skills.source import SetAside
from pmcp_lab.errors import AmbiguousSkill, UnknownSkill
from pmcp_lab.protocol.skill_uri import InvalidSkill, SkillUri

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "name",
    "description",
    "uri",
    "files",
    "bytes",
    "dynamic",
    "license",
    "compatibility",
    "allowed_tools",
    "verified",
    "problems",
)


class Skills(Listing[Skill]):
    """The skills of one server, by URI, and by name where only one has it; shows itself as a table.

    Attributes:
        aside: What the server lists as skills and can't be used, with the reasons.
    """

    noun = "skills"
    heads = ("skill", "what it is for", "")
    joint = "  "

    def __init__(self, server: str, items: Iterable[Skill], aside: Iterable[SetAside] = ()) -> None:
        super().__init__(server, items)
        self.aside = tuple(aside)

    def missing(self, name: str) -> UnknownSkill:
        return UnknownSkill(self._server, name, self._items if ":" in name else self._names)

    @property
    def _names(self) -> Counter[str]:
        return Counter(skill.name for skill in self._items.values())

    def _found(self, name: str) -> list[Skill]:
        if name in self._items:
            return [self._items[name]]
        if ":" in name:
            try:
                uri = SkillUri.parse(name)
            except InvalidSkill:
                return []
            return [skill for key, skill in self._items.items() if SkillUri.parse(key) == uri]
        return [skill for skill in self._items.values() if skill.name == name]

    def __getitem__(self, name: str) -> Skill:
        """A skill by its URI, or by its name.

        Raises:
            UnknownSkill: None is listed; `server.skill(uri)` asks for one that is not.
            AmbiguousSkill: Several have that name; it says their URIs.
        """
        found = self._found(name)
        if len(found) > 1:
            raise AmbiguousSkill(self._server, name, [skill.uri for skill in found])
        if not found:
            raise self.missing(name)
        return found[0]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._found(name))

    def shortest(self, skill: Skill) -> str:
        """What a skill of these can be called: its name, or its URI where others have that too."""
        return skill.name if self._names[skill.name] == 1 else skill.uri

    def search(self, text: str) -> Self:
        """The skills whose name, URI or description has every word of `text`, with what was set aside."""
        found = super().search(text)
        found.aside = self.aside
        return found

    def _ipython_key_completions_(self) -> list[str]:
        return [self.shortest(skill) for skill in self._items.values()]

    @property
    def df(self) -> pd.DataFrame:
        """The listing as a pandas DataFrame, one row per skill, and then what was set aside, with `problems` alone.

        `allowed_tools` are asked for, not granted; `verified` is None until a file was read.
        """
        import pandas as pd

        rows = [skill.row() for skill in self._items.values()]
        rows += [{"uri": each.uri, "problems": f"not usable: {'; '.join(each.problems)}"} for each in self.aside]
        types: Any = {"files": "Int64", "bytes": "Int64", "dynamic": "boolean", "verified": object}
        return pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)

    def __repr__(self) -> str:
        lines = [super().__repr__()]
        lines += [f"set aside: {each.uri or self._server}\n    {'; '.join(each.problems)}" for each in self.aside]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        aside = [(html.escape(each.uri or self._server), html.escape("; ".join(each.problems))) for each in self.aside]
        said = "".join(f"<p>Set aside: <code>{uri}</code> {problems}</p>" for uri, problems in aside)
        return super()._repr_html_() + said
