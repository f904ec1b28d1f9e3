"""The peers as such, with the official client alone: when one of these fails, the fault is not ours."""

from __future__ import annotations

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.peers import Peer


async def names_of_tools(peer: Peer) -> set[str]:
    command, *args = peer.stdio
    async with Client(stdio_client(StdioServerParameters(command=command, args=args)), mode="legacy") as client:
        return {tool.name for tool in (await client.list_tools()).tools}


async def test_everything_has_its_task_tool(everything: Peer) -> None:
    assert "simulate-research-query" in await names_of_tools(everything)


async def test_budget_allocator_has_its_app_tool(budget_allocator: Peer) -> None:
    assert "get-budget-data" in await names_of_tools(budget_allocator)
