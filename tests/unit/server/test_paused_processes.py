"""Processes that are paused beyond their leases: what they write when they wake counts for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.farm import fresh
from tests.unit.pauses import paused
from tests.unit.processes import together
from tests.unit.storage_servers import shared_redis

pytestmark = pytest.mark.timeout(180)


async def test_pauses_at_every_write_on_sqlite(tmp_path: Path) -> None:
    accounts = await together(
        stopped=paused(f"sqlite:///{tmp_path}/1.db", "2025-11-25", rounds=3),
        blocked=paused(f"sqlite:///{tmp_path}/2.db", "2026-07-28", how="block", stdio=True),
    )
    assert accounts["stopped"].pauses == 3


async def test_pauses_at_every_write_on_redis() -> None:
    redis = shared_redis().url
    accounts = await together(
        stopped=paused(fresh(redis), "2026-07-28", rounds=3),
        ended=paused(fresh(redis), "2025-11-25", how="end", stdio=True),
    )
    assert accounts["stopped"].pauses == 3
