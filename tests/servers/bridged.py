"""A server with an app whose page may speak to it by itself: streamable HTTP with CORS, both generations."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Annotated, Any

import uvicorn
from mcp.server.apps import Apps
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import (
    AcceptedElicitation,
    CancelledElicitation,
    DeclinedElicitation,
    Elicit,
    Resolve,
)
from mcp_types import CallToolResult, ImageContent, TextContent
from pydantic import BaseModel
from starlette.middleware.cors import CORSMiddleware

from pmcp_lab.server import TaskContext, Tasks


class Choice(BaseModel):
    size: int


Outcome = AcceptedElicitation[Choice] | DeclinedElicitation | CancelledElicitation


def which() -> Elicit[Choice]:
    return Elicit("Which size?", Choice)


class Bridged:
    """`ended` has how each `nap` ended; `origins` where every request came from (None: not from a page)."""

    def __init__(self, html: str) -> None:
        self.url = ""
        self.ended: list[str] = []
        self.origins: list[str | None] = []
        apps, tasks = Apps(), Tasks("memory://")
        apps.add_html_resource("ui://bridged/page", html)

        @apps.tool(resource_uri="ui://bridged/page")
        def show() -> str:
            """The app."""
            return "shown"

        @apps.tool(resource_uri="ui://bridged/page", visibility=["model"])
        def hidden() -> str:
            """Not for apps."""
            return "hidden"

        @tasks.tool(support="required")
        async def train(epochs: int, task: TaskContext) -> dict[str, int]:
            await task.update(message="training")
            return {"epochs": epochs}

        self.server: MCPServer[Any] = MCPServer(
            "bridged", extensions=[apps, tasks], middleware=[tasks], log_level="ERROR"
        )
        tool = self.server.tool

        @tool()
        def add(a: int, b: int) -> dict[str, int]:
            return {"sum": a + b}

        @tool()
        def tagged(ctx: Context[Any, Any]) -> dict[str, Any]:
            return {name: value for name, value in (ctx.request_context.meta or {}).items() if name.startswith("com.")}

        @tool()
        def everything() -> CallToolResult:
            return CallToolResult(
                content=[
                    TextContent(type="text", text="grüße ✓ \u2028 \u0000"),
                    ImageContent(type="image", data="AAAA", mime_type="image/png"),
                ],
                structured_content={"deep": [{"null": None, "big": 2**53}]},
                is_error=True,
                _meta={"run.pmcp/own": {"kept": True}},
            )

        @tool()
        def broken() -> str:
            raise ToolError("it broke")

        @tool()
        async def halves(ctx: Context[Any, Any]) -> str:
            await ctx.report_progress(1, 2, "half")
            return "done"

        @tool()
        async def shirt(choice: Annotated[Outcome, Resolve(which)]) -> str:
            return f"size {choice.data.size}" if isinstance(choice, AcceptedElicitation) else choice.action

        @tool()
        async def nap() -> str:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                self.ended.append("cancelled")
                raise
            return "slept"

    def grow(self, name: str) -> None:
        """Have one more tool."""

        def grown() -> str:
            return name

        self.server.add_tool(grown, name=name)

    @contextlib.contextmanager
    def serving(self, *, cors: bool = True) -> Iterator[str]:
        """Its URL while the block is open."""
        app: Any = self.server.streamable_http_app()
        if cors:
            app = CORSMiddleware(
                app,
                allow_origin_regex="http://127.0.0.1:.*",
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["*"],
                expose_headers=["mcp-session-id"],
            )
        served = app

        async def noted(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and scope["method"] == "POST":
                origin = dict(scope["headers"]).get(b"origin")
                self.origins.append(None if origin is None else origin.decode())
            await served(scope, receive, send)

        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(noted, log_level="critical", timeout_graceful_shutdown=1, lifespan="on")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        try:
            yield self.url
        finally:
            server.should_exit = True
            thread.join(10)
            listening.close()
