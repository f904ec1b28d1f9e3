"""Processes that are paused beyond their leases: what they write when they wake counts for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.calling import Generation
from tests.unit.farm import fresh
from tests.unit.pauses import How, paused
from tests.unit.storage_servers import shared_redis

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty one, that several processes can open."""
    return fresh(shared_redis().url) if request.param == "redis" else f"sqlite:///{tmp_path}/tasks.db"


@pytest.mark.parametrize(
    ("store", "generation", "how", "stdio"),
    [
        ("sqlite", "2025-11-25", "stop", False),
        ("sqlite", "2026-07-28", "block", True),
        ("redis", "2026-07-28", "stop", False),
        ("redis", "2025-11-25", "end", True),
    ],
    indirect=["store"],
)
async def test_a_pause_at_every_write(store: str, generation: Generation, how: How, stdio: bool) -> None:
    account = await paused(store, generation, how=how, stdio=stdio)
    assert account.pauses == 1


@pytest.mark.parametrize("store", ["sqlite", "redis"], indirect=True)
async def test_pauses_anywhere(store: str) -> None:
    await paused(store, "2026-07-28", rounds=3)
