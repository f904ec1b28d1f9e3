"""One MCP connection: the asyncio task that owns it, and the tasks that are followed over it.

The SDK's client must be left by the task that entered it, so a single background task holds it open from
handshake to end; everything else uses it from outside.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress
from typing import Any

import mcp_types as types
from mcp.client import Client, ClientRequestContext, IncomingMessage

from pmcp_lab._version import __version__
from pmcp_lab.client.peer import Peer, TasksExtension, ui_extension
from pmcp_lab.client.runtime import runtime
from pmcp_lab.client.target import Command, Local, Target, Url
from pmcp_lab.client.task import Question, Task, failed_task
from pmcp_lab.client.transport import StderrLog, TaskTransport, stdio_transport
from pmcp_lab.client.watcher import DEFAULT, Watcher, interval
from pmcp_lab.errors import (
    ConnectionClosed,
    ConnectionFailed,
    InputRequired,
    InvalidArguments,
    LabError,
    PeerError,
    TaskCancelled,
)
from pmcp_lab.protocol import TaskState, TaskStatus
from pmcp_lab.protocol.meta import RELATED_TASK

_verdicts: dict[Target, str] = {}
"""Which mode a target turned out to speak: probing a server that ignores unknown methods costs 10 s."""


class Connection:
    """Opens at once, in the background.

    Args:
        mode: "auto", "legacy" or "2026-07-28".
        timeout: Seconds for start and handshake together.
    """

    def __init__(self, name: str, target: Target, mode: str, timeout: float) -> None:
        self.name = name
        self.target = target
        self.stderr = StderrLog() if isinstance(target, Command) else None
        self.ready: concurrent.futures.Future[Peer] = concurrent.futures.Future()
        self.lost: str | None = None
        """Why the connection ended, when nobody asked it to."""
        self.mode = mode
        self._timeout = timeout
        self._tasks: dict[str, Task] = {}
        self._following: set[Task] = set()
        self._progress: dict[str, Task] = {}
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[tuple[str, str], asyncio.Future[dict[str, Any]]] = {}
        self._sent: set[tuple[str, str]] = set()
        self._numbers = itertools.count(1)
        self._peer: Peer | None = None
        self._closing = False
        self._owner = runtime().start(self._own())
        runtime().at_exit(self, self.close)

    # --- life ---

    @property
    def open(self) -> bool:
        return self._peer is not None and not self._closing and self.lost is None

    @property
    def peer(self) -> Peer:
        """The live peer.

        Raises:
            ConnectionClosed: The connection ended or was never there.
        """
        if self._peer is None or not self.open:
            raise ConnectionClosed(self.ending())
        return self._peer

    def ending(self) -> str:
        """Why it is closed, with what a stdio server last wrote to stderr."""
        return self.lost or f"Server {self.name!r} is closed; connect to it again."

    async def _own(self) -> None:
        self._stop = asyncio.Event()
        self._watcher = Watcher(self._poll)
        try:
            await self._negotiate()
        except LabError as error:
            self._refuse(error)
        except BaseException as error:
            self._refuse(ConnectionFailed(self._why(error)))
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._peer = None
            self._end_tasks()
            if self.stderr is not None:
                self.stderr.close()
            runtime().forget(self)

    async def _negotiate(self) -> None:
        remembered = _verdicts.get(self.target) if self.mode == "auto" else None
        if remembered is not None:
            try:
                await self._serve(remembered)
            except Exception:
                if self.ready.done():
                    raise
                del _verdicts[self.target]
            else:
                return
        await self._serve(self.mode)

    async def _serve(self, mode: str) -> None:
        client = Client(
            self._transport(mode),
            mode=mode,
            client_info=types.Implementation(name="pmcp_lab", version=__version__),
            extensions=[TasksExtension(self._on_task), ui_extension()],
            elicitation_callback=self._on_elicitation,
            message_handler=self._on_message,
        )
        async with asyncio.timeout(self._timeout) as limit:
            async with client:
                if mode not in ("auto", "legacy"):
                    # A pinned version alone tells nothing of what the server can do.
                    told = await client.session.send_discover(mode)
                    client.session.adopt(types.DiscoverResult.model_validate(told))
                limit.reschedule(None)
                self._peer = peer = Peer(client, self.name)
                # An in-process server takes both modes; only what had to be found out is remembered.
                if self.mode == "auto" and not isinstance(self.target, Local):
                    _verdicts[self.target] = peer.version if peer.modern else "legacy"
                watching = asyncio.create_task(self._watcher.run())
                self.ready.set_result(peer)
                try:
                    await self._stop.wait()
                finally:
                    watching.cancel()
                    for fetch in self._fetching.values():
                        fetch.cancel()

    def _transport(self, mode: str) -> Any:
        match self.target:
            case Command():
                assert self.stderr is not None
                return TaskTransport(stdio_transport(self.target, self.stderr), self._on_end)
            case Url():
                return TaskTransport(http_transport(self.target), lambda: None)
            case Local(server=server):
                return TaskTransport(local_transport(server), self._on_end) if mode == "legacy" else server

    def _on_end(self) -> None:
        if self._closing or self.lost is not None:
            return
        self.lost = f"Server {self.name!r} stopped."
        if self.stderr is not None and (tail := self.stderr.tail()):
            self.lost += f" Its last words on stderr:\n{tail}"
        self._stop.set()

    def _refuse(self, error: LabError) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
        elif self.lost is None and not self._closing:
            self.lost = str(error)

    def _why(self, error: BaseException) -> str:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        match error:
            case TimeoutError():
                reason = f"it did not complete the handshake within {self._timeout:g} s"
            case asyncio.CancelledError():
                reason = "it was closed while connecting"
            case _:
                text = str(error) or type(error).__name__
                reason = text[0].lower() + text[1:] if text[:2] != text[:2].upper() else text
        what = "Lost the connection to" if self.ready.done() else "Can't connect to"
        message = f"{what} {self.name!r} ({self.target}): {reason}"
        if self.stderr is not None and (tail := self.stderr.tail()):
            message += f"\nIts stderr says:\n{tail}"
        return message

    async def close(self) -> None:
        """End the connection; returns when the server process is gone."""
        self._closing = True
        if not self.ready.done():
            self._owner.cancel()
        elif hasattr(self, "_stop"):
            self._stop.set()
        await asyncio.wait([asyncio.wrap_future(self._owner)])

    def _end_tasks(self) -> None:
        why = self.ending()
        last_words = self.stderr.tail(1) if self.stderr is not None and self.lost is not None else ""
        for task in list(self._following):
            task.trouble = why.partition(" Its last words")[0] + (f" {last_words}" if last_words else "")
            task.fail(ConnectionClosed(f"{why}\nTask {task.id or task.tool} was {task.status} when last seen."))
        self._following.clear()
        for answer in self._answers.values():
            answer.cancel()

    # --- tasks ---

    async def start(self, task: Task, *, ttl: int | None, as_task: bool) -> None:
        """Call the task's tool, and follow what comes of it until it ends.

        Args:
            ttl: Milliseconds to ask for (legacy; a modern server decides alone).
            as_task: Legacy: whether to ask for a task at all.
        """
        peer = self.peer
        self._following.add(task)
        task.touch()
        task.add_done_callback(self._following.discard)
        token = f"pmcp_lab-{next(self._numbers)}"
        legacy_task = as_task and not peer.modern
        self._progress[token] = task
        try:
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
            task.fail(error if self.lost is None else ConnectionClosed(self.ending()))
            return
        except asyncio.CancelledError:
            self._progress.pop(token, None)
            task.fail(TaskCancelled(f"{self.name}.{task.tool} was cancelled", task.id or ""))
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
        task.add_done_callback(lambda _: self._watcher.forget(state.task_id))
        self._take(task, state)
        if not task.done():
            self._watcher.watch(state.task_id, interval(state.poll_interval))

    def _take(self, task: Task, state: TaskState) -> None:
        """Let a task know its state, and do what the state calls for."""
        task.observe(state)
        for key, request in state.input_requests.items():
            if (state.task_id, key) not in self._sent:
                self._ask(task, key, request)
        match state.status:
            case TaskStatus.CANCELLED:
                task.fail(TaskCancelled(f"{self.name}.{task.tool} was cancelled", state.task_id))
            case TaskStatus.COMPLETED | TaskStatus.FAILED if state.result is not None:
                task.finish(state.result)
            case TaskStatus.FAILED if state.error is not None:
                task.fail(failed_task(state.task_id, f"{self.name}.{task.tool}", state.error, state.message))
            case TaskStatus.COMPLETED | TaskStatus.FAILED if not self.peer.modern:
                self._fetch(task, state.task_id)
            case TaskStatus.INPUT_REQUIRED if not self.peer.modern:
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
        tool = f"{self.name}.{task.tool}"
        how = f"start it with task({task.tool!r}, …) and answer with .answer({{…}})"
        task.fail(InputRequired(f"{tool} asks: {question.message!r}\nA plain call can't answer; {how}.", task.id or ""))
        if task.id is not None and self.open:
            cancelling = asyncio.create_task(self._cancel_quietly(task.id))
            self._fetching[f"cancel {task.id}"] = cancelling
            cancelling.add_done_callback(lambda _: self._fetching.pop(f"cancel {task.id}", None))

    async def _cancel_quietly(self, task_id: str) -> None:
        with suppress(LabError):  # it may have ended by itself; nobody waits for it any more
            await self.peer.cancel_task(task_id)

    async def _poll(self, key: Hashable) -> float | None:
        task = self._tasks[str(key)]
        if task.done():
            return None
        try:
            state = await self.peer.get_task(str(key))
        except ConnectionClosed as error:
            if self.lost is None:
                task.trouble = str(error)
                task.touch()
                return DEFAULT * 5
            return None
        except PeerError as error:
            if error.code == -32602:
                task.trouble = "the server does not know this task any more"
                task.fail(failed_task(str(key), f"{self.name}.{task.tool}", {"message": error.message}, None))
                return None
            task.trouble = error.message
            task.touch()
            return DEFAULT * 5
        except LabError as error:
            task.trouble = error.message
            task.touch()
            return DEFAULT * 5
        self._take(task, state)
        if state.status.terminal and self.peer.modern and not task.done():
            # completed without a result, failed without an error: nothing more will come
            task.fail(failed_task(state.task_id, f"{self.name}.{task.tool}", None, state.message))
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
            raw = await self.peer.task_result(task_id)
        except PeerError as error:
            failure = {"message": error.message, "code": error.code, "data": error.data}
        except LabError as error:
            task.fail(error)
            return
        if not task.done() and task.reported is not None and not task.reported.terminal:
            try:
                task.observe(await self.peer.get_task(task_id))
            except LabError:
                task.trouble = "the final state could not be read"
        if task.reported is TaskStatus.CANCELLED:
            task.fail(TaskCancelled(f"{self.name}.{task.tool} was cancelled", task_id))
        elif "content" in raw:
            task.finish(raw)
        elif failure is None and task.reported is TaskStatus.COMPLETED:
            task.finish({"content": [], **raw})
        else:
            task.fail(failed_task(task_id, f"{self.name}.{task.tool}", failure, task.message))

    async def cancel(self, task: Task) -> None:
        if task.id is None:
            task.fail(TaskCancelled(f"{self.name}.{task.tool} was cancelled", ""))
            return
        try:
            await self.peer.cancel_task(task.id)
        except PeerError:
            state = await self.peer.get_task(task.id)
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
            await self.peer.answer(task.id, {key: response})
            self._sent.add((task.id, key))
        task.answered(key)
        self._watcher.watch(task.id)

    # --- what the server sends by itself ---

    def _on_task(self, state: TaskState) -> None:
        task = self._tasks.get(state.task_id)
        if task is None or task.done() or not self.open:
            return
        self._take(task, state)

    async def _on_message(self, message: IncomingMessage) -> None:
        if isinstance(message, types.ProgressNotification):
            params = message.params
            task = self._progress.get(str(params.progress_token))
            if task is not None:
                task.observe_progress(params.progress, params.total, params.message)

    async def _on_elicitation(
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


@asynccontextmanager
async def http_transport(target: Url) -> AsyncIterator[Any]:
    from mcp.client.streamable_http import streamable_http_client

    if not target.headers:
        async with streamable_http_client(target.url) as streams:
            yield streams
        return
    import httpx2

    async with (
        httpx2.AsyncClient(headers=dict(target.headers), timeout=httpx2.Timeout(30.0, read=300.0)) as http,
        streamable_http_client(target.url, http_client=http) as streams,
    ):
        yield streams


@asynccontextmanager
async def local_transport(server: Any) -> AsyncIterator[Any]:
    """A server object of this process over memory streams, which is how it can be spoken to in legacy."""
    from mcp.server import Server
    from mcp.server.mcpserver import MCPServer
    from mcp.shared.memory import create_client_server_memory_streams

    if isinstance(server, MCPServer):
        try:
            manager = server.session_manager
        except RuntimeError:
            server.streamable_http_app()
            manager = server.session_manager
        server = manager.app
    if not isinstance(server, Server):
        raise InvalidArguments(f"a {type(server).__name__} is no MCP server")
    async with create_client_server_memory_streams() as (ours, theirs):
        options = server.create_initialization_options()
        serving = asyncio.create_task(server.run(*theirs, options))
        try:
            yield ours
        finally:
            await ours[1].aclose()
            _, running = await asyncio.wait([serving], timeout=2.0)
            for task in running:
                task.cancel()
