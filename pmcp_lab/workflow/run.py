"""Leads a workflow: runs what the server can, writes what came of it after every step, stops where it can't go on.

Whoever leads holds the lease on the task, so there is one leader; others may record what they did at any time. A step
is marked in the same write that records the one before it, so what may have run is known after any crash.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import anyio
from mcp.shared.exceptions import MCPError
from msgspec import structs

from pmcp_lab.errors import InvalidTransition, LabError, LeaseLost, LimitExceeded, TaskNotFound
from pmcp_lab.execution import Heartbeat, TaskKey
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.protocol.handoff import NextCall, WorkflowState
from pmcp_lab.server import Tasks
from pmcp_lab.server.here import process_name
from pmcp_lab.tasks import Lease, TaskRecord
from pmcp_lab.tasks.leases import holds, leased
from pmcp_lab.tasks.moves import refusal
from pmcp_lab.tasks.patience import patiently
from pmcp_lab.workflow import record as kept
from pmcp_lab.workflow.calling import Caller
from pmcp_lab.workflow.checking import ToolSchemas
from pmcp_lab.workflow.definition import SequentialWorkflow
from pmcp_lab.workflow.plan import Ask, Done, Move, Progress, Run, Wait, advance, failed, interrupted, start, unreadable
from pmcp_lab.workflow.telling import next_calls

logger = logging.getLogger(__name__)

Tools = Mapping[str, ToolSchemas]
Apply = Callable[[Progress], Progress]

ENDED = "the process that ran it ended"
STOPPED = "it was cancelled while it ran"


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
        return kept.state_of(self.record, self.progress, self.calls, ran=tuple(self.ran), **more)


class _Here:
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
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Here] = WeakKeyDictionary()

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
        fresh = start(workflow, arguments)
        progress, decided = advance(fresh, tools)
        move = decided if isinstance(decided, Run) else None
        if move is None:
            # Its task is made before anything is decided about it: a question needs it.
            progress = fresh
        with anyio.CancelScope(shield=True):
            record = await caller.create(
                method=workflow.name,
                ttl=workflow.ttl,
                job=kept.job(workflow, arguments, protocol),
                variables=kept.variables_of(progress, ()),
                lease=Lease(run=self._new_run(), seconds=self._tasks.lease, version=1),
                message=self._message(move, progress),
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
    ) -> Led:
        """Go on, and try once more what may be; waits for whoever leads it now.

        Args:
            arguments: Of the prompt, where it was begun without them.

        Raises:
            LabError: The task is none of this workflow, or is gone.
        """
        key = (record.owner, record.task_id)
        led = Led(record, kept.load(record, workflow))

        def more(found: Progress) -> Progress:
            return replace(found, arguments={**arguments, **found.arguments})

        lost: Lease | None = None
        while led.record.live:
            try:
                led = await self._decide(key, led, tools, more, again=True, must=True, lost=lost)
                return await self._lead(led, tools, caller)
            except LeaseLost:
                lost = await self._wait_for_lease(key)
            except InvalidTransition as error:
                logger.debug("task %s was over before it was resumed: %s", key[1], error)
            current = await self._store.get(*key)
            led = Led(current, kept.load(current, workflow))
        return led

    async def go_on(self, record: TaskRecord, workflow: SequentialWorkflow, tools: Tools, caller: Caller) -> Led | None:
        """Go on where something that was waited for has come; None when nothing has."""
        progress = kept.load(record, workflow)
        if record.lease is not None or not record.live:
            return None
        after, move = advance(progress, tools)
        if isinstance(move, Wait | Ask) and after.pause == progress.pause:
            return None
        led = await self._decide((record.owner, record.task_id), Led(record, progress), tools, lambda found: found)
        return await self._lead(led, tools, caller)

    async def note(
        self, record: TaskRecord, workflow: SequentialWorkflow, apply: Apply, tools: Tools, caller: Caller
    ) -> Led:
        """Record what a client did, and go on from there unless somebody else does.

        Raises:
            LabError: The task is over or gone, or what was done can't be kept.
        """
        led = Led(record, kept.load(record, workflow))
        key = (record.owner, record.task_id)
        led = await self._decide(key, led, tools, apply)
        return await self._lead(led, tools, caller)

    async def settle(self, lost: TaskRecord, workflow: SequentialWorkflow) -> None:
        """Let go of a task whose leader is lost: what ran has failed, and says how it stands.

        Args:
            lost: As it was while its lease stayed the same for as long as it was to be believed.

        Raises:
            LabError: It is over or gone, or is led after all.
        """
        if (lost.owner, lost.task_id) in self._here.leading:
            return
        await self._store.leases.change_lost(lost, lambda found: self._left(found, workflow, ENDED))

    def _left(self, found: TaskRecord, workflow: SequentialWorkflow, why: str) -> TaskRecord:
        """The task as nobody leads it any more."""
        before = kept.load(found, workflow)
        after = interrupted(before, why)
        changes = kept.written(found, before, after, next_calls(after, {}), self._store.limits)
        return structs.replace(found, lease=None, message=self._message(None, after), **changes)

    def stop(self, key: TaskKey) -> None:
        """Stop leading a task that is over."""
        scope = self._here.leading.get(key)
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
            held = not mine and lease is not None and (lease != lost or key in self._here.leading)
            # What this leader wrote last it need not read.
            before = led.progress if mine and record is led.record else kept.load(record, workflow)
            if held:
                if must:
                    raise LeaseLost(key[1], self._name, "another request")
                decided.progress, decided.move = apply(before), None
            else:
                found = before if mine else interrupted(before, ENDED)
                decided.progress, decided.move = advance(apply(found), tools, again=again)
            decided.calls = next_calls(decided.progress, tools)
            changes = kept.written(record, before, decided.progress, decided.calls, self._store.limits)
            return structs.replace(
                record, **changes, **({} if held else self._moved(record, decided.progress, decided.move, fresh))
            )

        decided.record = await store.change(*key, change)
        decided.run = fresh if isinstance(decided.move, Run) else ""
        return decided

    def _moved(self, record: TaskRecord, progress: Progress, move: Move | None, run: str) -> dict[str, Any]:
        """What changes in the record, besides the progress, with this move of a run."""
        if isinstance(move, Done):
            changes = kept.finished(progress, self._store.limits)
        else:
            done = progress.settled / len(progress.states)
            changes = {
                "status": TaskStatus.INPUT_REQUIRED if isinstance(move, Ask) else TaskStatus.WORKING,
                "message": self._message(move, progress),
                "progress": max(done, record.progress or 0.0),
                "lease": self._lease(record, run) if isinstance(move, Run) else None,
            }
        asked = {move.key: move.request} if isinstance(move, Ask) else {}
        if asked or record.open_questions:
            # What is asked no more is closed: a key is never used for another question.
            closed = {key: {"action": "cancel"} for key in record.open_questions if key not in asked}
            changes["questions"] = {**record.questions, **asked}
            changes["answers"] = {**record.answers, **closed}
        return changes

    def _message(self, move: Move | None, progress: Progress) -> str | None:
        if isinstance(move, Run):
            return f"step {progress.positions[move.step.name] + 1} of {len(progress.states)}: {move.step.name}"
        if isinstance(move, Ask):
            return str(move.request["params"]["message"])
        return None if progress.pause is None else progress.pause.message

    def _lease(self, record: TaskRecord, run: str) -> Lease | None:
        """The run's; the present one if it has one, which is the heartbeat's to renew."""
        return record.lease if holds(record, run) else leased(record, run, self._tasks.lease).lease

    def _new_run(self) -> str:
        return f"{self._name}#{next(self._runs)}"

    # --- leading ---

    async def _lead(self, led: Led, tools: Tools, caller: Caller) -> Led:
        if not isinstance(led.move, Run):
            await self._told(led, caller)
            return led
        here, key = self._here, (led.record.owner, led.record.task_id)
        scope = here.leading[key] = anyio.CancelScope()
        run = led.run
        here.heartbeat.hold(key, run)
        try:
            with scope:
                while isinstance(led.move, Run):
                    led = await self._step(led, led.move, tools, caller)
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
            if here.leading.get(key) is scope:
                del here.leading[key]
            here.heartbeat.drop(key, run)
        if isinstance(led.move, Run):
            with anyio.CancelScope(shield=True):
                record = await self._store.get(*key)
            led = Led(record, kept.load(record, led.progress.workflow), ran=led.ran, read=led.read)
        await self._told(led, caller)
        return led

    async def _told(self, led: Led, caller: Caller) -> None:
        if isinstance(led.move, Done):
            caller.session.total = len(led.progress.states)
            await caller.session.report(len(led.progress.states), "done")

    async def _step(self, led: Led, move: Run, tools: Tools, caller: Caller) -> Led:
        step, progress, key = move.step, led.progress, (led.record.owner, led.record.task_id)
        caller.session.done, caller.session.total = progress.settled, len(progress.states)
        await caller.session.report(progress.settled, self._message(move, progress))
        raw, read = await self._perform(move, progress, caller)
        led.ran.append(step.name)
        if read:
            led.read[step.name] = read

        def finish(result: Mapping[str, Any]) -> Apply:
            def apply(found: Progress) -> Progress:
                if not found.state(step.name).running:
                    return found
                return found.finished(step.name, result, "server")

            return apply

        try:
            return await patiently(lambda: self._decide(key, led, tools, finish(raw)), key[1])
        except LimitExceeded as error:
            refused = finish(failed(f"its result can't be kept: {error.message}"))
            return await self._decide(key, led, tools, refused)

    async def _perform(
        self, move: Run, progress: Progress, caller: Caller
    ) -> tuple[Mapping[str, Any], list[tuple[str, str]]]:
        step, read = move.step, list[tuple[str, str]]()
        raw: Mapping[str, Any] = {}
        for attempt in range(step.retries + 1):
            if attempt:
                await anyio.sleep(step.backoff * 2 ** (attempt - 1))
            read.clear()
            try:
                with nullcontext() if step.timeout is None else anyio.fail_after(step.timeout):
                    raw = await self._once(move, progress, caller, read)
            except TimeoutError:
                raw = failed(f"it took longer than {step.timeout:g} s")
            except MCPError as error:
                # The same each time.
                raw = failed(error.message)
                break
            if raw.get("isError") is not True:
                break
        return raw, read

    async def _once(
        self, move: Run, progress: Progress, caller: Caller, read: list[tuple[str, str]]
    ) -> Mapping[str, Any]:
        step, blocks = move.step, list[dict[str, Any]]()
        for uri in move.resources:
            try:
                contents = await caller.read(uri)
            except MCPError as error:
                return unreadable(uri, error.message)
            for each in contents:
                # Of a list of contents behind one URI each has one of its own; the step knows the one it asked for.
                blocks.append({"type": "resource", "resource": {**each, "uri": uri}})
                read.append((uri, str(each.get("text", f"[{each.get('mimeType', 'binary')}]"))))
        if step.tool is not None:
            return await caller.call(step.tool, move.arguments)
        before = progress.results.get(step.name)
        earlier = [] if before is None or before.is_error else list(before.raw.get("content") or ())
        read.clear()
        return {"content": [*earlier, *blocks], "isError": False}

    async def _let_go(self, led: Led, run: str) -> None:
        with anyio.CancelScope(shield=True), suppress(LabError):
            store, workflow = self._store.held_by(run), led.progress.workflow
            await store.change(led.record.owner, led.record.task_id, lambda found: self._left(found, workflow, STOPPED))

    async def _wait_for_lease(self, key: TaskKey) -> Lease | None:
        """Until nobody leads the task, or whoever did is not believed to live any more: its lease then."""
        while True:
            record = await self._store.get(*key)
            if record.lease is None or not record.live:
                return None
            lost = await self._store.leases.watch_until_lost(record)
            if lost is not None and key not in self._here.leading:
                return lost.lease

    @property
    def _here(self) -> _Here:
        loop = asyncio.get_running_loop()
        here = self._loops.get(loop)
        if here is None:
            alone = not self._store.backend.durable
            beat = Heartbeat(self._store, self._tasks.lease_period, lambda key, *_: self.stop(key), alone=alone)
            here = self._loops[loop] = _Here(beat)
        return here


def _run_of(record: TaskRecord) -> str:
    return "" if record.lease is None else record.lease.run
