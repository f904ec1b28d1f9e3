"""What a check found, for people and for scripts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Args:
        level: "error" breaks an app in some host, "warning" will surprise somebody, "note" is to be known.
        code: Stable, for scripts.
        place: The tool or resource, and where in it.
        what: What was found.
        fix: What to do.
    """

    level: Level
    code: str
    place: str
    what: str
    fix: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)
