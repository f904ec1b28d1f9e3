"""What was seen of a task, change by change."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

KEPT = 10_000
"""Changes kept of one task; of a longer life the oldest are dropped."""


@dataclass(frozen=True)
class Moment:
    """A status with the message that came with it. `time` is in ms since the epoch, by this machine's clock."""

    time: int
    status: str
    message: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed. `time` as in `Moment`.

    Args:
        kind: "status", "message", "progress" or "variable".
        name: Which variable.
        old, new: None stands for "not there", before or after.
    """

    time: int
    kind: str
    name: str | None
    old: Any
    new: Any


class History:
    """Collects what is new whenever a task was looked at."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []
        self.changes: deque[Change] = deque(maxlen=KEPT)
        self._seen: dict[str, Any] = {"status": None, "message": None, "progress": None}
        self._variables: Mapping[str, Any] = {}

    def look(
        self, time: int, status: str, message: str | None, progress: float | None, variables: Mapping[str, Any]
    ) -> None:
        """Note how things are now; what is as it was leaves no trace."""
        last = self.moments[-1] if self.moments else None
        if last is None or (last.status, last.message) != (status, message):
            self.moments.append(Moment(time, status, message))
        for kind, new in (("status", status), ("message", message), ("progress", progress)):
            if (old := self._seen[kind]) != new:
                self.changes.append(Change(time, kind, None, old, new))
                self._seen[kind] = new
        if variables is not self._variables:
            before, self._variables = self._variables, variables
            for name in [*variables, *(gone for gone in before if gone not in variables)]:
                if before.get(name) != variables.get(name):
                    self.changes.append(Change(time, "variable", name, before.get(name), variables.get(name)))

    @property
    def df(self) -> pd.DataFrame:
        """The changes as a pandas DataFrame: time, kind, name, old, new."""
        import pandas as pd

        changes = list(self.changes)
        frame = pd.DataFrame(
            {
                "kind": pd.Series([each.kind for each in changes], dtype="object"),
                "name": pd.Series([each.name for each in changes], dtype="object"),
                "old": pd.Series([each.old for each in changes], dtype="object"),
                "new": pd.Series([each.new for each in changes], dtype="object"),
            }
        )
        frame.insert(0, "time", pd.to_datetime([each.time for each in changes], unit="ms", utc=True))
        return frame
