"""The workflows of one server that stand and wait: for what, from whom, since when."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from pmcp_lab.client.client import Client
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.workflows.driver import Driver
from pmcp_lab.client.workflows.workflow_run import WorkflowRun
from pmcp_lab.errors import LabError
from pmcp_lab.protocol.workflow_wire import PauseReason, StepState, WorkflowState, read_task

if TYPE_CHECKING:
    import pandas as pd

_WANTS = {
    "inputRequired": ("an answer", "a person"),
    "clientStep": ("a call", "its client"),
    "unresolvableParams": ("a value", "its client"),
    "schemaMismatch": ("a value", "its client"),
    "unresolvedDependency": ("what another step did not give", "its client"),
    "resourceError": ("a resource", "its server"),
}
"""For what, and from whom, by the kind of a pause."""


class Workflows:
    """What a server's workflows do; `Server.workflow` begins one."""

    def __init__(self, client: Client) -> None:
        self._runs = PausedRuns(client)

    @property
    def runs(self) -> PausedRuns:
        """The runs that wait for something, found anew each time this is looked up, and live from then on.

        All of this client's where the server lists its tasks (2025-11-25), else those begun or resumed here.
        """
        return self._runs.refresh()

    def note(self, run: WorkflowRun) -> None:
        """Know a run that was begun or resumed here."""
        self._runs.note(run)


class PausedRuns(Sequence[WorkflowRun]):
    """Runs that wait, oldest first; `runs[0]`, `runs["task id"]`. One that goes on leaves by itself."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: list[WorkflowRun] = []

    def note(self, run: WorkflowRun) -> None:
        self._known.append(run)

    @property
    def _paused(self) -> list[WorkflowRun]:
        self._known = [run for run in self._known if not run.done()]
        seen: dict[str | None, WorkflowRun] = {}
        for run in self._known:
            if run.pause is not None:
                seen.setdefault(run.id, run)
        return list(seen.values())

    def refresh(self) -> PausedRuns:
        """Look what else there is, where the server can say.

        Raises:
            LabError: It can't be asked.
        """
        peer = runtime().wait(self._client.connection.ready)
        if peer.lists_tasks:
            runtime().run(self._find())
        return self

    async def _find(self) -> None:
        known = {run.id for run in self._known}
        for task in sorted(await self._client.tasks.listed(), key=lambda task: task.created_at):
            state = read_task(task.task_id, task.status, task.variables)
            if state is None or state.pause is None or state.name is None or state.task_id in known:
                continue
            driver = Driver(self._client, state.name, {})
            await driver.take_up(state)
            self._known.append(WorkflowRun(driver))

    @overload
    def __getitem__(self, which: int | str) -> WorkflowRun: ...
    @overload
    def __getitem__(self, which: slice) -> list[WorkflowRun]: ...
    def __getitem__(self, which: int | str | slice) -> WorkflowRun | list[WorkflowRun]:
        if not isinstance(which, str):
            return self._paused[which]
        found = next((run for run in self._paused if run.id == which), None)
        if found is None:
            raise LabError(f"no workflow of {self._client.name!r} with the task {which!r} waits for anything")
        return found

    def __len__(self) -> int:
        return len(self._paused)

    def __iter__(self) -> Iterator[WorkflowRun]:
        return iter(self._paused)

    # --- how it looks ---

    @property
    def df(self) -> pd.DataFrame:
        """The runs as a pandas DataFrame.

        Columns: workflow, task_id, step (where it stands), waits_for, from_whom, since, deadline, message.
        """
        import pandas as pd

        columns = ["workflow", "task_id", "step", "waits_for", "from_whom", "since", "deadline", "message"]
        frame = pd.DataFrame([_row(run) for run in self], columns=columns)
        for column in ("since", "deadline"):
            frame[column] = pd.to_datetime(frame[column], utc=True, errors="coerce")
        return frame

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or f"{self._client.name}: no workflow waits for anything"

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        heads = ("workflow", "step", "waits for", "from", "since", "until", "task")
        head = "".join(f"<th {left}>{name}</th>" for name in heads)
        rows = []
        for run in self:
            workflow, task_id, step, what, whom, since, until, _ = _row(run)
            cells = (workflow, step, what, whom, since or "", until or "", task_id or "")
            rows.append("<tr>" + "".join(f"<td {left}>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>")
        caption = f"{len(rows)} workflows of {html.escape(self._client.name)} wait"
        shown = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
        return f"<table><caption {left}>{caption}</caption>{shown}</table>"


def _row(run: WorkflowRun) -> tuple[Any, ...]:
    state, pause = run.state, run.pause
    if state is None or pause is None:
        return run.name, run.id, None, None, None, None, None, None
    what, whom = _wants(pause)
    return run.name, run.id, pause.step, what, whom, _since(state, pause), pause.deadline, pause.message


def _wants(pause: PauseReason) -> tuple[str, str]:
    if pause.kind == "toolError":
        return ("another try", "anybody") if pause.retryable else ("somebody who looks after it", "a person")
    what, whom = _WANTS.get(pause.kind, (pause.kind, "anybody"))
    return (f"{what}: {', '.join(pause.missing)}" if pause.missing else what), whom


def _since(state: WorkflowState, pause: PauseReason) -> str | None:
    """Since when it stands: since it asked, or since the last thing that was done."""
    steps: dict[str, StepState] = {step.name: step for step in state.steps}
    at = steps.get(pause.step)
    if at is not None and at.attempts:
        last = at.attempts[-1]
        return last.started if last.ended is None else last.ended
    return max((step.since for step in state.steps if step.since is not None), default=None)
