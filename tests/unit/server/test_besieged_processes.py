"""Servers that are killed at random moments, with as many tasks as their clients may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.farm import fresh
from tests.unit.processes import together
from tests.unit.siege import besieged
from tests.unit.storage_servers import shared_redis


@pytest.mark.timeout(180)
async def test_killed_at_the_quota(tmp_path: Path) -> None:
    accounts = await together(
        one=besieged(f"sqlite:///{tmp_path}/1.db", "2026-07-28", servers=1, kills=4, quota=6),
        two_on_stdio=besieged(f"sqlite:///{tmp_path}/2.db", "2025-11-25", kills=5, quota=6, stdio=True),
        two_on_redis=besieged(fresh(shared_redis().url), "2025-11-25", kills=5, quota=6),
    )
    for account in accounts.values():
        assert account.killed + account.terminated >= 4
        assert account.refused
        assert len(account.made) > 6, "places that tasks had were used again"
