"""Servers that are killed at random moments, with as many tasks as their clients may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.calling import Generation
from tests.unit.farm import fresh
from tests.unit.siege import besieged
from tests.unit.storage_servers import shared_redis

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize(
    ("store", "generation", "servers", "stdio"),
    [
        ("sqlite", "2026-07-28", 1, False),
        ("sqlite", "2025-11-25", 2, True),
        ("redis", "2025-11-25", 2, False),
    ],
)
async def test_killed_at_the_quota(
    store: str, generation: Generation, servers: int, stdio: bool, tmp_path: Path
) -> None:
    url = fresh(shared_redis().url) if store == "redis" else f"sqlite:///{tmp_path}/tasks.db"
    account = await besieged(url, generation, servers=servers, kills=5, quota=6, stdio=stdio)
    assert account.killed + account.terminated == 5
    assert account.refused
    assert len(account.made) > 6, "places that tasks had were used again"
