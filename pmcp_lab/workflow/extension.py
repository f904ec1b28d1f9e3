"""`Workflows`: what puts them on a server. A middleware, outermost of all, and one prompt per workflow."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Coroutine, Iterable, Mapping
from contextvars import Context as Context_
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

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
)
from pmcp_lab.execution import TaskKey
from pmcp_lab.protocol import meta, modern, workflow_wire
from pmcp_lab.protocol.task import from_timestamp
from pmcp_lab.protocol.workflow_wire import WorkflowState
from pmcp_lab.server import Tasks
from pmcp_lab.server.callers import ACTING_FOR
from pmcp_lab.server.methods import as_mcp_error
from pmcp_lab.server.request import Request
from pmcp_lab.tasks import Owner, TaskRecord
from pmcp_lab.tasks.owner import owner_named
from pmcp_lab.workflow import persistence
from pmcp_lab.workflow.answers import Answer, add_tool, answered, can_be_asked, check_responses, tool_name
from pmcp_lab.workflow.calling import Caller, wire
from pmcp_lab.workflow.checking import ToolSchemas
from pmcp_lab.workflow.continuing import Said, go_on_with
from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.led import Led
from pmcp_lab.workflow.offering import check_all, check_arguments, description, now, tools_of
from pmcp_lab.workflow.progress import Progress
from pmcp_lab.workflow.run import Leader
from pmcp_lab.workflow.wording import answering, messages

logger = logging.getLogger(__name__)


@dataclass
class _Exchange:
    """A `prompts/get` on its way: what its prompt needs of it, and what it says beside its messages."""

    ctx: Request
    chain: CallNext
    state: WorkflowState | None = None


_AGAIN: ContextVar[bool] = ContextVar("pmcp_lab_workflow_again", default=True)
"""Whether a workflow that is resumed tries again what may be."""

_AFTER: Final = 0.01
"""Seconds after a deadline, so that it has passed also when moments are rounded."""

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
        attempts: How often a server may end in the middle of a step that may run twice, for that to be run again by
            itself.

    An argument that no step uses is warned of.

    Raises:
        WorkflowInvalid: One can't run as it is written; all problems of all of them are named.
    """

    def __init__(self, workflows: Iterable[SequentialWorkflow], tasks: Tasks, *, attempts: int = 3) -> None:
        listed = list(workflows)
        self._by_name = {one.name: one for one in listed}
        for where, what in check_all(listed, None, tasks.store.limits):
            warnings.warn(f"{where}: {what}", UserWarning, stacklevel=2)
        self._tasks = tasks
        self._leader = Leader(tasks)
        self._attempts = attempts
        self._answering = {one.name: name for one in listed if (name := tool_name(one)) is not None}
        self._guarded = {step.tool: (one, step) for one in listed for step in one.steps if step.guarded and step.tool}
        self._server: MCPServer[Any] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._deadlines: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[TaskKey, asyncio.TimerHandle]] = (
            WeakKeyDictionary()
        )

    def attach(self, server: MCPServer[Any]) -> MCPServer[Any]:
        """Offer the workflows as prompts of this server, whose tools have been declared.

        Joins the server's middleware in front: what a step does passes through all of it, as a request of its own.

        Raises:
            WorkflowInvalid: One does not fit the server's tools; all problems of all of them are named.
            LabError: It is attached already, or the server has a prompt of that name, or a tool of the name of one that
                answers (`answer_<workflow>`).
        """
        if self._server is not None:
            raise LabError("these workflows are on a server already; make others for another one")
        tools, prompts = now(tools_of(server)), now(server.list_prompts())
        check_all(
            self._by_name.values(), {name: one for name, one in tools.items() if name not in _answer_tools(server)}
        )
        for taken in {prompt.name for prompt in prompts} & self._by_name.keys():
            raise LabError(f"server {server.name!r} has a prompt {taken!r} already: give the workflow another name")
        for name in self._answering.values():
            if name in tools or list(self._answering.values()).count(name) > 1:
                raise LabError(f"server {server.name!r} has a tool {name!r} already: give the workflow another name")
        self._server = server
        for workflow in self._by_name.values():
            server.add_prompt(self._prompt(workflow))
            if workflow.name in self._answering:
                add_tool(server, workflow, self._answering[workflow.name], self._answer(workflow))
        server.middleware.insert(0, self)
        self._tasks.recover_also(self._recover)
        return server

    async def resume(self, task_id: str, *, owner: Owner | None = None, again: bool = True) -> WorkflowState:
        """Go on with a workflow, and try once more what may be tried again. For the server's own process.

        Steps run as requests that the server makes of itself, so without a client's credentials.

        Args:
            owner: Of the task; None is whom the id names, see `owner_named`.
            again: Whether to try anything again.

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
        acting, trying = ACTING_FOR.set(whose), _AGAIN.set(again)
        try:
            with self._tasks.kept_open():
                async with Client(self._server) as client:
                    named: Any = workflow_wire.continuation_meta(task_id)
                    result = await client.get_prompt(workflow.name, meta=named)
        finally:
            ACTING_FOR.reset(acting)
            _AGAIN.reset(trying)
        state = workflow_wire.read_prompt(wire(result))
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
            case "tools/call" if params.get("name") in self._answering.values():
                return await self._get(ctx, call_next)
            case "tools/call" | "resources/read":
                named = workflow_wire.read_continuation(params.get("_meta"))
                if named is not None:
                    return await self._continue(ctx, call_next, *named)
                return await self._pass_on(ctx, call_next)
            case "tasks/cancel":
                result = await call_next(ctx)
                task_id = str(params.get("taskId"))
                self._leader.stop((self._tasks.owner_of(ctx, task_id), task_id))
                return result
            case "tasks/update":
                await self._check_answers(ctx, params)
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
            said = workflow_wire.prompt_meta if ctx.method == "prompts/get" else workflow_wire.call_meta
            result["_meta"] = {**(result.get("_meta") or {}), **said(exchange.state)}
        return result

    async def _set_variables(self, ctx: Request, call_next: CallNext, params: Mapping[str, Any]) -> HandlerResult:
        names = params.get("variables")
        for name in names if isinstance(names, Mapping) else ():
            if name.startswith(workflow_wire.VARIABLES):
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
            prompts.append(raw if workflow is None else {**raw, **description(workflow)})
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
        ctx, meta = exchange.ctx, (exchange.ctx.params or {}).get("_meta")
        named = workflow_wire.read_continuation(meta)
        try:
            action = workflow_wire.read_action(meta)
        except ValueError as error:
            raise LabError(str(error), code=INVALID_PARAMS) from None
        if action is not None and named is None:
            raise LabError(f"to {action.kind}, name the workflow's task", code=INVALID_PARAMS)
        check_arguments(workflow, arguments, complete=named is None)
        tools, caller = await self._tools(), Caller(ctx, exchange.chain, self._tasks)
        if named is None:
            led = await self._leader.begin(workflow, arguments, ctx.protocol_version, tools, caller)
        else:
            record = await self._tasks.store.get(self._tasks.owner_of(ctx, named[0]), named[0])
            led = await self._leader.resume(
                record, workflow, arguments, tools, caller, action=action, again=_AGAIN.get()
            )
        self._before_answer(led, ctx)
        exchange.state = led.state()
        return messages(led.progress, led.calls, tools, led.record.status, led.read)

    def _before_answer(self, led: Led, ctx: Request) -> None:
        """What is said to this client, and when to look at the workflow again."""
        workflow, record = led.progress.workflow, led.record
        if record.live and workflow.name in self._answering and not can_be_asked(ctx):
            led.calls = answering(led.calls, led.progress, record.task_id, self._answering[workflow.name])
        self._look_after((record.owner, record.task_id), led.progress if record.live else None)

    # --- answers ---

    def _answer(self, workflow: SequentialWorkflow) -> Answer:
        async def answer(task_id: str, step: str, response: Mapping[str, Any]) -> str:
            exchange = _EXCHANGE.get()
            if exchange is None:
                raise MCPError(INTERNAL_ERROR, f"workflow {workflow.name!r} is only answered by a client's request")
            ctx, caller = exchange.ctx, Caller(exchange.ctx, exchange.chain, self._tasks)
            try:
                owner = self._tasks.owner_of(ctx, task_id)
                record, tools = await self._tasks.store.get(owner, task_id), await self._tools()
                if record.method != workflow.name:
                    raise LabError(f"task {task_id} is none of workflow {workflow.name!r}", code=INVALID_PARAMS)
                led = await self._leader.note(
                    record, workflow, lambda found: answered(found, step, response), tools, caller, must=True
                )
            except InvalidTransition as error:
                raise MCPError(INVALID_PARAMS, f"the workflow is over: its task was {error.current}") from error
            except LabError as error:
                raise as_mcp_error(error) from error
            self._before_answer(led, ctx)
            exchange.state = led.state()
            said = messages(led.progress, led.calls, tools, led.record.status, led.read)
            return getattr(said[-1].content, "text", "")

        return answer

    async def _check_answers(self, ctx: Request, params: Mapping[str, Any]) -> None:
        """Refuse an answer that does not fit its form, before it is recorded."""
        responses = params.get("inputResponses")
        try:
            task_id = str(params.get("taskId"))
            record = await self._tasks.store.get(self._tasks.owner_of(ctx, task_id), task_id)
            workflow = self._by_name.get(record.method)
            if workflow is not None and record.live and isinstance(responses, Mapping):
                check_responses(persistence.load(record, workflow), responses)
        except TaskNotFound:
            # What comes next says so.
            return
        except LabError as error:
            raise as_mcp_error(error) from error

    # --- continuation ---

    async def _continue(self, ctx: Request, call_next: CallNext, task_id: str, step: str | None) -> HandlerResult:
        try:
            record = await self._tasks.store.get(self._tasks.owner_of(ctx, task_id), task_id)
            if record.method not in self._by_name and self._known_elsewhere(record):
                return await self._pass_on(ctx, call_next)
            workflow, tools = self._of(record), await self._tools()
            result, led, recorded = await go_on_with(
                ctx,
                call_next,
                record,
                workflow,
                Said.of(ctx, step),
                tasks=self._tasks,
                leader=self._leader,
                tools=tools,
                guarded=self._guarded.keys(),
                caller=Caller(ctx, call_next, self._tasks),
            )
        except LabError as error:
            raise as_mcp_error(error) from error
        raw = modern.for_one(wire(result), ttl_ms=0)
        if recorded is not None:
            self._before_answer(led, ctx)
            raw["_meta"] = {**(raw.get("_meta") or {}), **workflow_wire.call_meta(led.state(recorded=recorded))}
        return raw

    @property
    def answer_tools(self) -> tuple[str, ...]:
        """The tools by which clients that can't be asked answer."""
        return tuple(self._answering.values())

    async def _pass_on(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        """What has nothing to do with these workflows, unless it is a tool of theirs that is guarded."""
        tool = (ctx.params or {}).get("name") if ctx.method == "tools/call" else None
        if tool in self._guarded:
            raise MCPError(INVALID_PARAMS, self._out_of_turn(str(tool)))
        return await call_next(ctx)

    def _known_elsewhere(self, record: TaskRecord) -> bool:
        """Whether a task is of other workflows on the same server."""
        others = [] if self._server is None else [each for each in self._server.middleware if each is not self]
        return any(record.method in each.names for each in others if isinstance(each, Workflows))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the workflows."""
        return tuple(self._by_name)

    def _out_of_turn(self, tool: str) -> str:
        workflow, step = self._guarded[tool]
        return (
            f"tool {tool!r} runs only as step {step.name!r} of workflow {workflow.name!r}, when it is its turn: "
            "get that prompt, and name its task in the call"
        )

    # --- going on by itself ---

    def _wake(self, ctx: Request, chain: CallNext, task_id: str) -> None:
        """Go on with a workflow that waited for what has just come, behind the request's answer and in its name."""
        self._spawn(self._go_on(ctx, chain, task_id))

    async def _go_on(self, ctx: Request, chain: CallNext, task_id: str) -> None:
        try:
            record = await self._tasks.store.get(self._tasks.owner_of(ctx, task_id), task_id)
            if record.method in self._by_name:
                caller = Caller(ctx, chain, self._tasks, detached=True)
                led = await self._leader.go_on(record, self._of(record), await self._tools(), caller)
                if led is not None:
                    self._before_answer(led, ctx)
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

    def _spawn(self, work: Coroutine[Any, Any, None], *, context: Context_ | None = None) -> None:
        task = asyncio.create_task(work, context=context)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _recover(self, record: TaskRecord) -> bool:
        """Let go of a workflow whose process ended, and go on in its owner's name where that may be."""
        workflow, key = self._by_name.get(record.method), (record.owner, record.task_id)
        if workflow is None:
            return False
        if record.lease is not None and record.lease.free:
            # It waits for a deadline. Its timer runs from now on; it need not be looked at soon.
            self._look_after(key, persistence.load(record, workflow))
            return False
        try:
            if await self._leader.settle(record, workflow, self._attempts):
                logger.warning("workflow task %s goes on by itself: its process ended", record.task_id)
                self._spawn(self._by_itself(key, again=True), context=Context_())
        except (InvalidTransition, LeaseLost, TaskNotFound) as error:
            logger.debug("workflow task %s was not lost: %s", record.task_id, error)
        return True

    async def _by_itself(self, key: TaskKey, *, again: bool) -> None:
        owner, task_id = key
        try:
            await self.resume(task_id, owner=owner, again=again)
        except (InvalidTransition, LeaseLost, TaskNotFound) as error:
            logger.debug("workflow task %s was not gone on with: %s", task_id, error)
        except (LabError, MCPError) as error:
            logger.warning("workflow task %s can't go on by itself: %s", task_id, error)

    def _look_after(self, key: TaskKey, progress: Progress | None) -> None:
        """Act when the deadline of an open question has passed; None for a task that is over."""
        loop, store = asyncio.get_running_loop(), self._tasks.store
        timers = self._deadlines.setdefault(loop, {})
        if (timer := timers.pop(key, None)) is not None:
            timer.cancel()
        pause = None if progress is None else progress.pause
        moment = None if pause is None else from_timestamp(pause.deadline)
        if moment is None:
            return
        left = (moment - store.now()).total_seconds() + store.backend.clock_skew

        def due() -> None:
            timers.pop(key, None)
            self._spawn(self._by_itself(key, again=False), context=Context_())

        timers[key] = loop.call_later(max(left, 0) + _AFTER, due, context=Context_())

    def _of(self, record: TaskRecord) -> SequentialWorkflow:
        workflow = self._by_name.get(record.method)
        if workflow is None:
            raise LabError(f"task {record.task_id} is no workflow's", code=INVALID_PARAMS)
        return workflow

    async def _tools(self) -> dict[str, ToolSchemas]:
        assert self._server is not None
        return await tools_of(self._server)


def _answer_tools(server: MCPServer[Any]) -> set[str]:
    """Tools by which people answer: no step calls one."""
    return {name for each in server.middleware if isinstance(each, Workflows) for name in each.answer_tools}
