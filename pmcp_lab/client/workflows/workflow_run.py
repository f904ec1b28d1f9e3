"""A workflow that a server leads, as a cell holds it: how far it is, and the calls that carry it on.

Everything here is read off the wire (`pmcp_lab.protocol.workflow_wire`), so PMCP's servers are led as well as ours.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import json
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pmcp_lab.client import views
from pmcp_lab.client.catalogue import Messages, ToolResult
from pmcp_lab.client.client import Client
from pmcp_lab.client.connection import Peer
from pmcp_lab.client.runtime import awaiting, runtime
from pmcp_lab.client.tasks import Task, call_of, wait_for
from pmcp_lab.client.workflows.steps import steps_frame, why_closed
from pmcp_lab.errors import (
    ConnectionClosed,
    InvalidArguments,
    LabError,
    NotAWorkflow,
    PeerError,
    TaskError,
    ToolError,
    nearest,
)
from pmcp_lab.protocol.workflow_wire import (
    CALLS,
    Action,
    Ending,
    NextCall,
    PauseReason,
    StepState,
    StepStatus,
    WorkflowState,
    action_meta,
    continuation_meta,
    read_call,
    read_error,
    read_prompt,
    read_task,
    wall,
)

if TYPE_CHECKING:
    import pandas as pd

CREATION_TIMEOUT = 2.0
"""Seconds `Server.workflow` waits for the server's first word; steps that take longer go on behind the handle."""
QUESTION_TIMEOUT = 10.0
"""Seconds that `answer` waits for the question to arrive, also from a server that was just started again."""

_numbers = itertools.count(1)


class WorkflowRun:
    """A workflow on a server. Made by `Server.workflow`; shows itself as a live view.

    Its properties tell what was last seen and never wait. What carries it on (`next`, `call_step`, `resume`, …) waits
    until the server has gone as far as it can. `await run` and `wait()` return when it pauses or ends.
    """

    def __init__(self, client: Client, name: str, arguments: Mapping[str, Any]) -> None:
        self._client = client
        self.name = name
        self.arguments = dict(arguments)
        self.key = f"workflow-{next(_numbers)}"
        self.task: Task | None = None
        """The task that holds the workflow; None until the server has answered."""
        self.call: Task | None = None
        """The call that is being made for a step."""
        self.messages = Messages({})
        """What the prompt said: the steps that ran and what is to be done, in words."""
        self.trouble: str | None = None
        """What went wrong last, or None."""
        self.doing: str | None = None
        """What is being waited for, or None."""
        self._state: WorkflowState | None = None
        self._flight: concurrent.futures.Future[None] | None = None
        self._left: WorkflowState | None = None
        self._meeting: asyncio.Task[None] | None = None
        """The first look at its task, while the server has yet to answer."""
        self._uncertain = False
        """Whether the server may have begun it without a word."""
        self._leads = False
        """Whether the server goes on by itself, and says when there is something to do."""
        self._gave: list[dict[str, Any]] = []
        self._listeners: set[Callable[[WorkflowRun], object]] = set()

    # --- what is known ---

    @property
    def server(self) -> str:
        """The name of its server."""
        return self._client.name

    @property
    def state(self) -> WorkflowState | None:
        """All that was last seen; None before the server said anything."""
        return self._state

    @property
    def id(self) -> str | None:
        """The id of its task, with which any client of the same owner can take it up again."""
        return self._state.task_id if self._state else None

    @property
    def status(self) -> str:
        """`starting`, then the status of its task; `unknown` when it may have been begun and the server is gone."""
        if self._state is None:
            return "starting" if self.trouble is None else "unknown" if self._uncertain else "failed"
        return self.task.status if self.task is not None and self.task.done() else self._state.status

    @property
    def steps(self) -> tuple[StepState, ...]:
        """Its steps as they were last seen, in their order."""
        return self._state.steps if self._state else ()

    @property
    def pause(self) -> PauseReason | None:
        """Why it does not go on by itself."""
        return self._state.pause if self._state and not self.done() else None

    @property
    def calls(self) -> tuple[NextCall, ...]:
        """What can be done next, in the order of the steps."""
        return self._state.calls if self._state and not self.done() else ()

    @property
    def ending(self) -> Ending | None:
        """Why it ended, or ends, before its last step: somebody said no, nobody answered in time, it was undone."""
        return self._state.ending if self._state else None

    @property
    def df(self) -> pd.DataFrame:
        """The steps as a pandas DataFrame: see `steps_frame`."""
        return steps_frame(self.steps)

    def done(self) -> bool:
        """Whether it ended, in whatever way."""
        return self.task is not None and self.task.done()

    def wait(self, timeout: float | None = None) -> WorkflowRun:
        """Wait until it pauses or ends.

        Args:
            timeout: Seconds; None waits for ever.

        Raises:
            LabError: It could not be started.
            TimeoutError: It still goes on by itself.
        """
        self.land(timeout)
        runtime().run(self._until(lambda: self._at_rest), timeout)
        return self

    def __await__(self) -> Generator[Any, None, WorkflowRun]:
        if self._flight is not None:
            yield from awaiting(self._flight)
        yield from awaiting(runtime().start(self._until(lambda: self._at_rest)))
        return self

    def result(self, timeout: float | None = None) -> ToolResult:
        """Wait for its end and return the result of its task. Raises as `Task.result` does."""
        self.land(timeout)
        return self._task.result(timeout)

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
        self.land()
        if not self.calls:
            raise TaskError(f"{self._name} has nothing to be done: it is {self.status}", self.id or "")
        return self.make(self.calls[0], {**(arguments or {}), **named})

    def call_step(self, step: str, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> ToolResult | None:
        """Do one step, whether or not it is its turn. Arguments, result and errors are those of `next`.

        Raises:
            TaskError: A person has yet to agree to it, or to a step before it.
        """
        self.land()
        known = {each.name: each for each in self.steps}
        if step not in known:
            raise InvalidArguments(f"{self._name} has no step {step!r}.{nearest(step, known)}")
        call = next((each for each in self.calls if each.step == step and each.kind != "resume"), None)
        tool = known[step].tool
        closed = wall(self.steps)
        order = list(known)
        if closed is not None and order.index(step) >= order.index(closed) and not (call and step == closed):
            raise TaskError(f"{self._name}: {why_closed(step, known[closed])}", self.id or "")
        if call is None and tool is None:
            raise TaskError(f"{self._name}: step {step!r} is not the client's to do", self.id or "")
        return self.make(call or NextCall(kind="call", target=str(tool), step=step), {**(arguments or {}), **named})

    def skip(self, reason: str, *, step: str | None = None) -> WorkflowRun:
        """Leave out the step where it stands, for a reason that is recorded. A question is answered, never skipped.

        Raises:
            TaskError: It stands nowhere that can be skipped.
            PeerError: The server refused.
        """
        self.land()
        at = step or (self._state.skippable if self._state else None)
        if at is None:
            raise TaskError(f"{self._name} stands at no step that can be skipped: it is {self.status}", self.id or "")
        return self._act(Action(kind="skip", step=at, reason=reason), "skipping")

    def undo(self, reason: str = "") -> WorkflowRun:
        """Have the server take back what was done, the last step first, as far as the steps say how; that ends it.

        Raises:
            PeerError: The server refused: it is over, or there is nothing to be taken back.
        """
        self.land()
        return self._act(Action(kind="undo", reason=reason), "taking back")

    def _act(self, action: Action, doing: str) -> WorkflowRun:
        self._depart(self._get(self._task.id, action), doing)
        self.land()
        return self

    def answer(self, content: Mapping[str, Any] | None = None, *, action: str = "accept") -> None:
        """Answer what it asks. Arguments and errors are those of `Task.answer`."""
        self.land()
        try:
            runtime().run(self._until(lambda: self._task.questions or self._task.done()), QUESTION_TIMEOUT)
        except TimeoutError:
            raise TaskError(f"{self._name} asks nothing at the moment (it is {self.status})", self.id or "") from None
        self._left = self._state
        self._task.answer(content, action=action)

    def set_variables(self, variables: Mapping[str, Any]) -> None:
        """Write variables of its task, which its steps may wait for. Raises as `Task.set_variables` does."""
        self.land()
        self._left = self._state
        self._task.set_variables(variables)

    def resume(self) -> WorkflowRun:
        """Have the server go on from the last step that was done, trying again what may be tried again.

        Raises:
            PeerError: The server refused.
        """
        self.land()
        self.make(NextCall(kind="resume", target=self.name), {})
        return self

    def finish(self, result: Any = None) -> None:
        """End it as completed, whatever steps are open (`tasks/cancel` with a result).

        Args:
            result: What its task is to have given: any JSON.

        Raises:
            PeerError: The server refused.
        """
        self.land()
        self._depart(self._end({"result": {"completed": True} if result is None else result}), "finishing")
        self.land()

    def cancel(self) -> None:
        """Give it up. Raises as `Task.cancel` does."""
        self.land()
        self._task.cancel()

    def subscribe(self, listener: Callable[[WorkflowRun], object]) -> Callable[[], None]:
        """Call `listener(run)` on the background thread after every change; returns how to stop that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    # --- how it goes ---

    @property
    def _name(self) -> str:
        return f"{self._client.name}.{self.name}"

    @property
    def _task(self) -> Task:
        if self.task is None:
            raise TaskError(f"{self._name} has no task yet: it is {self.status}", "")
        return self.task

    def start(self, task_id: str | None = None) -> None:
        """Get the prompt; with the id of its task, to go on with that. Waits a little for the answer."""
        self._depart(self._get(task_id), "starting" if task_id is None else "resuming")
        try:
            self.land(CREATION_TIMEOUT)
        except TimeoutError:
            if self._flight is not None and self._flight.done():
                raise

    def _depart(self, work: Any, doing: str) -> None:
        self.trouble, self.doing = None, doing
        self._left = self._state
        self._flight = runtime().start(self._fly(work))

    async def _fly(self, work: Any) -> None:
        self.touch()
        try:
            await work
        except LabError as error:
            self.trouble = error.message
            raise
        finally:
            self.doing = None
            self._left = None
            self.touch()

    def land(self, timeout: float | None = None) -> None:
        """Wait until what was begun is answered. Raises what went wrong.

        Args:
            timeout: Seconds; None waits for ever.
        """
        if self._flight is not None:
            runtime().wait(self._flight, timeout)

    async def _until(self, condition: Callable[[], object]) -> None:
        changed = asyncio.Event()

        def wake(_run: WorkflowRun) -> None:
            changed.set()

        stop = self.subscribe(wake)
        try:
            while not condition():
                changed.clear()
                await changed.wait()
        finally:
            stop()

    @property
    def _at_rest(self) -> bool:
        if self.doing is not None or self.call is not None:
            return False
        paused = self.pause is not None or not self._leads
        return self.done() or (paused and not self._just_left)

    @property
    def _just_left(self) -> bool:
        """What is known is still what was answered."""
        left, state = self._left, self._state
        return left is not None and state is not None and (left.pause, left.calls) == (state.pause, state.calls)

    async def take_up(self, state: WorkflowState) -> None:
        """Be the handle of a workflow that somebody began, without going on with it. On the loop."""
        await self._take(state)

    async def _get(self, task_id: str | None, action: Action | None = None) -> None:
        texts = {name: each if isinstance(each, str) else json.dumps(each) for name, each in self.arguments.items()}
        meta = None if task_id is None else continuation_meta(task_id)
        if task_id is not None and action is not None:
            meta = action_meta(task_id, action)
        try:
            raw = await self._client.ask(
                lambda peer: peer.get_prompt(
                    self.name, texts, meta=meta, on_progress=self._progressed, on_task=self._begun
                ),
                # To go on with what is there does no more when it is asked twice.
                again=task_id is not None and action is None,
            )
        except ConnectionClosed as error:
            if task_id is not None or not error.delivered:
                raise
            if self.id is None:
                self._uncertain = True
                raise ConnectionClosed(
                    f"nobody here knows whether {self._name} was begun: the connection ended before the server had "
                    f"named its task. {error.message}"
                ) from None
            await self._get(self.id)
            return
        finally:
            if self._meeting is not None:
                await asyncio.wait([self._meeting])
        state = read_prompt(raw)
        if state is None:
            raise NotAWorkflow(self._client.name, self.name)
        self.messages = Messages(raw)
        await self._take(state)

    def _begun(self, task_id: str) -> None:
        """The server has named the task, and goes on."""
        if self.task is None and self._meeting is None:
            self._meeting = asyncio.create_task(self._meet(WorkflowState(task_id=task_id, status="working")))

    async def _meet(self, state: WorkflowState) -> None:
        # What is wrong is found out by who waits for the prompt.
        with suppress(LabError):
            await self._take(state)

    def _progressed(self, _progress: float, _total: float | None, message: str | None) -> None:
        if message:
            self.doing = message
            self.touch()

    async def _end(self, more: Mapping[str, Any]) -> None:
        task_id = self._task.id or ""
        await self._client.ask(lambda peer: peer.cancel_task(task_id, **more), again=True)
        await self._look()

    async def _take(self, state: WorkflowState | None) -> None:
        """Believe what an answer says, then look what the task says."""
        if state is not None:
            self._state = self._with_results(state)
            if self.task is None:
                self.task = await self._client.tasks.taken_up(state.task_id, self.name)
                self.task.subscribe(self._heard)
        await self._look()

    async def _look(self) -> None:
        task = self._task
        await self._client.refresh(call_of(task))
        self._heard(task)

    def _heard(self, task: Task) -> None:
        known = self._state
        if known is None:
            return
        found = read_task(known.task_id, task.status, call_of(task).variables) or replace(known, status=task.status)
        self._leads = self._leads or found.name is not None or CALLS in call_of(task).variables
        if not self._leads:  # PMCP names the calls once, at the start
            still_open = {step.name for step in found.steps if step.status in (StepStatus.PENDING, StepStatus.FAILED)}
            found = replace(found, calls=tuple(call for call in known.calls if call.step in still_open))
        self._state = replace(
            found, name=found.name or known.name, goal=found.goal or known.goal, recorded=known.recorded
        )
        self.touch()

    def _with_results(self, state: WorkflowState) -> WorkflowState:
        results = {step.name: step.result for step in self.steps}
        steps = tuple(replace(step, result=step.result or results.get(step.name)) for step in state.steps)
        return replace(state, steps=steps)

    def touch(self) -> None:
        """Tell the listeners."""
        for listener in list(self._listeners):
            listener(self)

    # --- the calls of a handoff ---

    def make(self, call: NextCall, given: Mapping[str, Any]) -> ToolResult | None:
        """Do one of `calls`. Result and errors are those of `next`."""
        self.land()
        task = self.begin(call, given)
        try:
            if task is not None:
                return wait_for(task)
        finally:
            self.land()
        return ToolResult({"content": self._gave}, self._name) if call.kind == "read" else None

    def begin(self, call: NextCall, given: Mapping[str, Any]) -> Task | None:
        """Do one of `calls` without waiting for what comes of it; returns the call of a tool. Raises as `next` does."""
        match call.kind:
            case "answer":
                self.answer(given)
            case "variable":
                if call.target not in given:
                    raise InvalidArguments(f"{self._name} waits for the variable {call.target!r}: give it a value")
                self.set_variables({call.target: given[call.target]})
            case "resume":
                self._depart(self._get(self.id), "resuming")
            case "read":
                self._depart(self._read(call), f"reading {call.target}")
            case "call":
                return self._call(call, given)
        return None

    def _call(self, call: NextCall, given: Mapping[str, Any]) -> Task:
        arguments = {name: value for name, value in call.arguments.items() if name not in call.missing} | dict(given)
        tool = runtime().run(self._client.listings.tools_with(call.target))[call.target]
        if lacking := [name for name in call.missing if name not in arguments]:
            raise InvalidArguments(
                f"{self._name}: {call.target} for step {call.step!r} still needs {', '.join(lacking)}\n{tool.signature}"
            )
        tool.check(arguments)
        planned = self._client.plan(tool, arguments, as_task=None)
        planned.meta = continuation_meta(self._task.id or "", call.step)
        self.call = task = Task(planned)
        self._depart(self._follow(task), f"calling {call.target}")
        return task

    async def _follow(self, task: Task) -> None:
        try:
            # In a task of its own: what is asked later must not be taken for a question of this call.
            await asyncio.get_running_loop().create_task(self._client.start(call_of(task)))
            said = None
            try:
                said = read_call((await task).raw)
            except ToolError as error:
                said = read_call(error.result)
            except PeerError as error:
                said = read_error(error.data)
            except TaskError:
                self.trouble = f"The call of {task.tool} was {task.status}."
            await self._take(said)
        finally:
            self.call = None

    async def _read(self, call: NextCall) -> None:
        params = {"uri": call.target, "_meta": continuation_meta(self._task.id or "", call.step)}

        def read(peer: Peer) -> Awaitable[dict[str, Any]]:
            return peer.request("resources/read", params)

        raw = await self._client.ask(read)
        self._gave = [{"type": "resource", "resource": each} for each in raw.get("contents") or ()]
        await self._take(read_call(raw))

    # --- how it looks ---

    def __repr__(self) -> str:
        done = self._state.done if self._state else 0
        text = f"<Workflow {self._name} {self.status}"
        if self._state is None:
            return f"{text}: {self.trouble}>" if self.trouble else f"{text}>"
        text += f", {done} of {len(self.steps)} steps"
        if self.ending is not None:
            at = f" at {self.ending.step}" if self.ending.step else ""
            return text + f": {self.ending.kind}{at}" + (f" ({self.ending.reason})>" if self.ending.reason else ">")
        return text + (f": {self.pause.message}>" if self.pause else ">")

    def _ipython_display_(self) -> None:
        views.display(self)
