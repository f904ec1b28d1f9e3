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

from pmcp_lab.client.catalogue import ToolResult
from pmcp_lab.client.questions import Question
from pmcp_lab.client.targets import Target
from pmcp_lab.client.tasks.history import History
from pmcp_lab.errors import ConnectionClosed, TaskCancelled, TaskFailed, ToolError
from pmcp_lab.protocol import TaskState, TaskStatus

ID_TIMEOUT = 1.0
"""Seconds a cancel waits for the id of a task that is just being created."""

_numbers = itertools.count(1)


def now_ms() -> int:
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
        trouble: Why what is shown may be out of date, or None.
        attended: False where no person can answer a question: a plain call in a script, or one made by an app.
        visiting: The host that a question sent the person to, until the server says that this is settled.
        local: The server made no task of it: a plain call that runs in the background.
        attached: It was made elsewhere, and times are the server's.
        set_name: The `TaskSet` it belongs to.
        meta: What it carries in its `_meta`.
        partial: What it had when it failed, where the server says so.
        making: What waits for the answer to the call.
        created: Done when the server has named the task, ended it at once, or asks something first.
        asked: Done when something was asked for the first time, or it ended.
    """

    def __init__(self, origin: Origin, tool: str, arguments: Mapping[str, Any], *, queued: bool = False) -> None:
        self.origin = origin
        self.tool = tool
        self.arguments = dict(arguments)
        self.number = next(_numbers)
        self.started = now_ms()
        self.updated = self.started
        self.ended: int | None = None
        self.trouble: str | None = None
        self.attended = True
        self.visiting: str | None = None
        self.local = False
        self.attached = False
        self.queued = queued
        self.set_name: str | None = None
        self.meta: Mapping[str, Any] = {}
        self.making: asyncio.Task[Any] | None = None
        self.identity = Identity()
        self.state: TaskState | None = None
        self.progress: float | None = None
        self.message: str | None = None
        self.history = History()
        self.questions: dict[str, Question] = {}
        self.partial: ToolResult | None = None
        self.result: concurrent.futures.Future[ToolResult] = concurrent.futures.Future()
        self.created: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.asked: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._listeners: set[Callable[[], object]] = set()
        self._lock = threading.Lock()

    # --- what is known ---

    @property
    def id(self) -> str | None:
        """The server's id of its task; None until that is created, and for a plain call."""
        return self.state.task_id if self.state else None

    @property
    def key(self) -> str:
        """Unique over all connections, before and after the server gave its task an id."""
        return f"task-{self.number}"

    @property
    def server(self) -> str:
        """The server's name."""
        return self.origin.name

    @property
    def where(self) -> str:
        """`server.tool`, for texts."""
        return f"{self.server}.{self.tool or 'task ' + (self.id or '')}"

    @property
    def status(self) -> str:
        """See `Task.status`."""
        if not self.result.done():
            # The end is told with the result, and a tool error is a failure in either generation.
            if self.questions:
                return TaskStatus.INPUT_REQUIRED.value
            known = self.state.status if self.state else TaskStatus.WORKING
            return TaskStatus.WORKING.value if known.terminal else known.value
        match self.failure:
            case None:
                return TaskStatus.COMPLETED.value
            case TaskCancelled():
                return TaskStatus.CANCELLED.value
            case ConnectionClosed():
                return self.state.status.value if self.state and self.state.status.terminal else "unknown"
            case _:
                return TaskStatus.FAILED.value

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

    @property
    def ttl_ms(self) -> int | None:
        """Milliseconds from creation for which the server keeps the task; None is for good, or not known yet."""
        return self.state.ttl if self.state else None

    @property
    def failure(self) -> BaseException | None:
        """What went wrong, once that is known."""
        return self.result.exception() if self.result.done() else None

    @property
    def outcome(self) -> ToolResult | None:
        """The result, once there is one."""
        return self.result.result() if self.result.done() and self.result.exception() is None else None

    def done(self) -> bool:
        return self.result.done()

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

    def begin(self) -> None:
        """It is its turn."""
        self.queued = False
        self.started = self.updated = now_ms()

    def identify(self, task_id: str) -> None:
        """Become equal to every other call of that task."""
        self.identity = _identities.setdefault((self.origin.target, task_id), self.identity)

    def observe(self, state: TaskState) -> None:
        """Take in what the server says, unless it is older than what is known."""
        known = self.state
        if known is not None and (known.status.terminal or state.updated_at < known.updated_at):
            return
        if known is None:
            self.identify(state.task_id)
        self.state = state
        self.message = state.message
        if state.progress is not None:
            self.progress = state.progress
        self.trouble = None
        self._reach(self.created)
        self.touch()

    def observe_progress(self, done: float, total: float | None, message: str | None) -> None:
        """Take in a progress notification."""
        if self.result.done():
            return
        if total:
            self.progress = min(1.0, max(0.0, done / total))
        if message:
            self.message = message
        self.touch()

    def await_answer(self, what: str) -> None:
        """The server has it and will answer elsewhere.

        Args:
            what: What is waited for, in a line.
        """
        self.trouble = what
        self.touch()

    def ask(self, question: Question) -> None:
        self.questions[question.key] = question
        self._reach(self.created, self.asked)
        self.touch()

    def answered(self, key: str) -> None:
        self.questions.pop(key, None)
        self.touch()

    def finish(self, raw: Mapping[str, Any]) -> None:
        """Set the result."""
        result = ToolResult(raw, f"{self.server}.{self.tool}")
        if not result.is_error:
            self.progress = 1.0 if self.progress is not None else None
            self.trouble = None
            self._end(lambda: self.result.set_result(result))
            return
        reason = result.text or self.message or "no reason given"
        self.fail(ToolError(f"{self.server}.{self.tool} failed: {reason}", result.raw))

    def fail_with_body(self, raw: Mapping[str, Any]) -> None:
        """The server says that it failed, and gives a result that says nothing of that."""
        self.partial = ToolResult(raw, f"{self.server}.{self.tool}")
        self.fail_with(None)

    def fail(self, error: BaseException) -> None:
        """Set what waiting for the result raises."""
        self._end(lambda: self.result.set_exception(error))

    def fail_with(self, error: Mapping[str, Any] | None) -> None:
        """It ended `failed` without a result.

        Args:
            error: The server's JSON-RPC error, if there is one.
        """
        error = error or {}
        text = error.get("message") or self.message or "the server gave no reason"
        code = error.get("code")
        self.fail(
            TaskFailed(
                f"{self.server}.{self.tool} failed: {text}",
                self.id or "",
                code=code if isinstance(code, int) else None,
                data=error.get("data"),
            )
        )

    def cancelled(self) -> None:
        """It ended `cancelled`."""
        self.fail(TaskCancelled(f"{self.server}.{self.tool} was cancelled", self.id or ""))

    def _end(self, settle: Callable[[], None]) -> None:
        if self.result.done():
            return
        self.queued = False
        over = self.attached and self.state is not None and self.state.status.terminal
        self.ended = int(self.state.updated_at.timestamp() * 1000) if self.state and over else now_ms()
        self.questions.clear()
        settle()
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
