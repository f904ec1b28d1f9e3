"""What the server sends on its own for tasks of handshake connections: questions, status and progress."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
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
    ServerNotification,
    server_request_adapter,
)
from pydantic import ValidationError

from pmcp_lab.errors import InvalidTransition, LabError, TaskNotFound
from pmcp_lab.protocol import legacy
from pmcp_lab.protocol.meta import RELATED_TASK
from pmcp_lab.server.request import Request
from pmcp_lab.tasks import Owner, TaskRecord, TaskStore

logger = logging.getLogger(__name__)

_BETWEEN_NOTIFICATIONS = 0.05
"""Seconds: a tool that updates in a tight loop should not flood its client."""

_NO_BACK_CHANNEL = "the task needs an answer, but this connection can't carry the question; use stateful HTTP or stdio"


def notification(method: str, params: dict[str, Any]) -> ServerNotification:
    """A notification the SDK has no class for, or whose class would drop `_meta` keys."""
    return cast(ServerNotification, Notification[dict[str, Any], str](method=method, params=params))


class Questions:
    """Carries a task's open questions to the client while it waits in `tasks/result`."""

    def __init__(self, store: TaskStore) -> None:
        self._store = store
        self._asking: dict[tuple[str, str], asyncio.Event] = {}

    async def carry_until_done(self, ctx: Request, owner: Owner, task_id: str) -> TaskRecord:
        """The task's record once it is terminal.

        Raises:
            TaskNotFound: There is no such task, or it expires meanwhile.
        """
        last: TaskRecord | None = None
        missing: TaskNotFound | None = None
        seen: set[str] = set()
        async with anyio.create_task_group() as asking, self._store.watch(owner, task_id) as feed:
            try:
                async for last in feed:
                    for key, request in last.open_questions.items():
                        if key not in seen:
                            seen.add(key)
                            asking.start_soon(self._ask, ctx, owner, task_id, key, request)
            except TaskNotFound as error:
                # Raised below, outside the task group, so that it is not wrapped in a group.
                missing = error
            asking.cancel_scope.cancel()
        if missing is not None or last is None:
            raise missing or TaskNotFound(task_id)
        return last

    async def _ask(self, ctx: Request, owner: Owner, task_id: str, key: str, request: Mapping[str, Any]) -> None:
        while (other := self._asking.get((task_id, key))) is not None:
            await other.wait()
        try:
            if key not in (await self._store.get(owner, task_id)).open_questions:
                return
        except TaskNotFound:
            return
        done = self._asking[task_id, key] = asyncio.Event()
        try:
            response = await self._send(ctx, task_id, request)
            if response is not None:
                await self._store.answer(owner, task_id, {key: response})
        except NoBackChannelError:
            await self._give_up(owner, task_id, LabError.code, _NO_BACK_CHANNEL)
        except MCPError as error:
            if error.code != CONNECTION_CLOSED:
                await self._give_up(owner, task_id, error.code, f"the client refused the question: {error.message}")
        except ValidationError:
            await self._give_up(owner, task_id, INVALID_PARAMS, "the client's answer is not one to its question")
        except LabError:
            logger.debug("task %s ended while its question was open", task_id)
        finally:
            del self._asking[task_id, key]
            done.set()

    async def _send(self, ctx: Request, task_id: str, request: Mapping[str, Any]) -> dict[str, Any] | None:
        params = dict(request.get("params") or {})
        params["_meta"] = {**(params.get("_meta") or {}), RELATED_TASK: {"taskId": task_id}}
        message = server_request_adapter.validate_python({"method": request["method"], "params": params}, by_name=False)
        kind = CreateMessageResult if request["method"] == "sampling/createMessage" else ElicitResult
        response = await ctx.session.send_request(
            message, kind, metadata=ServerMessageMetadata(related_request_id=ctx.request_id)
        )
        return response.model_dump(by_alias=True, mode="json", exclude_none=True)

    async def _give_up(self, owner: Owner, task_id: str, code: int, message: str) -> None:
        with suppress(InvalidTransition, TaskNotFound):
            await self._store.fail(owner, task_id, {"code": code, "message": message})


async def report(session: ServerSession, store: TaskStore, record: TaskRecord, token: str | int | None) -> None:
    """Tell the connection that made a task how it goes, until it ends: `notifications/tasks/status`, and
    `notifications/progress` with the token of the call that made it.

    Best effort: the SDK drops what the connection can't take.
    """
    told: float | None = None
    async with store.watch(record.owner, record.task_id) as feed:
        try:
            async for current in feed:
                if current.seq == record.seq:
                    continue
                state = current.state()
                await session.send_notification(notification(legacy.STATUS, legacy.encode_task(state)))
                if token is not None and state.progress is not None and (told is None or state.progress > told):
                    told = state.progress
                    await session.send_progress_notification(token, told, 1.0, state.message)
                if current.live:
                    await asyncio.sleep(_BETWEEN_NOTIFICATIONS)
        except TaskNotFound:
            pass
