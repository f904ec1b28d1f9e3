"""How many tasks this process has run and runs, by tool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields


@dataclass(slots=True)
class Counts:
    """Tasks of one tool, or of all.

    Args:
        waiting: Submitted here and not started, or waiting for their turn.
        running: Started here and not over, those that wait for an answer included.
        completed: Ended here with a result.
        failed: Ended here with an error, their tool's own included.
        cancelled: Stopped here because their client cancelled them, or because another process has them.
        retried: Taken over from a process that ended, to be run again.
        not_stoppable: Over for their client, while their function goes on in a thread, which nobody can stop.
    """

    waiting: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    retried: int = 0
    not_stoppable: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)})


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot; `tools` has those that had tasks."""

    tools: Mapping[str, Counts] = field(default_factory=dict)

    @property
    def total(self) -> Counts:
        return sum(self.tools.values(), Counts())

    def as_dict(self) -> dict[str, dict[str, int]]:
        """The numbers as JSON; `""` is the total, which no tool can be named."""
        return {"": asdict(self.total)} | {name: asdict(counts) for name, counts in self.tools.items()}
