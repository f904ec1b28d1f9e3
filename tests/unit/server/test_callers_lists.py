"""What callers without credentials list: what was made in their session, and without sessions nothing."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client.sse import sse_client

from pmcp_lab.server import Limits
from tests.unit.callers import HERE, THERE, House, caller, house
from tests.unit.jsonrpc import Json, Peer, RpcError, calling_from, legacy, serve
from tests.unit.modern_http import rpc
from tests.unit.tasks.test_owners import served


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tasks.db'}"


async def ids(peer: Peer) -> list[str]:
    """What a session lists, all pages."""
    listed: list[str] = []
    cursor: Json = {}
    while True:
        page = await peer.call("tasks/list", cursor)
        listed += [task["taskId"] for task in page["tasks"]]
        if "nextCursor" not in page:
            return listed
        cursor = {"cursor": page["nextCursor"]}


async def test_a_session_lists_what_was_made_in_it(store: str) -> None:
    async with house(store, limits=Limits(tasks_per_owner=None)) as url:
        async with legacy(url) as one, legacy(url) as two, caller(url, "2026-07-28") as neither:
            made: dict[Peer, list[str]] = {one: [], two: []}
            for _ in range(55):
                for peer in (one, two):
                    made[peer].insert(0, await peer.task("quick"))
                await neither.task("quick")
            assert await ids(one) == made[one], "newest first, over two pages"
            assert await ids(two) == made[two]
            first = await one.call("tasks/list")
            assert len(first["tasks"]) == 50
            for cursor in (first["nextCursor"], "x"):
                with pytest.raises(RpcError, match="unknown cursor") as unknown:
                    await two.call("tasks/list", {"cursor": cursor})
                assert unknown.value.code == -32602
            # It may have what it does not list.
            assert (await one.call("tasks/get", {"taskId": made[two][0]}))["taskId"] == made[two][0]
        async with legacy(url) as again:
            assert await ids(again) == []


async def test_a_session_that_changes_networks_lists_everything_it_made(store: str) -> None:
    async with house(store) as url, AsyncExitStack() as stack:
        headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
        home, train = [
            await stack.enter_async_context(
                httpx2.AsyncClient(timeout=20, headers=headers, transport=calling_from(address))
            )
            for address in (HERE, THERE)
        ]

        async def call(http: httpx2.AsyncClient, method: str, **params: Any) -> httpx2.Response:
            return await http.post(url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params})

        info = {"name": "phone", "version": "1"}
        opened = await call(home, "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=info)
        for http in (home, train):
            http.headers["mcp-session-id"] = opened.headers["mcp-session-id"]
        await home.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        made: list[str] = []
        for http in (home, train, home, train, train):
            answer = rpc(await call(http, "tools/call", name="quick", arguments={}, task={}))
            made.insert(0, answer["result"]["task"]["taskId"])
        assert len({task_id[36:] for task_id in made}) == 2, "they count for two networks"
        for http in (home, train):
            listed = rpc(await call(http, "tasks/list"))["result"]["tasks"]
            assert [task["taskId"] for task in listed] == made


async def test_over_sse_a_session_is_one_too() -> None:
    server = House().server
    async with serve(server, app=server.sse_app()) as url, AsyncExitStack() as stack:
        peers = []
        for _ in range(2):
            read, write = await stack.enter_async_context(sse_client(url.removesuffix("/mcp") + "/sse"))
            group = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(group.cancel_scope.cancel)
            peer = Peer(write, None)
            group.start_soon(peer.listen, read)
            await peer.shake_hands({}, "2025-11-25")
            peers.append(peer)
        one, two = peers
        made = await one.task("quick")
        assert (await ids(one), await ids(two)) == ([made], [])
        assert (await two.until(made, "completed"))["taskId"] == made


@pytest.mark.parametrize("http", [{}, {"json_response": True}, {"stateless_http": True}])
async def test_only_sessions_are_offered_a_list(http: dict[str, Any]) -> None:
    async with house(http=http) as url, legacy(url) as peer:
        offered = peer.initialized["capabilities"]
        if "stateless_http" not in http:
            assert "list" in offered["tasks"]
            assert await ids(peer) == []
            return
        assert offered["tasks"] == {"cancel": {}, "requests": {"tools": {"call": {}}}}
        assert offered["experimental"]["tasks"] == offered["tasks"]
        made = await peer.task("quick")
        with pytest.raises(RpcError) as refused:
            await peer.call("tasks/list")
        assert refused.value.code == -32601
        assert (await peer.until(made, "completed"))["taskId"] == made


async def test_with_credentials_there_is_a_list_without_sessions(store: str) -> None:
    async with served(store, stateless_http=True) as url, legacy(url, token="ada") as peer:
        assert "list" in peer.initialized["capabilities"]["tasks"]
        made = await peer.task("quick")
        assert await ids(peer) == [made]
