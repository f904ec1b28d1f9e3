"""The live table of tasks: which rows there are, when their changes are sent, and what its views may ask.

How rows become columns is in `sheet`, how they look in `js/src/task-table`, and the contract between the
two in `js/MESSAGES.md`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import traitlets as t

from pmcp_lab.client import (
    Client,
    Server,
    TableColumns,
    Task,
    TaskRows,
    TaskSelection,
    TaskSet,
    Tool,
    call_of,
    client_of,
    on_task,
    runtime,
    select_in,
    servers,
)
from pmcp_lab.host import built, bundle, now
from pmcp_lab.notebook.chosen_columns import COLUMNS, DATA, about
from pmcp_lab.notebook.live import script
from pmcp_lab.notebook.row_patches import Sheet
from pmcp_lab.notebook.rows import TALLY_LIMIT, moments, raw_text, tally, variables
from pmcp_lab.notebook.stretches import ranges, spread
from pmcp_lab.notebook.table_actions import TableActions
from pmcp_lab.notebook.task_card import form_of
from pmcp_lab.notebook.task_views import PAUSE, TaskWidget

GROUPS = ("server", "tool", "status", "set")

FIRST = 300
"""Rows that come with the model itself, so that something is painted at once."""
CHUNK = 10_000
"""Rows of one message, of those that come after."""
SLICE = 500
"""Rows that are read without letting the loop do something else."""
MOST = 5_000
"""Changed rows of one delta; the others wait for the next."""
HISTORY = 500
"""Moments of a row's life that an expanded row shows."""
RESULT = 4_000
"""Characters of a result that an expanded row shows."""


def _number(task: Task) -> int:
    return call_of(task).number


class TaskTable(TaskWidget):
    """A live table of tasks.

    Its rows move while cells run. What a person does to the view (sort, filter, group, columns, open rows,
    selection) is in traits, so it survives a page reload and can be set from code as well.

    Args:
        tasks: A server, some tasks, or None for every task of every connection. Tasks started later on the servers
            shown join by themselves; so do those of anything with a method `on_task(listener)`, which is to call
            the listener with each new task and to return how to stop that. What a task is started again as takes its
            row in any case.
        filter: As the trait.
        group_by: As the trait.
        columns: As the trait.
        sort: As the trait.
    """

    _esm = script("task-table")
    _css = built("views.css")

    filter = t.Unicode("").tag(sync=True)
    """Words that a row must have, in any of its texts; `status:failed,cancelled`, `server:…`, `tool:…`, `set:…`
    name the field. "" shows all."""
    group_by = t.Enum([None, *GROUPS], default_value=None, allow_none=True).tag(sync=True)
    """"server", "tool", "status", "set" or None."""
    columns = t.List(t.Unicode()).tag(sync=True)
    """The columns, in order: any of `COLUMNS`, and `arguments.NAME`, `variables.NAME`, `result.NAME`. While there is
    none, the table shows what varies and what is a number. A set's are remembered with it."""
    sort = t.Unicode("").tag(sync=True)
    """A column to sort by, "-" before it for descending; "" is the order of starting."""

    _expanded = t.List(t.Int()).tag(sync=True)
    _folded = t.List(t.Unicode()).tag(sync=True)
    _selected = t.List(t.Int()).tag(sync=True)
    """First and last row of each stretch of selected rows, alternating."""

    def __init__(
        self,
        tasks: Server | Iterable[Task] | None = None,
        *,
        filter: str = "",  # noqa: A002 - the trait's name
        group_by: str | None = None,
        columns: Iterable[str] = (),
        sort: str = "",
    ) -> None:
        self._server = tasks if isinstance(tasks, Server) else None
        given = list(tasks) if tasks is not None and not isinstance(tasks, Server) else None
        self._joining = given is None
        tell = getattr(tasks, "on_task", None)
        self._tasks: list[Task] = []
        self._places: dict[int, int] = {}
        for task in sorted(self._present(), key=_number) if given is None else given:
            self._seat(task)
        self._source = tasks
        tool = getattr(tasks, "tool", None)
        self._sheet = Sheet(TableColumns(tool if isinstance(tool, Tool) else None))
        self._loaded = 0
        self._settled = 0
        self._loading: asyncio.Task[None] | None = None
        self._moved: dict[int, None] = {}
        self._views: dict[str, bool] | None = None
        self._open: set[int] = set()
        self._moments_sent: dict[int, int] = {}
        self._fresh: set[int] = set()
        self._preferring: set[Any] = set()
        self._actions = TableActions(self)
        self._jobs: set[asyncio.Task[None]] = set()
        self._following = 0
        self._loaded = min(FIRST, len(self._tasks))
        super().__init__(
            filter=filter, group_by=group_by, columns=list(columns) or getattr(tasks, "columns", []), sort=sort
        )
        self._follow_up_to(self._loaded)
        self._stops.append(on_task(self._started) if tell is None else tell(self._joined))
        runtime().call_soon(self._catch_up)

    def _present(self) -> list[Task]:
        shown = servers().values() if self._server is None else [self._server]
        return [task for server in shown for task in server.tasks]

    def _catch_up(self) -> None:
        """What happened while the table was made: rows that moved before they were followed, tasks that came."""
        self._changed(*range(min(FIRST, self._loaded)))
        if self._joining:
            for task in self._present():
                self._add(task)

    # --- for people ---

    @property
    def selected(self) -> TaskSelection:
        """The tasks that are selected in the table: `table.selected.df`, `.retry()`, `.cancel()`. Can be set.

        `lab.selected` is that of the table where somebody selected last.
        """
        with self._lock:
            return TaskSelection(self._tasks[place] for place in spread(self._selected, len(self._tasks)))

    @selected.setter
    def selected(self, tasks: Iterable[Task]) -> None:
        with self._lock:
            self._selected = ranges(self._places[_number(task)] for task in tasks if _number(task) in self._places)

    @t.observe("_selected")
    def _selection(self, _change: Any) -> None:
        select_in(lambda: self.selected)

    @property
    def df(self) -> Any:
        """The table as a pandas DataFrame, one row per task, whatever is filtered: of a set, its `df`; of other tasks
        the same, with their ids."""
        if isinstance(self._source, TaskRows):
            return self._source.df
        tasks = self.shown()
        frame = TaskSelection(tasks).df
        frame.insert(0, "task_id" if "task_id" not in frame else "task.task_id", [task.id for task in tasks])
        return frame

    @t.observe("columns")
    def _remember_columns(self, change: Any) -> None:
        if isinstance(self._source, TaskSet):
            self._source.columns = list(change["new"])

    def _about(self) -> dict[str, Any]:
        return about(self._sheet, sweep=not self._joining, one_server=not self._joining or self._server is not None)

    def __repr__(self) -> str:
        return f"<TaskTable {tally(self.shown()) or 'no tasks yet'}>"

    @t.validate("columns")
    def _known_columns(self, proposal: Any) -> list[str]:
        names: list[str] = list(proposal["value"])
        for name in names:
            if name not in COLUMNS and not name.startswith(DATA):
                data = ", ".join(f"{part}NAME" for part in DATA)
                raise t.TraitError(f"there is no column {name!r}; there are {', '.join(COLUMNS)} and {data}")
        return names

    # --- rows ---

    def shown(self) -> list[Task]:
        with self._lock:
            return list(self._tasks)

    def _started(self, task: Task) -> None:
        call = call_of(task)
        shown = self._joining and (self._server is None or call.origin is client_of(self._server))
        if shown or call.instead_of in self._places:
            self._joined(task)

    def _joined(self, task: Task) -> None:
        runtime().call_soon(self._add, task)

    def _add(self, task: Task) -> None:
        with self._lock:
            place = self._seat(task)
            if place is None:
                return
            if self._loaded == place:
                self._loaded += 1
            if place < self._following:
                self.follow(call_of(task), place)  # it takes another's place
                self._moments_sent.pop(place, None)
                self._fresh |= {place} & self._open
            else:
                self._follow_up_to(self._loaded)
        self._changed(place)

    def _seat(self, task: Task) -> int | None:
        """Give a task its row: a new one, or that of the task which it was started for again; None if it has one."""
        number, before = _number(task), call_of(task).instead_of
        if number in self._places:
            return None
        place = self._places[number] = self._places.get(before or 0, len(self._tasks))
        self._tasks[place : place + 1] = [task]
        return place

    def _follow_up_to(self, end: int) -> None:
        """A row is followed before it is first read, and no sooner than that: with very many, it would be felt."""
        while self._following < end:
            self.follow(call_of(self._tasks[self._following]), self._following)
            self._following += 1

    def snapshot(self) -> dict[str, Any]:
        with self._lock:
            return {"seq": self._seq, "now": now(), "state": self.state()}

    def state(self) -> dict[str, Any]:
        """As of the last delta: what changed since then is in the next."""
        first = self._tasks[:FIRST]
        return {
            "total": len(self._tasks),
            "patch": self._sheet.whole(0, first) if first else None,
            "about": self._about(),
            "details": [
                self._detail(place, 0, self._moments_sent[place])
                for place in sorted(self._open & self._moments_sent.keys())
            ],
            **({"title": f"Tasks of {self._server.name}"} if self._server else {}),
        }

    # --- deltas ---

    def _changed(self, *rows: int) -> None:
        self._moved.update(dict.fromkeys(rows))
        self.keep()
        self._wake()

    def _wake(self) -> None:
        if not self._flushing and self._watched:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    @property
    def _watched(self) -> bool:
        """Whether somebody may be looking. Before any view said hello, that has to be assumed."""
        return self._views is None or any(self._views.values())

    def _flush(self) -> None:
        with self._lock:
            due = [place for place in self._moved if place < self._loaded] if self._watched else []
            del due[MOST:]
            details = (self._fresh | (self._open & set(due))) if self._watched else set()
            if not due and not details:
                self._flushing = False
                self._settle()
                return
            self._fresh.clear()
            due.sort()
            for place in due:
                del self._moved[place]
            patch = self._sheet.patch(due, [self._tasks[place] for place in due])
            if patch is not None or details:
                self._seq += 1
                message = {"kind": "delta", "seq": self._seq, "now": now(), "total": len(self._tasks), "patch": patch}
                self._say_what_changed(message)
                if details:
                    message["details"] = [self._tell(place) for place in sorted(details)]
                self.post(message)
        asyncio.get_running_loop().call_later(PAUSE, self._flush)

    def _say_what_changed(self, message: dict[str, Any]) -> None:
        if self._sheet.changed:
            self._sheet.changed = False
            message["about"] = self._about()

    def _settle(self) -> None:
        """When all tasks have ended, have their end where a notebook is saved from: in the model and in the cell."""
        if self._seq == self._settled or len(self._tasks) > TALLY_LIMIT:
            return
        if all(task.done() for task in self._tasks):
            self._settled = self._seq
            self.within(self.send_state, "_state")
            self.keep(soon=True)

    async def _load(self) -> None:
        """Send the rows that did not come with the model."""
        while self._loaded < len(self._tasks):
            first = self._loaded
            end = min(first + CHUNK, len(self._tasks))
            for start in range(first, end, SLICE):
                with self._lock:
                    stop = min(start + SLICE, end)
                    self._follow_up_to(stop)
                    self._sheet.refresh(start, self._tasks[start:stop])
                await asyncio.sleep(0)
            with self._lock:
                if self._loaded != first:
                    continue  # somebody asked for earlier ones meanwhile
                patch = self._sheet.whole(first, self._tasks[first:end])
                self._seq += 1
                message = {"kind": "rows", "seq": self._seq, "now": now(), "total": len(self._tasks), "patch": patch}
                self._say_what_changed(message)
                self.post(message)
                self._loaded = end
            self._wake()
            await asyncio.sleep(PAUSE)

    # --- what views say ---

    def _arrived(self, widget: object, content: Any, buffers: object) -> None:
        asleep = isinstance(content, dict) and content.get("kind") == "sleep"
        if asleep and threading.current_thread() is threading.main_thread():
            # Without subshells, the view could not wake the table up again while a cell runs.
            content = {**content, "kind": "wake"}
        super()._arrived(widget, content, buffers)

    def greet(self, view: str, seq: object) -> None:
        self._views = {view: True, **(self._views or {})}
        super().greet(view, seq)
        self._wake()

    def receive(self, kind: str, view: str, content: dict[str, Any]) -> None:
        match kind:
            case "more" if isinstance(rows := content.get("rows"), int):
                self._more(rows)
            case "sleep" | "wake":
                self._views = {**(self._views or {}), view: kind == "wake"}
                self._wake()
            case "bye":
                (self._views or {}).pop(view, None)
            case "visible":
                self._prefer(self._places_in(content))
            case "raw":
                for place in self._places_in(content):
                    self.reply(view, {"kind": "raw", "row": place, "text": raw_text(self._tasks[place])})
            case "action":
                tasks = [self._tasks[place] for place in self._places_in(content)]
                self._start(self._actions.act(view, content.get("action"), tasks))
            case "code" if content.get("name") == "cards":
                self.reply(view, {"kind": "code", "payload": bundle("cards")})
            case "find":
                for place, task in enumerate(self._tasks):
                    if call_of(task).anchor == content.get("anchor"):
                        self.reply(view, {"kind": "found", "row": place})
            case "answer":
                self._start(self._actions.answer(view, content))

    def _more(self, rows: int) -> None:
        self._loaded = min(self._loaded, max(0, rows))
        if self._loading is None or self._loading.done():
            self._loading = self._start(self._load())

    def _places_in(self, content: dict[str, Any]) -> list[int]:
        stretches = content.get("rows")
        valid = isinstance(stretches, list) and all(type(each) is int for each in stretches)
        return spread(stretches, len(self._tasks)) if valid and isinstance(stretches, list) else []

    def task_at(self, row: int) -> Task | None:
        return self._tasks[row] if 0 <= row < len(self._tasks) else None

    def row_of(self, task: Task) -> int:
        return self._places[_number(task)]

    def _prefer(self, places: list[int]) -> None:
        """Tell each connection which of its tasks are being looked at, none of them included."""
        visible: dict[Any, list[str]] = {origin: [] for origin in self._preferring}
        for place in places:
            task = self._tasks[place]
            if task.id is not None:
                visible.setdefault(call_of(task).origin, []).append(task.id)
        for origin, ids in visible.items():
            if isinstance(origin, Client):
                origin.prefer(ids)
        self._preferring = {origin for origin, ids in visible.items() if ids}

    def _start(self, job: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return task

    def _end_jobs(self) -> None:
        if self._loading is not None:
            self._loading.cancel()

    # --- expanded rows ---

    @t.observe("_expanded")
    def _expansion(self, _change: Any) -> None:
        runtime().call_soon(self._expand)

    def _expand(self) -> None:
        with self._lock:
            now_open = {place for place in self._expanded if 0 <= place < len(self._tasks)}
            self._fresh |= now_open - self._open
            for place in self._open - now_open:
                self._moments_sent.pop(place, None)
            self._open = now_open
        self._wake()

    def _tell(self, place: int) -> dict[str, Any]:
        """What an expanded row has to say that its views were not told yet."""
        begin, end = self._moments_sent.get(place, 0), len(call_of(self._tasks[place]).history.moments)
        self._moments_sent[place] = end
        return self._detail(place, begin, end)

    def _detail(self, place: int, begin: int, end: int) -> dict[str, Any]:
        task = self._tasks[place]
        call = call_of(task)
        seen = call.snapshot()
        begin = max(begin, end - HISTORY)
        return {
            "row": place,
            "from": begin,
            "history": moments(call.history.moments[begin:end]),
            "variables": variables(seen),
            "arguments": call.arguments,
            "asked": [form_of(question) for question in seen.questions],
            "result": seen.outcome.preview(RESULT) if seen.outcome is not None else None,
            "stderr": task.stderr if task.done() else "",
        }

    def close(self) -> None:
        runtime().call_soon(self._end_jobs)
        super().close()
