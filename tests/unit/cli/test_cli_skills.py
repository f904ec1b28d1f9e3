"""`pmcp-lab app check` on servers with skills: ours, one that tampers with files, one that does not answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError

from pmcp_lab.cli import main
from pmcp_lab.server import Skill, Skills
from tests.unit.skill_folders import skill_md


def lab(*middleware: Any) -> MCPServer[Any]:
    skill = Skill({"SKILL.md": skill_md("a", "allowed-tools: Bash"), "notes/n.md": "one\r\n", "scripts/run.py": ""})
    skills = Skills(skill)
    return MCPServer("lab", extensions=[skills], middleware=[*middleware, skills], log_level="CRITICAL")


def good() -> MCPServer[Any]:
    return lab()


def tampering() -> MCPServer[Any]:
    """Turns line ends, as the SDK's own files do."""

    async def turn(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        result = await call_next(ctx)
        if ctx.method == "resources/read" and isinstance(result, dict):
            (content,) = result["contents"]
            return {**result, "contents": [{**content, "text": content["text"].replace("\r\n", "\n")}]}
        return result

    return lab(turn)


def deaf() -> MCPServer[Any]:
    async def refuse(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method.startswith("skills/"):
            raise MCPError(-32601, "Method not found")
        return await call_next(ctx)

    return lab(refuse)


def hidden() -> MCPServer[Any]:
    """Answers 2025-11-25 clients what it does not declare to them, as the SDK would alone."""

    async def hide(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        result = await call_next(ctx)
        if ctx.method == "initialize" and isinstance(result, dict):
            return {**result, "capabilities": {**result["capabilities"], "extensions": None}}
        return result

    return lab(hide)


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(server: str, *options: str) -> tuple[int, dict[str, Any]]:
        try:
            main(["app", "check", f"{__name__}:{server}", "--json", *options])
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = json.loads(capsys.readouterr().out)
        return status, {**said, "codes": [finding["code"] for finding in said["findings"]]}

    return run


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_server_with_skills_alone(mode: str, check: Any) -> None:
    status, said = check("good", "--mode", mode, "--read-skills", "--strict")
    assert (status, said["skills"]) == (0, ["skill://a/SKILL.md"])
    assert said["codes"] == ["skill-allowed-tools", "skill-scripts"]


def test_files_are_read_when_that_is_wanted(check: Any) -> None:
    assert check("tampering")[0] == 0
    status, said = check("tampering", "--read-skills")
    assert status == 3
    assert [finding["place"] for finding in said["findings"] if finding["code"] == "skill-size"] == [
        "skill skill://a/SKILL.md skill://a/notes/n.md"
    ]


def test_a_server_that_does_not_answer_what_it_declares(check: Any) -> None:
    status, said = check("deaf")
    assert status == 3
    assert said["codes"] == ["skills-no-list"]


def test_a_server_that_hides_its_skills(check: Any) -> None:
    status, said = check("hidden", "--mode", "legacy")
    assert status == 0
    assert said["codes"][0] == "skills-legacy-hidden"
    assert said["skills"] == ["skill://a/SKILL.md"]
