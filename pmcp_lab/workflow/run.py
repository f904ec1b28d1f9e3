"""Leads a workflow: runs what the server can, writes what came of it after every step, stops where it can't go on.

Whoever leads holds the lease on the task, so there is one leader; others may record what they did at any time. A step
is marked in the same write that records the one before it, so what may have run is known after any crash.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import anyio
from msgspec import structs

from pmcp_lab.errors import (
    INVALID_PARAMS,
    InvalidTransition,
    LabError,
    LeaseLost,
    LimitExceeded,
    TaskNotFound,
)
from pmcp_lab.execution import Heartbeat, TaskKey
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.protocol.workflow_wire import Action, Attempt, StepStatus
from pmcp_lab.server import Tasks
from pmcp_lab.server.loop_state import process_name
from pmcp_lab.tasks import Lease, TaskRecord
from pmcp_lab.tasks.leases import holds, leased
from pmcp_lab.tasks.record import new_version
from pmcp_lab.tasks.retries import retry_storage
from pmcp_lab.tasks.transitions import refusal
from pmcp_lab.workflow import persistence
from pmcp_lab.workflow.acting import acted
from pmcp_lab.workflow.calling import Caller
from pmcp_lab.workflow.checking import ToolSchemas
from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.led import Led
from pmcp_lab.workflow.matching import is_open
from pmcp_lab.workflow.moving import message, moved
from pmcp_lab.workflow.performing import perform, take_back
from pmcp_lab.workflow.plan import (
    Ask,
    Done,
    Run,
    TakeBack,
    Wait,
    advance,
    failed,
    interrupted,
    may_run_again,
    start,
    taken_back,
)
from pmcp_lab.workflow.progress import KEPT_ATTEMPTS, Progress
from pmcp_lab.workflow.wording import ended, next_calls

logger = logging.getLogger(__name__)

Tools = Mapping[str, ToolSchemas]
Apply = Callable[[Progress], Progress]

ENDED = "the process that ran it ended"
STOPPED = "it was cancelled while it ran"


class _LoopState:
    """What one event loop leads."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self.heartbeat = heartbeat
        self.leading: dict[TaskKey, anyio.CancelScope] = {}


class Leader:
    """Leads the workflows of one server."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._store = tasks.store
        self._name = f"workflows-{process_name()}"
        self._runs = count(1)
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopState] = WeakKeyDictionary()

    async def begin(
        self,
        workflow: SequentialWorkflow,
        arguments: Mapping[str, str],
        protocol: str,
        tools: Tools,
        caller: Caller,
    ) -> Led:
        """Make the task and lead it as far as that goes.

        Raises:
            LabError: The task can't be made.
        """
        fresh = start(workflow, arguments).but(now=self._store.now())
        progress, decided = advance(fresh, tools)
        move = decided if isinstance(decided, Run) else None
        if move is None:
            # Its task is made before anything is decided about it: a question needs it.
            progress = fresh
        with anyio.CancelScope(shield=True):
            record = await caller.create(
                method=workflow.name,
                ttl=workflow.ttl,
                job=persistence.job(workflow, arguments, protocol),
                variables=persistence.variables_of(progress, ()),
                lease=Lease(run=self._new_run(), seconds=self._tasks.lease, version=new_version()),
                message=message(move, progress),
            )
        led = Led(record, progress, move=move, run=_run_of(record))
        if move is None:
            led = await self._decide((record.owner, record.task_id), led, tools, lambda found: found)
        return await self._lead(led, tools, caller)

    async def resume(
        self,
        record: TaskRecord,
        workflow: SequentialWorkflow,
        arguments: Mapping[str, str],
        tools: Tools,
        caller: Caller,
        *,
        action: Action | None = None,
        again: bool = True,
    ) -> Led:
        """Go on, and try once more what may be; waits for whoever leads it now.

        Args:
            arguments: Of the prompt, where it was begun without them.
            action: What a person wants done first.
            again: See `advance`.

        Raises:
            LabError: The task is none of this workflow, or is gone, or the action can't be done.
        """
        key = (record.owner, record.task_id)
        led = Led(record, persistence.load(record, workflow))

        def more(found: Progress) -> Progress:
            found = found.but(arguments={**arguments, **found.arguments})
            return found if action is None else acted(found, action)

        lost: Lease | None = None
        while led.record.live:
            try:
                again = again and action is None
                led = await self._decide(key, led, tools, more, again=again, must=True, lost=lost)
                return await self._lead(led, tools, caller)
            except LeaseLost:
                lost = await self._wait_for_lease(key)
            except InvalidTransition as error:
                logger.debug("task %s was over before it was resumed: %s", key[1], error)
            current = await self._store.get(*key)
            led = Led(current, persistence.load(current, workflow))
        if action is not None:
            why = f". {ended(led.progress)}" if led.progress.ending is not None else ""
            over = f"the workflow is over: its task was {led.record.status}{why}"
            raise LabError(over, code=INVALID_PARAMS)
        return led

    async def go_on(self, record: TaskRecord, workflow: SequentialWorkflow, tools: Tools, caller: Caller) -> Led | None:
        """Go on where something that was waited for has come; None when nothing has."""
        progress = self._load(record, workflow)
        if (record.lease is not None and not record.lease.free) or not record.live:
            return None
        after, move = advance(progress, tools)
        if isinstance(move, Wait | Ask) and after.pause == progress.pause:
            return None
        led = await self._decide((record.owner, record.task_id), Led(record, progress), tools, lambda found: found)
        return await self._lead(led, tools, caller)

    async def note(
        self,
        record: TaskRecord,
        workflow: SequentialWorkflow,
        apply: Apply,
        tools: Tools,
        caller: Caller,
        *,
        must: bool = False,
    ) -> Led:
        """Record what a client did, and go on from there unless somebody else does.

        Args:
            must: Nothing is recorded while somebody else leads: raise `LeaseLost` instead.

        Raises:
            LabError: The task is over or gone, or what was done can't be kept.
        """
        led = Led(record, persistence.load(record, workflow))
        key = (record.owner, record.task_id)
        led = await self._decide(key, led, tools, apply, must=must)
        return await self._lead(led, tools, caller)

    async def do(
        self,
        led: Led,
        step: str,
        arguments: Mapping[str, Any],
        call: Callable[[], Awaitable[Mapping[str, Any]]],
        tools: Tools,
        caller: Caller,
    ) -> Led:
        """Do a step with a call of its client's that nobody else makes meanwhile, and go on from there.

        Raises:
            LeaseLost: The step is not open any more, or somebody leads.
            LabError: The task is over or gone, or what was done can't be kept.
        """
        key, workflow, run = (led.record.owner, led.record.task_id), led.progress.workflow, self._new_run()

        def take(record: TaskRecord) -> TaskRecord:
            before = self._load(record, workflow)
            if not record.live:
                raise refusal(record, TaskStatus.WORKING)
            one = workflow.steps[before.positions[step]]
            if (record.lease is not None and not record.lease.free) or not is_open(one, before):
                raise LeaseLost(key[1], self._name, "another request")
            begun = before.begun(step, "client")
            more = {"pause": None}
            after = before.with_step(step, more=more, status=StepStatus.PENDING, running=True, attempts=begun)
            changes = persistence.written(record, before, after, (), self._store.limits)
            return structs.replace(record, lease=leased(record, run, self._tasks.lease).lease, **changes)

        record = await self._store.change(*key, take)
        taken = Led(record, self._load(record, workflow), run=run)
        loop_state = self._loop_state
        scope = loop_state.leading[key] = anyio.CancelScope()
        loop_state.heartbeat.hold(key, run)
        try:
            with scope:
                raw = await call()

                def finish(found: Progress) -> Progress:
                    if not found.state(step).running:
                        return found
                    return found.finished(step, raw, "client", arguments=dict(arguments))

                taken = await retry_storage(lambda: self._decide(key, taken, tools, finish), key[1])
        except BaseException:
            await self._let_go(taken, run)
            raise
        finally:
            if loop_state.leading.get(key) is scope:
                del loop_state.leading[key]
            loop_state.heartbeat.drop(key, run)
        if scope.cancelled_caught:
            raise refusal(await self._store.get(*key), TaskStatus.WORKING)
        return await self._lead(taken, tools, caller)

    async def settle(self, lost: TaskRecord, workflow: SequentialWorkflow, attempts: int) -> bool:
        """Let go of a task whose leader is lost: what ran has failed, and says how it stands.

        Args:
            lost: As it was while its lease stayed the same for as long as it was to be believed.
            attempts: How often a process may end during a step for that to be run again by itself.

        Returns:
            Whether it can go on by itself: what ran may run twice.

        Raises:
            LabError: It is over or gone, or is led after all.
        """
        if (lost.owner, lost.task_id) in self._loop_state.leading:
            return False
        left = await self._store.leases.change_lost(lost, lambda found: self._left(found, workflow, ENDED))
        progress = persistence.load(left, workflow)
        if progress.ending is not None or progress.pause is None:
            return True
        if not (progress.pause.interrupted or progress.pause.kind == "resourceError"):
            return False
        step = progress.workflow.steps[progress.positions[progress.pause.step]]
        cut = 0
        for one in reversed(progress.state(step.name).attempts):
            if one.outcome != "interrupted":
                break
            cut += 1
        return cut < attempts and may_run_again(step, progress)

    def _left(self, found: TaskRecord, workflow: SequentialWorkflow, why: str) -> TaskRecord:
        """The task as nobody leads it any more."""
        before = self._load(found, workflow)
        after = interrupted(before, why)
        changes = persistence.written(found, before, after, next_calls(after, {}), self._store.limits)
        return structs.replace(found, lease=None, message=message(None, after), **changes)

    def _load(self, record: TaskRecord, workflow: SequentialWorkflow) -> Progress:
        skew = timedelta(seconds=self._store.backend.clock_skew)
        return persistence.load(record, workflow, self._store.now(), skew)

    def stop(self, key: TaskKey) -> None:
        """Stop leading a task that is over."""
        scope = self._loop_state.leading.get(key)
        if scope is not None:
            scope.cancel()

    # --- deciding ---

    async def _decide(
        self,
        key: TaskKey,
        led: Led,
        tools: Tools,
        apply: Apply,
        *,
        again: bool = False,
        must: bool = False,
        lost: Lease | None = None,
    ) -> Led:
        """Apply a change to what is recorded, decide what comes next, and write both.

        A leader that has a run writes only while that holds the task.

        Args:
            again: See `advance`.
            must: Leading is the point: raise `LeaseLost` when somebody else does.
            lost: A lease that was seen to be lost: if it is still there, nobody leads.
        """
        workflow, mine = led.progress.workflow, led.run != ""
        decided = Led(led.record, led.progress, run=led.run, ran=led.ran, read=led.read)
        store = self._store.held_by(led.run) if mine else self._store
        fresh = led.run or self._new_run()

        def change(record: TaskRecord) -> TaskRecord:
            if not record.live:
                raise refusal(record, TaskStatus.WORKING)
            lease = record.lease
            led_by_another = lease is not None and not lease.free and (lease != lost or key in self._loop_state.leading)
            held = not mine and led_by_another
            # What this leader wrote last it need not read.
            known = mine and record is led.record
            before = led.progress.but(now=self._store.now()) if known else self._load(record, workflow)
            if held:
                if must:
                    raise LeaseLost(key[1], self._name, "another request")
                decided.progress, decided.move = apply(before), None
            else:
                found = before if mine else interrupted(before, ENDED)
                decided.progress, decided.move = advance(apply(found), tools, again=again)
            decided.calls = next_calls(decided.progress, tools)
            changes = persistence.written(record, before, decided.progress, decided.calls, self._store.limits)
            return structs.replace(
                record,
                **changes,
                **(
                    {}
                    if held
                    else moved(record, decided.progress, decided.move, self._lease(record, fresh), self._store.limits)
                ),
            )

        decided.record = await store.change(*key, change)
        decided.run = fresh if isinstance(decided.move, Run | TakeBack) else ""
        return decided

    def _lease(self, record: TaskRecord, run: str) -> Lease | None:
        """The run's; the present one if it has one, which is the heartbeat's to renew."""
        return record.lease if holds(record, run) else leased(record, run, self._tasks.lease).lease

    def _new_run(self) -> str:
        return f"{self._name}#{next(self._runs)}"

    # --- leading ---

    async def _lead(self, led: Led, tools: Tools, caller: Caller) -> Led:
        caller.session.task_id = led.record.task_id
        if not isinstance(led.move, Run | TakeBack):
            await self._report_done(led, caller)
            return led
        loop_state, key = self._loop_state, (led.record.owner, led.record.task_id)
        scope = loop_state.leading[key] = anyio.CancelScope()
        run = led.run
        loop_state.heartbeat.hold(key, run)
        try:
            with scope:
                while isinstance(led.move, Run | TakeBack):
                    if isinstance(led.move, Run):
                        led = await self._step(led, led.move, tools, caller)
                    else:
                        led = await self._take_back(led, led.move, tools, caller)
        except asyncio.CancelledError:
            await self._let_go(led, run)
            raise
        except (InvalidTransition, LeaseLost, TaskNotFound):
            # Cancelled, finished by its client, expired or taken: the record has the last word.
            pass
        except Exception:
            await self._let_go(led, run)
            raise
        finally:
            if loop_state.leading.get(key) is scope:
                del loop_state.leading[key]
            loop_state.heartbeat.drop(key, run)
        if isinstance(led.move, Run | TakeBack):
            with anyio.CancelScope(shield=True):
                record = await self._store.get(*key)
            led = Led(record, persistence.load(record, led.progress.workflow), ran=led.ran, read=led.read)
        await self._report_done(led, caller)
        return led

    async def _report_done(self, led: Led, caller: Caller) -> None:
        if isinstance(led.move, Done):
            caller.session.total = len(led.progress.states)
            await caller.session.report(len(led.progress.states), "done")

    async def _step(self, led: Led, move: Run, tools: Tools, caller: Caller) -> Led:
        step, progress, key = move.step, led.progress, (led.record.owner, led.record.task_id)
        caller.session.done, caller.session.total = progress.settled, len(progress.states)
        await caller.session.report(progress.settled, message(move, progress))
        raw, read, failures = await perform(move, progress, caller, self._store.now)
        led.ran.append(step.name)
        if read:
            led.read[step.name] = read

        def finish(result: Mapping[str, Any]) -> Apply:
            def apply(found: Progress) -> Progress:
                state = found.state(step.name)
                if not state.running:
                    return found
                if failures and state.attempts:
                    first, *more = failures
                    began = replace(first, started=state.attempts[-1].started)
                    tried = (
                        *state.attempts[:-1],
                        began,
                        *more,
                        Attempt(started=more[-1].ended if more else began.ended),
                    )
                    found = found.with_step(step.name, attempts=tried[-KEPT_ATTEMPTS:])
                return found.finished(step.name, result, "server")

            return apply

        try:
            return await retry_storage(lambda: self._decide(key, led, tools, finish(raw)), key[1])
        except LimitExceeded as error:
            refused = finish(failed(f"its result can't be kept: {error.message}"))
            return await self._decide(key, led, tools, refused)

    async def _take_back(self, led: Led, move: TakeBack, tools: Tools, caller: Caller) -> Led:
        step, key = move.step, (led.record.owner, led.record.task_id)
        tried = sum(one.by == "undo" for one in led.progress.state(step.name).attempts) - 1
        await caller.session.report(led.progress.settled, message(move, led.progress))
        if tried > 0:
            await anyio.sleep(step.backoff * 2 ** (tried - 1))
        error = await take_back(move, caller)

        def apply(found: Progress) -> Progress:
            return taken_back(found, step.name, error) if found.state(step.name).running else found

        return await retry_storage(lambda: self._decide(key, led, tools, apply), key[1])

    async def _let_go(self, led: Led, run: str) -> None:
        with anyio.CancelScope(shield=True), suppress(LabError):
            store, workflow = self._store.held_by(run), led.progress.workflow
            await store.change(led.record.owner, led.record.task_id, lambda found: self._left(found, workflow, STOPPED))

    async def _wait_for_lease(self, key: TaskKey) -> Lease | None:
        """Until nobody leads the task, or whoever did is not believed to live any more: its lease then."""
        while True:
            record = await self._store.get(*key)
            if record.lease is None or record.lease.free or not record.live:
                return None
            lost = await self._store.leases.watch_until_lost(record)
            if lost is not None and key not in self._loop_state.leading:
                return lost.lease

    @property
    def _loop_state(self) -> _LoopState:
        loop = asyncio.get_running_loop()
        loop_state = self._loops.get(loop)
        if loop_state is None:
            alone = not self._store.backend.durable
            beat = Heartbeat(self._store, self._tasks.lease_period, lambda key, *_: self.stop(key), alone=alone)
            loop_state = self._loops[loop] = _LoopState(beat)
        return loop_state


def _run_of(record: TaskRecord) -> str:
    return "" if record.lease is None else record.lease.run
