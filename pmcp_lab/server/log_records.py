"""What the server's log records say about a task besides their message."""

from __future__ import annotations

import hashlib
import logging

from pmcp_lab.tasks import Owner, TaskRecord
from pmcp_lab.tasks.owner import owner_key


def log_extra(record: TaskRecord) -> dict[str, str]:
    """The `extra` of a log record about a task: nothing of what is in it."""
    return {
        "task_id": record.task_id,
        "owner_hash": owner_hash(record.owner),
        "tool": "" if record.job is None else record.job.tool,
    }


def log_moment(logger: logging.Logger, level: int, record: TaskRecord, what: str) -> None:
    """Say what became of a task."""
    if logger.isEnabledFor(level):
        about = log_extra(record)
        text = "task %s of owner %s, tool %r: %s"
        logger.log(level, text, record.task_id, about["owner_hash"], about["tool"], what, extra=about)


def owner_hash(owner: Owner) -> str:
    """Tells owners apart without naming them."""
    return hashlib.sha256(owner_key(owner).encode()).hexdigest()[:8]
