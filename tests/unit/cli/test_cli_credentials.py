"""Commands that reach a server as a program, by an entry of a file, where there is nobody to sign in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import environment
from tests.unit.guarded import Guard, guarded_server

COMMANDS = [["app", "check", "robots"], ["preview", "robots", "--port", "0"]]


@pytest.fixture
def guard() -> Guard:
    return Guard()


@pytest.fixture
def folder(guard: Guard, tmp_path: Path) -> Iterator[Path]:
    """With a file that names the server."""
    guard.programs["robot"] = "secret-of-robot"
    with guarded_server(guard) as url:
        program = {"clientId": "robot", "secret": "$ROBOT", "issuer": url.removesuffix("/mcp")}
        entries = {"robots": {"url": url, "clientCredentials": program}}
        (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": entries}))
        yield tmp_path


def started(folder: Path, arguments: list[str], secret: str = "secret-of-robot") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pmcp_lab", *arguments],
        cwd=folder,
        env=environment(ROBOT=secret, JUPYTER_DATA_DIR=str(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_program_is_let_in(folder: Path, guard: Guard) -> None:
    checked = started(folder, COMMANDS[0])
    said, complaint = checked.communicate(timeout=50)
    assert "none of its 2 tools names a ui:// resource" in said + complaint
    assert guard.asked == ["robot"]
    shown = started(folder, COMMANDS[1])
    assert shown.stdout is not None
    try:
        assert shown.stdout.readline().startswith("http://127.0.0.1:")
    finally:
        shown.terminate()
        shown.communicate(timeout=20)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("secret", "useless", "why"),
    [("yesterdays", False, "invalid_client"), ("secret-of-robot", True, "refuses the token")],
)
def test_one_that_is_not_is_told_so_in_a_line(
    folder: Path, guard: Guard, command: list[str], secret: str, useless: bool, why: str
) -> None:
    guard.useless = useless
    refused = started(folder, command, secret)
    said, complaint = refused.communicate(timeout=50)
    assert refused.returncode == 1
    assert said == ""
    assert why in complaint
    assert "'robot'" in complaint
    assert len(complaint.strip().splitlines()) == 1
    assert len(guard.asked) <= 3, "no more than the handshake has attempts"
    for each in (secret, *guard.given):
        assert each not in complaint
