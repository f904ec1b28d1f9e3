"""Many tasks of one tool: started a bounded number at a time, kept on disk, and gone on with later."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from pmcp_lab.client.catalogue import Tool
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.tasks.call import Call
from pmcp_lab.client.tasks.kept_set import KeptRow, KeptSet, SetFile, ending, lost
from pmcp_lab.client.tasks.map_arguments import check_rows
from pmcp_lab.client.tasks.remembered import session
from pmcp_lab.client.tasks.starter import Starter
from pmcp_lab.client.tasks.task import Task, call_of
from pmcp_lab.client.tasks.task_list import AT_ONCE
from pmcp_lab.client.tasks.task_rows import TaskRows, stop
from pmcp_lab.errors import ConnectionClosed, InvalidArguments, LabError, TaskCancelled

STOP_TIMEOUT = 5.0
"""Seconds a task that is out of time has to stop."""
RECENT = 64
"""Ends by which the speed is measured."""
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
        self._lanes: dict[Task, int] = {}
        self._ends: deque[float] = deque(maxlen=RECENT)
        self._began = time.monotonic()
        self._over: float | None = None
        self._waiting: deque[int] = deque()
        self._run: concurrent.futures.Future[None] | None = None
        self._unloaded: list[Call] = []
        self._loads = 0
        self._loading: concurrent.futures.Future[None] | None = None
        self._resumed: str | None = None
        self._put([self._recalled(row) for row in kept.rows])

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in INSIDE]

    @property
    def index(self) -> Any:
        return self.kept.index

    @property
    def _present(self) -> list[Task]:
        return list(self._tasks)

    @property
    def _where(self) -> str:
        return f"{self._starter.name}.{self.tool.name}"

    def _lane(self, task: Task) -> int:
        return self._lanes.get(task, 0)

    def _plan(self, row: KeptRow) -> Task:
        call = self._starter.plan(self.tool, row.arguments, as_task=True, queued=True)
        call.set_name = self.name
        return Task(call)

    # --- its work, on the connection's loop ---

    def start(self) -> None:
        """Start what has not been started. Called by `Server.map`.

        Raises:
            LabError: Another kernel, or connection, works on it.
        """
        self._hold()
        self._began, self._over = time.monotonic(), None
        self._ends.clear()
        waiting = self._waiting = deque(place for place, task in enumerate(self._tasks) if task.queued)
        self._run = runtime().start(self._work_off(waiting))

    @property
    def running(self) -> bool:
        """Whether rows are being started, or waited for, by this kernel."""
        return self._run is not None and not self._run.done()

    async def _work_off(self, waiting: deque[int]) -> None:
        async def lane(number: int) -> None:
            while waiting:
                place = waiting.popleft()
                task = self._tasks[place]
                if task.done():
                    self._note(call_of(task), ending(call_of(task)))
                elif self._starter.closed:
                    call_of(task).fail(ConnectionClosed(f"{self._where} was closed before this row was started"))
                else:
                    self._lanes[task] = number
                    await self._one(task)

        try:
            await asyncio.gather(*(lane(number) for number in range(min(self.concurrency, len(waiting)))))
            self._over = time.monotonic()
        finally:
            if self.file is not None:
                self.file.release()

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
            await stop(task)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT):
                    await ended.wait()
            call.fail(call.overdue)  # for a server that does not stop it
        await asyncio.wait([making])
        self._ends.append(time.monotonic())

    # --- what is kept of it ---

    def _note(self, call: Call, event: Mapping[str, Any]) -> None:
        """Keep what happened to a row; a call whose place another has taken since tells nothing."""
        place = self._places.get(call.number)
        if place is not None and self.file is not None and session.remember and event:
            self.file.note(place, event)

    def _put(self, tasks: list[Task]) -> None:
        self._tasks = tasks
        self._places = {call_of(task).number: place for place, task in enumerate(tasks)}

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

    def cancel(self) -> None:
        """Cancel what runs and what was not started yet; returns when the server was told."""

        async def forestall() -> None:
            places = list(self._waiting) if self.running else range(len(self._tasks))
            self._waiting.clear()
            for place in places:
                if (task := self._tasks[place]).queued:
                    call_of(task).fail(TaskCancelled(f"{self._where} was cancelled before it started", ""))
                    self._note(call_of(task), ending(call_of(task)))

        runtime().run(forestall())
        super().cancel()

    def retry_failed(self) -> TaskSet:
        """Start the rows again that failed, timed out or were lost with the server; not those that were cancelled.

        They keep their place in this set; `self` is returned.

        Raises:
            LabError: It still runs, or another kernel works on it.
        """
        if not self.done():
            raise LabError(f"{self.summary()}: wait() or cancel() before retry_failed()")
        self._settle()
        with self._holding():
            self.catch_up()
            self.load()
            self._again([place for place, task in enumerate(self._tasks) if task.done() and self._failed(task)])
        return self

    def resume(self, *, check: bool = True) -> TaskSet:
        """Go on with what is missing: rows that were never started, and those whose answer is lost for good.

        What has failed or was cancelled has its answer: `retry_failed()` is for that. Returns `self`.

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
        before = list(self._tasks)
        again = set(places)
        self._put([self._plan(self.kept.rows[n]) if n in again else task for n, task in enumerate(before)])
        try:
            self.start()
        except LabError:
            self._put(before)
            raise

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
        if self._over is not None:
            return ", ".join([*parts, f"{self._over - self._began:.1f} s"])
        if (speed := self._speed()) > 0:
            left = (len(self) - self._ended(self.counts)) / speed
            parts += [f"{speed:.1f}/s", f"{left:.0f} s left" if left < 120 else f"{left / 60:.0f} min left"]
        return ", ".join(parts)

    def _speed(self) -> float:
        """Ends per second, of late."""
        ends = list(self._ends)
        if not ends:
            return 0.0
        since = self._began if len(ends) < RECENT else ends[0]
        return len(ends) / max(0.001, time.monotonic() - since)
