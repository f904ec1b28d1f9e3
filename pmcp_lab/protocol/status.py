"""The life of a task: five states and the eight moves between them (MCP 2025-11-25 "Task status lifecycle")."""

from __future__ import annotations

from enum import StrEnum


class TaskStatus(StrEnum):
    """One of the five states, as on the wire."""

    WORKING = "working"
    INPUT_REQUIRED = "input_required"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether nothing can follow."""
        return not MOVES[self]

    def can_become(self, target: TaskStatus) -> bool:
        return target in MOVES[self]


_END = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED})

MOVES: dict[TaskStatus, frozenset[TaskStatus]] = {
    TaskStatus.WORKING: _END | {TaskStatus.INPUT_REQUIRED},
    TaskStatus.INPUT_REQUIRED: _END | {TaskStatus.WORKING},
    TaskStatus.COMPLETED: frozenset(),
    TaskStatus.FAILED: frozenset(),
    TaskStatus.CANCELLED: frozenset(),
}
