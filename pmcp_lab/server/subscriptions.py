"""`notifications/tasks` on `subscriptions/listen` streams that name `taskIds` (2026-07-28 tasks extension).

A stream costs one object. All that listen to a task share one watch of it, and what is made of each of its states. A
change goes to some of them at a time, between which other requests are served. Who does not read holds up nobody: it
is left with the last state of each of its tasks until it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import Context
from dataclasses import replace
from typing import Any, Final

import anyio
from mcp.server.context import CallNext, HandlerResult
from mcp.server.mcpserver import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import INVALID_PARAMS, SubscriptionsAcknowledgedNotification

from pmcp_lab.errors import LabError, TaskNotFound
from pmcp_lab.protocol import modern
from pmcp_lab.protocol.meta import TASKS_EXTENSION
from pmcp_lab.server.callers import OwnerOf
from pmcp_lab.server.delivery import notification
from pmcp_lab.server.methods import as_mcp_error
from pmcp_lab.server.request import Request, is_modern
from pmcp_lab.tasks import Owner, TaskRecord, TaskStore
from pmcp_lab.tasks.background import Background
from pmcp_lab.tasks.following import Shown

MOST: Final = 1_000
"""Tasks one stream listens to; each costs a watch, unless others listen to it too."""

_AT_ONCE: Final = 20
"""Tasks that are looked up together for one listener."""


class _Listener:
    """One stream. Stands in for its request's session, so as to name the tasks in the acknowledgement.

    Attributes:
        task_ids: Those that are honoured.
        scope: What the stream is served in.
        trouble: Why it can't be served any longer; its scope is cancelled then.
    """

    __slots__ = (
        "_background",
        "_news",
        "_request_id",
        "_sending",
        "_session",
        "_silent",
        "scope",
        "task_ids",
        "trouble",
    )

    def __init__(self, ctx: Request, background: Background) -> None:
        self._session = ctx.session
        self._request_id = ctx.request_id
        self._background = background
        self._news: dict[str, Shown] = {}
        # The acknowledgement comes first; then while something is sent, and once it has ended.
        self._silent = True
        self._sending: asyncio.Task[None] | None = None
        self.task_ids: list[str] = []
        self.scope = anyio.CancelScope()
        self.trouble: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def send_notification(self, message: Any, related_request_id: Any = None) -> None:
        acknowledges = isinstance(message, SubscriptionsAcknowledgedNotification)
        if acknowledges:
            honoured = message.params.notifications.model_copy(update={"taskIds": self.task_ids})
            params = message.params.model_copy(update={"notifications": honoured})
            message = message.model_copy(update={"params": params})
        await self._session.send_notification(message, related_request_id)
        if acknowledges:
            self._silent = False
            self._speak()

    def changed(self, shown: Shown) -> None:
        self._news[shown.record.task_id] = shown
        self._speak()

    def lost(self, task_id: str, error: LabError) -> None:  # noqa: ARG002
        # That a task has gone is not told; its last state is, if it is still to be sent.
        if not isinstance(error, TaskNotFound):
            self._fail(error)

    def end(self) -> None:
        """Nothing can be sent any more."""
        self._silent = True
        self._news.clear()
        if self._sending is not None:
            self._sending.cancel()

    def _speak(self) -> None:
        if self._news and not self._silent:
            # Until this is sent. What comes meanwhile replaces what it is newer than.
            self._silent = True
            self._background.add(self._start)

    def _start(self) -> None:
        if self._news:
            work = asyncio.get_running_loop().create_task(self._send(), name="listener", context=Context())
            self._sending = work

    async def _send(self) -> None:
        try:
            shown = self._news.pop(next(iter(self._news)))
            body = shown.encoded
            if body is None:
                body = shown.encoded = modern.encode_detailed(shown.record.state())
            body = {**body, "_meta": {**body.get("_meta", {}), SUBSCRIPTION_ID_META_KEY: self._request_id}}
            await self._session.send_notification(notification(modern.CHANGED, body), self._request_id)
        except Exception as error:
            self._fail(error)
        else:
            self._silent = False
            self._speak()
        finally:
            self._sending = None

    def _fail(self, error: Exception) -> None:
        self.trouble = self.trouble or error
        self.scope.cancel()


async def listen(ctx: Request, call_next: CallNext, store: TaskStore, owner_of: OwnerOf) -> HandlerResult:
    """Serve the stream, with the tasks it asked for besides what the SDK delivers.

    Raises:
        MCPError: `taskIds` is not a list of text, or too long a one (-32602); or is given without the tasks extension
            (-32021); or the storage can't be read (-32603).
    """
    if not is_modern(ctx) or ctx.request_id is None:
        return await call_next(ctx)
    wanted = _wanted(ctx.params)
    if wanted is None:
        return await call_next(ctx)
    require_client_extension(ctx, TASKS_EXTENSION)
    owners = {task_id: owner_of(ctx, task_id) for task_id in wanted}
    listener = _Listener(ctx, store.followers.background)
    result: HandlerResult = None
    try:
        with listener.scope:
            await _join(listener, store, [(owner, task_id) for task_id, owner in owners.items()])
            result = await call_next(replace(ctx, session=listener))  # type: ignore[arg-type]
    except LabError as error:
        raise as_mcp_error(error) from error
    finally:
        listener.end()
        for task_id in listener.task_ids:
            store.followers.leave(owners[task_id], task_id, listener)
    if isinstance(listener.trouble, LabError):
        # Whoever watched has logged it, once for all its listeners.
        raise as_mcp_error(listener.trouble, logged=True) from listener.trouble
    if listener.trouble is not None:
        raise listener.trouble
    return result


def _wanted(params: Any) -> list[str] | None:
    """The tasks that are asked for, each once; None when the request is not about tasks. The SDK judges the rest.

    Raises:
        MCPError: See `listen`.
    """
    notifications = params.get("notifications") if isinstance(params, dict) else None
    if not isinstance(notifications, dict) or "taskIds" not in notifications:
        return None
    wanted = notifications["taskIds"]
    if not isinstance(wanted, list) or not all(isinstance(task_id, str) for task_id in wanted):
        raise MCPError(INVALID_PARAMS, "notifications.taskIds must be a list of task ids")
    if len(wanted) > MOST:
        raise MCPError(INVALID_PARAMS, f"a listener may name at most {MOST} tasks, not {len(wanted)}")
    return list(dict.fromkeys(wanted))


async def _join(listener: _Listener, store: TaskStore, wanted: Sequence[tuple[Owner, str]]) -> None:
    """Have the listener follow those of the tasks that are there.

    Raises:
        StoreError: They can't be read.
    """
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        for record in await asyncio.gather(*(_there(store, *key) for key in some)):
            if record is not None:
                listener.task_ids.append(record.task_id)
                store.followers.join(record, listener)


async def _there(store: TaskStore, owner: Owner, task_id: str) -> TaskRecord | None:
    try:
        return await store.get(owner, task_id)
    except TaskNotFound:
        return None
