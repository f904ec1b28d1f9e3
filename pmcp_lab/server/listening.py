"""`notifications/tasks` on `subscriptions/listen` streams that name `taskIds` (2026-07-28 tasks extension)."""

from __future__ import annotations

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
from pmcp_lab.server.request import Request
from pmcp_lab.tasks import Owner, TaskStore

MOST: Final = 1_000
"""Tasks one stream listens to; each costs a watcher."""


class _Acknowledging:
    """The request's session; adds the honoured task ids to the acknowledgement and says when that is out."""

    def __init__(self, session: Any, task_ids: list[str]) -> None:
        self._session = session
        self._task_ids = task_ids
        self.acknowledged = anyio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def send_notification(self, message: Any, related_request_id: Any = None) -> None:
        if isinstance(message, SubscriptionsAcknowledgedNotification):
            honoured = message.params.notifications.model_copy(update={"taskIds": self._task_ids})
            message = message.model_copy(
                update={"params": message.params.model_copy(update={"notifications": honoured})}
            )
        await self._session.send_notification(message, related_request_id)
        if isinstance(message, SubscriptionsAcknowledgedNotification):
            self.acknowledged.set()


async def listen(ctx: Request, call_next: CallNext, store: TaskStore, owner_of: OwnerOf) -> HandlerResult:
    """Serve the stream, with the tasks it asked for besides what the SDK delivers.

    Raises:
        MCPError: `taskIds` without the tasks extension (-32021), or not a list of text, or too long a one (-32602).
    """
    wanted = ((ctx.params or {}).get("notifications") or {}).get("taskIds")
    if wanted is None:
        return await call_next(ctx)
    require_client_extension(ctx, TASKS_EXTENSION)
    if not isinstance(wanted, list) or not all(isinstance(task_id, str) for task_id in wanted):
        raise MCPError(INVALID_PARAMS, "notifications.taskIds must be a list of task ids")
    if len(wanted) > MOST:
        raise MCPError(INVALID_PARAMS, f"a listener may name at most {MOST} tasks, not {len(wanted)}")
    owners = {task_id: owner_of(ctx, task_id) for task_id in wanted}
    trouble: list[LabError] = []
    result: HandlerResult = None
    try:
        honoured = [task_id for task_id, owner in owners.items() if await _there(store, owner, task_id)]
    except LabError as error:
        raise as_mcp_error(error) from error
    session = _Acknowledging(ctx.session, honoured)
    async with anyio.create_task_group() as feeds:

        async def feed(task_id: str) -> None:
            try:
                await _feed(ctx, session, store, owners[task_id], task_id)
            except LabError as error:
                # Raised below, outside the task group, so that it is not wrapped in a group.
                trouble.append(error)
                feeds.cancel_scope.cancel()

        for task_id in honoured:
            feeds.start_soon(feed, task_id)
        result = await call_next(replace(ctx, session=session))  # type: ignore[arg-type]
        feeds.cancel_scope.cancel()
    if trouble:
        raise as_mcp_error(trouble[0]) from trouble[0]
    return result


async def _there(store: TaskStore, owner: Owner, task_id: str) -> bool:
    try:
        await store.get(owner, task_id)
    except TaskNotFound:
        return False
    return True


async def _feed(ctx: Request, session: _Acknowledging, store: TaskStore, owner: Owner, task_id: str) -> None:
    async with store.watch(owner, task_id) as feed:
        await session.acknowledged.wait()
        try:
            async for record in feed:
                body = modern.encode_detailed(record.state())
                body["_meta"] = {**body.get("_meta", {}), SUBSCRIPTION_ID_META_KEY: ctx.request_id}
                await ctx.session.send_notification(notification(modern.CHANGED, body), ctx.request_id)
        except TaskNotFound:
            pass
