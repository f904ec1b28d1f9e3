"""What `rooms.toml` names is there: a test that was moved would notice nothing any more."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = tomllib.loads(Path(__file__).with_name("rooms.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_code_and_tests(room: str) -> None:
    assert all(list(ROOT.glob(pattern)) for pattern in ROOMS[room]["code"])
    assert [path for path in ROOMS[room]["tests"] if not (ROOT / path).is_file()] == []
