"""The tasks of one server: those started here, and those found there; and who hears of new ones, of any server."""

from __future__ import annotations

import asyncio
import html
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from pmcp_lab.client.connection import Connection
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.tasks.call import Call, Origin
from pmcp_lab.client.tasks.follower import Follower
from pmcp_lab.client.tasks.remembered import Started, session
from pmcp_lab.client.tasks.task import Task, call_of
from pmcp_lab.errors import INVALID_PARAMS, ConnectionClosed, LabError, NotOffered, PeerError, TaskNotFound
from pmcp_lab.protocol import TaskState

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE = 16
"""Requests in flight when many ids are asked for."""
SHOWN = 20
"""Tasks that are spelt out, the newest; the live table shows all."""
RECALL_TIMEOUT = 2.0
"""Seconds that the first look waits for tasks of an earlier kernel; later ones join when they are found."""

_listeners: dict[int, Callable[[Task], object]] = {}
_listening = threading.Lock()


def on_task(listener: Callable[[Task], object]) -> Callable[[], None]:
    """Call `listener(task)` for every task started from now on, on the starting thread. Returns how to stop."""
    key = id(listener)
    with _listening:
        _listeners[key] = listener

    def stop() -> None:
        with _listening:
            _listeners.pop(key, None)

    return stop


def _announce(task: Task) -> None:
    with _listening:
        listeners = list(_listeners.values())
    for listener in listeners:
        listener(task)


class TaskList(Sequence[Task]):
    """Tasks, oldest first; `tasks[0]`, `tasks[-3:]`, `tasks["id"]`. Shows itself as a table."""

    def __init__(self, origin: Origin, connection: Connection, follower: Follower) -> None:
        self._origin = origin
        self._connection = connection
        self._follower = follower
        self._tasks: list[Task] = []
        self._recalling: Any = None
        self._lock = threading.Lock()

    @overload
    def __getitem__(self, which: int | str) -> Task: ...
    @overload
    def __getitem__(self, which: slice) -> list[Task]: ...
    def __getitem__(self, which: int | str | slice) -> Task | list[Task]:
        if not isinstance(which, str):
            return self._tasks[which]
        if (task := self.find(which)) is None:
            raise TaskNotFound(which)
        return task

    def find(self, task_id: str) -> Task | None:
        """The handle of that id, if there is one; asks nobody."""
        return next((task for task in reversed(self._tasks) if task.id == task_id), None)

    def search(self, text: str) -> list[Task]:
        """The tasks whose tool, status, message, id or arguments have every word of `text`."""
        words = text.lower().split()

        def body(task: Task) -> str:
            return f"{task.tool} {task.status} {task.message or ''} {task.id or ''} {task.arguments}".lower()

        return [task for task in self._tasks if all(word in body(task) for word in words)]

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(list(self._tasks))

    def __contains__(self, task: object) -> bool:
        return any(task is each or task == each for each in self)

    # --- what comes and goes ---

    def add(self, task: Task) -> None:
        """Take in a task that is started here, and remember it once the server has named it."""
        with self._lock:
            self._tasks.append(task)
        call = call_of(task)
        call.created.add_done_callback(lambda _: self._remember(call))
        _announce(task)

    def keep(self, task: Task) -> None:
        """Take in a task of an earlier kernel whose id is known; nobody is asked for it."""
        with self._lock:
            self._tasks = sorted([*self._tasks, task], key=lambda task: task.started)
        _announce(task)

    async def ask_for(self, call: Call) -> None:
        """Ask for the task of such a call, and follow it to its end. On the loop."""
        task_id = call.id
        assert task_id is not None
        try:
            state = await self._connection.ask(lambda peer: peer.get_task(task_id), again=True)
        except LabError as error:
            if isinstance(error, PeerError) and error.code == INVALID_PARAMS:
                call.fail(TaskNotFound(task_id, self._origin.name))
            else:
                call.fail(ConnectionClosed(f"{call.where}: what became of it could not be asked: {error.message}"))
        else:
            self._follower.adopt(call, state)

    def _remember(self, call: Call) -> None:
        if (state := call.state) is not None:
            expires = None if state.ttl is None else call.started + state.ttl
            session.note(self._connection.target, state.task_id, call.tool, expires)

    def remove(self, task: Task) -> None:
        with self._lock:
            self._tasks = [each for each in self._tasks if each is not task]

    # --- what was started elsewhere ---

    def attach(self, task_id: str, tool: str = "") -> Task:
        """See `Server.attach`."""
        known = self.find(task_id)
        return known if known is not None else runtime().run(self.taken_up(task_id, tool))

    async def taken_up(self, task_id: str, tool: str = "") -> Task:
        """`attach`, on the connection's loop."""
        try:
            state = await self._connection.ask(lambda peer: peer.get_task(task_id), again=True)
        except PeerError as error:
            if error.code != INVALID_PARAMS:
                raise
            raise TaskNotFound(task_id, self._origin.name) from None
        return self._adopt(state, tool)

    def _adopt(self, state: TaskState, tool: str = "") -> Task:
        known = self.find(state.task_id)
        if known is not None:
            return known
        call = Call(self._origin, tool, {})
        call.attached = True
        call.identify(state.task_id)
        call.started = int(state.created_at.timestamp() * 1000)
        task = Task(call)
        with self._lock:
            self._tasks.append(task)
        self._follower.adopt(call, state)
        _announce(task)
        return task

    def refresh(self) -> TaskList:
        """Find the tasks the server has for this client, whoever started them, and follow them.

        Only 2025-11-25 servers can list tasks; a modern one is asked for those this notebook started.

        Raises:
            NotOffered: The server can't list, and this notebook remembers nothing.
        """
        peer = runtime().wait(self._connection.ready)
        if peer.lists_tasks:
            runtime().run(self._list())
        elif session.file is None:
            raise NotOffered(
                f"Server {self._origin.name!r} ({peer.version}) can't list tasks; attach to one by its id: "
                "server.attach(task_id)"
            )
        else:
            runtime().run(self._recall())
        return self

    async def _list(self) -> None:
        states = await self.listed()
        await self._named()
        for state in sorted(states, key=lambda state: state.created_at):
            self._adopt(state)

    async def listed(self) -> list[TaskState]:
        """What the server lists, all pages. On the loop."""
        found: list[TaskState] = []
        seen: set[str | None] = set()
        cursor: str | None = None
        while cursor not in seen:
            seen.add(cursor)
            states, cursor = await self._page(cursor)
            found += states
            if cursor is None:
                break
        return found

    async def _page(self, cursor: str | None) -> tuple[list[TaskState], str | None]:
        return await self._connection.ask(lambda peer: peer.list_tasks(cursor), again=True)

    async def _named(self) -> None:
        """Wait until no task of ours is without its id, lest a listed one be taken for somebody else's."""
        unnamed = [task for task in self if task.id is None and not task.done() and not task.queued and not task.local]
        if unnamed:
            await asyncio.wait([asyncio.wrap_future(call_of(task).created) for task in unnamed], timeout=RECALL_TIMEOUT)

    def recall(self) -> None:
        """Once per connection: take up what an earlier kernel of this notebook started on this target."""
        with self._lock:
            if self._recalling is None and self._connection.ready.done() and self._connection.open:
                self._recalling = runtime().start(self._recall())
            recalling = self._recalling
        if recalling is None or recalling.done() or runtime().here:
            return
        try:
            runtime().wait(recalling, RECALL_TIMEOUT)
        except TimeoutError:
            return  # they join as they are found

    async def _recall(self) -> None:
        target, peer = self._connection.target, self._connection.peer
        wanted = [each for each in session.started(target) if self.find(each.task) is None]
        if not wanted:
            return
        listed: dict[str, TaskState] = {}
        if peer.lists_tasks and len(wanted) > AT_ONCE:
            listed = {state.task_id: state for state in await self.listed()}
        gone: set[str] = set()
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(each: Started) -> None:
            if each.task in listed:
                self._adopt(listed[each.task], each.tool)
                return
            async with slots:
                try:
                    await self.taken_up(each.task, each.tool)
                except TaskNotFound:
                    gone.add(each.task)

        found = await asyncio.gather(*map(one, wanted), return_exceptions=True)
        with self._lock:
            self._tasks = sorted(self._tasks, key=lambda task: task.started)
        session.forget(target, gone)
        for error in found:
            # What a server could not be asked now stays on file for the next connection.
            if isinstance(error, BaseException) and not isinstance(error, LabError):
                raise error

    # --- how it looks ---

    @property
    def df(self) -> pd.DataFrame:
        """The tasks as a pandas DataFrame."""
        import pandas as pd

        rows = [
            {
                "tool": task.tool,
                "task_id": task.id,
                "status": task.status,
                "progress": task.progress,
                "message": task.message,
                "started": task.started,
                "ended": task.ended,
                "variables": dict(task.variables),
            }
            for task in self
        ]
        frame = pd.DataFrame(
            rows,
            columns=["tool", "task_id", "status", "progress", "message", "started", "ended", "variables"],
        )
        for column in ("started", "ended"):
            frame[column] = pd.to_datetime(frame[column], unit="ms", utc=True)
        return frame

    def _ipython_key_completions_(self) -> list[str]:
        return [task.id for task in self if task.id is not None]

    def __repr__(self) -> str:
        if not self._tasks:
            return f"{self._origin.name}: no tasks"
        return "\n".join([*self._left_out(), *(repr(task) for task in self._tasks[-SHOWN:])])

    def _left_out(self) -> list[str]:
        more = len(self) - SHOWN
        return [f"… {more} older tasks"] if more > 0 else []

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        heads = ("tool", "id", "status", "progress", "message")
        head = "".join(f"<th {left}>{name}</th>" for name in heads)
        body = "".join(
            "<tr>" + "".join(f"<td {left}>{html.escape(cell)}</td>" for cell in _cells(task)) + "</tr>"
            for task in self._tasks[-SHOWN:]
        )
        caption = "; ".join([f"{len(self)} tasks of {html.escape(self._origin.name)}", *self._left_out()])
        return f"<table><caption {left}>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(task: Task) -> tuple[str, ...]:
    progress = "" if task.progress is None else f"{task.progress:.0%}"
    return task.tool, task.id or "", task.status, progress, task.message or ""
