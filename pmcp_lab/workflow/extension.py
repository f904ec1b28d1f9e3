"""`Workflows`: what puts them on a server. A middleware, outermost of all, and one prompt per workflow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from mcp.server.context import CallNext, HandlerResult
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import Message, Prompt, PromptArgument
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS

from pmcp_lab.errors import (
    InvalidTransition,
    LabError,
    LeaseLost,
    TaskNotFound,
    VariableError,
    WorkflowInvalid,
    nearest,
)
from pmcp_lab.protocol import handoff, meta
from pmcp_lab.protocol.handoff import Recorded, StepStatus, WorkflowState, read_pause
from pmcp_lab.server import Tasks
from pmcp_lab.server.callers import ACTING_FOR
from pmcp_lab.server.methods import as_mcp_error
from pmcp_lab.server.request import Request
from pmcp_lab.tasks import Owner, TaskRecord
from pmcp_lab.tasks.owner import owner_named
from pmcp_lab.workflow import record as kept
from pmcp_lab.workflow.calling import Caller, stored, wire
from pmcp_lab.workflow.checking import ToolSchemas, check
from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.plan import Progress, failed, failure, step_for, unread
from pmcp_lab.workflow.resolving import parse
from pmcp_lab.workflow.run import Leader, Led
from pmcp_lab.workflow.telling import messages

logger = logging.getLogger(__name__)

_NOT_A_NAME = "tools/call"
"""What the tasks of tools say they are of."""


@dataclass
class _Exchange:
    """A `prompts/get` on its way: what its prompt needs of it, and what it says beside its messages."""

    ctx: Request
    chain: CallNext
    state: WorkflowState | None = None


_EXCHANGE: ContextVar[_Exchange | None] = ContextVar("pmcp_lab_workflow_exchange", default=None)


class Workflows:
    """Workflows on an MCP server, for 2025-11-25 and 2026-07-28 clients at once.

    ```python
    tasks = Tasks("sqlite:///tasks.db")
    server = MCPServer("lab", extensions=[tasks], middleware=[tasks])
    ...
    workflows = Workflows([release], tasks)
    workflows.attach(server)
    ```

    Args:
        workflows: Each becomes a prompt of its name.
        tasks: What makes their tasks.

    Raises:
        WorkflowInvalid: One can't run as it is written; all problems of all of them are named.
    """

    def __init__(self, workflows: Iterable[SequentialWorkflow], tasks: Tasks) -> None:
        listed = list(workflows)
        self._by_name = {one.name: one for one in listed}
        _check_all(listed, None)
        self._tasks = tasks
        self._leader = Leader(tasks)
        self._server: MCPServer[Any] | None = None
        self._background: set[asyncio.Task[None]] = set()

    def attach(self, server: MCPServer[Any]) -> MCPServer[Any]:
        """Offer the workflows as prompts of this server, whose tools have been declared.

        Joins the server's middleware in front: what a step does passes through all of it, as a request of its own.

        Raises:
            WorkflowInvalid: One does not fit the server's tools; all problems of all of them are named.
            LabError: It is attached already, or the server has a prompt of that name.
        """
        if self._server is not None:
            raise LabError("these workflows are on a server already; make others for another one")
        tools, prompts = _now(_tools_of(server)), _now(server.list_prompts())
        _check_all(self._by_name.values(), tools)
        for taken in {prompt.name for prompt in prompts} & self._by_name.keys():
            raise LabError(f"server {server.name!r} has a prompt {taken!r} already: give the workflow another name")
        self._server = server
        for workflow in self._by_name.values():
            server.add_prompt(self._prompt(workflow))
        server.middleware.insert(0, self)
        self._tasks.recover_also(self._recover)
        return server

    async def resume(self, task_id: str, *, owner: Owner | None = None) -> WorkflowState:
        """Go on with a workflow, and try once more what may be tried again. For the server's own process.

        Steps run as requests that the server makes of itself, so without a client's credentials.

        Args:
            owner: Of the task; None is whom the id names, see `owner_named`.

        Raises:
            TaskNotFound: There is no such task.
            LabError: It is none of these workflows'.
            MCPError: The server refuses the prompt.
        """
        from mcp import Client

        whose = owner or owner_named(task_id)
        workflow = self._of(await self._tasks.store.get(whose, task_id))
        if self._server is None:
            raise LabError("these workflows are on no server yet: call workflows.attach(server) before")
        acting = ACTING_FOR.set(whose)
        try:
            async with Client(self._server) as client:
                named: Any = handoff.continuation_meta(task_id)
                result = await client.get_prompt(workflow.name, meta=named)
        finally:
            ACTING_FOR.reset(acting)
        state = handoff.read_prompt(wire(result))
        assert state is not None
        return state

    # --- the middleware ---

    async def __call__(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        params = ctx.params or {}
        match ctx.method:
            case "prompts/list":
                return self._described(await call_next(ctx))
            case "prompts/get" if params.get("name") in self._by_name:
                return await self._get(ctx, call_next)
            case "tools/call" | "resources/read":
                named = handoff.read_continuation(params.get("_meta"))
                return await call_next(ctx) if named is None else await self._continue(ctx, call_next, *named)
            case "tasks/cancel":
                result = await call_next(ctx)
                task_id = str(params.get("taskId"))
                self._leader.stop((self._tasks.owner_of(ctx, task_id), task_id))
                return result
            case "tasks/update":
                result = await call_next(ctx)
                self._wake(ctx, call_next, str(params.get("taskId")))
                return result
            case meta.SET_VARIABLES:
                return await self._set_variables(ctx, call_next, params)
            case "tasks/result":
                waking = asyncio.create_task(self._wake_when_answered(ctx, call_next, str(params.get("taskId"))))
                try:
                    return await call_next(ctx)
                finally:
                    waking.cancel()
            case _:
                return await call_next(ctx)

    async def _get(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        exchange = _Exchange(ctx, call_next)
        token = _EXCHANGE.set(exchange)
        try:
            result = wire(await call_next(ctx))
        finally:
            _EXCHANGE.reset(token)
        if exchange.state is not None:
            result["_meta"] = {**(result.get("_meta") or {}), **handoff.prompt_meta(exchange.state)}
        return result

    async def _set_variables(self, ctx: Request, call_next: CallNext, params: Mapping[str, Any]) -> HandlerResult:
        names = params.get("variables")
        for name in names if isinstance(names, Mapping) else ():
            if name.startswith(handoff.VARIABLES):
                raise as_mcp_error(VariableError(f"task variable {name!r} is the workflow's own; choose another name"))
        result = await call_next(ctx)
        self._wake(ctx, call_next, str(params.get("taskId")))
        return result

    def _described(self, result: HandlerResult) -> HandlerResult:
        """`prompts/list` with what the SDK has no place for."""
        listed = wire(result)
        prompts = []
        for raw in listed.get("prompts") or ():
            workflow = self._by_name.get(raw.get("name"))
            prompts.append(raw if workflow is None else {**raw, **_description(workflow)})
        return {**listed, "prompts": prompts}

    # --- prompts/get ---

    def _prompt(self, workflow: SequentialWorkflow) -> Prompt:
        async def run(ctx: Context[Any, Any], **arguments: str) -> list[Message]:  # noqa: ARG001 - `render` looks for it
            exchange = _EXCHANGE.get()
            if exchange is None:
                raise MCPError(INTERNAL_ERROR, f"workflow {workflow.name!r} is only run for a client's request")
            try:
                return await self._run(workflow, arguments, exchange)
            except LabError as error:
                raise as_mcp_error(error) from error

        # Whether an argument is required is looked at here: a workflow that is resumed has its arguments.
        arguments = [PromptArgument(name=one.name, description=one.description) for one in workflow.arguments]
        return Prompt(
            name=workflow.name,
            title=workflow.title,
            description=workflow.description,
            arguments=arguments,
            fn=run,
            context_kwarg="ctx",
        )

    async def _run(
        self, workflow: SequentialWorkflow, arguments: Mapping[str, str], exchange: _Exchange
    ) -> list[Message]:
        ctx, named = exchange.ctx, handoff.read_continuation((exchange.ctx.params or {}).get("_meta"))
        _check_arguments(workflow, arguments, complete=named is None)
        tools, caller = await self._tools(), Caller(ctx, exchange.chain, self._tasks)
        if named is None:
            led = await self._leader.begin(workflow, arguments, ctx.protocol_version, tools, caller)
        else:
            record = await self._tasks.store.get(self._tasks.owner_of(ctx, named[0]), named[0])
            led = await self._leader.resume(record, workflow, arguments, tools, caller)
        exchange.state = led.state()
        return messages(led.progress, led.calls, tools, led.record.status, led.read)

    # --- continuation ---

    async def _continue(self, ctx: Request, call_next: CallNext, task_id: str, step: str | None) -> HandlerResult:
        """Serve the call as ever, record what came of it, and go on."""
        params = ctx.params or {}
        about: dict[str, Any] = (
            {"tool": str(params.get("name"))} if ctx.method == "tools/call" else {"uri": str(params.get("uri"))}
        )
        caller = Caller(ctx, call_next, self._tasks)
        try:
            record = await self._tasks.store.get(self._tasks.owner_of(ctx, task_id), task_id)
            led = Led(record, kept.load(record, self._of(record)))
            caller.session.done, caller.session.total = led.progress.settled, len(led.progress.states)
        except LabError as error:
            return _with(wire(await call_next(ctx)), _refusal(task_id, error.message))
        try:
            # The tool runs without a task of its own, so that its result is there to be recorded.
            result = wire(await call_next(replace(ctx, session=caller.session)))  # type: ignore[arg-type]
        except MCPError as error:
            state = await self._note(led, failed(error.message), caller, step=step, **about)
            data = (
                error.data if isinstance(error.data, Mapping) else ({} if error.data is None else {"data": error.data})
            )
            raise MCPError(error.code, error.message, _with(dict(data), state)) from error
        return _with(
            result, await self._note(led, result, caller, step=step, **about, arguments=params.get("arguments"))
        )

    async def _note(
        self,
        led: Led,
        result: Mapping[str, Any],
        caller: Caller,
        *,
        tool: str | None = None,
        uri: str | None = None,
        step: str | None = None,
        arguments: Any = None,
    ) -> WorkflowState:
        """Record a result for the step that wants it; what is said of that."""
        if "taskId" in result or isinstance(result.get("task"), Mapping):
            return led.state(recorded=Recorded(refused=f"tool {tool!r} runs as a task of its own: call it without one"))
        record, workflow, store = led.record, led.progress.workflow, self._tasks.store
        shown = dict(arguments) if isinstance(arguments, Mapping) else {}
        recorded = Recorded()

        def apply(found: Progress) -> Progress:
            nonlocal recorded
            one = step_for(found, tool=tool, uri=uri, step=step)
            if one is None:
                recorded = Recorded(refused="no open step wants this any more")
                return found
            if uri is not None:
                after = _with_read(found, one.name, uri, result)
            else:
                after = found.finished(one.name, stored(result), "client").with_step(one.name, arguments=shown)
            status = after.state(one.name).status
            recorded = Recorded(step=one.name, status=status)
            return after if status is not StepStatus.FAILED else replace(after, pause=read_pause(failure(one, after)))

        try:
            if step_for(led.progress, tool=tool, uri=uri, step=step) is not None:
                led = await self._leader.note(record, workflow, apply, await self._tools(), caller)
                if recorded.refused is None:
                    return led.state(recorded=recorded)
            if not record.live:
                raise InvalidTransition(record.task_id, record.status, "working")
            if tool is None or result.get("isError") is True:
                return led.state(recorded=Recorded(refused=f"no open step wants {tool or uri!r}"))
            key = (record.owner, record.task_id)
            await store.change(*key, lambda found: kept.with_extra(found, tool, stored(result), store.limits))
            return led.state(recorded=Recorded(extra=True))
        except InvalidTransition as error:
            return led.state(recorded=Recorded(refused=f"the workflow is over: it is {error.current}"))
        except LabError as error:
            return led.state(recorded=Recorded(refused=error.message))

    # --- going on by itself ---

    def _wake(self, ctx: Request, chain: CallNext, task_id: str) -> None:
        """Go on with a workflow that waited for what has just come, behind the request's answer and in its name."""
        self._spawn(self._go_on(ctx, chain, task_id))

    async def _go_on(self, ctx: Request, chain: CallNext, task_id: str) -> None:
        try:
            record = await self._tasks.store.get(self._tasks.owner_of(ctx, task_id), task_id)
            if record.method in self._by_name:
                caller = Caller(ctx, chain, self._tasks, detached=True)
                await self._leader.go_on(record, self._of(record), await self._tools(), caller)
        except (InvalidTransition, LeaseLost, TaskNotFound) as error:
            logger.debug("workflow task %s was not gone on with: %s", task_id, error)
        except (LabError, MCPError) as error:
            logger.warning("workflow task %s can't go on: %s", task_id, error)

    async def _wake_when_answered(self, ctx: Request, chain: CallNext, task_id: str) -> None:
        """`tasks/result` carries questions of 2025-11-25 clients, and ends only with the task."""
        waited = False
        try:
            async with self._tasks.store.watch(self._tasks.owner_of(ctx, task_id), task_id) as feed:
                async for record in feed:
                    if record.method not in self._by_name:
                        return
                    if waited and not record.open_questions:
                        self._wake(ctx, chain, task_id)
                    waited = bool(record.open_questions)
        except (LabError, MCPError) as error:
            logger.debug("task %s is not waited for: %s", task_id, error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _recover(self, record: TaskRecord) -> bool:
        """Let go of a workflow whose process ended. Nobody acts in a client's name without it: it asks to go on."""
        workflow = self._by_name.get(record.method)
        if workflow is None:
            return False
        try:
            await self._leader.settle(record, workflow)
        except (InvalidTransition, LeaseLost, TaskNotFound) as error:
            logger.debug("workflow task %s was not lost: %s", record.task_id, error)
        return True

    def _of(self, record: TaskRecord) -> SequentialWorkflow:
        workflow = self._by_name.get(record.method)
        if workflow is None:
            raise LabError(f"task {record.task_id} is no workflow's", code=INVALID_PARAMS)
        return workflow

    async def _tools(self) -> dict[str, ToolSchemas]:
        assert self._server is not None
        return await _tools_of(self._server)


def _check_all(workflows: Iterable[SequentialWorkflow], tools: Mapping[str, ToolSchemas] | None) -> None:
    listed, found = list(workflows), list[WorkflowInvalid]()
    for workflow in listed:
        if workflow.name == _NOT_A_NAME or [one.name for one in listed].count(workflow.name) > 1:
            found.append(WorkflowInvalid(workflow.name, [("name", "is taken")]))
        try:
            check(workflow, tools)
        except WorkflowInvalid as error:
            found.append(error)
    if len(found) == 1:
        raise found[0]
    if found:
        names = ", ".join(dict.fromkeys(error.workflow for error in found))
        raise WorkflowInvalid(names, [(f"{e.workflow}, {where}", what) for e in found for where, what in e.problems])


def _check_arguments(workflow: SequentialWorkflow, given: Mapping[str, str], *, complete: bool) -> None:
    """Refuse what the prompt can't take, before its task is made."""
    declared = {one.name: one for one in workflow.arguments}
    problems = [
        f"{name}: not an argument of this prompt.{nearest(name, declared)}" for name in given if name not in declared
    ]
    for name, one in declared.items():
        if name not in given:
            problems += [f"{name}: missing"] if one.required and complete else []
            continue
        try:
            parse(given[name], one.type)
        except ValueError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise LabError(
            f"prompt {workflow.name!r} can't take these arguments: {'; '.join(problems)}", code=INVALID_PARAMS
        )


def _description(workflow: SequentialWorkflow) -> dict[str, Any]:
    steps = [
        {"name": one.name}
        | ({} if one.tool is None else {"tool": one.tool})
        | ({} if one.execution == "auto" else {"execution": one.execution})
        for one in workflow.steps
    ]
    arguments = [
        {"name": one.name, "description": one.description, "required": one.required}
        # PMCP's extension of the prompt's argument.
        | ({} if one.type == "string" else {"argType": one.type})
        for one in workflow.arguments
    ]
    return {"_meta": {handoff.WORKFLOW: {"steps": steps}}} | ({"arguments": arguments} if arguments else {})


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


def _refusal(task_id: str, why: str) -> WorkflowState:
    return WorkflowState(task_id=task_id, status="unknown", recorded=Recorded(refused=why))


def _with(result: dict[str, Any], state: WorkflowState) -> dict[str, Any]:
    return {**result, "_meta": {**(result.get("_meta") or {}), **handoff.call_meta(state)}}


async def _tools_of(server: MCPServer[Any]) -> dict[str, ToolSchemas]:
    return {
        tool.name: ToolSchemas(tool.input_schema, tool.output_schema, tool.description or "")
        for tool in await server.list_tools()
    }


def _now(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives, from a plain function, whether or not an event loop runs in this thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
