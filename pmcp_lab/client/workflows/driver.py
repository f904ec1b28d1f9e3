"""Carries one workflow on from here: asks its server, makes the calls of a handoff, and follows what it says.

On the connection's loop, but for what begins something and waits for it. What a cell holds of it is `WorkflowRun`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pmcp_lab.client.catalogue import Messages, ToolResult
from pmcp_lab.client.client import Client
from pmcp_lab.client.connection import Peer
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.tasks import Task, call_of, wait_for
from pmcp_lab.errors import (
    ConnectionClosed,
    InvalidArguments,
    LabError,
    NotAWorkflow,
    PeerError,
    TaskError,
    ToolError,
)
from pmcp_lab.protocol.workflow_wire import (
    CALLS,
    Action,
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
)

if TYPE_CHECKING:
    pass

CREATION_TIMEOUT = 2.0
"""Seconds `Server.workflow` waits for the server's first word; steps that take longer go on behind the handle."""
QUESTION_TIMEOUT = 10.0
"""Seconds that `answer` waits for the question to arrive, also from a server that was just started again."""

_numbers = itertools.count(1)


class Driver:
    """One run of a workflow.

    Attributes:
        key: Unique over all connections.
        task: The task that holds the workflow; None until the server has named it.
        call: The call that is being made for a step.
        messages: What the prompt said: the steps that ran and what is to be done, in words.
        trouble: What went wrong last, or None.
        doing: What is being waited for, or None.
        state: All that was last seen; None before the server said anything.
    """

    def __init__(self, client: Client, name: str, arguments: Mapping[str, Any]) -> None:
        self.client = client
        self.name = name
        self.arguments = dict(arguments)
        self.key = f"workflow-{next(_numbers)}"
        self.task: Task | None = None
        self.call: Task | None = None
        self.messages = Messages({})
        self.trouble: str | None = None
        self.doing: str | None = None
        self.state: WorkflowState | None = None
        self._flight: concurrent.futures.Future[None] | None = None
        self._left: WorkflowState | None = None
        self._meeting: asyncio.Task[None] | None = None
        """The first look at its task, while the server has yet to answer."""
        self._uncertain = False
        """Whether the server may have begun it without a word."""
        self._leads = False
        """Whether the server goes on by itself, and says when there is something to do."""
        self._gave: list[dict[str, Any]] = []
        self._listeners: set[Callable[[], object]] = set()

    # --- what is known ---

    @property
    def id(self) -> str | None:
        return self.state.task_id if self.state else None

    @property
    def status(self) -> str:
        """See `WorkflowRun.status`."""
        if self.state is None:
            return "starting" if self.trouble is None else "unknown" if self._uncertain else "failed"
        return self.task.status if self.task is not None and self.task.done() else self.state.status

    @property
    def steps(self) -> tuple[StepState, ...]:
        return self.state.steps if self.state else ()

    @property
    def pause(self) -> PauseReason | None:
        return self.state.pause if self.state and not self.done() else None

    @property
    def calls(self) -> tuple[NextCall, ...]:
        return self.state.calls if self.state and not self.done() else ()

    def done(self) -> bool:
        return self.task is not None and self.task.done()

    def subscribe(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call `listener()` after every change; returns how to stop that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    # --- what is begun from any thread ---

    def rest(self, timeout: float | None) -> None:
        """Wait until it pauses or ends. Raises as `WorkflowRun.wait`."""
        self.land(timeout)
        runtime().run(self._until(lambda: self._at_rest), timeout)

    def resting(self) -> concurrent.futures.Future[None]:
        """The same, to be awaited."""

        async def rest() -> None:
            if self._flight is not None:
                await asyncio.wrap_future(self._flight)
            await self._until(lambda: self._at_rest)

        return runtime().start(rest())

    def act(self, action: Action, doing: str) -> None:
        """Have the server do something else than go on. Raises as it refuses."""
        self._depart(self._get(self.held.id, action), doing)
        self.land()

    def answer(self, content: Mapping[str, Any] | None, action: str) -> None:
        """See `WorkflowRun.answer`."""
        self.land()
        try:
            runtime().run(self._until(lambda: self.held.questions or self.held.done()), QUESTION_TIMEOUT)
        except TimeoutError:
            raise TaskError(f"{self.where} {call_of(self.held).nothing_asked}", self.id or "") from None
        self._left = self.state
        self.held.answer(content, action=action)

    def set_variables(self, variables: Mapping[str, Any]) -> None:
        """See `WorkflowRun.set_variables`."""
        self.land()
        self._left = self.state
        self.held.set_variables(variables)

    def finish(self, result: Any) -> None:
        """See `WorkflowRun.finish`."""
        self.land()
        self._depart(self._end({"result": {"completed": True} if result is None else result}), "finishing")
        self.land()

    @property
    def where(self) -> str:
        """`server.workflow`, for texts."""
        return f"{self.client.name}.{self.name}"

    @property
    def held(self) -> Task:
        """Its task.

        Raises:
            TaskError: It has none yet.
        """
        if self.task is None:
            raise TaskError(f"{self.where} has no task yet: it is {self.status}", "")
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
        self._left = self.state
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

        stop = self.subscribe(changed.set)
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
        left, state = self._left, self.state
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
            raw = await self.client.ask(
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
                    f"nobody here knows whether {self.where} was begun: the connection ended before the server had "
                    f"named its task. {error.message}"
                ) from None
            await self._get(self.id)
            return
        finally:
            if self._meeting is not None:
                await asyncio.wait([self._meeting])
        state = read_prompt(raw)
        if state is None:
            raise NotAWorkflow(self.client.name, self.name)
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
        task_id = self.held.id or ""
        await self.client.ask(lambda peer: peer.cancel_task(task_id, **more), again=True)
        await self._look()

    async def _take(self, state: WorkflowState | None) -> None:
        """Believe what an answer says, then look what the task says."""
        if state is not None:
            self.state = self._with_results(state)
            if self.task is None:
                self.task = await self.client.tasks.taken_up(state.task_id, self.name)
                self.task.subscribe(self._heard)
        await self._look()

    async def _look(self) -> None:
        task = self.held
        await self.client.refresh(call_of(task))
        self._heard(task)

    def _heard(self, task: Task) -> None:
        known = self.state
        if known is None:
            return
        found = read_task(known.task_id, task.status, call_of(task).variables) or replace(known, status=task.status)
        self._leads = self._leads or found.name is not None or CALLS in call_of(task).variables
        if not self._leads:  # PMCP names the calls once, at the start
            still_open = {step.name for step in found.steps if step.status in (StepStatus.PENDING, StepStatus.FAILED)}
            found = replace(found, calls=tuple(call for call in known.calls if call.step in still_open))
        self.state = replace(
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
            listener()

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
        return ToolResult({"content": self._gave}, self.where) if call.kind == "read" else None

    def begin(self, call: NextCall, given: Mapping[str, Any]) -> Task | None:
        """Do one of `calls` without waiting for what comes of it; returns the call of a tool. Raises as `next` does."""
        match call.kind:
            case "answer":
                self.answer(given, "accept")
            case "variable":
                if call.target not in given:
                    raise InvalidArguments(f"{self.where} waits for the variable {call.target!r}: give it a value")
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
        tool = runtime().run(self.client.listings.tools_with(call.target))[call.target]
        if lacking := [name for name in call.missing if name not in arguments]:
            raise InvalidArguments(
                f"{self.where}: {call.target} for step {call.step!r} still needs {', '.join(lacking)}\n{tool.signature}"
            )
        tool.check(arguments)
        planned = self.client.plan(tool, arguments, as_task=None)
        planned.meta = continuation_meta(self.held.id or "", call.step)
        self.call = task = Task(planned)
        self._depart(self._follow(task), f"calling {call.target}")
        return task

    async def _follow(self, task: Task) -> None:
        try:
            # In a task of its own: what is asked later must not be taken for a question of this call.
            await asyncio.get_running_loop().create_task(self.client.start(call_of(task)))
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
        params = {"uri": call.target, "_meta": continuation_meta(self.held.id or "", call.step)}

        def read(peer: Peer) -> Awaitable[dict[str, Any]]:
            return peer.request("resources/read", params)

        raw = await self.client.ask(read)
        self._gave = [{"type": "resource", "resource": each} for each in raw.get("contents") or ()]
        await self._take(read_call(raw))
