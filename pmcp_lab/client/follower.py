"""The tasks of one connection: started, watched, asked, answered and ended in either generation."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import mcp_types as types
from mcp.client import ClientRequestContext, IncomingMessage

from pmcp_lab.client import sampling
from pmcp_lab.client.changes import CHANGED, Listings
from pmcp_lab.client.elicitation import Elicitations, read_question
from pmcp_lab.client.peer import ROUNDS
from pmcp_lab.client.task import Task, failed_task
from pmcp_lab.client.watcher import DEFAULT, IN_FLIGHT, Listed, Stream, Watcher, interval
from pmcp_lab.errors import ConnectionClosed, InputRequired, LabError, PeerError, ServerBusy, TaskCancelled
from pmcp_lab.protocol import TaskState, TaskStatus
from pmcp_lab.protocol.meta import RELATED_TASK

if TYPE_CHECKING:
    from pmcp_lab.client.connection import Connection
    from pmcp_lab.client.peer import Peer


T = TypeVar("T")

calling: ContextVar[Task | None] = ContextVar("calling", default=None)
"""Whose call this is, for what is asked within it (`input_required` results, 2026-07-28)."""


class Follower:
    """Keeps task handles true to what the server says. Lives on the connection's loop, as all its methods do."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.watcher = Watcher(self)
        self._peer: Peer | None = None
        self._tasks: dict[str, Task] = {}
        self._doubted: set[str] = set()
        """Tasks that the server was not asked for since the connection was lost."""
        self._results = asyncio.Semaphore(IN_FLIGHT)
        self._following: set[Task] = set()
        self._progress: dict[str, Task] = {}
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, set[str]] = {}
        self.elicitations = Elicitations()
        self.on_sampling: sampling.Callback | None = None
        self._numbers = itertools.count(1)
        self.listings = Listings()

    async def run(self, peer: Peer) -> None:
        """Watch over one connection until cancelled; the tasks outlive it."""
        self._peer = peer
        self._results = asyncio.Semaphore(IN_FLIGHT)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.listings.run(peer))
            group.create_task(self.watcher.run())

    def interrupt(self, trouble: str) -> None:
        """The connection is lost and made again: the tasks wait for it.

        Args:
            trouble: What their rows say meanwhile.
        """
        self._give_up_waiting()
        self._doubted.update(self._tasks)
        for task in list(self._following):
            if task.id is not None:
                task.trouble = trouble
                task.touch()

    def _give_up_waiting(self) -> None:
        for fetch in self._fetching.values():
            fetch.cancel()
        self._fetching.clear()  # they may take a while to end, and must not keep others from beginning
        self._asked.clear()  # what is still open is asked again, with the state

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
        self._give_up_waiting()

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
        calling.set(task)
        try:
            answer = await self._call(task, token, ttl, as_task=as_task)
        except LabError as error:
            self._progress.pop(token, None)
            if sampling.REFUSED in error.message:
                error = InputRequired(f"{self._connection.name}.{task.tool} asks for a completion; {sampling.HOW}", "")
            task.fail(error)
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

    async def _call(self, task: Task, token: str, ttl: int | None, *, as_task: bool) -> dict[str, Any] | TaskState:
        def call(peer: Peer) -> Awaitable[dict[str, Any] | TaskState]:
            legacy_task = as_task and not peer.modern
            return peer.call_tool(
                task.tool,
                task.arguments,
                task=({} if ttl is None else {"ttl": ttl}) if legacy_task else None,
                # After a legacy task is created, only a token of our own still finds its way to us.
                meta={**task.meta, "progressToken": token} if legacy_task else dict(task.meta) or None,
                on_progress=None if legacy_task else task.observe_progress,
            )

        return await self.settled(task, lambda: self._connection.ask(call))

    async def settled(self, task: Task, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call of a task; again when it was refused over a URL where the person has been meanwhile."""
        for left in itertools.count(ROUNDS - 1, -1):
            try:
                return await call()
            except PeerError as error:
                if left <= 0 or not await self._settled(task, error):
                    raise
        raise AssertionError("the loop has no end of its own")

    @contextmanager
    def asking(self, task: Task) -> Iterator[None]:
        """What the server asks within is asked for this call, and withdrawn at its end unless it became a task."""
        self._following.add(task)
        before = calling.set(task)
        try:
            yield
        finally:
            calling.reset(before)
            if task.id is None:
                self._following.discard(task)
                self.elicitations.withdraw(task, keep=())

    async def _settled(self, task: Task, refusal: PeerError) -> bool:
        """Whether a call can be repeated that was refused until the person has been at some URL."""
        required = refusal.data.get("elicitations") if isinstance(refusal.data, dict) else None
        if refusal.code != types.URL_ELICITATION_REQUIRED or not isinstance(required, list):
            return False
        return await self.elicitations.settle(task, [each for each in required if isinstance(each, dict)])

    def adopt(self, task: Task, state: TaskState) -> None:
        """Follow a task that the server has, until it ends. Call on the connection's loop."""
        self._following.add(task)
        self._tasks[state.task_id] = task
        task.add_done_callback(self._following.discard)
        task.add_done_callback(lambda _: self._forget(state.task_id))
        self._take(task, state)
        if not task.done():
            self.watcher.watch(state.task_id, interval(state.poll_interval))

    async def refresh(self, task: Task) -> None:
        """Ask for the present state of a task, whenever it would be its turn."""
        if task.id is None or task.done():
            return
        task_id = task.id
        self._take(task, await self._connection.ask(lambda peer: peer.get_task(task_id), again=True))

    def _forget(self, task_id: str) -> None:
        self.watcher.forget(task_id)
        self._tasks.pop(task_id, None)
        self._asked.pop(task_id, None)
        self._doubted.discard(task_id)

    def _take(self, task: Task, state: TaskState) -> None:
        """Let a task know its state, and do what the state calls for."""
        self._doubted.discard(state.task_id)
        task.observe(state)
        if self._connection.peer.modern:
            for key, request in state.input_requests.items():
                self._ask(task, state.task_id, key, request)
            self.elicitations.withdraw(task, keep=state.input_requests)
        match state.status:
            case TaskStatus.CANCELLED:
                task.fail(TaskCancelled(f"{self._connection.name}.{task.tool} was cancelled", state.task_id))
            case TaskStatus.COMPLETED | TaskStatus.FAILED if state.result is not None:
                task.finish(state.result)
            case TaskStatus.FAILED if state.error is not None:
                task.fail(
                    failed_task(state.task_id, f"{self._connection.name}.{task.tool}", state.error, state.message)
                )
            case TaskStatus.COMPLETED | TaskStatus.FAILED if not self._modern:
                self._fetch(task, state.task_id)
            case TaskStatus.INPUT_REQUIRED if not self._modern:
                self._fetch(task, state.task_id)  # a legacy server asks its question while this waits
            case _:
                pass

    def _ask(self, task: Task, task_id: str, key: str, request: dict[str, Any]) -> None:
        """Put what the state of a modern task asks, once: it stays in the state until the server took the answer."""
        asked = self._asked.setdefault(task_id, set())
        if key in asked:
            return
        asked.add(key)
        self._keep(f"ask {task_id} {key}", self._put(task, task_id, key, request))

    async def _put(self, task: Task, task_id: str, key: str, request: dict[str, Any]) -> None:
        async def deliver(response: dict[str, Any]) -> None:
            await self._connection.ask(lambda peer: peer.answer(task_id, {key: response}), again=True)
            self.watcher.ask(task_id)

        params = request.get("params") or {}
        try:
            match request.get("method"):
                case "elicitation/create":
                    await self.elicitations.ask(task, read_question(key, params, task), deliver)
                case "sampling/createMessage" if self.on_sampling is not None:
                    said = await sampling.sample(self.on_sampling, params)
                    if isinstance(said, types.ErrorData):
                        raise LabError(said.message)
                    await deliver(said)
                case "sampling/createMessage":
                    raise LabError(f"the task asks for a completion; {sampling.HOW}")
                case method:
                    raise LabError(f"the task asks for {method}, which this host does not offer")
        except InputRequired as error:
            task.fail(error)
            await self._cancel_quietly(task_id)
        except LabError as error:
            task.trouble = error.message
            task.touch()

    async def _cancel_quietly(self, task_id: str) -> None:
        with suppress(LabError):  # it may have ended by itself; nobody waits for it any more
            await self._connection.ask(lambda peer: peer.cancel_task(task_id), again=True)

    # --- asked for by the watcher ---

    @property
    def _modern(self) -> bool:
        return self._peer is not None and self._peer.modern

    @property
    def lists(self) -> bool:
        return self._peer is not None and self._peer.lists_tasks

    @property
    def listens(self) -> bool:
        return self._modern

    async def get(self, task_id: str) -> float | None:
        task = self._tasks.get(task_id)
        if task is None or task.done() or self._peer is None:
            return None
        try:
            state = await self._peer.get_task(task_id)
        except ConnectionClosed:
            return DEFAULT  # a lost connection says so itself
        except ServerBusy as busy:
            self._trouble(task, busy)
            raise
        except LabError as error:
            if _unknown(error):
                self._lost(task, task_id, error)
                return None
            self._trouble(task, error)
            return DEFAULT * 5
        self._take(task, state)
        if state.status.terminal and self._modern and not task.done():
            # completed without a result, failed without an error: nothing more will come
            task.fail(failed_task(state.task_id, f"{self._connection.name}.{task.tool}", None, state.message))
        return _until_next(state)

    async def list(self, cursor: str | None) -> Listed:
        assert self._peer is not None
        states, following = await self._peer.list_tasks(cursor)
        for state in states:
            task = self._tasks.get(state.task_id)
            if task is not None and not task.done():
                self._take(task, state)
        return Listed({state.task_id: _until_next(state) for state in states}, following)

    async def listen(self, task_ids: Collection[str]) -> Stream:
        assert self._peer is not None
        return await self._peer.listen(task_ids)

    def _trouble(self, task: Task, error: LabError) -> None:
        task.trouble = error.message
        task.touch()

    def _lost(self, task: Task, task_id: str, error: LabError) -> None:
        """The server does not know the task."""
        if task_id not in self._doubted:
            task.trouble = "the server does not know this task any more"
            task.fail(failed_task(task_id, f"{self._connection.name}.{task.tool}", {"message": error.message}, None))
            return
        task.trouble = f"{self._connection.brief_loss} It is back, but does not know this task any more."
        task.fail(
            ConnectionClosed(
                f"{self._connection.loss}\nIt is back, but does not know task {task_id} of {task.tool} any more, "
                f"which was {task.status} when last seen. Start it again if it is still wanted."
            )
        )

    # --- legacy results ---

    def _fetch(self, task: Task, task_id: str) -> None:
        if task_id not in self._fetching:
            self._keep(task_id, self._fetch_result(task, task_id))

    def _keep(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        """Run it until the connection is lost."""
        fetch = self._fetching[key] = asyncio.create_task(work)

        def done(_: object) -> None:
            if self._fetching.get(key) is fetch:
                del self._fetching[key]

        fetch.add_done_callback(done)

    async def _fetch_result(self, task: Task, task_id: str) -> None:
        """Legacy `tasks/result`: blocks until the end."""
        raw: dict[str, Any] = {}
        failure: dict[str, Any] | None = None
        ended = task.reported is not None and task.reported.terminal
        try:
            # Of a thousand that end together each is one request; those that wait for an answer wait by themselves.
            async with self._results if ended else nullcontext():
                raw = await self._connection.peer.task_result(task_id)
        except (ConnectionClosed, ServerBusy) as error:
            if self._connection.status == "open":
                self._trouble(task, error)
                self.watcher.watch(task_id, DEFAULT)  # asks for the task, and so comes back here
            return
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
        else:
            task.trouble = None
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
        task_id = task.id
        try:
            await self._connection.ask(lambda peer: peer.cancel_task(task_id), again=True)
        except PeerError:
            state = await self._connection.ask(lambda peer: peer.get_task(task_id), again=True)
            self._take(task, state)
            if not state.status.terminal:
                raise
        self.watcher.ask(task_id)

    async def answer(self, task: Task, key: str, response: dict[str, Any]) -> None:
        await self.elicitations.answer(task, key, response)

    # --- what the server sends by itself ---

    def on_task(self, state: TaskState) -> None:
        task = self._tasks.get(state.task_id)
        if task is None or task.done() or not self._connection.open:
            return
        self._take(task, state)
        self.watcher.heard(state.task_id, _until_next(state))
        if state.status.terminal and self._modern and not task.done():
            self.watcher.ask(state.task_id)  # told without its result

    async def on_message(self, message: IncomingMessage) -> None:
        if (method := getattr(message, "method", None)) in CHANGED:
            self.listings.changed(method)
        elif isinstance(message, types.ProgressNotification):
            params = message.params
            task = self._progress.get(str(params.progress_token))
            if task is not None:
                task.observe_progress(params.progress, params.total, params.message)
        elif isinstance(message, types.ElicitCompleteNotification):
            self.elicitations.completed(message.params.elicitation_id)

    async def on_elicitation(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        key = f"question-{next(self._numbers)}"
        answers: list[dict[str, Any]] = []

        async def deliver(response: dict[str, Any]) -> None:
            answers.append(response)

        inside = calling.get()
        while (task := inside or self._asking(context)) is not None and not task.done():
            question = read_question(key, params.model_dump(by_alias=True, mode="json", exclude_none=True), task)
            try:
                await self.elicitations.ask(task, question, deliver)
            except InputRequired as error:
                if not self._connection.peer.modern:
                    break  # the tool is told that nobody answers, and goes on
                task.fail(error)
                return types.ErrorData(code=error.code, message=error.message)
            if answers:
                return types.ElicitResult(**answers[0])
            # The task it was shown at has ended; where several calls are under way it may have been another's.
        return types.ElicitResult(action="cancel")

    async def sampled(
        self,
        context: ClientRequestContext,  # noqa: ARG002 - the SDK calls it by name
        params: types.CreateMessageRequestParams,
    ) -> types.CreateMessageResult | types.ErrorData:
        said = await sampling.sample(self.on_sampling, params.model_dump(by_alias=True, mode="json", exclude_none=True))
        return said if isinstance(said, types.ErrorData) else types.CreateMessageResult.model_validate(said)

    def _asking(self, context: ClientRequestContext) -> Task | None:
        """The task a request belongs to: the one it names, the only one that waits for input, or the latest call."""
        related = (context.meta or {}).get(RELATED_TASK)
        if isinstance(related, dict):
            return self._tasks.get(str(related.get("taskId")))
        waiting = [task for task in self._following if task.reported is TaskStatus.INPUT_REQUIRED]
        if len(waiting) == 1:
            return waiting[0]
        calls = [task for task in self._following if task.id is None and not task.done()]
        return max(calls, key=lambda task: task.number, default=None)


def _until_next(state: TaskState) -> float | None:
    return None if state.status.terminal else interval(state.poll_interval)


def _unknown(error: LabError) -> bool:
    """Whether a server does not know a task; some say so in the text alone."""
    return isinstance(error, PeerError) and (error.code == -32602 or "not found" in error.message.lower())
