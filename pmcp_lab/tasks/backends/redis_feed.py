"""Who waits for which task, told by Redis pub/sub. Without anybody waiting there is no connection and no command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Final
from urllib.parse import unquote

import anyio
from redis.asyncio.client import PubSub
from redis.exceptions import TimeoutError as RedisTimeout

from pmcp_lab.protocol.backoff import doubled
from pmcp_lab.tasks.backends.redis_connection import TROUBLE
from pmcp_lab.tasks.backends.watching import LocalChanges

_RECONNECT: Final = (0.1, 2.0)
"""Shortest and longest pause (s) between two attempts to listen again."""


class _Channel:
    def __init__(self) -> None:
        self.listeners: set[LocalChanges] = set()
        self.subscribed = asyncio.Event()

    def tell(self, task_id: str | None) -> None:
        for changes in tuple(self.listeners):
            changes.tell(task_id)


class Feed:
    """One connection for all watchers of a store, there only while somebody watches.

    Args:
        connect: Opens one; each time perhaps to another node of a cluster.
        timeout: Seconds until Redis has confirmed that it will tell us.
    """

    def __init__(self, connect: Callable[[], AbstractAsyncContextManager[PubSub]], timeout: float) -> None:
        self._connect = connect
        self._timeout = timeout
        self._opened = AsyncExitStack()
        self._channels: dict[str, _Channel] = {}
        self._pubsub: PubSub | None = None
        self._reader: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def listen(self, name: str) -> AsyncIterator[LocalChanges]:
        """What is published in a channel from now on.

        Raises:
            RedisError, RedisClusterException, OSError: It doesn't.
        """
        changes = LocalChanges()
        try:
            async with asyncio.timeout(self._timeout):
                async with self._lock:
                    channel = self._channels.get(name)
                    if channel is None:
                        channel = self._channels[name] = _Channel()
                    channel.listeners.add(changes)
                    if len(channel.listeners) == 1:
                        await self._subscribe(name)
                await channel.subscribed.wait()
            yield changes
        finally:
            with anyio.CancelScope(shield=True):
                await self._leave(name, changes)

    async def close(self) -> None:
        async with self._lock:
            await self._hang_up()

    async def _subscribe(self, name: str) -> None:
        if self._pubsub is None:
            self._pubsub = await self._opened.enter_async_context(self._connect())
        try:
            await self._pubsub.subscribe(name)
        except TROUBLE:
            raise
        except Exception as error:
            # Where a connection was lost redis-py opens another one; that the reader does so, too, is not foreseen.
            raise ConnectionResetError(f"the connection was lost: {error}") from error
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(), name="pmcp_lab redis feed")

    async def _leave(self, name: str, changes: LocalChanges) -> None:
        async with self._lock:
            channel = self._channels.get(name)
            if channel is None:
                return
            channel.listeners.discard(changes)
            if channel.listeners:
                return
            del self._channels[name]
            if not self._channels:
                await self._hang_up()
            elif self._pubsub is not None:
                # Whatever is wrong with the connection, the next one does not listen to this.
                with suppress(Exception):
                    await self._pubsub.unsubscribe(name)

    async def _hang_up(self) -> None:
        reader, self._reader = self._reader, None
        while reader is not None and not reader.done():
            # Again and again: before Python 3.12, redis-py may not hear of the first (its `wait_for` swallows it).
            reader.cancel()
            await asyncio.wait([reader], timeout=0.1)
        await self._drop()

    async def _drop(self) -> None:
        self._pubsub = None
        with suppress(*TROUBLE):
            await self._opened.aclose()

    async def _again(self) -> PubSub:
        """Another connection, which listens to everything that is waited for."""
        async with self._lock, asyncio.timeout(self._timeout):
            await self._drop()
            self._pubsub = await self._opened.enter_async_context(self._connect())
            await self._pubsub.subscribe(*self._channels)
            return self._pubsub

    async def _read(self) -> None:
        pubsub = self._pubsub
        failed = 0
        while True:
            try:
                pubsub = pubsub or await self._again()
                message = await pubsub.get_message(timeout=None)
            except RedisTimeout:
                continue
            except Exception:
                # Trouble, or what comes of it in `_subscribe`. Who reads no more leaves this process deaf for good.
                pubsub = None
                # Whoever waits shall look, and hears from the store itself that it is unreachable.
                if not failed:
                    self._tell_all()
                await asyncio.sleep(doubled(failed, *_RECONNECT))
                failed += 1
                continue
            failed = 0
            if message is not None:
                self._take(message["type"], message["channel"].decode(), message["data"])

    def _take(self, kind: str, name: str, data: bytes | int) -> None:
        channel = self._channels.get(name)
        if channel is None:
            return
        if kind == "message" and isinstance(data, bytes):
            channel.tell(unquote(data.decode(), errors="surrogatepass"))
        elif kind == "subscribe":
            if channel.subscribed.is_set():
                # The connection was lost and is there again; what was published meanwhile is gone.
                channel.tell(None)
            channel.subscribed.set()

    def _tell_all(self) -> None:
        for channel in self._channels.values():
            channel.tell(None)
