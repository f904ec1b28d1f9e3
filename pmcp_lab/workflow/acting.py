"""What a person can want done with a workflow that stands: leave a step out, or take everything back."""

from __future__ import annotations

from pmcp_lab.errors import INVALID_PARAMS, LabError, nearest
from pmcp_lab.protocol.workflow_wire import Action, Ending, StepStatus
from pmcp_lab.workflow.plan import skipped
from pmcp_lab.workflow.progress import Progress
from pmcp_lab.workflow.wording import ended


def acted(progress: Progress, action: Action) -> Progress:
    """The workflow with what a person wants done.

    Raises:
        LabError: It can't be done.
    """
    name = f"workflow {progress.workflow.name!r}"
    if progress.ending is not None:
        raise LabError(f"{name} is ending: {ended(progress)}", code=INVALID_PARAMS)
    if action.kind == "undo":
        if not any(state.undo and state.status is StepStatus.COMPLETED for state in progress.states):
            raise LabError(f"{name} has done nothing that can be taken back", code=INVALID_PARAMS)
        return progress.but(ending=Ending(kind="undone", reason=action.reason))
    step, where = action.step or "", progress.pause
    if step not in progress.positions:
        raise LabError(f"{name} has no step {step!r}.{nearest(step, progress.positions)}", code=INVALID_PARAMS)
    if not action.reason.strip():
        raise LabError(f"step {step!r} is skipped for a reason: give one", code=INVALID_PARAMS)
    state = progress.state(step)
    if state.execution == "manual" and state.answer is None:
        raise LabError(f"step {step!r} asks a person: it is answered, not skipped", code=INVALID_PARAMS)
    if state.settled:
        raise LabError(f"step {step!r} is over: it is {state.status}", code=INVALID_PARAMS)
    if where is None or step not in (where.step, where.producer) or progress.positions[step] >= progress.wall:
        raise LabError(f"{name} does not stand at step {step!r}, so that can't be skipped", code=INVALID_PARAMS)
    return skipped(progress, step, action.reason.strip())
