"""What a server says at its start of settings that lose tasks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

from pmcp_lab.server import Limits, Tasks
from tests.unit.jsonrpc import modern


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "pmcp_lab.server.durability"]


@pytest.mark.parametrize(
    ("where", "options", "ttl", "says"),
    [
        ("", {}, None, ["on_lost='retry' of 'again' has no effect: a store in memory ends with its process"]),
        ("tmp/t.db", {}, None, ["t.db are lost when "]),
        ("home/t.db", {}, None, []),
        ("home/t.db", {"lease": 15}, 19, ["a task is kept for 19s, and missed 20s after its process"]),
        ("home/t.db", {"lease": 15}, 20, []),
        (
            "home/t.db",
            {"lease": "1m", "limits": Limits(default_ttl="30s")},
            None,
            ["on_lost='retry' of 'again' has no effect: a task is kept for 30s, and missed 1m20s after"],
        ),
    ],
)
async def test_settings_that_lose_tasks_are_said_once(
    where: str,
    options: dict[str, Any],
    ttl: Any,
    says: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    for folder in ("tmp", "home"):
        (tmp_path / folder).mkdir()
    tasks = Tasks(f"sqlite:///{tmp_path / where}" if where else "memory://", **options)

    @tasks.tool(on_lost="retry", ttl=ttl)
    async def again() -> str:
        return "done"

    @tasks.tool(ttl=1)
    async def once() -> str:
        return "done"

    server: MCPServer[Any] = MCPServer("s", extensions=[tasks], middleware=[tasks], lifespan=tasks.lifespan)
    async with modern(server) as peer:
        await peer.task("once")
        await peer.task("again")
    lines = said(caplog)
    assert len(lines) == len(says)
    assert all(part in line for part, line in zip(says, lines, strict=True))


async def test_nothing_is_said_of_a_store_in_memory_that_promises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks()

    @tasks.tool()
    async def once() -> str:
        return "done"

    async with modern(MCPServer("s", extensions=[tasks], middleware=[tasks], lifespan=tasks.lifespan)) as peer:
        await peer.task("once")
    assert said(caplog) == []
