"""A server that answers from a recording: the same tools and widgets, and to each recorded call its recorded answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, get_args

from mcp.server import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
)
from mcp_types.methods import CacheableMethod

from pmcp_lab.apps.recording import Recording, matching
from pmcp_lab.errors import nearest
from pmcp_lab.protocol.ui import UI_EXTENSION

Request = ServerRequestContext[Any, Any]

KEEP_MS = 60 * 60_000
"""Milliseconds for which clients may keep what is listed and read."""
LATER = ("execution",)
"""What a listed tool says of its server's tasks, which a recording has not."""


def replay_server(recording: Recording, *, speed: float = 1.0) -> Server[Any]:
    """A server made of a recording. It needs nothing of the one that was recorded.

    A call is answered as the one with the same arguments was, however these were ordered; when there were several, with
    one after the other, and then with the last again. A call that nobody made is an error that says which there are.

    Args:
        speed: How many times as fast as recorded; 0 answers at once.

    Raises:
        ValueError: `speed` is negative.
    """
    if not speed >= 0:
        raise ValueError(f"speed is how many times as fast, at least 0, not {speed!r}")
    answered: Counter[tuple[str, str]] = Counter()

    async def list_tools(_ctx: Request, _params: PaginatedRequestParams | None) -> ListToolsResult:
        tools = [{key: value for key, value in tool.items() if key not in LATER} for tool in recording.tools]
        return ListToolsResult.model_validate({"tools": tools}, by_name=False)

    async def call_tool(_ctx: Request, params: CallToolRequestParams) -> CallToolResult:
        arguments = params.arguments or {}
        key = params.name, matching(arguments)
        call = recording.find(params.name, arguments, after=answered[key])
        if call is None:
            raise MCPError(INVALID_PARAMS, _unknown(recording, params.name, key[1]))
        answered[key] += 1
        if speed:
            await asyncio.sleep(call.ms / 1000 / speed)
        if call.error is not None:
            raise MCPError(call.error["code"], str(call.error.get("message", "")), call.error.get("data"))
        result = {name: value for name, value in (call.result or {}).items() if name != "resultType"}
        return CallToolResult.model_validate({"content": [], **result}, by_name=False)

    async def list_resources(_ctx: Request, _params: PaginatedRequestParams | None) -> ListResourcesResult:
        shown = ("uri", "name", "title", "description", "mimeType", "_meta")
        items = [
            {"name": item["uri"], **{key: item[key] for key in shown if key in item}} for item in recording.resources
        ]
        return ListResourcesResult.model_validate({"resources": items}, by_name=False)

    async def read_resource(_ctx: Request, params: ReadResourceRequestParams) -> ReadResourceResult:
        item = next((item for item in recording.resources if item["uri"] == str(params.uri)), None)
        if item is None:
            raise MCPError(INVALID_PARAMS, f"the recording has no resource {params.uri}", {"uri": str(params.uri)})
        return ReadResourceResult.model_validate({"contents": [item]}, by_name=False)

    server: Server[Any] = Server(
        recording.server["name"],
        title=recording.server.get("title"),
        version=str(recording.server.get("version", "")),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_read_resource=read_resource,
        # A recording stays as it is; whose it is nobody knows.
        cache_hints=dict.fromkeys(get_args(CacheableMethod), CacheHint(ttl_ms=KEEP_MS, scope="private")),
    )
    server.extensions[UI_EXTENSION] = {}
    return server


def _unknown(recording: Recording, tool: str, arguments: str) -> str:
    recorded = [matching(call.arguments) for call in recording.calls if call.tool == tool]
    if not recorded:
        return f"no call of tool {tool!r} was recorded.{nearest(tool, {call.tool for call in recording.calls})}"
    return f"no call of tool {tool!r} with {arguments} was recorded.{nearest(arguments, set(recorded))}"
