"""Whether a task may become something, and what is said when it may not. The eight moves themselves: `protocol`."""

from __future__ import annotations

from pmcp_lab.errors import InvalidTransition
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks.record import TaskRecord


def check_transition(record: TaskRecord, target: TaskStatus) -> None:
    """Raise `InvalidTransition` unless the task can become `target`."""
    if not record.status.can_become(target):
        raise refusal(record, target)


def refusal(record: TaskRecord, target: TaskStatus) -> InvalidTransition:
    """Why this task can't become `target`, and what to do."""
    action: str | None = None
    if not record.live:
        action = f"the task is terminal and stays {record.status}: start another one"
    elif record.status is target:
        action = f"the task is already {target}: nothing is to be done"
    return InvalidTransition(record.task_id, record.status, target, suggested_action=action)
