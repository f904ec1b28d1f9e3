"""The tasks of one connection: started, watched, asked, answered and ended in either generation."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.client import ClientRequestContext, IncomingMessage

from pmcp_lab.client.task import Question, Task, failed_task
from pmcp_lab.client.watcher import DEFAULT, Watcher, interval
from pmcp_lab.errors import ConnectionClosed, InputRequired, LabError, PeerError, TaskCancelled
from pmcp_lab.protocol import TaskState, TaskStatus
from pmcp_lab.protocol.meta import RELATED_TASK

if TYPE_CHECKING:
    from pmcp_lab.client.connection import Connection


LIST_CHANGED = (
    types.ToolListChangedNotification,
    types.ResourceListChangedNotification,
    types.PromptListChangedNotification,
)


class Follower:
    """Keeps task handles true to what the server says. Lives on the connection's loop, as all its methods do."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._watcher = Watcher(self._poll)
        self._tasks: dict[str, Task] = {}
        self._following: set[Task] = set()
        self._progress: dict[str, Task] = {}
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[tuple[str, str], asyncio.Future[dict[str, Any]]] = {}
        self._sent: set[tuple[str, str]] = set()
        self._numbers = itertools.count(1)
        self.on_list_changed: set[Callable[[str], None]] = set()
        """Called with the method, when the server says that one of its lists changed."""

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            await self._watcher.run()
        finally:
            for fetch in self._fetching.values():
                fetch.cancel()

    def end(self, why: str, trouble: str) -> None:
        """The connection is gone: end what was followed over it.

        Args:
            why: What `result()` raises.
            trouble: What the row says.
        """
        for task in list(self._following):
            task.trouble = trouble
            task.fail(ConnectionClosed(f"{why}\nTask {task.id or task.tool} was {task.status} when last seen."))
        self._following.clear()
        for answer in self._answers.values():
            answer.cancel()

    async def start(self, task: Task, *, ttl: int | None, as_task: bool) -> None:
        """Call the task's tool, and follow what comes of it until it ends.

        Args:
            ttl: Milliseconds to ask for (legacy; a modern server decides alone).
            as_task: Legacy: whether to ask for a task at all.
        """
        self._following.add(task)
        task.touch()
        task.add_done_callback(self._following.discard)
        token = f"pmcp_lab-{next(self._numbers)}"
        self._progress[token] = task
        try:
            peer = self._connection.peer
            legacy_task = as_task and not peer.modern
            answer = await peer.call_tool(
                task.tool,
                task.arguments,
                task=({} if ttl is None else {"ttl": ttl}) if legacy_task else None,
                # After a legacy task is created, only a token of our own still finds its way to us.
                meta={"progressToken": token} if legacy_task else None,
                on_progress=None if legacy_task else task.observe_progress,
            )
        except LabError as error:
            self._progress.pop(token, None)
            task.fail(error if self._connection.lost is None else ConnectionClosed(self._connection.ending()))
            return
        except asyncio.CancelledError:
            self._progress.pop(token, None)
            task.fail(TaskCancelled(f"{self._connection.name}.{task.tool} was cancelled", task.id or ""))
            raise
        if not isinstance(answer, TaskState):
            self._progress.pop(token, None)
            task.local = True
            task.finish(answer)
            return
        task.add_done_callback(lambda _: self._progress.pop(token, None))
        self.adopt(task, answer)

    def adopt(self, task: Task, state: TaskState) -> None:
        """Follow a task that the server has, until it ends. Call on the connection's loop."""
        self._following.add(task)
        self._tasks[state.task_id] = task
        task.add_done_callback(self._following.discard)
        task.add_done_callback(lambda _: self._forget(state.task_id))
        self._take(task, state)
        if not task.done():
            self._watcher.watch(state.task_id, interval(state.poll_interval))

    def _forget(self, task_id: str) -> None:
        self._watcher.forget(task_id)
        self._tasks.pop(task_id, None)

    def _take(self, task: Task, state: TaskState) -> None:
        """Let a task know its state, and do what the state calls for."""
        task.observe(state)
        for key, request in state.input_requests.items():
            if (state.task_id, key) not in self._sent:
                self._ask(task, key, request)
        match state.status:
            case TaskStatus.CANCELLED:
                task.fail(TaskCancelled(f"{self._connection.name}.{task.tool} was cancelled", state.task_id))
            case TaskStatus.COMPLETED | TaskStatus.FAILED if state.result is not None:
                task.finish(state.result)
            case TaskStatus.FAILED if state.error is not None:
                task.fail(
                    failed_task(state.task_id, f"{self._connection.name}.{task.tool}", state.error, state.message)
                )
            case TaskStatus.COMPLETED | TaskStatus.FAILED if not self._connection.peer.modern:
                self._fetch(task, state.task_id)
            case TaskStatus.INPUT_REQUIRED if not self._connection.peer.modern:
                self._fetch(task, state.task_id)  # a legacy server asks its question while this waits
            case _:
                pass

    def _ask(self, task: Task, key: str, request: dict[str, Any]) -> None:
        params = request.get("params") or {}
        if request.get("method") != "elicitation/create":
            task.trouble = f"the task asks for {request.get('method')}, which this host does not offer"
            task.touch()
            return
        self._put(task, Question(key, str(params.get("message") or ""), params.get("requestedSchema") or {}))

    def _put(self, task: Task, question: Question) -> None:
        """Put a question to whoever watches the task; without anybody the task ends here."""
        if task.attended:
            task.ask(question)
            return
        tool = f"{self._connection.name}.{task.tool}"
        how = f"start it with task({task.tool!r}, …) and answer with .answer({{…}})"
        task.fail(InputRequired(f"{tool} asks: {question.message!r}\nA plain call can't answer; {how}.", task.id or ""))
        if task.id is not None and self._connection.open:
            cancelling = asyncio.create_task(self._cancel_quietly(task.id))
            self._fetching[f"cancel {task.id}"] = cancelling
            cancelling.add_done_callback(lambda _: self._fetching.pop(f"cancel {task.id}", None))

    async def _cancel_quietly(self, task_id: str) -> None:
        with suppress(LabError):  # it may have ended by itself; nobody waits for it any more
            await self._connection.peer.cancel_task(task_id)

    async def _poll(self, key: Hashable) -> float | None:
        task = self._tasks.get(str(key))
        if task is None or task.done():
            return None
        try:
            state = await self._connection.peer.get_task(str(key))
        except ConnectionClosed as error:
            if self._connection.lost is None:
                task.trouble = str(error)
                task.touch()
                return DEFAULT * 5
            return None
        except PeerError as error:
            if error.code == -32602:
                task.trouble = "the server does not know this task any more"
                task.fail(
                    failed_task(str(key), f"{self._connection.name}.{task.tool}", {"message": error.message}, None)
                )
                return None
            task.trouble = error.message
            task.touch()
            return DEFAULT * 5
        except LabError as error:
            task.trouble = error.message
            task.touch()
            return DEFAULT * 5
        self._take(task, state)
        if state.status.terminal and self._connection.peer.modern and not task.done():
            # completed without a result, failed without an error: nothing more will come
            task.fail(failed_task(state.task_id, f"{self._connection.name}.{task.tool}", None, state.message))
        return None if state.status.terminal else interval(state.poll_interval)

    def _fetch(self, task: Task, task_id: str) -> None:
        if task_id not in self._fetching:
            fetch = asyncio.create_task(self._fetch_result(task, task_id))
            self._fetching[task_id] = fetch
            fetch.add_done_callback(lambda _: self._fetching.pop(task_id, None))

    async def _fetch_result(self, task: Task, task_id: str) -> None:
        """Legacy `tasks/result`: blocks until the end."""
        raw: dict[str, Any] = {}
        failure: dict[str, Any] | None = None
        try:
            raw = await self._connection.peer.task_result(task_id)
        except PeerError as error:
            failure = {"message": error.message, "code": error.code, "data": error.data}
        except LabError as error:
            task.fail(error)
            return
        if not task.done() and task.reported is not None and not task.reported.terminal:
            try:
                task.observe(await self._connection.peer.get_task(task_id))
            except LabError:
                task.trouble = "the final state could not be read"
        if task.reported is TaskStatus.CANCELLED:
            task.fail(TaskCancelled(f"{self._connection.name}.{task.tool} was cancelled", task_id))
        elif "content" in raw:
            task.finish(raw)
        elif failure is None and task.reported is TaskStatus.COMPLETED:
            task.finish({"content": [], **raw})
        else:
            task.fail(failed_task(task_id, f"{self._connection.name}.{task.tool}", failure, task.message))

    async def cancel(self, task: Task) -> None:
        if task.id is None:
            task.fail(TaskCancelled(f"{self._connection.name}.{task.tool} was cancelled", ""))
            return
        try:
            await self._connection.peer.cancel_task(task.id)
        except PeerError:
            state = await self._connection.peer.get_task(task.id)
            self._take(task, state)
            if not state.status.terminal:
                raise
        self._watcher.watch(task.id)

    async def answer(self, task: Task, key: str, response: dict[str, Any]) -> None:
        assert task.id is not None
        waiting = self._answers.get((task.id, key))
        if waiting is not None:
            if not waiting.done():
                waiting.set_result(response)
        else:
            await self._connection.peer.answer(task.id, {key: response})
            self._sent.add((task.id, key))
        task.answered(key)
        self._watcher.watch(task.id)

    # --- what the server sends by itself ---

    def on_task(self, state: TaskState) -> None:
        task = self._tasks.get(state.task_id)
        if task is None or task.done() or not self._connection.open:
            return
        self._take(task, state)

    async def on_message(self, message: IncomingMessage) -> None:
        if isinstance(message, LIST_CHANGED):
            for tell in list(self.on_list_changed):
                tell(message.method)
        if isinstance(message, types.ProgressNotification):
            params = message.params
            task = self._progress.get(str(params.progress_token))
            if task is not None:
                task.observe_progress(params.progress, params.total, params.message)

    async def on_elicitation(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        task = self._asking(context)
        schema = getattr(params, "requested_schema", None)
        if task is None or task.id is None or not isinstance(schema, dict):
            return types.ElicitResult(action="cancel")
        key = f"question-{next(self._numbers)}"
        self._put(task, Question(key, params.message, schema))
        if not task.attended:
            return types.ElicitResult(action="cancel")
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[(task.id, key)] = answer
        try:
            return types.ElicitResult(**await answer)
        finally:
            del self._answers[(task.id, key)]

    def _asking(self, context: ClientRequestContext) -> Task | None:
        """The task a question belongs to: the one it names, or the only one that waits for input."""
        related = (context.meta or {}).get(RELATED_TASK)
        if isinstance(related, dict):
            return self._tasks.get(str(related.get("taskId")))
        waiting = [task for task in self._following if task.status == TaskStatus.INPUT_REQUIRED]
        return waiting[0] if len(waiting) == 1 else None
