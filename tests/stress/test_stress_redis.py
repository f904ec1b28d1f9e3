"""Writers on one Redis, killed at random moments, and the Redis under them."""

from __future__ import annotations

from tests.unit.crash import crash
from tests.unit.redis_killed import kill_again_and_again
from tests.unit.storage_servers import RedisServer


def test_two_hundred_crashes_lose_nothing() -> None:
    server = RedisServer()
    try:
        account = crash(server.url, rounds=200)
    finally:
        server.close()
    print(f"\n200 rounds of two writers killed: {dict(account.counts)} acknowledged, none lost, none twice")


async def test_two_hundred_kills_of_redis_lose_nothing() -> None:
    server = RedisServer()
    try:
        account = await kill_again_and_again(server, rounds=200)
    finally:
        server.close()
    print(f"\nRedis killed 200 times: {dict(account.counts)} acknowledged, none lost, none twice")
