"""Many tasks of one tool: started a bounded number at a time, kept on disk, and gone on with later."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from pmcp_lab.client.catalogue import Tool
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.tasks.call import Call
from pmcp_lab.client.tasks.kept_set import AGAIN, KeptRow, KeptSet, SetFile, ending, lost
from pmcp_lab.client.tasks.lanes import Lanes
from pmcp_lab.client.tasks.map_arguments import check_rows
from pmcp_lab.client.tasks.pace import Pace
from pmcp_lab.client.tasks.remembered import session
from pmcp_lab.client.tasks.report import Report
from pmcp_lab.client.tasks.starter import Starter
from pmcp_lab.client.tasks.task import Task, call_of
from pmcp_lab.client.tasks.task_list import AT_ONCE
from pmcp_lab.client.tasks.task_rows import TaskRows, stop
from pmcp_lab.errors import ConnectionClosed, InvalidArguments, LabError, TaskCancelled

STOP_TIMEOUT = 5.0
"""Seconds a task that is out of time has to stop."""
INSIDE = ("catch_up", "file", "kept", "load", "start", "take_in")
"""What `server.sets` does with one, and Tab need not offer."""


class TaskSet(TaskRows):
    """The tasks of `Server.map`, in the order of the rows. Shows itself as a live table.

    It runs by itself; an interrupted `results()` leaves it running. In a notebook it outlives the kernel, with its
    arguments, order and answers: `server.sets[name]` is it again, and `resume()` goes on with what is missing.

    Args:
        kept: What it is, and what is known of its rows.
        file: Where that is kept; None where nothing is.
    """

    def __init__(self, starter: Starter, tool: Tool, kept: KeptSet, file: SetFile | None) -> None:
        self._starter = starter
        self.tool = tool
        self.name = kept.name
        self.concurrency = kept.concurrency
        self.kept = kept
        self.file = file
        self._lane_of: dict[Task, int] = {}
        self._pace = Pace()
        self._lanes = Lanes(kept.concurrency, (), self._turn)
        self._listeners: dict[int, Callable[[Task], object]] = {}
        self._run: concurrent.futures.Future[None] | None = None
        self._unloaded: list[Call] = []
        self._loads = 0
        self._loading: concurrent.futures.Future[None] | None = None
        self._resumed: str | None = None
        self._tasks: list[Task] = []
        self._places: dict[int, int] = {}
        self._put([self._recalled(row) for row in kept.rows])

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in INSIDE]

    @property
    def index(self) -> Any:
        return self.kept.index

    @property
    def columns(self) -> list[str]:
        """The columns that were chosen in its table; none while it chooses itself."""
        return self.kept.columns

    @columns.setter
    def columns(self, names: list[str]) -> None:
        if names != self.kept.columns:
            self.kept.columns = names
            if self.file is not None and session.remember:
                self.file.note(None, {"columns": names})

    @property
    def _present(self) -> list[Task]:
        return list(self._tasks)

    @property
    def _where(self) -> str:
        return f"{self._starter.name}.{self.tool.name}"

    def _lane(self, task: Task) -> int:
        return self._lane_of.get(task, 0)

    def _plan(self, row: KeptRow) -> Task:
        call = self._starter.plan(self.tool, row.arguments, as_task=True, queued=True)
        call.set_name = self.name
        return Task(call)

    # --- its work, on the connection's loop ---

    def start(self, places: Iterable[int] | None = None) -> None:
        """Start what has not been started. Called by `Server.map`.

        Args:
            places: Of the rows that are to be; by default all that were not.

        Raises:
            LabError: Another kernel, or connection, works on it.
        """
        self._hold()
        self._pace = Pace()
        waiting = [place for place, task in enumerate(self._tasks) if task.queued] if places is None else places
        self._lanes = Lanes(self.concurrency, waiting, self._turn)
        self._run = runtime().start(self._work_off(self._lanes))

    @property
    def running(self) -> bool:
        """Whether rows are being started, or waited for, by this kernel."""
        return self._run is not None and not self._run.done()

    async def _work_off(self, lanes: Lanes) -> None:
        try:
            await lanes.work_off()
            self._pace.over()
        finally:
            if self.file is not None:
                self.file.release()

    async def _turn(self, place: int, lane: int) -> None:
        task = self._tasks[place]
        if task.done():
            self._note(call_of(task), ending(call_of(task)))
        elif self._starter.closed:
            call_of(task).fail(ConnectionClosed(f"{self._where} was closed before this row was started"))
        elif task.queued:  # and not begun by an earlier turn of the same place
            self._lane_of[task] = lane
            await self._one(task)

    async def _one(self, task: Task) -> None:
        loop, call = asyncio.get_running_loop(), call_of(task)
        ended = asyncio.Event()
        call.begin()
        self._note(call, {"begun": call.started})
        call.created.add_done_callback(lambda _: self._note(call, {} if call.id is None else {"task": call.id}))
        call.add_done_callback(lambda call: self._note(call, ending(call)))
        call.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
        self._starter.tasks.add(task)
        timeout = self.kept.timeout
        making = asyncio.create_task(self._starter.start(call, ttl=self.kept.ttl))
        try:
            async with asyncio.timeout(timeout):
                await ended.wait()
        except TimeoutError:
            call.overdue = TimeoutError(f"{self._where} was cancelled: not done after {timeout:g} s")
            with suppress(LabError):  # which its row says
                await stop(task)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT):
                    await ended.wait()
            call.fail(call.overdue)  # for a server that does not stop it
        await asyncio.wait([making])
        self._pace.one_ended()

    # --- what is kept of it ---

    def _note(self, call: Call, event: Mapping[str, Any]) -> None:
        """Keep what happened to a row; a call whose place another has taken since tells nothing."""
        place = self._places.get(call.number)
        if place is not None and self.file is not None and session.remember and event:
            self.file.note(place, event)

    def _put(self, tasks: list[Task]) -> None:
        before, known = self._tasks, self._places
        self._tasks = tasks
        self._places = {call_of(task).number: place for place, task in enumerate(tasks)}
        new = [place for number, place in self._places.items() if number not in known] if known else []
        for place, task in enumerate(tasks):
            call_of(task).place = place
        for place in new:
            if len(before) == len(tasks):
                call_of(tasks[place]).instead_of = call_of(before[place]).number
            for listener in list(self._listeners.values()):
                listener(tasks[place])

    def on_task(self, listener: Callable[[Task], object]) -> Callable[[], None]:
        """Call `listener(task)` with what joins it, and what takes another's place; returns how to stop that."""
        key = id(listener)
        self._listeners[key] = listener

        def stop() -> None:
            self._listeners.pop(key, None)

        return stop

    def _recalled(self, row: KeptRow) -> Task:
        """The task of a row, as far as is known without asking."""
        if row.begun is None and not row.over:
            return self._plan(row)
        tasks = self._starter.tasks
        known = tasks.find(row.task) if row.task is not None else None
        if known is not None:
            call = call_of(known)
            call.arguments, call.tool, call.set_name = dict(row.arguments), self.tool.name, self.name
            if not call.done():
                call.add_done_callback(lambda call: self._note(call, ending(call)))
            return known
        task = self._plan(row)
        row.recall(call_of(task))
        if not task.done():
            self._unloaded.append(call_of(task))
        if row.task is not None:
            tasks.keep(task)
        return task

    def load(self, timeout: float | None = None) -> None:
        """Ask the server for what is not known of its rows, and wait for that. Called by `server.sets`."""
        unloaded, self._unloaded = self._unloaded, []
        if unloaded:
            self._loads = len(unloaded)
            self._loading = runtime().start(self._load(unloaded))
        if self._loading is not None and not runtime().here:
            with suppress(TimeoutError):
                runtime().wait(self._loading, timeout)

    def catch_up(self) -> None:
        """Take in what another kernel did of it meanwhile."""
        answered = all(task.outcome is not None for task in self._tasks)
        if self.running or self.file is None or answered or (kept := self.file.read()) is None:
            return
        same = [row.arguments for row in kept.rows] == [row.arguments for row in self.kept.rows]
        self.kept = kept
        tasks = [self._tasks[place] if same else None for place in range(len(kept.rows))]
        known = zip(tasks, kept.rows, strict=True)
        self._put(
            [self._recalled(row) if task is None or row.overtakes(call_of(task)) else task for task, row in known]
        )

    async def _load(self, calls: Sequence[Call]) -> None:
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(call: Call) -> None:
            call.add_done_callback(lambda call: self._note(call, ending(call)))
            async with slots:
                await self._starter.tasks.ask_for(call)
            self._loads -= 1

        await asyncio.gather(*map(one, calls))

    # --- what can be done ---

    def _stalled(self) -> str | None:
        if self.running or not any(task.queued for task in self._tasks):
            return None
        return f"{self._where}: {self.summary()}; {self.name!r} goes on with resume()"

    def _settle(self, timeout: float | None = None) -> None:
        if self._run is not None:
            with suppress(TimeoutError):
                runtime().wait(self._run, timeout)

    def cancel(self) -> Report:
        async def forestall() -> Report:
            places = list(self._lanes.waiting) if self.running else range(len(self._tasks))
            self._lanes.waiting.clear()
            queued = [task for place in places if (task := self._tasks[place]).queued]
            for task in queued:
                call_of(task).fail(TaskCancelled(f"{self._where} was cancelled before it started", ""))
                self._note(call_of(task), ending(call_of(task)))
            return Report({"cancelled": len(queued)}, {})

        return runtime().run(forestall()) + super().cancel()

    def retry(self, which: Iterable[Task] | None = None) -> TaskSet:
        """Start rows again with the same arguments, each in its place; the others go on meanwhile.

        Returns `self`, which says how many.

        Args:
            which: Tasks of this set, as `many[3:5]` or `lab.selected` has them; by default those that failed, timed
                out, were lost with the server, or were cancelled.

        Raises:
            InvalidArguments: Some are not of this set.
            LabError: Some have not ended, or another kernel works on it.
        """
        with self._holding():
            if not self.running:
                self.catch_up()
                self.load()
            places = self._ended_places(which)
            self._resumed = f"retried {len(places)} of {len(self)}" if places else "nothing to retry"
            self._again(places)
        return self

    def _ended_places(self, which: Iterable[Task] | None) -> list[int]:
        if which is None:
            return [place for place, task in enumerate(self._tasks) if task.done() and self.failure(task) is not None]
        known = {task: place for place, task in enumerate(self._tasks)}
        wanted = list(which)
        if foreign := [task for task in wanted if task not in known]:
            raise InvalidArguments(
                f"{len(foreign)} of these {len(wanted)} are no rows of {self.name!r}, as {foreign[0]!r}"
            )
        places = sorted({known[task] for task in wanted})
        if live := [place for place in places if not self._tasks[place].done()]:
            raise LabError(f"{len(live)} of these {len(places)} have not ended: wait() or cancel() before retry()")
        return places

    def resume(self, *, check: bool = True) -> TaskSet:
        """Go on with what is missing: rows that were never started, and those whose answer is lost for good.

        What has failed or was cancelled has its answer: `retry()` is for that. Returns `self`.

        Args:
            check: Compare what is missing with the tool's input schema as it is now, before anything is sent.

        Raises:
            InvalidArguments: The tool has changed, and rows that are missing don't fit it any more.
            UnknownTool: There is no such tool any more.
            LabError: Another kernel works on it.
        """
        if not self.running:
            with self._holding():
                self._go_on(check)
        return self

    def _go_on(self, check: bool) -> None:
        self.catch_up()
        self.load()
        missing = [place for place, task in enumerate(self._tasks) if task.queued or lost(call_of(task))]
        if not missing:
            self._resumed = "nothing was missing"
            return
        tool = self._starter.tool(self.tool.name)
        changed = tool.input_schema != self.tool.input_schema
        if check:
            rows = [self._tasks[place].arguments for place in missing]
            why = "has changed since, and " if changed else ""
            check_rows(tool, [self.index[place] for place in missing], rows, why)
        self.tool = tool
        self._resumed = f"resumed with {len(missing)} of {len(self)}"
        self._resumed += "; its tool's schema has changed since" if changed else ""
        self._again(missing)

    def take_in(
        self,
        tool: Tool,
        index: Any,
        rows: Sequence[dict[str, Any]],
        *,
        concurrency: int,
        ttl: int | None,
        timeout: float | None,
        check: bool,
    ) -> TaskSet:
        """`resume`, with rows that may have another order, and with more of them. Called by `server.sets`."""
        if tool.name != self.tool.name:
            raise InvalidArguments(f"{self.name!r} is a set of {self._where}, not of {tool.name}: give it another name")
        with self._holding():
            self.catch_up()
            self.load()
            self._take_in(tool, index, rows, check)
            self.concurrency, self.kept.ttl, self.kept.timeout = concurrency, ttl, timeout
            return self.resume(check=check)

    def _take_in(self, tool: Tool, index: Any, rows: Sequence[dict[str, Any]], check: bool) -> None:
        places, gone = self.kept.places(rows)
        if gone:
            raise InvalidArguments(
                f"{len(gone)} of the {len(self)} rows of {self.name!r} are not among these, as row "
                f"{self.index[gone[0]]!r}: {self.kept.rows[gone[0]].arguments}; nothing was started. "
                "Give it all its rows, and more if you like, or another name"
            )
        if places != list(range(len(self))):
            if self.running:
                raise LabError(f"{self!r} still runs: it takes other rows once it has ended, or was cancelled")
            if check:
                new = [place for place, known in enumerate(places) if known is None]
                check_rows(tool, [index[place] for place in new], [rows[place] for place in new])
            self._rearrange(index, rows, places)

    def _rearrange(self, index: Any, rows: Sequence[dict[str, Any]], places: Sequence[int | None]) -> None:
        written = self.file.read() if self.file is not None else None
        known = (written or self.kept).rows
        new = [KeptRow(dict(row)) if at is None else known[at] for row, at in zip(rows, places, strict=True)]
        tasks = [self._plan(row) if at is None else self._tasks[at] for row, at in zip(new, places, strict=True)]
        self.kept = replace(self.kept, index=index, rows=new)
        self._put(tasks)
        if self.file is not None and session.remember:
            self.file.write(self.kept)

    @contextmanager
    def _holding(self) -> Iterator[None]:
        """While something is decided of it; no longer, unless it runs then."""
        self._hold()
        try:
            yield
        finally:
            if not self.running and self.file is not None:
                self.file.release()

    def _hold(self) -> None:
        if self.file is not None and not self.file.hold():
            raise LabError(
                f"{self._where}: another kernel, or another connection of this one, works on the set {self.name!r}. "
                "It goes on there; it can be started here once that has ended"
            )

    def _again(self, places: Sequence[int]) -> None:
        if not places:
            return
        self._hold()
        again = set(places)
        self._put([self._plan(self.kept.rows[n]) if n in again else task for n, task in enumerate(self._tasks)])
        for place in places:
            self._note(call_of(self._tasks[place]), AGAIN)
        if not (self.running and runtime().run(self._join(places))):
            self._settle()
            self.start(places)

    async def _join(self, places: Sequence[int]) -> bool:
        return self._lanes.join(places)

    # --- what is known ---

    def summary(self) -> str:
        """One line: how far it is, how fast, and how long it will take."""
        if self._loads:
            return f"loading {len(self) - self._loads} of {len(self)}"
        parts = self._counted()
        if not self.running and (queued := self.counts.get("queued")):
            return ", ".join([*parts, f"{queued} never started"])
        parts += [self._resumed] if self._resumed else []
        parts += [self.file.trouble] if self.file is not None and self.file.trouble else []
        return ", ".join([*parts, *self._pace.told(len(self) - self._ended(self.counts))])
