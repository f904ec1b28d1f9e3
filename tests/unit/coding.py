"""A server whose tools programs may call, and what it notes of them."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from pmcp_lab.execution import AsyncioExecutor
from pmcp_lab.server import CodeLimits, CodeMode, Tasks
from pmcp_lab.tasks import TaskStore

READS: Final = ToolAnnotations(read_only_hint=True)
REPEATABLE: Final = ToolAnnotations(idempotent_hint=True, destructive_hint=False)
ADDS: Final = ToolAnnotations(destructive_hint=False)

TOOLS: Final = ("price", "stock-level", "put", "order", "refuse", "wait")


class Shop:
    """Tools that read (`price`, `stock-level`), may be called twice (`put`), or may not (`order`).

    Attributes:
        ran: Each call that took effect.
        entered, gate: `wait` says that it is at work, and waits to be let go.
    """

    def __init__(
        self, tasks: Tasks | None = None, *, limits: CodeLimits | None = None, approve: Any = "never", **options: Any
    ) -> None:
        self.tasks = tasks = tasks or Tasks(executor=AsyncioExecutor(grace=0.05))
        self.ran: list[str] = []
        self.entered, self.gate = asyncio.Event(), asyncio.Event()
        self.most = self.now = 0
        self.server: MCPServer[Any] = MCPServer("shop", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
        self._declare()
        self.code = CodeMode(tasks, TOOLS, limits=limits, approve=approve, **options)
        self.code.attach(self.server)

    def _declare(self) -> None:
        server = self.server

        @server.tool(annotations=READS)
        async def price(item: str, currency: str = "EUR") -> dict[str, Any]:
            """What an item costs."""
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.01)
            self.now -= 1
            self.ran.append(f"price {item}")
            return {"item": item, "price": len(item), "currency": currency}

        @server.tool("stock-level", annotations=READS)
        def stock_level(item: str) -> int:
            """How many there are."""
            return 10 * len(item)

        @server.tool(annotations=REPEATABLE)
        def put(item: str, count: int) -> str:
            """Have so many."""
            self.ran.append(f"put {item} {count}")
            return "ok"

        @server.tool(annotations=ADDS)
        def order(item: str) -> str:
            """Order one."""
            self.ran.append(f"order {item}")
            return f"ordered {item}"

        @server.tool(annotations=READS)
        def refuse() -> None:
            """Never do."""
            raise ToolError("not today")

        @server.tool()
        async def wait() -> str:
            """Wait to be let go."""
            self.ran.append("wait")
            self.entered.set()
            await self.gate.wait()
            return "went on"

    @classmethod
    def on(cls, store: TaskStore, **options: Any) -> Shop:
        """One more process on a store."""
        return cls(Tasks(store, executor=AsyncioExecutor(grace=0.05), lease=0.3), **options)
