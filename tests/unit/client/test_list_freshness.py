"""Lists that a 2026-07-28 server calls stale at once, as it does where its author said nothing."""

from __future__ import annotations

from typing import Any

import pytest
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab


@pytest.mark.parametrize("tells", [True, False])
def test_it_is_kept_where_the_server_tells_of_changes(tells: bool) -> None:
    asked: list[str] = []

    async def counted(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        asked.append(ctx.method)
        result = await call_next(ctx)
        if ctx.method == "server/discover" and isinstance(result, dict):
            return {**result, "capabilities": {**result["capabilities"], "tools": {"listChanged": tells}}}
        return result

    served: MCPServer[Any] = MCPServer("listed", middleware=[counted])
    served.add_tool(lambda: "a", name="a")
    with lab.connect(served, mode="2026-07-28") as server:
        for _ in range(3):
            assert list(server.tools) == ["a"]
        assert asked.count("tools/list") == (1 if tells else 3)
        server.refresh()
        served.add_tool(lambda: "b", name="b")
        assert list(server.tools) == ["a", "b"]
