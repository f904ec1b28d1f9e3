"""The long versions of the tests of stores."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.unit.crash import crash


def test_two_hundred_crashes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    account = crash(f"sqlite:///{path}", rounds=200)
    print(f"\n200 rounds of two writers killed: {dict(account.counts)} acknowledged, none lost, none twice")
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
