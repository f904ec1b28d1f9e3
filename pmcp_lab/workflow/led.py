"""Where a workflow stands after something was done about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pmcp_lab.protocol.workflow_wire import NextCall, WorkflowState
from pmcp_lab.tasks import TaskRecord
from pmcp_lab.workflow import persistence
from pmcp_lab.workflow.plan import Move
from pmcp_lab.workflow.progress import Progress


@dataclass
class Led:
    """Where a workflow stands after something was done about it.

    Args:
        move: What comes next; None when somebody else leads.
        run: What this leader's lease is held under; "" when it has none.
        ran: The steps that were run for this.
        read: By step, URI and text of what was read for its tool.
    """

    record: TaskRecord
    progress: Progress
    calls: tuple[NextCall, ...] = ()
    move: Move | None = None
    run: str = ""
    ran: list[str] = field(default_factory=list)
    read: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def state(self, **more: Any) -> WorkflowState:
        return persistence.state_of(self.record, self.progress, self.calls, ran=tuple(self.ran), **more)
