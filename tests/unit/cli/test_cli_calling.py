"""`pmcp-lab tools`, `inspect` and `call`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

from pmcp_lab.cli import main
from pmcp_lab.server import TaskContext, Tasks

tasks = Tasks("memory://")


@tasks.tool(support="required")
async def pack(task: TaskContext, boxes: int = 2) -> dict[str, int]:
    await task.update(message="packing", progress=0.5)
    return {"boxes": boxes}


@tasks.tool(support="required")
async def buy(task: TaskContext) -> str:
    answer = await task.elicit("Buy it?", Agreed)
    return answer.action


shop = MCPServer("shop", version="2", instructions="Ask for a cart.", extensions=[tasks], log_level="CRITICAL")
TARGET = f"{__name__}:shop"
new = MCPServer("new", log_level="CRITICAL")


class Agreed(BaseModel):
    ok: bool


@shop.tool()
def cart(code: str, count: int = 1) -> dict[str, Any]:
    """What is in it."""
    return {"code": code, "count": count}


@shop.tool()
def broken() -> str:
    raise ToolError("no stock")


def lab(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status: Any = 0
    try:
        main(list(arguments))
    except SystemExit as ended:
        status = ended.code or 0
    said = capsys.readouterr()
    return status, said.out, said.err


def test_tools_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = lab(capsys, "tools", TARGET)
    assert status == 0
    assert "cart" in out
    assert "code [count]" in out
    names = [tool["name"] for tool in json.loads(lab(capsys, "tools", TARGET, "--json")[1])]
    assert sorted(names) == ["broken", "buy", "cart", "pack"]


def test_a_server_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = lab(capsys, "inspect", TARGET)
    assert out.startswith("shop 2, MCP ")
    assert "Ask for a cart." in out
    assert lab(capsys, "inspect", f"{__name__}:new")[1].startswith("new, MCP 20"), "it has no version"
    told = json.loads(lab(capsys, "inspect", TARGET, "--json")[1])
    assert (told["server"]["version"], min(told["tools"])) == ("2", "broken")
    assert '"required"' in lab(capsys, "inspect", TARGET, "cart")[1]
    status, _, err = lab(capsys, "inspect", TARGET, "carts")
    assert status == 1
    assert "Did you mean 'cart'" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["code=007", "count=3"],
        ["--arguments", '{"code": "007", "count": 3}'],
        ["--arguments", "@given.json"],
        ["--arguments", "-"],
        ["--arguments", '{"code": "007"}', "count=3"],
    ],
    ids=" ".join,
)
def test_a_call(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "given.json").write_text('{"code": "007", "count": 3}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO('{"code": "007", "count": 3}'))
    status, out, _ = lab(capsys, "call", TARGET, "cart", *arguments, "--json")
    assert (status, json.loads(out)["structuredContent"]) == (0, {"code": "007", "count": 3})


def test_a_task_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = lab(capsys, "call", TARGET, "pack", "boxes=7", "--json")
    assert (status, json.loads(out)["structuredContent"]) == (0, {"boxes": 7})


def test_a_question_without_anybody_is_declined(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    status, out, err = lab(capsys, "call", TARGET, "buy")
    assert (status, out) == (0, "decline\n")
    assert "Buy it?\npmcp-lab: nobody is here to answer, so this is declined" in err


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["cart"], 2, "'code' is a required property"),
        (["cart", "code"], 2, "'code' is no NAME=VALUE"),
        (["cart", "code=a", "count=x"], 2, "count"),
        (["carts"], 1, "Did you mean 'cart'"),
        (["cart", "--arguments", "{"], 1, "--arguments has no JSON"),
        (["cart", "--arguments", "[1]"], 1, "must have a JSON object"),
        (["cart", "--arguments", "@nowhere.json"], 1, "nowhere.json can't be read"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = lab(capsys, "call", TARGET, *arguments)
    assert found[0] == status
    assert says in found[2]
    assert not found[1]


def test_a_tool_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = lab(capsys, "call", TARGET, "broken")
    assert status == 4
    assert "no stock" in out
    status, out, _ = lab(capsys, "call", TARGET, "broken", "--json")
    assert (status, json.loads(out)["isError"]) == (4, True)
