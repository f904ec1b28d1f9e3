"""A server of this process whose tasks end when a test says so."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import AudioContent, CallToolResult, ImageContent, ResourceLink, TextContent

from pmcp_lab.client.runtime import runtime
from pmcp_lab.execution import AsyncioExecutor
from pmcp_lab.server import TaskContext, Tasks

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


class Workshop:
    """`hold` works until `open()`, and so does `linger`, which is never a task;
    `double` is quick and fails for negative numbers."""

    def __init__(self, name: str = "workshop") -> None:
        self.gate = asyncio.Event()
        self.running = 0
        self.peak = 0
        self.started: list[int] = []
        self.broken = True
        tasks = Tasks("memory://", executor=AsyncioExecutor(grace=0.02))

        @tasks.tool(support="optional", poll_interval="50ms")
        async def hold(n: int, task: TaskContext) -> dict[str, Any]:
            self.running += 1
            self.peak = max(self.peak, self.running)
            self.started.append(n)
            await task.update(message=f"holding {n}", progress=0.5, variables={"n": n})
            try:
                await self.gate.wait()
            finally:
                self.running -= 1
            return {"n": n, "half": n / 2, "even": n % 2 == 0, "name": f"no {n}"}

        @tasks.tool(support="optional", poll_interval="20ms")
        async def double(n: int, note: str = "", flag: bool = False) -> int:
            if n < 0 and self.broken:
                raise ToolError(f"{n} is below zero")
            return 2 * n

        self.server: MCPServer[Any] = MCPServer(name, extensions=[tasks], middleware=[tasks], log_level="WARNING")

        @self.server.tool()
        async def linger() -> str:
            self.running += 1
            try:
                await self.gate.wait()
            finally:
                self.running -= 1
            return "done"

        @self.server.tool()
        async def show(kind: str) -> CallToolResult:
            """Something to look at."""
            picture = ImageContent(type="image", data=base64.b64encode(PIXEL).decode(), mime_type="image/png")
            blocks: dict[str, list[Any]] = {
                "image": [picture],
                "audio": [AudioContent(type="audio", data=base64.b64encode(b"RIFF").decode(), mime_type="audio/wav")],
                "link": [ResourceLink(type="resource_link", uri="https://example.org/<b>", name="<i>more</i>")],
                "script": [ResourceLink(type="resource_link", uri="javascript:alert(1)", name="trick")],
                "mixed": [TextContent(type="text", text="<script>alert(1)</script>"), picture],
                "page": [ImageContent(type="image", data="PGI+", mime_type="text/html")],
            }
            return CallToolResult(content=blocks[kind])

    def open(self) -> None:
        """Let everything that is held go."""
        runtime().call_soon(self.gate.set)
