"""The handle of one task, the same for every peer."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import threading
import time
import weakref
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

from pmcp_lab.client import views
from pmcp_lab.client.elicitation import Question
from pmcp_lab.client.history import Change, History, Moment
from pmcp_lab.client.result import ToolResult
from pmcp_lab.client.runtime import awaiting, runtime
from pmcp_lab.client.variables import Variables
from pmcp_lab.errors import ConnectionClosed, LabError, TaskCancelled, TaskError, TaskFailed, ToolError
from pmcp_lab.protocol import TaskState, TaskStatus

if TYPE_CHECKING:
    from pmcp_lab.client.server import Server
    from pmcp_lab.client.target import Target


PATIENCE = 1.0
"""Seconds a cancel waits for the id of a task that is just being created."""

_numbers = itertools.count(1)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class _Identity:
    """Shared by all handles of one task, so that equal handles have equal hashes."""


_identities: weakref.WeakValueDictionary[tuple[Target, str], _Identity] = weakref.WeakValueDictionary()


class Task:
    """A task on a server. Made by `Server.task` and `Server.attach`; shows itself as a live card.

    Its properties tell what was last seen and never wait; the connection keeps them fresh. It is also what
    `concurrent.futures` calls a future: `result()` waits, and so does `await task`. Two handles of the same
    task on the same target are equal.

    Args:
        tool: "" where it is not known: no wire tells what a task that somebody else started was made of.
        queued: Not to be started yet.
    """

    def __init__(self, server: Server, tool: str, arguments: Mapping[str, Any], *, queued: bool = False) -> None:
        self.server = server
        self.tool = tool
        self.arguments = dict(arguments)
        self.number = next(_numbers)
        """Counts the tasks of this process, in the order they were started."""
        self.started = now_ms()
        self.updated = self.started
        self.ended: int | None = None
        self.trouble: str | None = None
        """Why what is shown may be out of date, or None."""
        self.attended = True
        """False where no person can answer a question: a plain call in a script, or one made by an app."""
        self.visiting: str | None = None
        """The host that a question sent the person to, until the server says that this is settled."""
        self.local = False
        """True when the server made no task of it: a plain call that runs in the background."""
        self.attached = False
        """True when it was started elsewhere, and times are the server's."""
        self.queued = queued
        """True until it is its turn, in a `TaskSet`."""
        self.set_name: str | None = None
        """The `TaskSet` it belongs to."""
        self.meta: Mapping[str, Any] = {}
        """What the call carries in its `_meta`."""
        self.call: asyncio.Task[Any] | None = None
        """What waits for the answer to the call it began with."""
        self._state: TaskState | None = None
        self._progress: float | None = None
        self._message: str | None = None
        self._history = History()
        self._identity = _Identity()
        self._hash: int | None = None
        self._questions: dict[str, Question] = {}
        self._listeners: set[Callable[[Task], object]] = set()
        self._lock = threading.Lock()
        self._done: concurrent.futures.Future[ToolResult] = concurrent.futures.Future()
        self.created: concurrent.futures.Future[None] = concurrent.futures.Future()
        """Done when the server has named the task, ended it at once, or asks something first."""
        self.asked: concurrent.futures.Future[None] = concurrent.futures.Future()
        """Done when something was asked for the first time, or the task ended."""

    # --- what is known ---

    @property
    def id(self) -> str | None:
        """The server's id of the task; None until it is created, and for a plain call."""
        return self._state.task_id if self._state else None

    @property
    def key(self) -> str:
        """Unique over all connections, before and after the server gave the task an id."""
        return f"task-{self.number}"

    @property
    def status(self) -> str:
        """`working`, `input_required`, `completed`, `failed` or `cancelled`; `unknown` once the server is gone."""
        if not self._done.done():
            # The end is told with the result, and a tool error is a failure in either generation.
            if self._questions:
                return TaskStatus.INPUT_REQUIRED.value
            known = self._state.status if self._state else TaskStatus.WORKING
            return TaskStatus.WORKING.value if known.terminal else known.value
        match self.failure:
            case None:
                return TaskStatus.COMPLETED.value
            case TaskCancelled():
                return TaskStatus.CANCELLED.value
            case ConnectionClosed():
                return self._state.status.value if self._state and self._state.status.terminal else "unknown"
            case _:
                return TaskStatus.FAILED.value

    @property
    def reported(self) -> TaskStatus | None:
        """The status in the server's own words, or None before it said anything."""
        return self._state.status if self._state else None

    @property
    def message(self) -> str | None:
        return "waiting for its turn" if self.queued else self._message

    @property
    def progress(self) -> float | None:
        """0..1, or None when unknown."""
        return self._progress

    @property
    def variables(self) -> Variables:
        """What the task shares with those who watch it; writing to it asks the server."""
        return Variables(self)

    @property
    def seen_variables(self) -> Mapping[str, Any]:
        return self._state.variables if self._state else {}

    @property
    def ttl(self) -> float | None:
        """Seconds from creation for which the server keeps the task; None is for good, or not known yet."""
        return None if self.ttl_ms is None else self.ttl_ms / 1_000

    @property
    def ttl_ms(self) -> int | None:
        """`ttl` in milliseconds, as on the wire."""
        return self._state.ttl if self._state else None

    @property
    def questions(self) -> list[Question]:
        """What the task asks and nobody answered yet."""
        return list(self._questions.values())

    @property
    def moments(self) -> list[Moment]:
        """Every change of status or message that was seen, oldest first."""
        return list(self._history.moments)

    @property
    def changes(self) -> list[Change]:
        """Every change that was seen of status, message, progress and variables, oldest first."""
        return list(self._history.changes)

    @property
    def history(self) -> Any:
        """`changes` as a pandas DataFrame: time, kind, name (of a variable), old, new."""
        return self._history.df

    def done(self) -> bool:
        """Whether it ended, in whatever way."""
        return self._done.done()

    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return not self.queued and not self.done()

    def cancelled(self) -> bool:
        return self.done() and self.status == TaskStatus.CANCELLED

    # --- what can be done ---

    def result(self, timeout: float | None = None) -> ToolResult:
        """Wait for the end and return the tool's result.

        Args:
            timeout: Seconds; None waits for ever. The task goes on when the time is up.

        Raises:
            TimeoutError: Not finished in time.
            ToolError: The tool reported failure.
            TaskFailed: The task ended without a result; carries the server's JSON-RPC error.
            TaskCancelled: It was cancelled.
            ConnectionClosed: The server went away before the end was known.
        """
        try:
            return runtime().wait(self._done, timeout)
        except TimeoutError:
            if self._done.done():
                raise
            raise TimeoutError(f"{self._name} is still {self.status} after {timeout:g} s; it goes on") from None

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end and return what `result()` would raise, or None."""
        try:
            self.result(timeout)
        except TimeoutError:
            raise
        except LabError as error:
            return error
        return None

    def __await__(self) -> Generator[Any, None, ToolResult]:
        return awaiting(self._done)

    def cancel(self) -> None:
        """Ask the server to cancel. Returns when it agreed; does nothing once the task has ended.

        Raises:
            PeerError: The server refused.
        """
        if not self.done():
            runtime().run(self.stop())

    async def stop(self) -> None:
        """Cancel it so that nothing of it goes on, here or there. On the connection's loop."""
        if self.call is not None and self.id is None and not self.local:
            # It may be a task by now whose id is on its way; without the id it could not be cancelled any more.
            await asyncio.wait([asyncio.wrap_future(self.created)], timeout=PATIENCE)
        if self.done():
            return
        if self.call is not None and self.id is None:
            self.call.cancel()  # of which the SDK tells the server
            await asyncio.wait([self.call])
        else:
            await self.server.connection.follower.cancel(self)

    def set_variables(self, variables: Mapping[str, Any]) -> None:
        """Write variables of the task, all or none.

        Args:
            variables: By name; None deletes.

        Raises:
            NotOffered: The server does not take variables from clients (extension `run.pmcp/task-variables`).
            TaskError: There is no task on the server to have any.
            PeerError: It refused: a reserved name, too large, ended.
        """
        if self.id is None:
            raise TaskError(f"{self._name} has no variables: the server made no task of it", "")
        runtime().run(self._set_variables(self.id, dict(variables)))

    async def _set_variables(self, task_id: str, variables: dict[str, Any]) -> None:
        self.observe(await self.server.connection.peer.set_variables(task_id, variables))

    def answer(
        self, content: Mapping[str, Any] | None = None, *, action: str = "accept", key: str | None = None
    ) -> None:
        """Answer a question of the task.

        Args:
            content: The answers, by field, for `action="accept"`.
            action: "accept", "decline" or "cancel".
            key: Which question, when several are open.

        Raises:
            TaskError: Nothing is asked, or several things are and no `key` was given.
            InvalidArguments: `content` does not fit what is asked for.
        """
        question = self._question(key)
        response = question.response(action, content)
        runtime().run(self.server.connection.follower.answer(self, question.key, response))

    def decline(self, *, key: str | None = None) -> None:
        """Refuse to answer a question. Raises as `answer` does."""
        self.answer(action="decline", key=key)

    def dismiss(self, *, key: str | None = None) -> None:
        """Close a question without deciding (the elicitation action "cancel"). Raises as `answer` does."""
        self.answer(action="cancel", key=key)

    def _question(self, key: str | None) -> Question:
        open_ones = self._questions
        if key is None and len(open_ones) == 1:
            return next(iter(open_ones.values()))
        if key in open_ones:
            return open_ones[key]
        if not open_ones:
            raise TaskError(f"{self._name} asks nothing at the moment (it is {self.status})", self.id or "")
        raise TaskError(f"{self._name} asks several things; give key= one of {list(open_ones)}", self.id or "")

    def add_done_callback(self, function: Callable[[Task], object]) -> None:
        """Call `function(task)` when it ends (on the background thread), or now if it has."""
        self._done.add_done_callback(lambda _: function(self))

    def subscribe(self, listener: Callable[[Task], object]) -> Callable[[], None]:
        """Call `listener(task)` on the background thread after every change; returns how to stop that."""
        with self._lock:
            self._listeners.add(listener)

        def stop() -> None:
            with self._lock:
                self._listeners.discard(listener)

        return stop

    # --- told by the connection, on its thread ---

    def begin(self) -> None:
        """It is its turn."""
        self.queued = False
        self.started = self.updated = now_ms()

    def identify(self, task_id: str) -> None:
        """Become equal to every other handle of that task."""
        self._identity = _identities.setdefault((self.server.connection.target, task_id), self._identity)

    def observe(self, state: TaskState) -> None:
        """Take in what the server says, unless it is older than what is known."""
        known = self._state
        if known is not None and (known.status.terminal or state.updated_at < known.updated_at):
            return
        if known is None:
            self.identify(state.task_id)
        self._state = state
        self._message = state.message
        if state.progress is not None:
            self._progress = state.progress
        self.trouble = None
        if not self.created.done():
            self.created.set_result(None)
        self.touch()

    def observe_progress(self, done: float, total: float | None, message: str | None) -> None:
        """Take in a progress notification."""
        if self._done.done():
            return
        if total:
            self._progress = min(1.0, max(0.0, done / total))
        if message:
            self._message = message
        self.touch()

    def ask(self, question: Question) -> None:
        self._questions[question.key] = question
        self._reach(self.created, self.asked)
        self.touch()

    def answered(self, key: str) -> None:
        self._questions.pop(key, None)
        self.touch()

    def finish(self, raw: Mapping[str, Any]) -> None:
        """Set the result."""
        result = ToolResult(raw, f"{self.server.name}.{self.tool}")
        if not result.is_error:
            self._progress = 1.0 if self._progress is not None else None
            self._end(lambda: self._done.set_result(result))
            return
        reason = result.text or self._message or "no reason given"
        self.fail(ToolError(f"{self.server.name}.{self.tool} failed: {reason}", result.raw))

    def fail(self, error: BaseException) -> None:
        """Set what `result()` raises."""
        self._end(lambda: self._done.set_exception(error))

    def _end(self, settle: Callable[[], None]) -> None:
        if self._done.done():
            return
        self.queued = False
        over = self.attached and self._state is not None and self._state.status.terminal
        self.ended = int(self._state.updated_at.timestamp() * 1000) if self._state and over else now_ms()
        self._questions.clear()
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
        self._history.look(self.updated, self.status, self._message, self._progress, self.seen_variables)
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(self)

    # --- how it looks ---

    @property
    def failure(self) -> BaseException | None:
        """What went wrong, once that is known; never waits."""
        return self._done.exception() if self._done.done() else None

    @property
    def outcome(self) -> ToolResult | None:
        """The result, once there is one; never waits."""
        return self._done.result() if self._done.done() and self._done.exception() is None else None

    @property
    def _name(self) -> str:
        return f"{self.server.name}.{self.tool or 'task ' + (self.id or '')}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Task):
            return NotImplemented
        return self._identity is other._identity

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self._identity)  # kept: it may be in a set already when the server names it
        return self._hash

    def __repr__(self) -> str:
        text = f"<Task {self._name} {self.status}"
        return text + (f": {self._message}>" if self._message else ">")

    def _ipython_display_(self) -> None:
        shown = views.installed()
        if shown is None:
            print(repr(self))  # noqa: T201 - what IPython does with an object that has no view
        else:
            shown.task(self)._ipython_display_()


def failed_task(task_id: str, where: str, error: Mapping[str, Any] | None, message: str | None) -> TaskFailed:
    """The exception for a task that ended `failed` without a result."""
    error = error or {}
    text = error.get("message") or message or "the server gave no reason"
    code = error.get("code")
    return TaskFailed(
        f"{where} failed: {text}", task_id, code=code if isinstance(code, int) else None, data=error.get("data")
    )
