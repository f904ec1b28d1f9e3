"""Tells hosts that widgets were saved, by the rules of both generations.

2025-11-25: `notifications/resources/updated` to who sent `resources/subscribe`, `…/list_changed` to every session.
2026-07-28: both on `subscriptions/listen` streams that ask for them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import (
    SUBSCRIPTION_ID_META_KEY,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    event_to_notification,
)
from mcp_types import METHOD_NOT_FOUND, ResourceListChangedNotification, SubscriptionsAcknowledgedNotification
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from pmcp_lab.apps.widget_dir import Widgets

logger = logging.getLogger(__name__)

Request = ServerRequestContext[Any, Any]

SUBSCRIBE = "resources/subscribe"
UNSUBSCRIBE = "resources/unsubscribe"
SEND_TIMEOUT = 5.0
"""Seconds a session has to take a notification before it is given up."""
MAX_SESSIONS = 256
"""Sessions that are sent news; of more the oldest are forgotten, because nobody says when one of HTTP has ended."""


@dataclass(eq=False)
class _Subscriber:
    """Somebody who wants to hear of what was saved.

    Args:
        send: Sends one event.
        identity: Of a 2025-11-25 connection: its handshake's params, the one object that all its requests share.
        uris: The widgets it wants to hear of, with their addresses as it knows them.
        lists: Whether it wants to hear that the list changed.
    """

    send: Callable[[ServerEvent], Awaitable[None]]
    identity: object = None
    uris: dict[str, str] = field(default_factory=dict)
    lists: bool = False


class Subscribers:
    """Who wants to hear of which widgets, and the watching of the files, which goes on only while somebody does.

    Args:
        sources: By app; may grow.
    """

    def __init__(self, sources: Mapping[str, Widgets]) -> None:
        self._sources = sources
        self._subscribers: list[_Subscriber] = []
        self._watching: dict[str, asyncio.Task[None]] = {}

    @property
    def _watched(self) -> bool:
        return any(source.watched for source in self._sources.values())

    # --- 2025-11-25 ---

    def advertise(self, result: HandlerResult) -> HandlerResult:
        """The handshake's result, which says that there will be news."""
        if not isinstance(result, dict) or not self._watched:
            return result
        capabilities = dict(result.get("capabilities") or {})
        capabilities["resources"] = {**(capabilities.get("resources") or {}), "subscribe": True, "listChanged": True}
        return {**result, "capabilities": capabilities}

    def add_session(self, ctx: Request) -> None:
        """A session has begun."""
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS or not self._watched:
            return
        self._session(ctx).lists = True

    async def subscribe(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        """`resources/subscribe` and `resources/unsubscribe`, which the SDK's server doesn't have."""
        result: HandlerResult = {}
        try:
            result = await call_next(ctx)
        except MCPError as error:
            # Before the handshake, and in 2026-07-28, the refusal stands.
            modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
            if error.code != METHOD_NOT_FOUND or modern or not self._watched or ctx.session.client_params is None:
                raise
        subscriber = self._session(ctx)
        uri = str((ctx.params or {}).get("uri"))
        if ctx.method == SUBSCRIBE:
            subscriber.uris[_canonical(uri)] = uri
        else:
            subscriber.uris.pop(_canonical(uri), None)
        return result

    def _session(self, ctx: Request) -> _Subscriber:
        identity = ctx.session.client_params
        for subscriber in self._subscribers:
            if subscriber.identity is not None and subscriber.identity is identity:
                return subscriber
        session = ctx.session

        async def deliver(event: ServerEvent) -> None:
            if isinstance(event, ResourceUpdated):
                await session.send_resource_updated(event.uri)
            else:
                await session.send_notification(ResourceListChangedNotification())

        subscriber = _Subscriber(deliver, identity)
        self._add(subscriber)
        sessions = [each for each in self._subscribers if each.identity is not None]
        for oldest in sessions[:-MAX_SESSIONS]:
            self._remove(oldest)
        return subscriber

    # --- 2026-07-28 ---

    async def listen(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        """Serve a stream, with what it wants to hear of widgets besides what the SDK delivers."""
        wanted = (ctx.params or {}).get("notifications")
        wanted = wanted if isinstance(wanted, Mapping) else {}
        named = wanted.get("resourceSubscriptions")
        uris = {_canonical(uri): uri for uri in named if isinstance(uri, str)} if isinstance(named, list) else {}
        lists = wanted.get("resourcesListChanged") is True
        if not self._watched or not (uris or lists):
            return await call_next(ctx)
        send, receive = anyio.create_memory_object_stream[ServerEvent](1024)

        async def deliver(event: ServerEvent) -> None:
            await send.send(event)

        subscriber = _Subscriber(deliver, None, uris, lists)
        session = _Acknowledging(ctx.session)
        meta = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        self._add(subscriber)
        result: HandlerResult = None
        try:
            async with anyio.create_task_group() as feeds, send, receive:

                async def feed() -> None:
                    await session.acknowledged.wait()
                    async for event in receive:
                        await ctx.session.send_notification(event_to_notification(event, meta), ctx.request_id)

                feeds.start_soon(feed)
                result = await call_next(replace(ctx, session=session))  # type: ignore[arg-type]
                feeds.cancel_scope.cancel()
        finally:
            self._remove(subscriber)
        return result

    # --- what was saved ---

    def _add(self, subscriber: _Subscriber) -> None:
        self._subscribers.append(subscriber)
        for app, source in self._sources.items():
            if source.watched and (app not in self._watching or self._watching[app].done()):
                # In an empty context: this goes on after the request, and is nobody's.
                self._watching[app] = asyncio.get_running_loop().create_task(
                    self._watch(source), name=f"widgets of {app}", context=Context()
                )

    def _remove(self, subscriber: _Subscriber) -> None:
        if subscriber in self._subscribers:
            self._subscribers.remove(subscriber)
        if not self._subscribers:
            for watching in self._watching.values():
                watching.cancel()
            self._watching.clear()

    async def _watch(self, source: Widgets) -> None:
        try:
            async for names in source.changes():
                await self._notify([f"ui://{source.app}/{name}" for name in sorted(names)])
        except OSError as error:
            logger.warning("the widgets of %r can't be watched any more: %s", source.app, error)

    async def _notify(self, uris: list[str]) -> None:
        for subscriber in list(self._subscribers):
            events: list[ServerEvent] = [
                ResourceUpdated(subscriber.uris[uri]) for uri in uris if uri in subscriber.uris
            ]
            # Hosts that subscribe to nothing hear of a save as well: they have no other way.
            events += [ResourcesListChanged()] if subscriber.lists else []
            try:
                with anyio.fail_after(SEND_TIMEOUT):
                    for event in events:
                        await subscriber.send(event)
            except (TimeoutError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._remove(subscriber)


class _Acknowledging:
    """The request's session; says when the acknowledgement, which has to come first, is out."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.acknowledged = anyio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def send_notification(self, message: Any, related_request_id: Any = None) -> None:
        await self._session.send_notification(message, related_request_id)
        if isinstance(message, SubscriptionsAcknowledgedNotification):
            self.acknowledged.set()


def _canonical(uri: str) -> str:
    return uri.removesuffix(".html") if uri.startswith("ui://") else uri
