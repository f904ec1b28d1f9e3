"""One Redis, or a cluster of them, by URL: the client, connections that listen, and what its trouble is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisClusterException, RedisError

from pmcp_lab.errors import StoreError

TROUBLE: Final = (RedisError, RedisClusterException, OSError)
"""What redis-py raises when Redis can't be used."""

_CONNECTIONS: Final = 32
_PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.5)
_YES: Final = {"1", "true", "yes"}


class RedisConnection:
    """A client that connects when first used; see `RedisBackend` for the URL.

    Attributes:
        name: The URL without what is secret in it.

    Raises:
        StoreError: The URL can't be read.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True)
        given = dict(options)
        self.prefix = given.get("prefix") or "pmcp"
        self.clustered = parts.scheme.endswith("+cluster") or given.get("cluster", "").lower() in _YES
        query = urlencode([pair for pair in options if pair[0] not in ("prefix", "cluster")])
        self._plain = parts._replace(scheme=parts.scheme.removesuffix("+cluster"), query=query)
        place = parts.netloc.rpartition("@")[2] or "localhost"
        self.name = f"{parts.scheme}://{place if parts.scheme != 'unix' else ''}{parts.path}"
        self.client: Redis | RedisCluster
        # A pool that makes who comes last wait takes longer than this with every command; others refuse him.
        self._turn = asyncio.Semaphore(_CONNECTIONS)
        try:
            if self.clustered:
                self.client = RedisCluster.from_url(urlunsplit(self._plain), retry=_retry())
            else:
                self.client = _single(self._plain)
        except (ValueError, TypeError, RedisClusterException) as error:
            raise StoreError(f"{self.name} is not a Redis URL: {error}") from None

    async def ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        """What the command answers.

        Raises:
            StoreError: Redis can't be used.
        """
        try:
            async with self._turn:
                return await (self._ask_cluster(command) if self.clustered else command())
        except TROUBLE as error:
            raise self.trouble(error) from error

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

    def trouble(self, error: Exception) -> StoreError:
        return StoreError(f"the task store at {self.name} can't be used: {str(error) or type(error).__name__}")

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
        async with _single(self._plain._replace(netloc=place)) as client, client.pubsub() as pubsub:
            yield pubsub

    async def close(self) -> None:
        await self.client.aclose()


def _single(parts: SplitResult) -> Redis:
    pool = ConnectionPool.from_url(urlunsplit(parts), retry=_retry())
    # Doesn't connect, but looks at the options.
    pool.connection_class(**pool.connection_kwargs)
    return Redis.from_pool(pool)


def _retry() -> Retry:
    return Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 3)
