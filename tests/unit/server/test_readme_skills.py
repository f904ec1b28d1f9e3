"""The skills of the README, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

from pmcp_lab.server import Skills, Tasks
from pmcp_lab.workflow import SequentialWorkflow
from tests.unit.jsonrpc import legacy
from tests.unit.skill_folders import skill_md, write

README = Path(__file__).parents[3] / "README.md"
BLOCK = re.search(r"```python\n(skills = Skills\(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


async def test_they_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "skills", {"refunds/SKILL.md": skill_md("refunds"), "refunds/.env": "SECRET"})
    monkeypatch.chdir(tmp_path)
    assert BLOCK is not None
    names: dict[str, Any] = {"MCPServer": MCPServer, "Skills": Skills, "tasks": Tasks()}
    names["release"] = SequentialWorkflow("release", "Build a version and publish it")
    exec(compile(BLOCK[1], str(README), "exec"), names)
    async with legacy(names["server"]) as peer:
        listed = (await peer.call("skills/list"))["skills"]
        assert [entry["uri"] for entry in listed] == ["skill://acme/refunds/SKILL.md", "skill://acme/release/SKILL.md"]
        assert ".env" not in str(listed)
