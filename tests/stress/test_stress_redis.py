"""Writers on one Redis, killed at random moments."""

from __future__ import annotations

from tests.unit.crash import crash
from tests.unit.storage_servers import RedisServer


def test_two_hundred_crashes_lose_nothing() -> None:
    server = RedisServer()
    try:
        account = crash(server.url, rounds=200)
    finally:
        server.close()
    print(f"\n200 rounds of two writers killed: {dict(account.counts)} acknowledged, none lost, none twice")
