"""A server whose tools, resources and prompts change while it is used, in both generations."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from mcp.server.mcpserver import Context, MCPServer

import pmcp_lab as lab
from pmcp_lab.client import client_of
from tests.unit.front_end import until


def growing(*, modern: bool) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("growing", log_level="ERROR")

    @server.tool()
    async def grow(name: str, ctx: Context[Any, Any]) -> str:
        """Have one more of each, and say so."""

        def grown() -> str:
            return name

        server.add_tool(grown, name=name)
        server.resource(f"grown://{name}")(grown)
        server.prompt(name)(grown)
        if modern:
            await ctx.notify_tools_changed()
            await ctx.notify_resources_changed()
            await ctx.notify_prompts_changed()
        else:
            await ctx.session.send_tool_list_changed()
            await ctx.session.send_resource_list_changed()
            await ctx.session.send_prompt_list_changed()
        return name

    return server


@pytest.fixture(params=["legacy", "2026-07-28"])
def server(request: pytest.FixtureRequest) -> Iterator[lab.Server]:
    with lab.connect(
        growing(modern=request.param != "legacy"), name=f"growing-{request.param}", mode=request.param
    ) as connected:
        yield connected


def heard(server: lab.Server) -> tuple[list[str], threading.Event]:
    told: list[str] = []
    all_three = threading.Event()

    def tell(method: str) -> None:
        told.append(method)
        if len(told) == 3:
            all_three.set()

    client_of(server).list_changes.on_changed.add(tell)
    return told, all_three


def test_what_is_listed_is_listed_again(server: lab.Server) -> None:
    told, all_three = heard(server)
    until(lambda: client_of(server).list_changes.heard)
    assert list(server.tools) == ["grow"]
    assert list(server.resources) == []
    assert list(server.prompts) == []
    server.call("grow", name="two")
    assert all_three.wait(5)
    assert {method.split("/")[1] for method in told} == {"tools", "resources", "prompts"}
    assert list(server.tools) == ["grow", "two"]
    assert list(server.resources) == ["grown://two"]
    assert list(server.prompts) == ["two"]


def test_a_list_that_changes_while_it_is_on_its_way_is_not_kept(
    server: lab.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(lambda: client_of(server).list_changes.heard)
    peer = client_of(server).connection.peer
    ask = peer.list_tools

    async def slowly() -> list[dict[str, Any]]:
        listed = await ask()
        monkeypatch.undo()
        client_of(server).listings.forget("tools")
        return listed

    monkeypatch.setattr(peer, "list_tools", slowly)
    assert list(server.tools) == ["grow"]
    assert client_of(server).listings.known_tools is None
    assert list(server.tools) == ["grow"]
    assert client_of(server).listings.known_tools is not None
