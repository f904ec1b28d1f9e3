"""What becomes of a client's call that does a step: which step it is for is decided before its tool runs, what came of
it is recorded for that step or for none, and the workflow goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mcp.server.context import CallNext
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from pmcp_lab.errors import InvalidTransition, LabError, LeaseLost
from pmcp_lab.protocol import workflow_wire
from pmcp_lab.protocol.task import to_timestamp
from pmcp_lab.protocol.workflow_wire import Attempt, Recorded, StepStatus, WorkflowState, read_pause
from pmcp_lab.server import Tasks
from pmcp_lab.server.request import Request
from pmcp_lab.tasks import TaskRecord
from pmcp_lab.workflow import persistence
from pmcp_lab.workflow.calling import Caller, stored, wire
from pmcp_lab.workflow.checking import ToolSchemas
from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.led import Led
from pmcp_lab.workflow.matching import is_open, refusal, step_for, wants
from pmcp_lab.workflow.plan import failed, failure, unread
from pmcp_lab.workflow.progress import Progress
from pmcp_lab.workflow.run import Leader
from pmcp_lab.workflow.wording import ended


@dataclass(frozen=True, slots=True)
class Said:
    """What a continuation says of itself."""

    step: str | None
    tool: str | None = None
    uri: str | None = None
    arguments: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, ctx: Request, step: str | None) -> Said:
        params = ctx.params or {}
        if ctx.method != "tools/call":
            return cls(step, uri=str(params.get("uri")))
        given = params.get("arguments")
        return cls(step, tool=str(params.get("name")), arguments=given if isinstance(given, Mapping) else {})

    @property
    def about(self) -> dict[str, Any]:
        """As `matching` wants it."""
        return {"tool": self.tool, "uri": self.uri, "step": self.step, "arguments": self.arguments}


async def go_on_with(
    ctx: Request,
    call_next: CallNext,
    record: TaskRecord,
    workflow: SequentialWorkflow,
    said: Said,
    *,
    tasks: Tasks,
    leader: Leader,
    tools: Mapping[str, ToolSchemas],
    guarded: Collection[str],
    caller: Caller,
) -> tuple[dict[str, Any], Led, Recorded | None]:
    """Serve the call as ever, record what came of it, and go on.

    Args:
        guarded: See `matching.refusal`.

    Returns:
        The result, where the workflow stands, and what was recorded: None for a call that asks, and is made again.

    Raises:
        MCPError: It may not be made (-32602), or failed; `data` has the workflow.
    """
    led = Led(record, persistence.load(record, workflow))
    caller.session.done, caller.session.total = led.progress.settled, len(led.progress.states)
    why = _closed(led, tools, guarded, said)
    step = None if why is not None else step_for(led.progress, tools, **said.about)
    if why is None and step is not None and (ctx.params or {}).get("task") is not None:
        why = f"a call for step {step.name!r} is recorded with its result: make it without a task of its own"
    if why is not None:
        raise MCPError(INVALID_PARAMS, why, _with({}, led.state(recorded=Recorded(refused=why))))
    name = None if step is None else step.name
    # The tool runs without a task of its own, so that its result is there to be recorded.
    request = replace(ctx, session=caller.session)  # type: ignore[arg-type]
    if name is not None and said.tool in guarded:
        return await _guarded(led, name, said, request, call_next, leader, tools, caller)
    began = to_timestamp(tasks.store.now())
    caller.session.by_client = True
    try:
        result = wire(await call_next(request))
    except MCPError as error:
        led, recorded = await _note(led, failed(error.message), caller, name, said, began, tasks, leader, tools)
        raise _with_workflow(error, led.state(recorded=recorded)) from error
    finally:
        caller.session.by_client = False
    if result.get("resultType") == "input_required":
        return result, led, None
    led, recorded = await _note(led, result, caller, name, said, began, tasks, leader, tools)
    return result, led, recorded


def _closed(led: Led, tools: Mapping[str, ToolSchemas], guarded: Collection[str], said: Said) -> str | None:
    """Why the call may not be made; None when it may."""
    progress = led.progress
    if led.record.live:
        return refusal(progress, tools, guarded, **said.about)
    named = said.step is not None
    if not named and said.tool not in guarded:
        named = any(wants(one, progress, said.tool, said.uri) for one in progress.workflow.steps)
    if not named and said.tool not in guarded:
        return None
    over = f"the workflow is over: its task was {led.record.status}"
    return over if progress.ending is None else f"{over}. {ended(progress)}"


async def _guarded(
    led: Led,
    step: str,
    said: Said,
    request: Request,
    call_next: CallNext,
    leader: Leader,
    tools: Mapping[str, ToolSchemas],
    caller: Caller,
) -> tuple[dict[str, Any], Led, Recorded]:
    """Make a call that nobody else may make meanwhile: its step is taken before, as if the server did it."""
    answer: dict[str, Any] = {}
    trouble: list[MCPError] = []

    async def call() -> Mapping[str, Any]:
        try:
            answer.update(wire(await call_next(request)))
        except MCPError as error:
            trouble.append(error)
            return failed(error.message)
        return stored(answer)

    try:
        led = await leader.do(led, step, dict(said.arguments or {}), call, tools, caller)
    except LeaseLost:
        why = f"step {step!r} is being done just now"
        raise MCPError(INVALID_PARAMS, why, _with({}, led.state(recorded=Recorded(refused=why)))) from None
    recorded = Recorded(step=step, status=led.progress.state(step).status)
    if trouble:
        raise _with_workflow(trouble[0], led.state(recorded=recorded)) from trouble[0]
    return answer, led, recorded


async def _note(
    led: Led,
    result: Mapping[str, Any],
    caller: Caller,
    step: str | None,
    said: Said,
    began: str,
    tasks: Tasks,
    leader: Leader,
    tools: Mapping[str, ToolSchemas],
) -> tuple[Led, Recorded]:
    """Record a result for the step it was decided for, or for none."""
    if "taskId" in result or isinstance(result.get("task"), Mapping):
        return led, Recorded(refused=f"tool {said.tool!r} runs as a task of its own: call it without one")
    record, workflow, store = led.record, led.progress.workflow, tasks.store
    recorded = Recorded()

    def apply(found: Progress) -> Progress:
        nonlocal recorded
        one = workflow.steps[found.positions[step or ""]]
        if not is_open(one, found):
            recorded = Recorded(refused=f"step {one.name!r} was done by another call meanwhile")
            return found
        attempts = (*found.state(one.name).attempts, Attempt(started=began, by="client"))
        found = found.with_step(one.name, attempts=attempts)
        if said.uri is not None:
            after = _with_read(found, one.name, said.uri, result)
        else:
            after = found.finished(one.name, stored(result), "client", arguments=dict(said.arguments or {}))
        status = after.state(one.name).status
        recorded = Recorded(step=one.name, status=status)
        return after if status is not StepStatus.FAILED else after.but(pause=read_pause(failure(one, after)))

    try:
        if step is not None:
            led = await leader.note(record, workflow, apply, tools, caller)
            if recorded.refused is None:
                return led, recorded
        if not record.live:
            raise InvalidTransition(record.task_id, record.status, "working")
        if said.tool is None or result.get("isError") is True:
            return led, Recorded(refused=recorded.refused or f"no open step wants {said.tool or said.uri!r}")
        tool, key = said.tool, (record.owner, record.task_id)
        await store.change(*key, lambda found: persistence.with_extra(found, tool, stored(result), store.limits))
        return led, Recorded(extra=True)
    except InvalidTransition as error:
        return led, Recorded(refused=f"the workflow is over: it is {error.current}")
    except LabError as error:
        return led, Recorded(refused=error.message)


def _with_workflow(error: MCPError, state: WorkflowState) -> MCPError:
    data = error.data if isinstance(error.data, Mapping) else ({} if error.data is None else {"data": error.data})
    return MCPError(error.code, error.message, _with(dict(data), state))


def _with(result: dict[str, Any], state: WorkflowState) -> dict[str, Any]:
    return {**result, "_meta": {**(result.get("_meta") or {}), **workflow_wire.call_meta(state)}}


def _with_read(found: Progress, step: str, uri: str, result: Mapping[str, Any]) -> Progress:
    """With one more of a step's resources; it is done when all are read."""
    one = found.workflow.steps[found.positions[step]]
    if result.get("isError") is True:
        return found.finished(step, result, "client")
    before = found.results.get(step)
    blocks = [] if before is None or before.is_error else list(before.raw.get("content") or ())
    contents = result.get("contents")
    blocks += [{"type": "resource", "resource": {**each, "uri": uri}} for each in contents or ()]
    after = found.finished(step, {"content": blocks, "isError": False}, "client")
    return after if not unread(one, after) else after.with_step(step, status=StepStatus.PENDING)
