"""One task of a `TaskSet`, as its data frame and its picture see it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from pmcp_lab.client.tasks.task import Task


@dataclass(frozen=True)
class SetRow:
    """One row.

    Args:
        name: What it is called: the index of the DataFrame it came from, or its number.
        status: As it was when all rows were looked at.
        failure: What went wrong, a time-out included.
        lane: Which of the places of the `concurrency` it took.
    """

    name: Hashable
    task: Task
    status: str
    failure: BaseException | None
    lane: int
