"""A server whose app takes a second to read; it counts what it is asked. `unlisted` has no `resources/list`, and that
of `broken` fails."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListToolsResult,
    ReadResourceRequestParams,
    ReadResourceResult,
)

from pmcp_lab.protocol.ui import MIME_TYPE, UI_EXTENSION

URI = "ui://slow/app"
SECONDS = 1.0
PAGE = """<!doctype html><p>shown</p><script>
parent.postMessage({jsonrpc: "2.0", id: 1, method: "ui/initialize", params: {
  protocolVersion: "2026-01-26", appInfo: {name: "slow", version: "1"}, appCapabilities: {}}}, "*");
onmessage = ({data}) => data.id === 1 &&
  parent.postMessage({jsonrpc: "2.0", method: "ui/notifications/initialized"}, "*");
</script>"""


def server(listing: str = "") -> Server[Any]:
    asked = {"reads": 0, "lists": 0}

    async def list_tools(_ctx: Any, _params: Any) -> ListToolsResult:
        schema = {"type": "object", "properties": {}}
        tools = [
            {"name": "show", "inputSchema": schema, "_meta": {"ui": {"resourceUri": URI}}},
            {"name": "asked", "inputSchema": schema},
        ]
        return ListToolsResult.model_validate({"tools": tools}, by_name=False)

    async def call_tool(_ctx: Any, params: CallToolRequestParams) -> CallToolResult:
        return CallToolResult(content=[], structured_content=dict(asked) if params.name == "asked" else {})

    async def list_resources(_ctx: Any, _params: Any) -> ListResourcesResult:
        asked["lists"] += 1
        if listing == "unlisted":
            raise MCPError(METHOD_NOT_FOUND, "there is no list")
        if listing == "broken":
            raise MCPError(INTERNAL_ERROR, "the list is broken")
        csp = {"ui": {"csp": {"connectDomains": ["https://listed.example"]}}}
        resources = [{"uri": URI, "name": "slow", "mimeType": MIME_TYPE, "_meta": csp}]
        return ListResourcesResult.model_validate({"resources": resources}, by_name=False)

    async def read_resource(_ctx: Any, _params: ReadResourceRequestParams) -> ReadResourceResult:
        asked["reads"] += 1
        await asyncio.sleep(SECONDS)
        return ReadResourceResult.model_validate(
            {"contents": [{"uri": URI, "mimeType": MIME_TYPE, "text": PAGE}]}, by_name=False
        )

    made: Server[Any] = Server(
        "slow",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_read_resource=read_resource,
    )
    made.extensions[UI_EXTENSION] = {}
    return made


async def main() -> None:
    made = server(*sys.argv[1:])
    async with stdio_server() as (read, write):
        await made.run(read, write, made.create_initialization_options())


if __name__ == "__main__":
    anyio.run(main)
