"""One Redis, or a cluster of them, by URL: the client, connections that listen, and what its trouble is."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, urlunsplit

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisClusterException, RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from pmcp_lab.errors import StoreError
from pmcp_lab.protocol.address import betrays, scrubbed
from pmcp_lab.tasks.backends.redis_memory import OUT_OF_MEMORY, warn_of_eviction
from pmcp_lab.tasks.backends.redis_url import read_url

T = TypeVar("T")

TROUBLE: Final = (RedisError, RedisClusterException, OSError)
"""What redis-py raises when Redis can't be used."""

_CONNECTIONS: Final = 32
_PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.5)

_KEEPALIVE: Final = {
    getattr(socket, option): seconds
    for option, seconds in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, option)
}
"""A connection that only listens would not notice for hours that its peer is gone without a word."""


class RedisConnection:
    """A client that connects when first used; see `RedisBackend` for the URL.

    Attributes:
        name: The URL without what is secret in it.
        url: The URL with what is secret, as redis-py reads it: without the options that are ours.
        operation_timeout: Seconds that an operation may take.

    Raises:
        StoreError: The URL can't be read.
    """

    def __init__(self, url: str) -> None:
        read = read_url(url)
        self._url = url
        self._plain = read.parts
        self.url = urlunsplit(read.parts)
        self.prefix, self.clustered, self.name = read.prefix, read.clustered, read.name
        self.operation_timeout = read.operation_timeout
        self.client: Redis | RedisCluster
        # A pool that makes who comes last wait takes longer than this with every command; others refuse him.
        self._turn = asyncio.Semaphore(_CONNECTIONS)
        self._looked = False
        try:
            self.client = self._cluster() if self.clustered else _single(self._plain, self.operation_timeout)
        except RedisClusterException as error:
            trouble = str(error).partition("\n")[0]
        except (ValueError, TypeError, RedisError):
            trouble = "an option behind the ? is none of redis-py's, or has a value that it can't use"
        else:
            return
        # Not in the handlers: what redis-py says may have a piece of a password in it.
        raise StoreError(f"{self.name} is not a Redis URL: {trouble}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def _cluster(self) -> RedisCluster:
        # When one node hangs, there must be time left to ask another where everything is.
        return RedisCluster.from_url(self.url, retry=_retry(), socket_timeout=self.operation_timeout / 3)

    async def ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        """What the command answers.

        Raises:
            StoreError: Redis can't be used, or does not answer in time.
        """
        return await self.translated(self._ask(command))

    async def translated(self, action: Awaitable[T]) -> T:
        """What the action gives; its trouble with Redis is a `StoreError`."""
        try:
            return await action
        except TROUBLE as error:
            trouble = self._trouble(error)
        # Not in the handler: a traceback would tell of what is kept out of the text.
        raise trouble

    async def _ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        asking = asyncio.current_task()
        assert asking is not None
        cancels = asking.cancelling()
        # Around everything, not each read of a socket: a turn, connecting and trying again take time too.
        async with asyncio.timeout(self.operation_timeout), self._turn:
            if not self._looked:
                await self._look()
            answer = await (self._ask_cluster(command) if self.clustered else command())
        if asking.cancelling() > cancels:
            # Before Python 3.12, redis-py swallows a cancellation that comes just when it has sent (its `wait_for`).
            raise asyncio.CancelledError
        return answer

    async def _ask_cluster(self, command: Callable[[], Awaitable[Any]]) -> Any:
        # When redis-py asks for a cluster's nodes, it closes connections that are being opened. So it is made to ask
        # before the first command; and when it asks again because a node is gone, whoever was hit tries again.
        for pause in _PAUSES:
            try:
                await self.client.initialize()
                return await command()
            except AttributeError:
                await asyncio.sleep(pause)
        raise RedisError("its connections were closed again and again")

    async def _look(self) -> None:
        """At its settings, before it is first trusted with something."""
        self._looked = True
        try:
            if self.clustered:
                await self.client.initialize()
            await warn_of_eviction(self.client, self.name)
        except BaseException:
            self._looked = False
            raise

    def _trouble(self, error: Exception) -> StoreError:
        text = scrubbed(str(error), self._url) or type(error).__name__
        if OUT_OF_MEMORY in text:
            what = "is full: Redis has reached its maxmemory and takes nothing new until tasks expire or it is raised"
        elif isinstance(error, TimeoutError | RedisTimeout):
            what = f"can't be used: Redis did not answer within {self.operation_timeout:g} s"
        else:
            what = f"can't be used: {text}"
        trouble = StoreError(f"the task store at {self.name} {what}")
        trouble.__cause__ = None if betrays(error, self._url) else error
        return trouble

    @asynccontextmanager
    async def listener(self) -> AsyncIterator[PubSub]:
        """A connection to listen on. Any node of a cluster tells what is published on any other.

        Raises:
            RedisError, RedisClusterException, OSError: No node of the cluster could be asked for the others.
        """
        if isinstance(self.client, Redis):
            async with self.client.pubsub() as pubsub:
                yield pubsub
            return
        await self.client.initialize()
        node = random.choice(self.client.get_nodes())  # noqa: S311
        host = f"[{node.host}]" if ":" in node.host else node.host
        user = self._plain.netloc.rpartition("@")[0]
        place = f"{user}@{host}:{node.port}" if user else f"{host}:{node.port}"
        async with (
            _single(self._plain._replace(netloc=place), self.operation_timeout) as client,
            client.pubsub() as pubsub,
        ):
            yield pubsub

    async def close(self) -> None:
        await self.client.aclose()


def _single(parts: SplitResult, connect_timeout: float) -> Redis:
    # Without a limit of the socket's own, which is for every read, also of a connection that only listens.
    limits: dict[str, Any] = {"socket_timeout": None, "socket_connect_timeout": connect_timeout}
    if parts.scheme != "unix":
        limits |= {"socket_keepalive": True, "socket_keepalive_options": _KEEPALIVE}
    pool = ConnectionPool.from_url(urlunsplit(parts), retry=_retry(), **limits)
    # Doesn't connect, but looks at the options.
    pool.connection_class(**pool.connection_kwargs)
    return Redis.from_pool(pool)


def _retry() -> Retry:
    return Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 3)
