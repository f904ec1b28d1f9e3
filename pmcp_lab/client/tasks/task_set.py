"""Many tasks of one tool: started a bounded number at a time, waited for and looked at together."""

from __future__ import annotations

import asyncio
import itertools
import queue
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from pmcp_lab.client import views
from pmcp_lab.client.catalogue import Tool, ToolResult
from pmcp_lab.client.runtime import SLICE, awaiting, runtime
from pmcp_lab.client.tasks.call import Call
from pmcp_lab.client.tasks.data_frame import to_frame
from pmcp_lab.client.tasks.set_row import SetRow
from pmcp_lab.client.tasks.task import Task, call_of
from pmcp_lab.client.tasks.task_list import TaskList
from pmcp_lab.client.tasks.timeline import Timeline
from pmcp_lab.errors import InvalidArguments, LabError, TaskCancelled

if TYPE_CHECKING:
    import pandas as pd

STOP_TIMEOUT = 5.0
"""Seconds a task that is out of time has to stop."""
RECENT = 64
"""Ends by which the speed is measured."""
SHOWN = 20
"""Rows of the text form."""


_numbers = itertools.count(1)


class Starter(Protocol):
    """Where the tasks are started: their server."""

    @property
    def name(self) -> str: ...

    @property
    def tasks(self) -> TaskList: ...

    def plan(self, tool: Tool, arguments: dict[str, Any], *, as_task: bool | None, queued: bool = False) -> Call: ...

    async def start(self, call: Call, *, ttl: int | None = None) -> None: ...


class TaskSet(Sequence[Task]):
    """The tasks of `Server.map`, in the order of the rows. Shows itself as a live table.

    It runs by itself; an interrupted `results()` leaves it running. `await many` is `many.results()`.

    Args:
        index: What the rows are called: the index of the DataFrame, or their numbers.
        rows: The arguments of each.
        ttl: Milliseconds asked for.
        timeout: Seconds each may run.
    """

    def __init__(
        self,
        starter: Starter,
        tool: Tool,
        index: Any,
        rows: Sequence[dict[str, Any]],
        *,
        concurrency: int,
        ttl: int | None,
        timeout: float | None,
    ) -> None:
        self._starter = starter
        self.tool = tool
        self.name = f"{tool.name} {next(_numbers)}"
        """What the table of tasks groups them by."""
        self.concurrency = concurrency
        self._index = index
        self._ttl = ttl
        self._timeout = timeout
        self._tasks = [self._plan(row) for row in rows]
        self._lanes: dict[Task, int] = {}
        self._late: dict[Task, TimeoutError] = {}
        self._ends: deque[float] = deque(maxlen=RECENT)
        self._began = time.monotonic()
        self._over: float | None = None
        self._waiting: deque[Task] = deque()

    def _plan(self, row: dict[str, Any]) -> Task:
        call = self._starter.plan(self.tool, row, as_task=True, queued=True)
        call.set_name = self.name
        return Task(call)

    # --- its work, on the connection's loop ---

    def start(self) -> None:
        """Start what has not been started. Called by `Server.map`."""
        self._began, self._over = time.monotonic(), None
        self._ends.clear()
        waiting = self._waiting = deque(task for task in self._tasks if task.queued)
        self._run = runtime().start(self._work_off(waiting))

    async def _work_off(self, waiting: deque[Task]) -> None:
        async def lane(number: int) -> None:
            while waiting:
                task = waiting.popleft()
                if not task.done():
                    self._lanes[task] = number
                    await self._one(task)

        await asyncio.gather(*(lane(number) for number in range(min(self.concurrency, len(waiting)))))
        self._over = time.monotonic()

    async def _one(self, task: Task) -> None:
        loop, call = asyncio.get_running_loop(), call_of(task)
        ended = asyncio.Event()
        call.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
        call.begin()
        self._starter.tasks.add(task)
        making = asyncio.create_task(self._starter.start(call, ttl=self._ttl))
        try:
            async with asyncio.timeout(self._timeout):
                await ended.wait()
        except TimeoutError:
            late = TimeoutError(f"{self._name} was cancelled: not done after {self._timeout:g} s")
            self._late[task] = late
            await self._cancel(call)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT):
                    await ended.wait()
            call.fail(late)  # for a server that does not stop it
        await asyncio.wait([making])
        self._ends.append(time.monotonic())

    async def _cancel(self, call: Call) -> None:
        try:
            await call.stop()
        except LabError as error:
            call.trouble = f"could not be cancelled: {error.message}"
            call.touch()

    # --- what can be done ---

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all have ended; whether they have.

        Args:
            timeout: Seconds; None waits for ever.
        """
        try:
            runtime().wait(self._run, timeout)
        except TimeoutError:
            return False
        return True

    def done(self) -> bool:
        """Whether all have ended, in whatever way."""
        return all(task.done() for task in self._tasks)

    def as_completed(self, timeout: float | None = None) -> Iterator[Task]:
        """The tasks in the order in which they end.

        Args:
            timeout: Seconds for all of them.

        Raises:
            TimeoutError: Some are not done in time; they go on.
        """
        if runtime().here:
            raise LabError("a callback of pmcp_lab can't wait for pmcp_lab: use `await` instead")
        ended: queue.SimpleQueue[Task] = queue.SimpleQueue()
        tasks = list(self._tasks)
        for task in tasks:
            task.add_done_callback(ended.put)
        deadline = None if timeout is None else time.monotonic() + timeout
        for _ in tasks:
            while True:
                try:
                    yield ended.get(timeout=SLICE)
                    break
                except queue.Empty:
                    if deadline is not None and time.monotonic() >= deadline:
                        raise TimeoutError(f"{self.summary()}; they go on") from None

    @overload
    def results(self, errors: Literal["raise"] = "raise", *, timeout: float | None = None) -> list[ToolResult]: ...
    @overload
    def results(
        self, errors: Literal["collect"], *, timeout: float | None = None
    ) -> list[ToolResult | BaseException]: ...
    def results(
        self, errors: Literal["raise", "collect"] = "raise", *, timeout: float | None = None
    ) -> Sequence[ToolResult | BaseException]:
        """Wait for all, and return their results in the order of the rows.

        Args:
            errors: "raise" raises the first failure as soon as it happens, and the others go on; "collect"
                puts each failure where its result would be.
            timeout: Seconds for all of them.

        Raises:
            TimeoutError: Some are not done in time; they go on.
            ToolError, TaskFailed, TaskCancelled, ConnectionClosed: With "raise"; a note names the row.
        """
        if errors not in ("raise", "collect"):
            raise InvalidArguments(f"errors must be 'raise' or 'collect', not {errors!r}")
        for task in self.as_completed(timeout):
            if errors == "raise" and (failure := self.failure(task)) is not None:
                raise self._noted(task, failure)
        runtime().wait(self._run)
        return [self.failure(task) or task.result() for task in self._tasks]

    def __await__(self) -> Generator[Any, None, list[ToolResult]]:
        yield from awaiting(self._run)
        for task in self._tasks:
            if (failure := self.failure(task)) is not None:
                raise self._noted(task, failure)
        return [task.result() for task in self._tasks]

    def failure(self, task: Task) -> BaseException | None:
        """What went wrong with one of the tasks, a time-out included; never waits."""
        return None if task.outcome is not None else self._late.get(task) or task.failure

    def _noted(self, task: Task, failure: BaseException) -> BaseException:
        row = next(name for name, each in zip(self._index, self._tasks, strict=True) if each is task)
        note = f"row {row!r}: {task.arguments}\nThe other rows go on; results(errors='collect') returns them all."
        if note not in getattr(failure, "__notes__", ()):
            failure.add_note(note)
        return failure

    def cancel(self) -> None:
        """Cancel what runs and what was not started yet; returns when the server was told."""

        async def cancel_all() -> None:
            while self._waiting:
                waiting = call_of(self._waiting.popleft())
                waiting.fail(TaskCancelled(f"{self._name} was cancelled before it started", ""))
            await asyncio.gather(*(self._cancel(call_of(task)) for task in self._tasks if not task.done()))

        runtime().run(cancel_all())

    def retry_failed(self) -> TaskSet:
        """Start the rows again that failed, timed out or were lost with the server; not those that were cancelled.

        They keep their place in this set; `self` is returned.

        Raises:
            LabError: It still runs.
        """
        if not self.done():
            raise LabError(f"{self.summary()}: wait() or cancel() before retry_failed()")
        runtime().wait(self._run)
        failed = [place for place, task in enumerate(self._tasks) if self._failed(task)]
        for place in failed:
            self._tasks[place] = self._plan(self._tasks[place].arguments)
        if failed:
            self.start()
        return self

    def _failed(self, task: Task) -> bool:
        """Which is a lost one, too, and one that was out of time; but not one that was cancelled on purpose."""
        return self.failure(task) is not None and (task in self._late or not task.cancelled())

    # --- what is known ---

    @overload
    def __getitem__(self, which: int) -> Task: ...
    @overload
    def __getitem__(self, which: slice) -> list[Task]: ...
    def __getitem__(self, which: int | slice) -> Task | list[Task]:
        return self._tasks[which]

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(list(self._tasks))

    def status(self, task: Task) -> str:
        """As `Task.status`, and "queued" before its turn."""
        return "queued" if task.queued else "failed" if self._failed(task) else task.status

    @property
    def counts(self) -> dict[str, int]:
        """How many there are in each status."""
        return dict(Counter(self.status(task) for task in self._tasks))

    @property
    def df(self) -> pd.DataFrame:
        """As it is now, one row per task: arguments, status, seconds, error, and what came out.

        Structured results become columns of their own type. A name that is taken gets the prefix `result.`.
        Images, sound, resources and links are in the column `content`.
        """
        return to_frame(self.tool, self._rows)

    @property
    def index(self) -> Any:
        """What the rows are called."""
        return self._index

    def timeline(self, by: Literal["task", "slot"] | None = None) -> Timeline:
        """A picture of what ran when.

        Args:
            by: A lane per task, or one per place of the `concurrency`; by default whatever is readable.
        """
        return Timeline.of(repr(self).strip("<>"), self._rows, self.counts, by)

    @property
    def _rows(self) -> list[SetRow]:
        return [
            SetRow(name, task, self.status(task), self.failure(task), self._lanes.get(task, 0))
            for name, task in zip(self._index, self._tasks, strict=True)
        ]

    def summary(self) -> str:
        """One line: how far it is, how fast, and how long it will take."""
        counts = self.counts
        ended = sum(counts.get(status, 0) for status in ("completed", "failed", "cancelled"))
        parts = [f"{ended}/{len(self)} done"]
        parts += [f"{counts['failed']} failed"] if counts.get("failed") else []
        parts += [f"{counts['cancelled']} cancelled"] if counts.get("cancelled") else []
        parts += [f"{counts['input_required']} ask something"] if counts.get("input_required") else []
        if self._over is not None:
            return ", ".join([*parts, f"{self._over - self._began:.1f} s"])
        if (speed := self._speed()) > 0:
            left = (len(self) - ended) / speed
            parts += [f"{speed:.1f}/s", f"{left:.0f} s left" if left < 120 else f"{left / 60:.0f} min left"]
        return ", ".join(parts)

    def _speed(self) -> float:
        """Ends per second, of late."""
        ends = list(self._ends)
        if not ends:
            return 0.0
        since = self._began if len(ends) < RECENT else ends[0]
        return len(ends) / max(0.001, time.monotonic() - since)

    # --- how it looks ---

    @property
    def _name(self) -> str:
        return f"{self._starter.name}.{self.tool.name}"

    def __repr__(self) -> str:
        return f"<TaskSet {self._name}: {self.summary()}>"

    def _text(self) -> str:
        lines = [repr(self)]
        for name, task in list(zip(self._index, self._tasks, strict=True))[:SHOWN]:
            failure = self.failure(task)
            said = task.outcome.preview(60) if task.outcome else str(failure or task.message or "").partition("\n")[0]
            given = ", ".join(f"{key}={value!r}" for key, value in task.arguments.items())
            lines.append(f"{name!s:>6}  {self.status(task):<14}  {given}  {said}".rstrip())
        if (more := len(self) - SHOWN) > 0:
            lines.append(f"… {more} more")
        return "\n".join(lines)

    def _ipython_display_(self) -> None:
        shown = views.installed()
        if shown is None:
            print(self._text())  # noqa: T201 - what IPython does with an object that has no view
        else:
            shown.show(self)._ipython_display_()
