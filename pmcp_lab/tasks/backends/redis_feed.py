"""Who waits for which task, told by Redis pub/sub. Without anybody waiting there is no connection and no command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import unquote

import anyio
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

_RECONNECT: Final = (0.1, 2.0)
"""Shortest and longest pause (s) between two attempts to listen again."""


class ChannelChanges:
    """Ids written since the last look. An empty set means that the connection was lost: look at everything."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._ready = asyncio.Event()

    def tell(self, task_id: str | None) -> None:
        if task_id is not None:
            self._ids.add(task_id)
        self._ready.set()

    async def wait(self) -> frozenset[str]:
        await self._ready.wait()
        self._ready.clear()
        ids, self._ids = frozenset(self._ids), set()
        return ids


class _Channel:
    def __init__(self) -> None:
        self.listeners: set[ChannelChanges] = set()
        self.subscribed = asyncio.Event()

    def tell(self, task_id: str | None) -> None:
        for changes in tuple(self.listeners):
            changes.tell(task_id)


class Feed:
    """One connection for all watchers of a store, there only while somebody watches."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._channels: dict[str, _Channel] = {}
        self._pubsub: PubSub | None = None
        self._reader: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def listen(self, name: str, *, patience: float = 10.0) -> AsyncIterator[ChannelChanges]:
        """What is published in a channel from now on.

        Args:
            patience: Seconds until Redis has confirmed that it will tell us.

        Raises:
            RedisError, TimeoutError: It doesn't.
        """
        changes = ChannelChanges()
        try:
            async with asyncio.timeout(patience):
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
            self._pubsub = self._client.pubsub()
        await self._pubsub.subscribe(name)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(self._pubsub), name="pmcp_lab redis feed")

    async def _leave(self, name: str, changes: ChannelChanges) -> None:
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
                with suppress(RedisError, OSError):
                    await self._pubsub.unsubscribe(name)

    async def _hang_up(self) -> None:
        reader, self._reader = self._reader, None
        pubsub, self._pubsub = self._pubsub, None
        if reader is not None:
            reader.cancel()
            await asyncio.wait([reader])
        if pubsub is not None:
            with suppress(RedisError, OSError):
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _read(self, pubsub: PubSub) -> None:
        shortest, longest = _RECONNECT
        pause = shortest
        while True:
            try:
                message = await pubsub.get_message(timeout=None)
            except RedisTimeout:
                continue
            except (RedisError, OSError):
                # Whoever waits shall look, and hears from the store itself that it is unreachable.
                if pause == shortest:
                    self._tell_all()
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)
                continue
            pause = shortest
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
                # redis-py came back by itself after a lost connection; what was published meanwhile is gone.
                channel.tell(None)
            channel.subscribed.set()

    def _tell_all(self) -> None:
        for channel in self._channels.values():
            channel.tell(None)
