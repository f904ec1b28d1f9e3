"""Runs tasks: claims one, calls its tool, writes how it ended. Who calls `run`, and where, is up to `execution`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from contextvars import Context
from copy import copy
from typing import Any
from weakref import WeakKeyDictionary, ref

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR
from opentelemetry.trace import StatusCode

from pmcp_lab.errors import InvalidTransition, LabError, LeaseLost, StoreError, TaskCancelled, TaskNotFound
from pmcp_lab.execution import Executor, TaskKey, idle
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.server.log_records import log_extra, log_moment
from pmcp_lab.server.loop_state import LoopState, Run, Tool
from pmcp_lab.server.stats import Counts, Stats
from pmcp_lab.server.tool import CURRENT_CALL, CURRENT_TASK, Prepared, failed_by, plain_result, result_of, text_of
from pmcp_lab.server.tracing import run_span
from pmcp_lab.tasks import WAITING, Job, Lease, TaskRecord, TaskStore
from pmcp_lab.tasks.leases import check_held, holds
from pmcp_lab.tasks.record import Phase, new_version
from pmcp_lab.tasks.retries import retry_storage
from pmcp_lab.tasks.stored_context import StoredContext

logger = logging.getLogger(__name__)

Submit = Callable[[TaskKey], Awaitable[None]]

_WATCHED_AFTER = 0.2
"""Seconds a task runs before its record is watched for what other processes do to it: most are over by then."""

_FOR_GOOD = 10 * 365 * 24 * 3600.0
"""Seconds of a lease that nobody outlives."""


class TaskRunner:
    """Everything between a record and its tool.

    Args:
        tools: By name; may grow.
        lease: Seconds a task is believed to be run without a word from its process.
    """

    def __init__(self, store: TaskStore, executor: Executor, tools: Mapping[str, Tool], *, lease: float) -> None:
        self.store = store
        self.executor = executor
        self.in_process = bool(getattr(executor, "in_process", False))
        self.durable = store.backend.durable
        """Whether somebody can still read the store when this process has ended."""
        self.at_once = self.in_process and not self.durable
        """Whether making a task waits for nothing, so that nobody can cancel it half way."""
        self.lease = lease if self.durable else _FOR_GOOD
        self.period = lease
        self._tools = tools
        self.grace = float(getattr(executor, "grace", 2.0))
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopState] = WeakKeyDictionary()
        self._last: tuple[ref[asyncio.AbstractEventLoop], LoopState] | None = None
        self._ended: dict[str, Counts] = {}

    @property
    def loop_state(self) -> LoopState:
        """The running loop's."""
        loop = asyncio.get_running_loop()
        if self._last is not None and self._last[0]() is loop:
            return self._last[1]
        state = self._loops.get(loop)
        if state is None:
            # Their tasks keep them alive, and a serverless process may see one per invocation.
            for closed in [one for one in self._loops if one.is_closed()]:
                del self._loops[closed]
            state = self._loops[loop] = LoopState(self.store, self.period, self._lost, alone=not self.durable)
        self._last = (ref(loop), state)
        return state

    # --- making tasks ---

    def birth_lease(self, tool: Tool, *, begun: bool = False) -> Lease:
        """For a task that is about to be submitted, so that it is missed when this process ends before that.

        Args:
            begun: Its tool is at work in this process.
        """
        if begun:
            return self.loop_state.birth_lease(self.lease, "running")
        if not self.in_process:
            return Lease(run=WAITING, seconds=self.lease, version=new_version(), phase="queued")
        starts = self.at_once or (getattr(self.executor, "has_room", True) and self._has_turn(tool))
        # Nothing is written when it starts: until then it counts as running.
        return self.loop_state.birth_lease(self.lease, "running" if starts else "queued")

    def _has_turn(self, tool: Tool) -> bool:
        """Whether the tool's `concurrency` lets a task start now."""
        turns = self.loop_state.turns.get(tool.name)
        return turns is None or not turns.locked()

    async def submit(
        self,
        record: TaskRecord,
        prepared: Prepared | None = None,
        *,
        since: float | None = None,
        here: Submit | None = None,
    ) -> None:
        """Have a task run that this process, or nobody, holds.

        Args:
            since: When this process began to write the record of a new task (the loop's time).
            here: Has it run in this process, whoever runs the others.

        Raises:
            LabError: The executor does not take it.
        """
        state, key = self.loop_state, (record.owner, record.task_id)
        if self.in_process or here is not None:
            if state.heartbeat.holds(key):
                # It took so long to hear that it is written that it was found lost, and is run.
                return
            assert record.lease is not None
            state.waiting[key] = "" if record.job is None else record.job.tool
            state.held[key] = record.lease
            if prepared is not None:
                state.prepared[key] = prepared
            if since is not None:
                state.born[key] = (since, record)
            state.heartbeat.hold(key, record.lease.run)
        try:
            await (here or self.executor.submit)(key)
        except BaseException as error:
            state.forget(key)
            if record.lease is not None:
                state.heartbeat.drop(key, record.lease.run)
            if isinstance(error, LabError) or not isinstance(error, Exception):
                raise
            logger.exception("task %s could not be queued", record.task_id, extra=log_extra(record))
            raise LabError("the task could not be queued") from error

    # --- running them ---

    async def run(self, key: TaskKey, cancelled: asyncio.Event) -> None:
        """Run one task to its end. Does nothing when it is over or another run has it."""
        state = self.loop_state
        running = state.running.get(key)
        if key in state.starting or (running is not None and not running.taken):
            self._drop_held(key, state)
            return
        state.starting.add(key)
        prepared, born, held = state.prepared.get(key), state.born.get(key), state.held.get(key)
        state.forget(key)
        name = state.new_run() if held is None else held.run
        run: Run | None = None
        try:
            found = self._fresh(born) or await retry_storage(lambda: self._claim(key, state, name, held), key[1])
            state.starting.discard(key)
            if found is not None:
                record, tool = found
                run = state.running[key] = Run(record, tool, name, cancelled)
                await self._run(run, prepared, state)
        except (InvalidTransition, TaskNotFound, LeaseLost) as error:
            # Cancelled, expired, completed by the tool itself or taken: the record has the last word.
            logger.debug("task %s was over before its work was: %s", key[1], type(error).__name__)
            if run is not None:
                self.count(run.tool, _status_in(error))
        except asyncio.CancelledError:
            if run is None or not run.enforced or run.task is None:
                raise
            # This runner stopped the work, and whoever called goes on.
            run.task.uncancel()
        finally:
            state.starting.discard(key)
            state.heartbeat.drop(key, name)
            if run is not None:
                if state.running.get(key) is run:
                    del state.running[key]
                run.over()

    def _fresh(self, born: tuple[float, TaskRecord] | None) -> tuple[TaskRecord, Tool] | None:
        """A task that was made here just now, whose lease is its first run's from birth."""
        # What other processes do to a task in its first moments is noticed when it begins to be watched.
        if born is None or asyncio.get_running_loop().time() > born[0] + min(_WATCHED_AFTER, self.period / 2):
            return None
        record = born[1]
        tool = None if record.job is None else self._tools.get(record.job.tool)
        return None if tool is None else (record, tool)

    def _drop_held(self, key: TaskKey, state: LoopState) -> None:
        """Let a lease that nobody will run be lost."""
        held = state.held.get(key)
        state.forget(key)
        if held is not None:
            state.heartbeat.drop(key, held.run)

    async def _claim(
        self, key: TaskKey, state: LoopState, name: str, held: Lease | None
    ) -> tuple[TaskRecord, Tool] | None:
        """The task, once its lease is this run's.

        Args:
            held: The lease that this process has had on the task since it was submitted here.

        Raises:
            LeaseLost: Another run has it.
        """
        record = await self.store.get(*key)
        if not record.live:
            return None
        wanted = "" if record.job is None else record.job.tool
        tool = self._tools.get(wanted)
        if tool is None:
            if held is not None:
                said = {"code": INTERNAL_ERROR, "message": f"no tool {wanted!r} here"}
                await self.store.held_by(name).fail(*key, said)
            # Otherwise somebody else may have it.
            logger.warning(
                "task %s is for a tool this process does not have: %r", key[1], wanted, extra=log_extra(record)
            )
            return None
        if held is not None or holds(record, name):
            check_held(record, name)
        else:
            phase: Phase = "running" if self._has_turn(tool) else "queued"
            record = await self.store.leases.claim(*key, name, self.lease, phase=phase)
            state.heartbeat.hold(key, name)
        return record, tool

    async def _run(self, run: Run, prepared: Prepared | None, state: LoopState) -> None:
        if self.durable:
            # In a context of its own: what is in this one belongs to the tool and its caller.
            run.watching = asyncio.get_running_loop().call_later(
                _WATCHED_AFTER, self._start_watching, run, state, context=Context()
            )
        try:
            limit = None if prepared is not None and prepared.begun else run.tool.policy.concurrency
            async with nullcontext() if limit is None else self._turn(run, state, limit):
                run.has_turn = True
                if run.cancelled.is_set():
                    self.count(run.tool, "cancelled")
                    return
                if run.record.lease is not None and run.record.lease.phase == "queued":
                    # From here on it may have been half done.
                    key, leases = (run.record.owner, run.record.task_id), self.store.leases
                    run.record = await retry_storage(lambda: leases.heartbeat(*key, run.name, phase="running"), key[1])
                await self._work(run, prepared)
        except asyncio.CancelledError:
            if run.taken:
                self.count(run.tool, "cancelled")
            else:
                await self.give_up(run.record, run.tool, run.name)
            raise

    @asynccontextmanager
    async def _turn(self, run: Run, state: LoopState, limit: int) -> AsyncIterator[None]:
        """Among the tasks of the same tool."""
        turns, taken = state.turns.setdefault(run.tool.name, asyncio.Semaphore(limit)), False
        try:
            if turns.locked():
                async with idle():
                    taken = await turns.acquire()
            else:
                taken = await turns.acquire()
            yield
        finally:
            if taken:
                turns.release()

    async def _work(self, run: Run, prepared: Prepared | None) -> None:
        record, tool, job = run.record, run.tool, run.record.job or Job(tool=run.tool.name)
        context = run.context = StoredContext(
            self.store,
            record,
            run.cancelled,
            asks=frozenset(job.context.get("asks", ())),
            convert=lambda value: plain_result(result_of(value, tool.convert)),
            idle=idle,
            lost=lambda _: run.lose(),
        )
        call, task = CURRENT_CALL.set(None), CURRENT_TASK.set(context)
        log_moment(logger, logging.DEBUG, record, "starts")
        try:
            with run_span(tool.name, record.task_id, context.attempt, job.context) as span:
                status, write = await self._called(run, prepared, job, context)
                span.set_attribute("mcp.task.status", status)
                if status == "failed":
                    span.set_attribute("error.type", "tool_error")
                    span.set_status(StatusCode.ERROR)
                if run.taken:
                    self.count(tool, "cancelled")
                    return
                status = await self._settle(run, status, write)
        finally:
            CURRENT_CALL.reset(call)
            CURRENT_TASK.reset(task)
        self.count(tool, status)
        log_moment(logger, logging.INFO if status == "failed" else logging.DEBUG, record, status)

    async def _called(
        self, run: Run, prepared: Prepared | None, job: Job, context: StoredContext
    ) -> tuple[str, Callable[[], Awaitable[Any]]]:
        """Call the tool; how the task ends, and what writes that."""
        store, owner, task_id, tool = self.store.held_by(run.name), run.record.owner, run.record.task_id, run.tool
        try:
            result = await (prepared or tool.prepare(job)).run(context)
        except TaskCancelled:
            return "cancelled", lambda: store.cancel(owner, task_id)
        except MCPError as error:
            raw = {"code": error.code, "message": error.message}
            raw |= {} if error.data is None else {"data": error.data}
            return "failed", lambda: store.fail(owner, task_id, raw)
        except (InvalidTransition, TaskNotFound):
            raise
        except Exception as error:
            result = failed_by(tool.name, error)
        # A client that only reads the status should still learn what went wrong.
        message = text_of(result) if result.is_error else None
        status = "failed" if result.is_error else "completed"
        return status, lambda: store.complete(owner, task_id, plain_result(result), message=message)

    async def _settle(self, run: Run, status: str, write: Callable[[], Awaitable[Any]]) -> str:
        """Write how the task ended; how it did, when that can't be written as it is."""
        owner, task_id = run.record.owner, run.record.task_id
        try:
            await retry_storage(write, task_id)
        except (InvalidTransition, LeaseLost, TaskNotFound, StoreError):
            raise
        except LabError as error:
            said = {"code": error.code, "message": error.message}
            await self.store.held_by(run.name).fail(owner, task_id, said)
            return "failed"
        return status

    # --- stopping them ---

    async def give_up(self, record: TaskRecord, tool: Tool, run: str, *, started: bool = True) -> None:
        """Do with an unfinished task what is right when this process ends, if the run has it."""
        key = (record.owner, record.task_id)
        try:
            if self.durable and (not started or tool.policy.on_lost == "retry"):
                offered = await self.store.leases.offer(*key, run)
                if not offered.live:
                    self.count(tool, offered.status)
            else:
                message = "the server was stopped before the task was done"
                await self.store.held_by(run).fail(*key, {"code": INTERNAL_ERROR, "message": message})
                self.count(tool, "failed")
        except (InvalidTransition, LeaseLost, TaskNotFound) as error:
            # It was over already: that is why it was stopped.
            self.count(tool, _status_in(error))
        except StoreError as error:
            logger.warning("task %s was left unfinished: %s", record.task_id, error, extra=log_extra(record))

    def _lost(self, state: LoopState, key: TaskKey, name: str, error: LabError) -> None:
        run = state.running.get(key)
        if run is None or run.name != name:
            return
        if isinstance(error, LeaseLost):
            run.lose()
        # A tool that ended its task early may go on.
        elif not (run.context is not None and run.context.ended):
            run.stop(self.grace)

    def _start_watching(self, run: Run, state: LoopState) -> None:
        run.watching = asyncio.create_task(self._watch(run, state), name=f"watch of task {run.record.task_id}")

    async def _watch(self, run: Run, state: LoopState) -> None:
        key = (run.record.owner, run.record.task_id)
        last = run.record
        try:
            async with self.store.watch(*key) as feed:
                async for record in feed:
                    last = record
                    if record.live:
                        check_held(record, run.name)
            self._lost(state, key, run.name, InvalidTransition(key[1], last.status, TaskStatus.WORKING))
        except (LeaseLost, TaskNotFound) as error:
            self._lost(state, key, run.name, error)
        except StoreError as error:
            # The heartbeat tells too, only later.
            logger.debug("task %s is not watched any more: %s", key[1], error)

    # --- counting them ---

    def count(self, tool: Tool, what: str) -> None:
        """One more task of a tool; `what` is a name in `Counts`, or "" for none of them."""
        counts = self._ended.get(tool.name)
        if counts is None:
            counts = self._ended[tool.name] = Counts()
        if what:
            setattr(counts, what, getattr(counts, what) + 1)

    def stats(self) -> Stats:
        tools = {name: copy(counts) for name, counts in self._ended.items()}
        for state in tuple(self._loops.values()):
            for name in tuple(state.waiting.values()):
                tools.setdefault(name, Counts()).waiting += 1
            for run in tuple(state.running.values()):
                counts = tools.setdefault(run.tool.name, Counts())
                if run.has_turn:
                    counts.running += 1
                else:
                    counts.waiting += 1
        for name, tool in self._tools.items():
            if tool.not_stoppable:
                tools.setdefault(name, Counts()).not_stoppable = tool.not_stoppable
        return Stats(tools)


def _status_in(error: LabError) -> str:
    """The status an error says the task has; "" when it says none."""
    return str(error.current) if isinstance(error, InvalidTransition) else ""
