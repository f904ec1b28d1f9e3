"""What a move changes in the task beside the progress: status, message, lease, and what is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import WAITING, Lease, Limits, TaskRecord
from pmcp_lab.tasks.leases import AT_ONCE, leased
from pmcp_lab.workflow import persistence
from pmcp_lab.workflow.asking import question
from pmcp_lab.workflow.deciding import CLOSED
from pmcp_lab.workflow.plan import Ask, Done, Move, Run, TakeBack
from pmcp_lab.workflow.progress import Progress


def moved(
    record: TaskRecord, progress: Progress, move: Move | None, lease: Lease | None, limits: Limits
) -> dict[str, Any]:
    """What changes in the record, besides the progress, with this move.

    Args:
        lease: Of the run that makes it.
    """
    if isinstance(move, Done):
        changes = persistence.finished(progress, limits)
    else:
        done = progress.settled / len(progress.states)
        changes = {
            "status": TaskStatus.INPUT_REQUIRED if isinstance(move, Ask) else TaskStatus.WORKING,
            "message": message(move, progress),
            "progress": max(done, record.progress or 0.0),
            "lease": lease if isinstance(move, Run | TakeBack) else _looked_after(record, progress),
        }
    asked = {move.key: move.request} if isinstance(move, Ask) else {}
    news = {key: given for key, given in progress.answers.items() if key not in record.answers}
    if asked or news or record.open_questions:
        # What is asked no more is closed: a key is never used for another question.
        closed = {key: CLOSED for key in record.open_questions if key not in asked}
        unasked = {key: _question(key, progress) for key in news if key not in record.questions}
        changes["questions"] = {**record.questions, **unasked, **asked}
        changes["answers"] = {**record.answers, **closed, **news}
    return changes


def _question(key: str, progress: Progress) -> Mapping[str, Any]:
    return question(progress.workflow.steps[progress.positions[key.rpartition("#")[0]]], progress)


def message(move: Move | None, progress: Progress) -> str | None:
    if isinstance(move, Run):
        return f"step {progress.positions[move.step.name] + 1} of {len(progress.states)}: {move.step.name}"
    if isinstance(move, TakeBack):
        return f"taking back step {progress.positions[move.step.name] + 1}: {move.step.name}"
    if isinstance(move, Ask):
        return str(move.request["params"]["message"])
    return None if progress.pause is None else progress.pause.message


def _looked_after(record: TaskRecord, progress: Progress) -> Lease | None:
    """What has a task that waits for a deadline found by servers that are started meanwhile."""
    if progress.pause is None or progress.pause.deadline is None:
        return None
    return record.lease if record.lease is not None and record.lease.free else leased(record, WAITING, AT_ONCE).lease
