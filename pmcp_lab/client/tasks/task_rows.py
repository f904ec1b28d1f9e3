"""Rows of a sweep, waited for and looked at together: all of a `TaskSet`, or a slice of it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, SupportsIndex, overload

from pmcp_lab.client import views
from pmcp_lab.client.catalogue import Tool, ToolResult
from pmcp_lab.client.runtime import SLICE, awaiting, runtime, seen
from pmcp_lab.client.tasks.asked import asked
from pmcp_lab.client.tasks.call import now_ms
from pmcp_lab.client.tasks.data_frame import to_frame
from pmcp_lab.client.tasks.failures import Failures, reason_of
from pmcp_lab.client.tasks.report import Report, reported
from pmcp_lab.client.tasks.set_row import SetRow
from pmcp_lab.client.tasks.statuses import ENDED, QUEUED, in_words
from pmcp_lab.client.tasks.task import Task, call_of, waiting
from pmcp_lab.client.tasks.timeline import Timeline
from pmcp_lab.client.terminal import Seen
from pmcp_lab.errors import InvalidArguments, LabError

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 20
"""Rows of the text form."""
KINDS = 3
"""Kinds of failure that a set tells of itself, of those that happened more than once."""

ReturnWhen = Literal["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"]


class TaskRows(Sequence[Task]):
    """Tasks in the order of their rows; a slice has the same methods. `await rows` is `rows.results()`."""

    # --- what there is ---

    tool: Tool
    """What the rows are called with."""
    name: str
    """The name of the set among `server.sets`, and what the table of tasks groups it by."""

    @property
    @abstractmethod
    def index(self) -> Any:
        """What the rows are called."""

    @property
    @abstractmethod
    def _present(self) -> list[Task]:
        """The tasks, as they are now: a retry puts others in their places."""

    @property
    @abstractmethod
    def _where(self) -> str: ...

    @abstractmethod
    def _lane(self, task: Task) -> int: ...

    @abstractmethod
    def _stalled(self) -> str | None:
        """Why a row that waits for its turn will not have it, or None."""

    @overload
    def __getitem__(self, which: int) -> Task: ...
    @overload
    def __getitem__(self, which: slice) -> TaskSlice: ...
    def __getitem__(self, which: int | slice) -> Task | TaskSlice:
        return TaskSlice(self, which) if isinstance(which, slice) else self._present[which]

    def __len__(self) -> int:
        return len(self._present)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._present)

    # --- waiting ---

    def done(self) -> bool:
        """Whether all have ended, in whatever way."""
        return all(task.done() for task in self._present)

    def wait(self, timeout: float | None = None, return_when: ReturnWhen = "ALL_COMPLETED") -> bool:
        """Wait; whether what was waited for has come. `concurrent.futures.wait(rows)` also says which have ended.

        Args:
            timeout: Seconds; None waits for ever.
            return_when: As for `concurrent.futures.wait`: "ALL_COMPLETED", "FIRST_COMPLETED" or "FIRST_EXCEPTION",
                which is a failure, or the end of all.
        """
        if return_when not in ("ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"):
            raise InvalidArguments(
                f"return_when must be 'ALL_COMPLETED', 'FIRST_COMPLETED' or 'FIRST_EXCEPTION', not {return_when!r}"
            )
        _not_here()
        deadline = None if timeout is None else time.monotonic() + timeout
        with waiting(self._seen):
            return self._wait(deadline, return_when)

    def _wait(self, deadline: float | None, return_when: ReturnWhen) -> bool:
        while True:
            tasks = self._present
            left = SLICE if deadline is None else max(0.0, min(SLICE, deadline - time.monotonic()))
            ended = concurrent.futures.wait(tasks, left, return_when).done
            done, not_done = ([task for task in tasks if (task in ended) is which] for which in (True, False))
            if not not_done:
                self._settle(None if deadline is None else max(0.0, deadline - time.monotonic()))
                return True
            if return_when == "FIRST_COMPLETED" and done:
                return True
            if return_when == "FIRST_EXCEPTION" and any(self._failed(task) for task in done):
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
            if self._stalled() and all(task.queued for task in not_done):
                return False

    def as_completed(self, timeout: float | None = None) -> Iterator[Task]:
        """The tasks in the order in which they end.

        Args:
            timeout: Seconds for all of them.

        Raises:
            TimeoutError: Some are not done in time; they go on.
            LabError: The others were never started, and nothing starts them.
        """
        _not_here()
        ends = self._ends_of(timeout)
        while True:
            with waiting(self._seen):
                task = next(ends, None)
            if task is None:
                return
            yield task

    def _ends_of(self, timeout: float | None) -> Iterator[Task]:
        ended: queue.SimpleQueue[Task] = queue.SimpleQueue()
        tasks = self._present
        for task in tasks:
            call_of(task).add_done_callback(partial(_tell, ended, task))
        deadline = None if timeout is None else time.monotonic() + timeout
        for _ in tasks:
            while True:
                try:
                    yield ended.get(timeout=SLICE)
                    break
                except queue.Empty:
                    if deadline is not None and time.monotonic() >= deadline:
                        raise TimeoutError(f"{self.summary()}; they go on") from None
                    over = all(task.queued or task.done() for task in tasks)
                    if over and ended.empty() and (why := self._stalled()):
                        raise LabError(why) from None

    @overload
    def results(
        self, return_exceptions: Literal[False] = False, *, timeout: float | None = None
    ) -> list[ToolResult]: ...
    @overload
    def results(self, return_exceptions: bool, *, timeout: float | None = None) -> list[ToolResult | BaseException]: ...
    def results(
        self, return_exceptions: bool = False, *, timeout: float | None = None
    ) -> Sequence[ToolResult | BaseException]:
        """Wait for all, and return their results in the order of the rows.

        Args:
            return_exceptions: As for `asyncio.gather`: False raises the first failure as soon as it happens, and the
                others go on; True puts each failure where its result would be.
            timeout: Seconds for all of them.

        Raises:
            TimeoutError: Some are not done in time; they go on.
            ToolError, TaskFailed, TaskCancelled, ConnectionClosed: Unless they are returned; a note names the row.
            LabError: Some were never started, and nothing starts them.
        """
        if not isinstance(return_exceptions, bool):
            raise InvalidArguments(f"return_exceptions must be True or False, not {return_exceptions!r}")
        _not_here()
        with waiting(self._seen):
            for task in self._ends_of(timeout):
                if not return_exceptions and (failure := self.failure(task)) is not None:
                    raise self._noted(task, failure)
            self._settle()
        return [self.failure(task) or task.result() for task in self._present]

    def _settle(self, timeout: float | None = None) -> None:
        """Wait for what is to be done once all have ended."""

    def __await__(self) -> Generator[Any, None, list[ToolResult]]:
        tasks = self._present
        started = [task for task in tasks if not (task.queued and self._stalled())]
        yield from awaiting(runtime().start(_all_ended(started)))
        if len(started) < len(tasks) and (why := self._stalled()):
            raise LabError(why)
        for task in tasks:
            if (failure := self.failure(task)) is not None:
                raise self._noted(task, failure)
        return [task.result() for task in tasks]

    def cancel(self) -> Report:
        """Cancel what runs and what was not started yet. Returns when the server was told, and says what came of it."""
        return runtime().run(cancelled(task for task in self._present if not task.done()))

    @abstractmethod
    def retry(self, which: Iterable[Task] | None = None) -> TaskRows:
        """Start rows again with the same arguments, each in its place; the others go on meanwhile. See `TaskSet`."""

    # --- what is known ---

    def failure(self, task: Task) -> BaseException | None:
        """What went wrong with one of the tasks, a time-out included; never waits."""
        return task.failure

    def _failed(self, task: Task) -> bool:
        """Which is a lost one, too, and one that was out of time; but not one that was cancelled on purpose."""
        return self.failure(task) is not None and not task.cancelled()

    def _noted(self, task: Task, failure: BaseException) -> BaseException:
        row = next(name for name, each in zip(self.index, self._present, strict=True) if each is task)
        note = f"row {row!r}: {task.arguments}\nThe other rows go on; results(return_exceptions=True) returns them all."
        if note not in getattr(failure, "__notes__", ()):
            failure.add_note(note)
        return failure

    @property
    def counts(self) -> dict[str, int]:
        """How many there are in each status, of those of `Task.status`."""
        return dict(Counter(task.status for task in self._present))

    @property
    def failures(self) -> Failures:
        """What went wrong so far, equal failures together: those whose reasons differ only in numbers and ids."""
        return Failures(
            (row.name, row.task, reason_of(call_of(row.task)) or "") for row in self._rows if self._failed(row.task)
        )

    @property
    def df(self) -> pd.DataFrame:
        """As it is now, one row per task: arguments, status, seconds, error, and what came out.

        Structured results become columns of their own type. A name that is taken gets the prefix `result.`.
        Images, sound, resources and links are in the column `content`.
        """
        return to_frame(self.tool, self._rows, self.index)

    def timeline(self, by: Literal["task", "slot"] | None = None) -> Timeline:
        """A picture of what ran when.

        Args:
            by: A lane per task, or one per place of the `concurrency`; by default whatever is readable.
        """
        return Timeline.of(self._headline(), self._rows, self.counts, by)

    @property
    def _rows(self) -> list[SetRow]:
        return [
            SetRow(name, task, task.status, self.failure(task), self._lane(task))
            for name, task in zip(self.index, self._present, strict=True)
        ]

    def summary(self) -> str:
        """One line: how far it is."""
        return ", ".join(self._counted())

    def _counted(self) -> list[str]:
        counts = self.counts
        return [f"{self._ended(counts)}/{len(self)} done", *in_words(counts, "working", QUEUED, "completed")]

    @staticmethod
    def _ended(counts: dict[str, int]) -> int:
        return sum(counts.get(status, 0) for status in ENDED)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            f"the tasks of {self._where} can't be pickled or copied: they live with this process's connection. "
            f"Take their results(), which can be; in a notebook, server.sets[{self.name!r}] finds them again"
        )

    # --- how it looks ---

    def _headline(self) -> str:
        return f"{type(self).__name__} {self._where}: {self.summary()}"

    def _seen(self) -> Seen:
        tasks = self._present
        questions = [
            asked(question, call_of(task).number, f"tasks[{place}]")
            for place, task in enumerate(tasks)
            for question in task.questions
        ]
        done = self._ended(self.counts) / len(tasks) if tasks else 1.0
        began = min([task.started for task in tasks if not task.queued], default=now_ms())
        return Seen(self._where, done, (now_ms() - began) / 1_000, self.summary(), tuple(questions))

    def __repr__(self) -> str:
        repeated = [str(group) for group in self.failures if group.count > 1]
        return "\n".join([f"<{self._headline()}>", *repeated[:KINDS]])

    def _text(self) -> str:
        lines = [repr(self)]
        for row in self._rows[:SHOWN]:
            task = row.task
            said = task.outcome.preview(60) if task.outcome else reason_of(call_of(task)) or task.message or ""
            given = ", ".join(f"{key}={value!r}" for key, value in task.arguments.items())
            lines.append(f"{row.name!s:>6}  {row.status:<14}  {given}  {said}".rstrip())
        if (more := len(self) - SHOWN) > 0:
            lines.append(f"… {more} more")
        return "\n".join(lines)

    def _ipython_display_(self) -> None:
        shown = views.installed()
        if shown is None:
            print(self._text())  # noqa: T201 - what IPython does with an object that has no view
        else:
            shown.show(self)._ipython_display_()

    def _display_(self) -> Any:
        return views.shown(self)


class TaskSlice(TaskRows):
    """Some rows of a `TaskSet`, as a slice of it gives them; what is retried there is new here, too."""

    def __init__(self, whole: TaskRows, which: slice) -> None:
        self._whole = whole
        self._which = which
        self.tool = whole.tool
        self.name = whole.name

    @property
    def index(self) -> Any:
        return self._whole.index[self._which]

    @property
    def _present(self) -> list[Task]:
        return self._whole._present[self._which]  # noqa: SLF001 - a part of it

    @property
    def _where(self) -> str:
        return self._whole._where  # noqa: SLF001 - a part of it

    def retry(self, which: Iterable[Task] | None = None) -> TaskSlice:
        self._whole.retry([task for task in self if self.failure(task)] if which is None else which)
        return self

    def _lane(self, task: Task) -> int:
        return self._whole._lane(task)  # noqa: SLF001 - a part of it

    def _stalled(self) -> str | None:
        return self._whole._stalled()  # noqa: SLF001 - a part of it


async def stop(task: Task) -> str:
    """Cancel it, and say what came of that; where it fails, its row says why. On the loop.

    Raises:
        LabError: The server refused, or is gone.
    """
    if task.done():
        return "had ended"
    call = call_of(task)
    call.refusal = None
    try:
        await call.stop()
    except LabError as error:
        call.refusal = f"could not be cancelled: {error.message}"
        call.touch()
        raise
    return "had ended" if task.done() and not task.cancelled() else "cancelled"


async def cancelled(tasks: Iterable[Task]) -> Report:
    """Cancel them, some at a time. On the loop."""
    return await reported(tasks, stop)


async def _all_ended(tasks: Sequence[Task]) -> None:
    ends = [asyncio.wrap_future(call_of(task).result) for task in tasks]
    for end in ends:
        end.add_done_callback(seen)
    if ends:
        await asyncio.wait(ends)


def _tell(ended: queue.SimpleQueue[Task], task: Task, _call: object) -> None:
    ended.put(task)


def _not_here() -> None:
    if runtime().here:
        raise LabError("a callback of pmcp_lab can't wait for pmcp_lab: use `await` instead of the blocking form")
