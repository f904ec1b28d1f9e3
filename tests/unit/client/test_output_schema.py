"""Results that do not fit their tool's output schema, and schemas that nothing can be compared with."""

from __future__ import annotations

import time
from typing import Any

import mcp_types as types
import pytest
from mcp.server.lowlevel import Server as Lowlevel
from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.errors import InvalidResult


def test_a_result_that_breaks_the_tools_own_schema_ends_the_call() -> None:
    async def lie(context: Any, call_next: Any) -> Any:
        result = await call_next(context)
        return {**result, "structuredContent": {"result": "many"}} if context.method == "tools/call" else result

    server: MCPServer[Any] = MCPServer("liar", middleware=[lie])

    @server.tool()
    def count() -> int:
        return 1

    with lab.connect(server) as connected:
        with pytest.raises(InvalidResult, match="'many' is not of type 'integer'") as caught:
            connected.call("count", timeout=10)
        # Hours of work may be in it.
        assert caught.value.result["structuredContent"] == {"result": "many"}
        assert caught.value.result["content"][0]["text"] == "1"


def test_a_schema_that_can_not_be_used_keeps_no_result_back() -> None:
    tools = {
        "wild": {"type": "object", "properties": {"text": {"pattern": "^(a|a)*$"}}},
        "away": {"type": "object", "$ref": "http://127.0.0.1:9/schema"},
        "none": {"type": "object", "properties": {"text": {"type": "moon"}}},
        "bare": {"type": "object"},
    }

    async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        listed = [types.Tool(name=n, input_schema={"type": "object"}, output_schema=s) for n, s in tools.items()]
        return types.ListToolsResult(tools=listed)

    async def call_tool(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        content = [types.TextContent(type="text", text="well")]
        if params.name == "bare":
            return types.CallToolResult(content=list(content))
        return types.CallToolResult(content=list(content), structured_content={"text": "a" * 60 + "!"})

    server = Lowlevel("stranger", on_list_tools=list_tools, on_call_tool=call_tool)
    with lab.connect(server) as connected:
        began = time.monotonic()
        for name in ("wild", "away", "none"):
            assert connected.call(name, timeout=10).text == "well"
        assert time.monotonic() - began < 5
        with pytest.raises(InvalidResult, match="stranger.bare has an output schema, but sent no structured"):
            connected.call("bare", timeout=10)
