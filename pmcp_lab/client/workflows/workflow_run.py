"""A workflow that a server leads, as a cell holds it: how far it is, and the calls that carry it on.

Everything here is read off the wire (`pmcp_lab.protocol.workflow_wire`), so PMCP's servers are led as well as ours.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

from pmcp_lab.client import views
from pmcp_lab.client.catalogue import Messages, ToolResult
from pmcp_lab.client.runtime import awaiting
from pmcp_lab.client.tasks import Task
from pmcp_lab.client.workflows.driver import Driver
from pmcp_lab.client.workflows.steps import steps_frame, why_closed
from pmcp_lab.errors import (
    InvalidArguments,
    TaskError,
    nearest,
)
from pmcp_lab.protocol.workflow_wire import (
    Action,
    Ending,
    NextCall,
    PauseReason,
    StepState,
    WorkflowState,
    wall,
)

if TYPE_CHECKING:
    import pandas as pd


class WorkflowRun:
    """A workflow on a server. Made by `Server.workflow`; shows itself as a live view.

    Its properties tell what was last seen and never wait. What carries it on (`next`, `call_step`, `resume`, …) waits
    until the server has gone as far as it can. `await run` and `wait()` return when it pauses or ends.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    # --- what is known ---

    @property
    def name(self) -> str:
        """Of its prompt."""
        return self._driver.name

    @property
    def messages(self) -> Messages:
        """What the prompt said: the steps that ran and what is to be done, in words."""
        return self._driver.messages

    @property
    def task(self) -> Task | None:
        """The task that holds the workflow; None until the server has named it."""
        return self._driver.task

    @property
    def trouble(self) -> str | None:
        """What went wrong last, or None."""
        return self._driver.trouble

    @property
    def doing(self) -> str | None:
        """What is being waited for, or None."""
        return self._driver.doing

    @property
    def server(self) -> str:
        """The name of its server."""
        return self._driver.client.name

    @property
    def state(self) -> WorkflowState | None:
        """All that was last seen; None before the server said anything."""
        return self._driver.state

    @property
    def id(self) -> str | None:
        """The id of its task, with which any client of the same owner can take it up again."""
        return self._driver.id

    @property
    def status(self) -> str:
        """`starting`, then the status of its task; `unknown` when it may have been begun and the server is gone."""
        return self._driver.status

    @property
    def steps(self) -> tuple[StepState, ...]:
        """Its steps as they were last seen, in their order."""
        return self._driver.steps

    @property
    def pause(self) -> PauseReason | None:
        """Why it does not go on by itself."""
        return self._driver.pause

    @property
    def calls(self) -> tuple[NextCall, ...]:
        """What can be done next, in the order of the steps."""
        return self._driver.calls

    @property
    def ending(self) -> Ending | None:
        """Why it ended, or ends, before its last step: somebody said no, nobody answered in time, it was undone."""
        return self.state.ending if self.state else None

    @property
    def df(self) -> pd.DataFrame:
        """The steps as a pandas DataFrame: see `steps_frame`."""
        return steps_frame(self.steps)

    def done(self) -> bool:
        """Whether it ended, in whatever way."""
        return self._driver.done()

    def wait(self, timeout: float | None = None) -> WorkflowRun:
        """Wait until it pauses or ends.

        Args:
            timeout: Seconds; None waits for ever.

        Raises:
            LabError: It could not be started.
            TimeoutError: It still goes on by itself.
        """
        self._driver.rest(timeout)
        return self

    def __await__(self) -> Generator[Any, None, WorkflowRun]:
        yield from awaiting(self._driver.resting())
        return self

    def result(self, timeout: float | None = None) -> ToolResult:
        """Wait for its end and return the result of its task. Raises as `Task.result` does."""
        self._driver.land(timeout)
        return self._driver.held.result(timeout)

    # --- what can be done ---

    def next(self, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> ToolResult | None:
        """Do the first thing of `calls`.

        Args:
            arguments: What the call still lacks, over what is known of it; keyword arguments are added.

        Returns:
            What a tool or resource gave; None where neither is called.

        Raises:
            TaskError: There is nothing to do: it ended, or goes on by itself.
            InvalidArguments: The call lacks something.
            ToolError: The tool reported failure. The workflow has taken note of it.
        """
        self._driver.land()
        if not self.calls:
            raise TaskError(f"{self._driver.where} has nothing to be done: it is {self.status}", self.id or "")
        return self._driver.make(self.calls[0], {**(arguments or {}), **named})

    def call_step(self, step: str, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> ToolResult | None:
        """Do one step, whether or not it is its turn. Arguments, result and errors are those of `next`.

        Raises:
            TaskError: A person has yet to agree to it, or to a step before it.
        """
        self._driver.land()
        known = {each.name: each for each in self.steps}
        if step not in known:
            raise InvalidArguments(f"{self._driver.where} has no step {step!r}.{nearest(step, known)}")
        call = next((each for each in self.calls if each.step == step and each.kind != "resume"), None)
        tool = known[step].tool
        closed = wall(self.steps)
        order = list(known)
        if closed is not None and order.index(step) >= order.index(closed) and not (call and step == closed):
            raise TaskError(f"{self._driver.where}: {why_closed(step, known[closed])}", self.id or "")
        if call is None and tool is None:
            raise TaskError(f"{self._driver.where}: step {step!r} is not the client's to do", self.id or "")
        return self._driver.make(
            call or NextCall(kind="call", target=str(tool), step=step), {**(arguments or {}), **named}
        )

    def skip(self, reason: str, *, step: str | None = None) -> WorkflowRun:
        """Leave out the step where it stands, for a reason that is recorded. A question is answered, never skipped.

        Raises:
            TaskError: It stands nowhere that can be skipped.
            PeerError: The server refused.
        """
        self._driver.land()
        at = step or (self.state.skippable if self.state else None)
        if at is None:
            raise TaskError(
                f"{self._driver.where} stands at no step that can be skipped: it is {self.status}", self.id or ""
            )
        self._driver.act(Action(kind="skip", step=at, reason=reason), "skipping")
        return self

    def undo(self, reason: str = "") -> WorkflowRun:
        """Have the server take back what was done, the last step first, as far as the steps say how; that ends it.

        Raises:
            PeerError: The server refused: it is over, or there is nothing to be taken back.
        """
        self._driver.land()
        self._driver.act(Action(kind="undo", reason=reason), "taking back")
        return self

    def answer(self, content: Mapping[str, Any] | None = None, *, action: str = "accept") -> None:
        """Answer what it asks. Arguments and errors are those of `Task.answer`."""
        self._driver.answer(content, action)

    def set_variables(self, variables: Mapping[str, Any]) -> None:
        """Write variables of its task, which its steps may wait for. Raises as `Task.set_variables` does."""
        self._driver.set_variables(variables)

    def resume(self) -> WorkflowRun:
        """Have the server go on from the last step that was done, trying again what may be tried again.

        Raises:
            PeerError: The server refused.
        """
        self._driver.land()
        self._driver.make(NextCall(kind="resume", target=self.name), {})
        return self

    def finish(self, result: Any = None) -> None:
        """End it as completed, whatever steps are open (`tasks/cancel` with a result).

        Args:
            result: What its task is to have given: any JSON.

        Raises:
            PeerError: The server refused.
        """
        self._driver.finish(result)

    def cancel(self) -> None:
        """Give it up. Raises as `Task.cancel` does."""
        self._driver.land()
        self._driver.held.cancel()

    def subscribe(self, listener: Callable[[WorkflowRun], object]) -> Callable[[], None]:
        """Call `listener(run)` on the background thread after every change; returns how to stop that."""
        return self._driver.subscribe(lambda: listener(self))

    # --- how it looks ---

    def __repr__(self) -> str:
        done = self.state.done if self.state else 0
        text = f"<Workflow {self._driver.where} {self.status}"
        if self.state is None:
            return f"{text}: {self.trouble}>" if self.trouble else f"{text}>"
        text += f", {done} of {len(self.steps)} steps"
        if self.ending is not None:
            at = f" at {self.ending.step}" if self.ending.step else ""
            return text + f": {self.ending.kind}{at}" + (f" ({self.ending.reason})>" if self.ending.reason else ">")
        return text + (f": {self.pause.message}>" if self.pause else ">")

    def _ipython_display_(self) -> None:
        views.display(self)

    def _display_(self) -> Any:
        return views.shown(self)


def driver_of(run: WorkflowRun) -> Driver:
    """What carries a run on, for the rooms that show it; a cell has no use for it."""
    return run._driver  # noqa: SLF001 - its door
