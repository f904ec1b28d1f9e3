"""The long versions of the tests of stores."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from tests.unit.crash import crash
from tests.unit.sqlite_writers import kill
from tests.unit.tasks.backends.test_sqlite_log import MOST, check


def test_two_hundred_crashes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    account = crash(f"sqlite:///{path}", rounds=200)
    print(f"\n200 rounds of two writers killed: {dict(account.counts)} acknowledged, none lost, none twice")
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


@pytest.mark.parametrize("at_once", [1, 2, 3])
async def test_a_hundred_kills_in_a_row_leave_a_small_log(tmp_path: Path, at_once: int) -> None:
    path = tmp_path / "tasks.db"
    seen = await asyncio.to_thread(kill, path, 100 * at_once, at_once)
    print(f"\n100 times {at_once} writers of big records killed: the log had at most {seen.peak / 1e6:.1f} MB")
    assert seen.peak < MOST
    await check(path, seen)
