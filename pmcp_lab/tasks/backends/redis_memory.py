"""What Redis does when its memory is full: refuses what is new, or deletes what it has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ResponseError

logger = logging.getLogger(__name__)

OUT_OF_MEMORY: Final = "command not allowed when used memory"
"""In its own words, in the middle of what the error of an older one's script says."""

_REFUSES: Final = "noeviction"
_NODE_TIMEOUT: Final = 1.0
"""Seconds for each node of a cluster: one that hangs should not keep the others from being used."""


async def warn_of_eviction(client: Redis | RedisCluster, name: str) -> None:
    """Say it when this Redis may delete tasks. Nothing is said of one that does not show its settings.

    Args:
        client: Initialized, when it is a cluster's.
        name: The store's, for people.

    Raises:
        RedisError, OSError: It can't be reached; of a cluster, only when it is one node.
    """
    for place, settings in await _settings(client, name):
        policy = settings.get("maxmemory_policy")
        if policy in (None, _REFUSES):
            continue
        when = "when its memory is full" if int(settings.get("maxmemory", 1)) else "as soon as a maxmemory is set"
        logger.warning(
            "the task store at %s is not safe: Redis has maxmemory-policy %s and may delete acknowledged tasks "
            "silently %s. Set maxmemory-policy to noeviction (CONFIG SET, redis.conf or the provider's parameters)",
            place,
            policy,
            when,
        )


async def _settings(client: Redis | RedisCluster, name: str) -> list[tuple[str, Mapping[str, Any]]]:
    if isinstance(client, Redis):
        return [(name, await _memory(client))]
    nodes = client.get_primaries()
    asked = (asyncio.wait_for(_memory(client, target_nodes=node), _NODE_TIMEOUT) for node in nodes)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    return [
        (f"{name}, node {node.name},", answer)
        for node, answer in zip(nodes, answers, strict=True)
        if not isinstance(answer, BaseException)
    ]


async def _memory(client: Redis | RedisCluster, **where: Any) -> Mapping[str, Any]:
    """The settings; empty when this Redis, a proxy or its rights hide them.

    INFO first: providers that forbid CONFIG mostly leave it.
    """
    try:
        return dict(await client.info("memory", **where))
    except ResponseError:
        try:
            found = await client.config_get("maxmemory*", **where)
            return {str(option).replace("-", "_"): value for option, value in found.items()}
        except ResponseError as error:
            # Not what it says: that may name the user.
            logger.debug("whether Redis deletes tasks when its memory is full can't be told: %s", type(error).__name__)
            return {}
