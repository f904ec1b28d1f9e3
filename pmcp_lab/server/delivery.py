"""What the server sends on its own for tasks of handshake connections: questions, status and progress."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any, cast

import anyio
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import (
    CONNECTION_CLOSED,
    INVALID_PARAMS,
    CreateMessageResult,
    ElicitResult,
    Notification,
    RequestId,
    ServerNotification,
    server_request_adapter,
)
from pydantic import ValidationError

from pmcp_lab.errors import InvalidTransition, LabError, TaskNotFound
from pmcp_lab.execution import TaskKey
from pmcp_lab.protocol import TaskState, legacy
from pmcp_lab.protocol.meta import RELATED_TASK
from pmcp_lab.server.compat import nested
from pmcp_lab.server.request import Request
from pmcp_lab.tasks import Owner, TaskRecord, TaskStore
from pmcp_lab.tasks.background import Background
from pmcp_lab.tasks.following import Shown

logger = logging.getLogger(__name__)

_BETWEEN_NOTIFICATIONS = 0.05
"""Seconds: a tool that updates in a tight loop should not flood its client."""

_BEFORE_REPORTING = 0.05
"""Seconds a task has before its connection is told of it: many are over by then, and their client has their result."""

_BEFORE_PUSHING = 2
"""Poll intervals: how long a client has to see `input_required` and come for the question itself."""

_NO_BACK_CHANNEL = "the task needs an answer, but this connection can't carry the question; use stateful HTTP or stdio"


def notification(method: str, params: dict[str, Any]) -> ServerNotification:
    """A notification the SDK has no class for, or whose class would drop `_meta` keys."""
    return cast(ServerNotification, Notification[dict[str, Any], str](method=method, params=params))


@dataclass(frozen=True)
class _Asking:
    """A question on its way: the client may already be looking at it."""

    scope: anyio.CancelScope
    related: RequestId | None
    done: anyio.Event


class Questions:
    """Carries a task's open questions to the client, each to one place at a time."""

    def __init__(self, store: TaskStore) -> None:
        self.store = store
        self._asking: dict[tuple[str, str], _Asking] = {}

    async def carry_until_done(self, ctx: Request, owner: Owner, task_id: str) -> TaskRecord:
        """The task's record once it is terminal; meanwhile its questions are asked on this request's stream.

        Raises:
            TaskNotFound: There is no such task, or it expires meanwhile.
            StoreError: It can't be read.
        """
        last = await self.store.get(owner, task_id)
        if not last.live:
            return last
        trouble: LabError | None = None
        seen: set[str] = set()
        async with anyio.create_task_group() as asking:
            try:
                async with self.store.watch(owner, task_id) as feed:
                    async for last in feed:
                        for key, request in last.open_questions.items():
                            if key not in seen:
                                seen.add(key)
                                asking.start_soon(self._ask, ctx, owner, task_id, key, request)
            except LabError as error:
                # Raised below, outside the task group, so that it is not wrapped in a group.
                trouble = error
            asking.cancel_scope.cancel()
        if trouble is not None:
            raise trouble
        return last

    async def push(self, session: ServerSession, record: TaskRecord, key: str, request: Mapping[str, Any]) -> None:
        """Ask on the connection's own stream what nobody came for with `tasks/result`.

        A client should come when it sees `input_required`; one that only polls expects the question on any stream.
        Nothing is lost when it is not heard or refused there: the question stays open.
        """
        await asyncio.sleep(_BEFORE_PUSHING * (record.poll_interval or 0) / 1000)
        if (record.task_id, key) in self._asking:
            return
        with suppress(MCPError, ValidationError, LabError):
            await self._exchange(session, None, record.owner, record.task_id, key, request)

    async def _ask(self, ctx: Request, owner: Owner, task_id: str, key: str, request: Mapping[str, Any]) -> None:
        while (other := self._asking.get((task_id, key))) is not None:
            if other.related is None and ctx.request is not None:
                # Over HTTP, what was pushed may have gone to a stream that nobody reads.
                other.scope.cancel()
            await other.done.wait()
        try:
            await self._exchange(ctx.session, ctx.request_id, owner, task_id, key, request)
        except NoBackChannelError:
            await self._give_up(owner, task_id, LabError.code, _NO_BACK_CHANNEL)
        except MCPError as error:
            if error.code != CONNECTION_CLOSED:
                await self._give_up(owner, task_id, error.code, f"the client refused the question: {error.message}")
        except ValidationError:
            await self._give_up(owner, task_id, INVALID_PARAMS, "the client's answer is not one to its question")
        except LabError:
            logger.debug("task %s ended while its question was open", task_id)

    async def _open(self, owner: Owner, task_id: str, key: str) -> bool:
        try:
            return key in (await self.store.get(owner, task_id)).open_questions
        except LabError:
            return False

    async def _exchange(
        self,
        session: ServerSession,
        related: RequestId | None,
        owner: Owner,
        task_id: str,
        key: str,
        request: Mapping[str, Any],
    ) -> None:
        """Send the question, on the stream of the `related` request if there is one, and store its answer; unless it
        was answered meanwhile.

        Nobody else is asking it. It is taken before anything is waited for, so that two never ask the same.
        """
        params = dict(request.get("params") or {})
        params["_meta"] = {**(params.get("_meta") or {}), RELATED_TASK: {"taskId": task_id}}
        message = server_request_adapter.validate_python({"method": request["method"], "params": params}, by_name=False)
        kind = CreateMessageResult if request["method"] == "sampling/createMessage" else ElicitResult
        metadata = None if related is None else ServerMessageMetadata(related_request_id=related)
        with anyio.CancelScope() as scope:
            asking = self._asking[task_id, key] = _Asking(scope, related, anyio.Event())
            try:
                if not await self._open(owner, task_id, key):
                    return
                response = await session.send_request(message, kind, metadata=metadata)
                answer = response.model_dump(by_alias=True, mode="json", exclude_none=True)
                await self.store.answer(owner, task_id, {key: answer})
            finally:
                del self._asking[task_id, key]
                asking.done.set()

    async def _give_up(self, owner: Owner, task_id: str, code: int, message: str) -> None:
        with suppress(InvalidTransition, TaskNotFound):
            await self.store.fail(owner, task_id, {"code": code, "message": message})


def _progress(token: str | int, state: TaskState) -> ServerNotification:
    params = {
        "progressToken": token,
        "progress": state.progress,
        "total": 1,
        "_meta": {RELATED_TASK: {"taskId": state.task_id}},
    }
    return notification("notifications/progress", params | ({"message": state.message} if state.message else {}))


class _Connection:
    """One that made tasks which are reported. All its requests' sessions send the same way, so the first is kept alone:
    each of them holds on to its request.
    """

    __slots__ = ("params", "reports", "session")

    def __init__(self, session: ServerSession) -> None:
        # All requests of a connection share the parameters of its handshake: while they are held, they tell it apart.
        self.params = session.client_params
        self.session = session
        self.reports = 0


class _Report:
    """What its connection is told of one task. There may be one per live task, so it is small and waits without a task.

    Args:
        born: The version of the record that the client has already.
        token: Of the progress that the call asked for.
    """

    __slots__ = (
        "_born",
        "_busy",
        "_news",
        "_pushing",
        "_reports",
        "_sending",
        "_sent_progress",
        "_token",
        "connection",
        "key",
    )

    def __init__(
        self, reports: Reports, connection: _Connection, key: TaskKey, born: int, token: str | int | None
    ) -> None:
        self.connection = connection
        self.key = key
        self._reports = reports
        self._born = born
        self._token = token
        self._sent_progress: float | None = None
        self._news: TaskRecord | None = None
        self._busy = False
        self._sending: asyncio.Task[None] | None = None
        self._pushing: dict[str, asyncio.Task[None]] | None = None

    def changed(self, shown: Shown) -> None:
        if shown.record.seq == self._born:
            return
        self._news = shown.record
        if not self._busy:
            self._busy = True
            self._reports.background.add(self._start)

    def lost(self, task_id: str, error: LabError) -> None:
        logger.debug("task %s is not reported any more: %s", task_id, error)
        self._reports.over(self)

    def stop_pushing(self) -> None:
        for push in (self._pushing or {}).values():
            push.cancel()

    def stop(self) -> None:
        self._news = None
        if self._sending is not None:
            self._sending.cancel()

    def _start(self) -> None:
        send = self._send()
        self._sending = asyncio.get_running_loop().create_task(send, name="report of a task", context=Context())

    async def _send(self) -> None:
        try:
            while (record := self._news) is not None:
                self._news = None
                await self._tell(record)
                if not record.live:
                    self._reports.over(self)
                    return
                await asyncio.sleep(_BETWEEN_NOTIFICATIONS)
        except Exception:
            logger.exception("task %s can't be reported any more", self.key[1])
            self._reports.over(self)
        finally:
            self._sending = None
            self._busy = False

    async def _tell(self, record: TaskRecord) -> None:
        session, state = self.connection.session, record.state()
        await session.send_notification(notification(legacy.STATUS, self._reports.encode(state)))
        if (
            self._token is not None
            and state.progress is not None
            and (self._sent_progress is None or state.progress > self._sent_progress)
        ):
            self._sent_progress = state.progress
            await session.send_notification(_progress(self._token, state))
        for key, request in record.open_questions.items():
            if self._pushing is None:
                self._pushing = {}
            if key not in self._pushing:
                push = self._reports.questions.push(session, record, key, request)
                self._pushing[key] = asyncio.create_task(push)


class Reports:
    """Tells each connection how the tasks it made go, until they end: `notifications/tasks/status`, and
    `notifications/progress` with the token of the call that made the task. What it asks and nobody fetches is pushed.

    Best effort: the SDK drops what the connection can't take.
    """

    def __init__(self, questions: Questions, *, pmcp_compat: bool = False) -> None:
        self.questions = questions
        self._followers = questions.store.followers
        self._pmcp_compat = pmcp_compat
        self._due: dict[str, tuple[object, asyncio.TimerHandle]] = {}
        self._going_on: dict[str, _Report] = {}
        self._connections: dict[int, _Connection] = {}

    @property
    def background(self) -> Background:
        return self._followers.background

    def encode(self, state: TaskState) -> dict[str, Any]:
        task = legacy.encode_task(state)
        return nested(task) if self._pmcp_compat else task

    def begin(self, session: ServerSession, record: TaskRecord, token: str | int | None) -> None:
        """Report a task that was made just now."""
        if session.client_params is None:
            # Nobody shook hands: this is HTTP without sessions, which has no stream to report on.
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(_BEFORE_REPORTING, self._start, session, record, token, context=Context())
        self._due[record.task_id] = session.client_params, timer

    def fetched(self, session: ServerSession, record: TaskRecord) -> None:
        """The client asked itself: when its task is over there is nothing to tell it any more."""
        due = self._due.get(record.task_id)
        if due is not None and not record.live and due[0] is session.client_params:
            del self._due[record.task_id]
            due[1].cancel()

    def over(self, report: _Report) -> None:
        """There is nothing more to tell about this task."""
        if self._going_on.pop(report.key[1], None) is None:
            return
        self._followers.leave(*report.key, report)
        report.stop_pushing()
        report.connection.reports -= 1
        if not report.connection.reports:
            del self._connections[id(report.connection.params)]

    def close(self) -> None:
        for _, timer in self._due.values():
            timer.cancel()
        self._due.clear()
        for report in tuple(self._going_on.values()):
            report.stop()
            self.over(report)

    def _start(self, session: ServerSession, record: TaskRecord, token: str | int | None) -> None:
        del self._due[record.task_id]
        key = id(session.client_params)
        connection = self._connections.get(key)
        if connection is None:
            connection = self._connections[key] = _Connection(session)
        connection.reports += 1
        report = _Report(self, connection, (record.owner, record.task_id), record.seq, token)
        self._going_on[record.task_id] = report
        self._followers.join(record, report)
