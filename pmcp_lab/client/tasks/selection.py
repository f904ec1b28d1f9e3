"""Some tasks, of one sweep or of anything: looked at, answered, cancelled and started again together."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from pmcp_lab.client.catalogue import Tool
from pmcp_lab.client.questions import Question
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.tasks.call import Call
from pmcp_lab.client.tasks.data_frame import to_frame
from pmcp_lab.client.tasks.report import Report, reported
from pmcp_lab.client.tasks.task import Task, call_of
from pmcp_lab.client.tasks.task_rows import TaskRows
from pmcp_lab.client.tasks.task_set import TaskSet
from pmcp_lab.client.tasks.task_sets import TaskSets
from pmcp_lab.errors import LabError, TaskError

if TYPE_CHECKING:
    import pandas as pd


class Restarts(Protocol):
    """What a selection needs of the clients that made the calls."""

    @property
    def sets(self) -> TaskSets: ...

    def again(self, call: Call) -> Task:
        """Make a call once more. Waits for the server's tools; raises `LabError`."""


class TaskSelection(TaskRows):
    """Tasks that somebody chose, with all that a `TaskSet` offers: `lab.selected.df`, `.retry()`, `.answer({…})`.

    Args:
        tasks: In the order of their rows; of whatever servers and tools.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = list(tasks)
        self.name = "selection"

    @property
    def tool(self) -> Tool:  # type: ignore[override]
        """Of the first row, where there are several."""
        for task in self._tasks:
            many = _set_of(task)
            return many.tool if many is not None else Tool(task.server, {"name": task.tool})
        return Tool("", {"name": ""})

    @property
    def index(self) -> Any:
        """What the rows are called in their set; numbers where they are not all of one."""
        sets = {id(many): many for many in map(_set_of, self._tasks)}
        many = next(iter(sets.values())) if len(sets) == 1 else None
        names: dict[Task, Hashable] = {} if many is None else dict(zip(many, many.index, strict=False))
        if many is None or not all(task in names for task in self._tasks):
            return range(len(self._tasks))
        if not hasattr(many.index, "take"):
            return [names[task] for task in self._tasks]
        places = {task: place for place, task in enumerate(many)}
        return many.index.take([places[task] for task in self._tasks])

    @property
    def df(self) -> pd.DataFrame:
        """As `TaskSet.df`; with the columns `server` and `tool`, where there are several."""
        frame = to_frame(self.tool, self._rows, self.index)
        for name, values in ("tool", [task.tool for task in self]), ("server", [task.server for task in self]):
            if len(set(values)) > 1:
                frame.insert(0, name if name not in frame else f"task.{name}", values)
        return frame

    @property
    def _present(self) -> list[Task]:
        return self._tasks

    @property
    def _where(self) -> str:
        tools = {f"{task.server}.{task.tool}" for task in self._tasks}
        return next(iter(tools)) if len(tools) == 1 else f"{len(tools)} tools"

    def _lane(self, _task: Task) -> int:
        return 0

    def _stalled(self) -> str | None:
        reasons = (many._stalled() for task in self._tasks if task.queued and (many := _set_of(task)))  # noqa: SLF001
        return next(filter(None, reasons), None)

    # --- what can be done ---

    def retry(self, which: Iterable[Task] | None = None) -> TaskSelection:
        """Start them again, those of a `TaskSet` in their places; returns what takes their place.

        Args:
            which: Some of them; by default those that failed, timed out, were lost or cancelled.

        Raises:
            LabError: Some could not be; the others are started.
        """
        wanted = [task for task in self._tasks if self.failure(task)] if which is None else list(which)
        new, report = started_again(wanted)
        if report.refused:
            raise LabError(str(report))
        return TaskSelection(new.get(task, task) for task in self._tasks)

    def answer(self, content: Mapping[str, Any] | None = None, *, action: str = "accept") -> Report:
        """Answer what they ask, each in the same way, and say what came of it.

        Args:
            content, action: As for `Task.answer`.
        """
        asked = [(task, task.questions) for task in self._tasks if task.questions]

        async def answer_all() -> Report:
            return await answered([(task, questions[0]) for task, questions in asked], action, content)

        return runtime().run(answer_all())


async def answered(asked: Sequence[tuple[Task, Question]], action: str, content: Mapping[str, Any] | None) -> Report:
    """Answer questions in the same way, some at a time. On the loop. What fails is told on the row, too."""
    questions = dict(asked)

    async def one(task: Task) -> str:
        question, call = questions[task], call_of(task)
        if question.key not in call.questions:
            return "had been answered"
        call.refusal = None
        try:
            response = await asyncio.to_thread(question.response, action, content)
            await call.origin.answer(call, question.key, response)
        except LabError as error:
            if isinstance(error, TaskError) and question.key not in call.questions:
                return "had been answered"
            call.refusal = f"could not be answered: {error.message}"
            call.touch()
            raise
        return {"accept": "answered", "decline": "declined"}.get(action, "dismissed")

    return await reported(questions, one)


def started_again(tasks: Sequence[Task]) -> tuple[dict[Task, Task], Report]:
    """Start tasks again: what takes the place of each, and what came of it. Blocks, so not on the loop."""
    ended = [task for task in tasks if task.done()]
    together: defaultdict[TaskSet | Task, list[Task]] = defaultdict(list)
    for task in ended:
        together[_set_of(task) or task].append(task)
    new: dict[Task, Task] = {}
    refused: dict[Task, str] = {}
    for owner, rows in together.items():
        try:
            new |= _retried(owner, rows) if isinstance(owner, TaskSet) else {owner: _again(owner)}
        except LabError as error:
            refused |= dict.fromkeys(rows, error.message.partition("\n")[0])
        else:
            refused |= dict.fromkeys([row for row in rows if row not in new], "another attempt has taken its place")
    return new, Report({"started again": len(new), "had not ended": len(tasks) - len(ended)}, refused)


def _retried(many: TaskSet, rows: Sequence[Task]) -> dict[Task, Task]:
    places = {task: place for place, task in enumerate(many)}
    known = [row for row in rows if row in places]
    if known:
        many.retry(known)
    return {row: many[places[row]] for row in known}


def _again(task: Task) -> Task:
    call = call_of(task)
    return cast(Restarts, call.origin).again(call)


def _set_of(task: Task) -> TaskSet | None:
    """The sweep that it is a row of, as far as this kernel has it."""
    call = call_of(task)
    sets = getattr(call.origin, "sets", None)
    return sets.known(call.set_name) if isinstance(sets, TaskSets) and call.set_name is not None else None


_source: Callable[[], Iterable[Task]] = tuple


def select_in(source: Callable[[], Iterable[Task]]) -> None:
    """Somebody selected there: `lab.selected` is what `source()` gives, whenever it is asked for."""
    global _source
    _source = source


def selected() -> TaskSelection:
    """See `pmcp_lab.selected`."""
    return TaskSelection(_source())
