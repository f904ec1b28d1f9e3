"""The handle of one task, the same for every peer."""

from __future__ import annotations

import operator
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from pmcp_lab.client import views
from pmcp_lab.client.catalogue import ToolResult
from pmcp_lab.client.questions import Question
from pmcp_lab.client.runtime import awaiting, runtime
from pmcp_lab.client.tasks.asked import asked
from pmcp_lab.client.tasks.call import Call, now_ms
from pmcp_lab.client.tasks.future import CallFuture
from pmcp_lab.client.tasks.history import Change, Moment
from pmcp_lab.client.tasks.remembered import session
from pmcp_lab.client.tasks.variables import Variables
from pmcp_lab.client.terminal import Seen, showing
from pmcp_lab.errors import TaskError
from pmcp_lab.protocol import TaskStatus

if TYPE_CHECKING:
    import pandas as pd


class Task(CallFuture):
    """A task on a server. Made by `Server.task` and `Server.attach`; shows itself as a live card.

    Its properties tell what was last seen and never wait; the connection keeps them fresh. It is also a
    `concurrent.futures.Future`: `result()` waits, and so does `await task`, and what the standard library does with
    several futures it does with tasks. Giving up an `await` leaves the task running; `cancel()` ends it. Two handles
    of the same task on the same target are equal.
    """

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._hash: int | None = None

    # --- what is known ---

    @property
    def server(self) -> str:
        """The name of its server."""
        return self._call.server

    @property
    def tool(self) -> str:
        """The name of its tool; "" where that is not known, for a task that somebody else started."""
        return self._call.tool

    @property
    def arguments(self) -> dict[str, Any]:
        """What the tool was called with; empty for a task that somebody else started."""
        return self._call.arguments

    @property
    def id(self) -> str | None:
        """The server's id of the task; None until it is created, and for a plain call."""
        return self._call.id

    @property
    def status(self) -> str:
        """`working`, `input_required`, `completed`, `failed` or `cancelled`; `queued` before its turn in a `TaskSet`,
        `unknown` once the server is gone."""
        return self._call.status

    @property
    def message(self) -> str | None:
        """What it last said of itself."""
        return self._call.message

    @property
    def progress(self) -> float | None:
        """0..1, or None when unknown."""
        return self._call.progress

    @property
    def variables(self) -> Variables:
        """What the task shares with those who watch it; writing to it asks the server."""
        return Variables(self._call.variables, self._write_variables)

    @property
    def ttl(self) -> float | None:
        """Seconds from creation for which the server keeps the task; None is for good, or not known yet."""
        state = self._call.state
        return None if state is None or state.ttl is None else state.ttl / 1_000

    @property
    def started(self) -> int:
        """When it was started (ms since the epoch)."""
        return self._call.started

    @property
    def updated(self) -> int:
        """When anything of it last changed (ms since the epoch)."""
        return self._call.updated

    @property
    def ended(self) -> int | None:
        """When it ended (ms since the epoch), or None."""
        return self._call.ended

    @property
    def trouble(self) -> str | None:
        """Why what is shown may be out of date, or what was refused last; or None."""
        return self._call.trouble or self._call.refusal

    @property
    def local(self) -> bool:
        """True when the server made no task of it: a plain call that runs in the background."""
        return self._call.local

    @property
    def attached(self) -> bool:
        """True when it was started elsewhere, and times are the server's."""
        return self._call.attached

    @property
    def queued(self) -> bool:
        """True until it is its turn, in a `TaskSet`."""
        return self._call.queued

    @property
    def questions(self) -> list[Question]:
        """What the task asks and nobody answered yet."""
        return list(self._call.questions.values())

    @property
    def moments(self) -> list[Moment]:
        """Every change of status or message that was seen, oldest first."""
        return list(self._call.history.moments)

    @property
    def changes(self) -> list[Change]:
        """Every change that was seen of status, message, progress and variables, oldest first."""
        return list(self._call.history.changes)

    @property
    def history(self) -> pd.DataFrame:
        """`changes` as a pandas DataFrame: time, kind, name (of a variable), old, new."""
        return self._call.history.df

    @property
    def failure(self) -> BaseException | None:
        """What went wrong, once that is known; never waits."""
        return self._call.failure

    @property
    def outcome(self) -> ToolResult | None:
        """The result, once there is one; never waits."""
        return self._call.outcome

    @property
    def partial(self) -> ToolResult | None:
        """What a failed task had come to, where its server hands that out; never waits."""
        return self._call.partial

    @property
    def stderr(self) -> str:
        """What its server wrote to stderr while it ran, the last 4,000 characters; "" where that is not known.

        Whatever else ran on the server meanwhile wrote there as well.
        """
        overheard = self._call.overheard
        return "" if overheard is None else overheard.text()

    def done(self) -> bool:
        """Whether it ended, in whatever way."""
        return self._call.done()

    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return not self.queued and not self.done()

    def cancelled(self) -> bool:
        """Whether it ended by being cancelled."""
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
        if self.done():
            return self._call.result.result()
        try:
            with waiting(self._seen):
                return runtime().wait(self._call.result, timeout)
        except TimeoutError:
            if self.done():
                raise
            text = f"{self._call.where} is still {self.status} after {timeout:g} s; it goes on"
            raise TimeoutError(f"{text} ({self.trouble})" if self.trouble else text) from None

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end and return what `result()` would raise, or None. Raises `TimeoutError` as `result` does."""
        try:
            self.result(timeout)
        except BaseException as error:
            if error is self.failure:
                return error
            raise
        return None

    def __await__(self) -> Generator[Any, None, ToolResult]:
        return awaiting(self._call.result)

    def cancel(self) -> bool:
        """Ask the server to cancel. Returns when it agreed; in a callback of this package, once it is asked.

        Returns:
            Whether it could be: False once the task has ended in another way.

        Raises:
            PeerError: The server refused.
        """
        if not self.done():
            if runtime().here:
                runtime().start(self._call.stop())
            else:
                runtime().run(self._call.stop())
        return self.cancelled() or not self.done()

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
            raise TaskError(f"{self._call.where} has no variables: the server made no task of it", "")
        runtime().run(self._call.origin.set_variables(self._call, dict(variables)))

    def _write_variables(self, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        self.set_variables(variables)
        return self._call.variables

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
        runtime().run(self._call.origin.answer(self._call, question.key, response))

    def decline(self, *, key: str | None = None) -> None:
        """Refuse to answer a question. Raises as `answer` does."""
        self.answer(action="decline", key=key)

    def dismiss(self, *, key: str | None = None) -> None:
        """Close a question without deciding (the elicitation action "cancel"). Raises as `answer` does."""
        self.answer(action="cancel", key=key)

    def _question(self, key: str | None) -> Question:
        open_ones = self._call.questions
        if key is None and len(open_ones) == 1:
            return next(iter(open_ones.values()))
        if key in open_ones:
            return open_ones[key]
        where = self._call.where
        if not open_ones:
            raise TaskError(f"{where} {self._call.nothing_asked}", self.id or "")
        raise TaskError(f"{where} asks several things; give key= one of {list(open_ones)}", self.id or "")

    def subscribe(self, listener: Callable[[Task], object]) -> Callable[[], None]:
        """Call `listener(task)` on the background thread after every change; returns how to stop that."""
        return self._call.subscribe(lambda: listener(self))

    # --- how it looks ---

    def _seen(self) -> Seen:
        call = self._call
        return Seen(
            call.where,
            call.progress,
            (now_ms() - call.started) / 1_000,
            call.trouble or call.message or self.status.replace("_", " "),
            tuple(asked(question, call.number, "task") for question in self.questions),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Task):
            return NotImplemented
        return self._call.identity is other._call.identity

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self._call.identity)  # kept: it may be in a set already when the server names it
        return self._hash

    def __repr__(self) -> str:
        text = f"<Task {self._call.where} {self.status}"
        return text + (f": {self._call.message}>" if self._call.message else ">")

    def _ipython_display_(self) -> None:
        views.display(self)

    def _display_(self) -> Any:
        return views.shown(self)


call_of: Callable[[Task], Call] = operator.attrgetter("_call")
"""The call behind a handle, for the rooms that follow and show it; a cell has no use for it."""


def waiting(look: Callable[[], Seen]) -> AbstractContextManager[None]:
    """Show how far it is that the block waits for, where stderr is a terminal and `session.progress` is not False."""
    try:
        shown = session.progress and sys.stderr.isatty()
    except (AttributeError, ValueError):
        shown = False  # there is none, it is closed, or can be written to and no more
    return showing(look) if shown else nullcontext()


def wait_for(task: Task, timeout: float | None = None) -> ToolResult:
    """The result of a call, which ends if it isn't waited for; it shows its progress below the cell, and its questions.

    Args:
        timeout: Seconds. Raises as `Task.result` does.
    """
    call = call_of(task)
    try:
        with views.waiting(task):
            return _wait(task, call, timeout)
    except BaseException:
        if not task.done():
            runtime().start(call.stop())
        raise


def _wait(task: Task, call: Call, timeout: float | None) -> ToolResult:
    shown = views.installed()
    if shown is None or not call.attended:
        return task.result(timeout)
    began = time.monotonic()
    try:
        runtime().wait(call.asked, timeout)
    except TimeoutError:
        pass
    else:
        if not task.done():
            shown.ask(task)
    return task.result(None if timeout is None else max(0.0, timeout - (time.monotonic() - began)))
