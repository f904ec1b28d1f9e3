"""The questions of manual steps: under which key each is asked, what decides it, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pmcp_lab.protocol.durations import milliseconds
from pmcp_lab.protocol.task import from_timestamp, to_timestamp
from pmcp_lab.workflow.deciding import CLOSED, decides, form, misfit
from pmcp_lab.workflow.progress import Progress
from pmcp_lab.workflow.resolving import fill_known
from pmcp_lab.workflow.steps import No, Step


class Dismissed(Exception):
    """A question was asked, and nobody decided. `reason` is that to pause for."""

    def __init__(self, reason: Mapping[str, Any]) -> None:
        super().__init__(reason)
        self.reason = reason


def response_to(progress: Progress, step: Step, *, again: bool) -> tuple[Mapping[str, Any] | No | None, str]:
    """What decides a manual step, and who said it: a response, the word for a no, or None while nobody has decided.

    Raises:
        Dismissed: The question was dismissed, and nobody has asked for it to be put again.
    """
    if progress.state(step.name).answer is not None:
        return progress.state(step.name).answer, "person"
    asked = _keys(step, progress)
    response: Mapping[str, Any] | None = progress.answers.get(asked[-1]) if asked else None
    if response is not None and decides(step, response):
        return response, "person"
    if _late(progress, step):
        if isinstance(step.otherwise, str):
            return step.otherwise, "server"
        return {"action": "accept", "content": step.otherwise}, "server"
    if response is None or again or response == CLOSED:
        return None, ""
    what = misfit(step, response)
    why = "its question was dismissed" if what is None else f"its answer does not fit the form ({what})"
    reason = {"type": "inputRequired", "blockedStep": step.name, "retryable": True}
    reason |= _deadline(progress, step)
    said = f"Step {step.name!r} waits for an answer: {why}. {fill_known(step.question or '', step, progress.scope)}"
    raise Dismissed(reason | {"message": said})


def asking(progress: Progress, step: Step, key: str, request: Mapping[str, Any]) -> Progress:
    """With this question put, or still open."""
    if key not in progress.questions:
        changes: dict[str, Any] = {"attempts": progress.begun(step.name, "person")}
        if step.within is not None and progress.now is not None and progress.state(step.name).deadline is None:
            until = progress.now + timedelta(milliseconds=milliseconds(step.within) or 0)
            changes["deadline"] = to_timestamp(until)
        progress = progress.with_step(step.name, **changes)
    reason = {"type": "inputRequired", "blockedStep": step.name, "question": key} | _deadline(progress, step)
    text = str(request["params"]["message"])
    return progress.paused(reason | {"message": f"Step {step.name!r} waits for an answer: {text}"})


def _deadline(progress: Progress, step: Step) -> dict[str, Any]:
    deadline = progress.state(step.name).deadline
    return {} if deadline is None else {"deadline": deadline}


def _late(progress: Progress, step: Step) -> bool:
    """Whether the deadline of a step has passed by the clock of every server."""
    moment = from_timestamp(progress.state(step.name).deadline)
    return moment is not None and progress.now is not None and progress.now >= moment + progress.skew


def _keys(step: Step, progress: Progress) -> list[str]:
    """The keys of the step's questions, in the order in which they were asked."""
    keys = [key for key in progress.questions if key.rpartition("#")[0] == step.name]
    return sorted(keys, key=lambda key: int(key.rpartition("#")[2]))


def open_question(step: Step, progress: Progress) -> tuple[str, bool]:
    """The key under which the step's question can be answered, and whether it was asked under that."""
    asked = _keys(step, progress)
    if asked and asked[-1] not in progress.answers:
        return asked[-1], True
    return f"{step.name}#{len(asked) + 1}", False


def question(step: Step, progress: Progress) -> dict[str, Any]:
    """What a manual step asks."""
    message = fill_known(step.question or "", step, progress.scope)
    params = {"mode": "form", "message": message, "requestedSchema": form(step)}
    return {"method": "elicitation/create", "params": params}
