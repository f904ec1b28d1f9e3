"""The program of the README, as it stands there."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

import pmcp_lab as lab
from pmcp_lab.server import CodeLimits, CodeMode, Tasks

README = Path(__file__).parents[3] / "README.md"
BLOCK = re.search(r"```python\n(CodeMode\(tasks, .*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_it_asks_and_books_where_it_is_warmest() -> None:
    assert BLOCK is not None
    tasks = Tasks()
    server: MCPServer[Any] = MCPServer("trips", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
    booked: list[tuple[str, int]] = []

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def forecast(city: str) -> dict[str, Any]:
        return {"city": city, "degrees": len(city) if city == "Bern" else 27}

    @server.tool()
    def book(city: str, nights: int) -> None:
        booked.append((city, nights))

    names: dict[str, Any] = {
        "CodeMode": CodeMode,
        "CodeLimits": CodeLimits,
        "tasks": tasks,
        "server": server,
        "lab": lab,
    }
    exec(compile(BLOCK[1], str(README), "exec"), names)
    run, deadline = names["run"], time.monotonic() + 30
    while not run.questions:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert booked == []
    run.answer({"run": True})
    assert run.result(timeout=30).value["calls"] == 3
    assert booked == [("Rome", 2)]
    lab.connected("trips").close()
