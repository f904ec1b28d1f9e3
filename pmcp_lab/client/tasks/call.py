"""One call of a tool, and all that is known of what came of it: a task, or an answer at once.

Who follows it (`follower`) and who asks on its behalf (`questions`) tell it what happened, on the connection's loop.
What a cell holds is its handle, `task.Task`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote

from pmcp_lab.client.catalogue import ToolResult
from pmcp_lab.client.connection import Overheard
from pmcp_lab.client.questions import Question
from pmcp_lab.client.targets import Target
from pmcp_lab.client.tasks.history import History
from pmcp_lab.client.tasks.snapshot import Snapshot
from pmcp_lab.client.tasks.statuses import QUEUED
from pmcp_lab.errors import ConnectionClosed, TaskCancelled, TaskFailed, ToolError
from pmcp_lab.protocol import TaskState, TaskStatus

ID_TIMEOUT = 1.0
"""Seconds a cancel waits for the id of a task that is just being created."""

_numbers = itertools.count(1)


def now_ms() -> int:
    """Milliseconds since the epoch, by this machine's clock."""
    return time.time_ns() // 1_000_000


class Origin(Protocol):
    """Where a call is made: its server."""

    @property
    def name(self) -> str: ...

    @property
    def target(self) -> Target: ...

    async def cancel(self, call: Call) -> None:
        """Ask the server to cancel it; returns when it agreed.

        Raises:
            PeerError: The server refused.
        """

    async def answer(self, call: Call, key: str, response: dict[str, Any]) -> None:
        """Give a person's answer (an `ElicitResult`); returns when the server has it.

        Raises:
            TaskError: The question is open no more.
        """

    async def set_variables(self, call: Call, variables: Mapping[str, Any]) -> None:
        """Write variables of its task, all or none.

        Raises:
            NotOffered, PeerError: The server takes none, or refused these.
        """


class Identity:
    """Shared by all calls of one task, so that handles of it are equal and have equal hashes."""


_identities: weakref.WeakValueDictionary[tuple[Target, str], Identity] = weakref.WeakValueDictionary()


class Call:
    """One call of a tool.

    Args:
        tool: "" where it is not known: no wire tells what a task that somebody else started was made of.
        queued: Not to be made yet.

    Attributes:
        number: Counts the calls of this process, in the order they were planned.
        key: Unique over all connections, before and after the server gave its task an id.
        status: See `Task.status`. Kept, and not worked out: it is read far more often than it changes.
        token: What the server names with its progress, where it is given one.
        id: The server's id of its task; None until that is created, and for a plain call.
        trouble: Why what is shown may be out of date, or None.
        refusal: What was asked of it last and refused, until it ends or it is asked again; or None.
        attended: False where no person can answer a question: a plain call in a script, or one made by an app.
        visiting: The host that a question sent the person to, until the server says that this is settled.
        local: The server made no task of it: a plain call that runs in the background.
        attached: It was made elsewhere, and times are the server's.
        set_name, place: The `TaskSet` it belongs to, and its row there.
        instead_of: The number of the call that it was made again for.
        meta: What it carries in its `_meta`.
        check_result: Given the result of a plain call; raises `InvalidResult` where its tool promises another.
        failure, outcome: What went wrong, or the result, once there is one.
        partial: What it had when it failed, where the server says so.
        overheard: What its server writes to stderr while it runs.
        overdue: Why it is being cancelled, where its time is up; it ends with that.
        making: What waits for the answer to the call.
        created: Done when the server has named the task, ended it at once, or asks something first.
        asked: Done when something was asked for the first time, or it ended.
    """

    # Not for their size alone: a table reads a thousand calls at once, and more names than 30 share no dictionary.
    __slots__ = tuple(
        """
        __weakref__ _listeners _lock _over arguments asked attached attended check_result created ended failure
        history id identity instead_of key local making message meta number origin outcome overdue overheard partial
        place progress questions queued refusal result set_name started state status token tool trouble updated
        visiting
        """.split()  # noqa: SIM905 - one name a line would hide the class
    )

    def __init__(self, origin: Origin, tool: str, arguments: Mapping[str, Any], *, queued: bool = False) -> None:
        self.origin = origin
        self.tool = tool
        self.arguments = dict(arguments)
        self.number = next(_numbers)
        self.key = f"task-{self.number}"
        self.token = f"pmcp_lab-{self.number}"
        self.id: str | None = None
        self.started = now_ms()
        self.updated = self.started
        self.ended: int | None = None
        self.trouble: str | None = None
        self.refusal: str | None = None
        self.attended = True
        self.visiting: str | None = None
        self.local = False
        self.attached = False
        self.queued = queued
        self.set_name: str | None = None
        self.place = 0
        self.instead_of: int | None = None
        self.meta: Mapping[str, Any] = {}
        self.check_result: Callable[[Mapping[str, Any]], object] = lambda _: None
        self.making: asyncio.Task[Any] | None = None
        self.identity = Identity()
        self.state: TaskState | None = None
        self.progress: float | None = None
        self.message: str | None = None
        self.history = History()
        self.questions: dict[str, Question] = {}
        self.overheard: Overheard | None = None
        self.overdue: TimeoutError | None = None
        self.failure: BaseException | None = None
        self.outcome: ToolResult | None = None
        self.partial: ToolResult | None = None
        self.result: concurrent.futures.Future[ToolResult] = concurrent.futures.Future()
        self.created: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.asked: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._over = False  # asked for very often: a future takes its lock for that
        self._listeners: set[Callable[[], object]] = set()
        self._lock = threading.Lock()
        self.status = self._standing()

    # --- what is known ---

    @property
    def server(self) -> str:
        """The server's name."""
        return self.origin.name

    @property
    def where(self) -> str:
        """`server.tool`, for texts."""
        return f"{self.server}.{self.tool or 'task ' + (self.id or '')}"

    @property
    def anchor(self) -> str | None:
        """What links to its row, in every picture and table of its set; the same after a restart of the kernel."""
        if self.set_name is None:
            return None
        return f"pmcp-row-{quote(self.server, safe='')}-{quote(self.set_name, safe='')}-{self.place}"

    @property
    def reported(self) -> TaskStatus | None:
        """The status in the server's own words, or None before it said anything."""
        return self.state.status if self.state else None

    @property
    def nothing_asked(self) -> str:
        """Why there is nothing to be answered here, for texts."""
        if self.status == TaskStatus.INPUT_REQUIRED:
            return "asks something, but not here: a 2025-11-25 server puts a question to one connection alone"
        return f"asks nothing at the moment (it is {self.status})"

    @property
    def variables(self) -> Mapping[str, Any]:
        """As they were last seen."""
        return self.state.variables if self.state else {}

    def done(self) -> bool:
        return self._over

    def snapshot(self) -> Snapshot:
        """Look at all of it at once."""
        # The status first: when it says that the call ended, what it ended with is there.
        status, state = self.status, self.state
        return Snapshot(
            key=self.key,
            server=self.server,
            tool=self.tool,
            set_name=self.set_name,
            id=self.id,
            status=status,
            message=self.message,
            progress=self.progress,
            started=self.started,
            updated=self.updated,
            ended=self.ended,
            ttl_ms=state.ttl if state else None,
            trouble=self.trouble or self.refusal,
            visiting=self.visiting,
            variables=state.variables if state else {},
            questions=tuple(self.questions.values()),
            failure=self.failure,
            outcome=self.outcome,
        )

    def add_done_callback(self, function: Callable[[Call], object]) -> None:
        """Call `function(call)` when it ends, or now if it has."""
        self.result.add_done_callback(lambda _: function(self))

    def subscribe(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call `listener()` after every change; returns how to stop that."""
        with self._lock:
            self._listeners.add(listener)

        def stop() -> None:
            with self._lock:
                self._listeners.discard(listener)

        return stop

    async def stop(self) -> None:
        """Cancel it so that nothing of it goes on, here or there. Raises as `Origin.cancel` does."""
        if self.making is not None and self.id is None and not self.local:
            # It may be a task by now whose id is on its way; without the id it could not be cancelled any more.
            await asyncio.wait([asyncio.wrap_future(self.created)], timeout=ID_TIMEOUT)
        if self.done():
            return
        if self.making is not None and self.id is None:
            self.making.cancel()  # of which the SDK tells the server
            await asyncio.wait([self.making])
        else:
            await self.origin.cancel(self)

    # --- what happens to it ---

    def begin(self, started: int | None = None) -> None:
        """It is its turn, or was at another moment, in ms since the epoch."""
        self.queued = False
        self.updated = now_ms()
        self.started = started or self.updated
        self.status = self._standing()

    def _standing(self) -> str:
        """The status, by what is known now."""
        if not self._over:
            # The end is told with the result, and a tool error is a failure in either generation.
            if self.queued:
                return QUEUED
            if self.questions or (self.state is not None and self.state.status is TaskStatus.INPUT_REQUIRED):
                return "input_required"
            return "working"
        match self.failure:
            case None:
                return TaskStatus.COMPLETED.value
            case TaskCancelled():
                return TaskStatus.CANCELLED.value
            case ConnectionClosed():
                return self.state.status.value if self.state and self.state.status.terminal else "unknown"
            case _:
                return TaskStatus.FAILED.value

    def identify(self, task_id: str) -> None:
        """Its task has this id from now on; become equal to every other call of that task."""
        self.id = task_id
        self.identity = _identities.setdefault((self.origin.target, task_id), self.identity)

    def observe(self, state: TaskState) -> None:
        """Take in what the server says: how its task is, unless that is older than what is known, and how it ended.

        A state that is terminal and says neither result nor error ends nothing: those are still to be asked for.
        """
        known = self.state
        if known is None or not (known.status.terminal or state.updated_at < known.updated_at):
            self._update(state)
        match state.status:
            case TaskStatus.CANCELLED:
                self.cancelled()
            case TaskStatus.FAILED if state.result is not None and not state.result.get("isError"):
                self.fail_with_body(state.result)
            case TaskStatus.COMPLETED | TaskStatus.FAILED if state.result is not None:
                self.finish(state.result)
            case TaskStatus.FAILED if state.error is not None:
                self.fail_with(state.error)

    def _update(self, state: TaskState) -> None:
        if self.state is None:
            self.identify(state.task_id)
        self.state = state
        self.message = state.message
        if state.progress is not None:
            self.progress = state.progress
        self.trouble = None
        self.status = self._standing()
        self._reach(self.created)
        self.touch()

    def observe_progress(self, done: float, total: float | None, message: str | None) -> None:
        """Take in a progress notification."""
        if self._over:
            return
        if total:
            self.progress = min(1.0, max(0.0, done / total))
        if message:
            self.message = message
        self.touch()

    def await_answer(self, what: str) -> None:
        """The server has it and will answer elsewhere; `what` says in a line what is waited for."""
        self.trouble = what
        self.touch()

    def ask(self, question: Question) -> None:
        self.questions[question.key] = question
        self.status = self._standing()
        self._reach(self.created, self.asked)
        self.touch()

    def answered(self, key: str) -> None:
        self.questions.pop(key, None)
        self.status = self._standing()
        self.touch()

    def finish(self, raw: Mapping[str, Any]) -> None:
        """Set the result."""
        result = ToolResult(raw, f"{self.server}.{self.tool}")
        if not result.is_error:
            self.progress = 1.0 if self.progress is not None else None
            self.trouble = None
            self._end(result)
            return
        reason = result.text or self.message or "no reason given"
        self.fail(ToolError(f"{self.server}.{self.tool} failed: {reason}", result.raw))

    def fail_with_body(self, raw: Mapping[str, Any]) -> None:
        """The server says that it failed, and gives a result that says nothing of that."""
        self.partial = ToolResult(raw, f"{self.server}.{self.tool}")
        self.fail_with(None)

    def fail(self, error: BaseException) -> None:
        """Set what waiting for the result raises."""
        self._end(error)

    def fail_with(self, error: Mapping[str, Any] | None) -> None:
        """It ended `failed` without a result.

        Args:
            error: The server's JSON-RPC error, if there is one.
        """
        error = error or {}
        text = error.get("message") or self.message or "the server gave no reason"
        code = error.get("code") if isinstance(error.get("code"), int) else None
        why = f"{self.server}.{self.tool} failed: {text}"
        self.fail(TaskFailed(why, self.id or "", code=code, data=error.get("data")))

    def cancelled(self) -> None:
        """It ended `cancelled`."""
        self.fail(TaskCancelled(f"{self.server}.{self.tool} was cancelled", self.id or ""))

    def _end(self, end: ToolResult | BaseException) -> None:
        if self._over:
            return
        self.queued, self.refusal = False, None
        over = self.attached and self.state is not None and self.state.status.terminal
        self.ended = int(self.state.updated_at.timestamp() * 1000) if self.state and over else now_ms()
        self.questions.clear()
        if self.overheard is not None:
            self.overheard.stop()
        if isinstance(end, ToolResult):
            self.outcome, self._over = end, True
            self.status = self._standing()
            self.result.set_result(end)
        else:
            self.failure, self._over = self.overdue or end, True
            self.status = self._standing()
            self.result.set_exception(self.failure)
        self._reach(self.created, self.asked)
        self.touch()

    @staticmethod
    def _reach(*milestones: concurrent.futures.Future[None]) -> None:
        for milestone in milestones:
            if not milestone.done():
                milestone.set_result(None)

    def touch(self) -> None:
        """Note the moment and tell the listeners."""
        self.updated = now_ms()
        self.history.look(self.updated, self.status, self.message, self.progress, self.variables)
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener()
