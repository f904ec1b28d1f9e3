"""How many tasks callers without credentials make: a quota and a pace for each network they come from."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
import uvicorn

from pmcp_lab.server import Limits
from tests.unit.callers import BOTH, HERE, THERE, House, caller, house
from tests.unit.jsonrpc import Json, legacy, modern
from tests.unit.modern_http import Modern, rpc
from tests.unit.tasks.test_owners import UNKNOWN, served


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tasks.db'}"


def refused(answer: Json, says: str) -> bool:
    return "error" in answer and says in answer["error"]["message"]


FULL = "there are already 3 unfinished tasks"


async def test_one_network_s_quota_is_nobody_else_s(store: str) -> None:
    limits = Limits(tasks_per_owner=3)
    async with house(store, limits=limits) as url, house(store, limits=limits) as second, AsyncExitStack() as stack:
        # Neither another session, nor the other generation, nor another process of the server gives a network more.
        ways = [(url, "2025-11-25"), (url, "2025-11-25"), (second, "2025-11-25"), (url, BOTH[1]), (second, BOTH[1])]
        crowd = [await stack.enter_async_context(caller(*way)) for way in ways]
        made = [await one.create() for one in crowd]
        assert ["taskId" in answer for answer in made] == [True, True, True, False, False]
        assert all(refused(answer, FULL) for answer in made[3:])
        for generation in BOTH:
            other = await stack.enter_async_context(caller(url, generation, THERE))
            assert "taskId" in await other.create()
        assert refused(await crowd[0].create(), FULL)
        await crowd[4].about("tasks/cancel", made[0]["taskId"])
        assert "taskId" in await crowd[3].create()


async def test_headers_that_a_stranger_makes_up_give_no_quota() -> None:
    limits = Limits(tasks_per_owner=3)
    async with house(http={"stateless_http": True}, limits=limits) as url, httpx2.AsyncClient(timeout=10) as http:
        params = {"name": "hold", "arguments": {}, "task": {}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        answers = []
        for number in range(5):
            headers = {
                "accept": "application/json, text/event-stream",
                "mcp-protocol-version": "2025-11-25",
                "mcp-session-id": f"made-up-{number}",
            }
            answers.append(rpc(await http.post(url, json=body, headers=headers)))
        assert ["result" in answer for answer in answers] == [True, True, True, False, False]
        listed = await http.post(url, json={**body, "method": "tasks/list", "params": {}}, headers=headers)
        assert rpc(listed)["error"]["code"] == -32601


@pytest.mark.parametrize("believed", [None, "192.0.2.1"])
async def test_a_proxy_is_believed_where_the_server_believes_it(
    believed: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(limits=Limits(tasks_per_owner=1), http={"believed": believed}) as url:
        answers = []
        for client in ("198.51.100.1", "198.51.100.2", "2001:db8::1", "2001:db8::2", "198.51.100.2"):
            headers = {"x-forwarded-for": client}
            async with httpx2.AsyncClient(timeout=10, headers=headers) as http:
                answers.append("result" in await Modern(http, url).call("hold"))
    if believed is None:
        # uvicorn's own default believes what runs on the same machine.
        assert answers == [True, True, True, False, False]
        assert "--forwarded-allow-ips" not in caplog.text
    else:
        assert answers == [True, False, False, False, False]
        [line] = [each for each in caplog.messages if "--forwarded-allow-ips" in each]
        assert "behind 127.0.0.1 share one limit" in line


async def test_a_socket_without_addresses_is_one_network(tmp_path: Path) -> None:
    lab = House(limits=Limits(tasks_per_owner=2))
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        app = lab.server.streamable_http_app()
        uvi = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        running = asyncio.create_task(uvi.serve(sockets=[listening]))
        async with httpx2.AsyncClient(timeout=10, transport=httpx2.AsyncHTTPTransport(uds=path)) as http:
            near = Modern(http, "http://localhost:8000/mcp")
            made = [await near.call("hold") for _ in range(3)]
            assert ["result" in answer for answer in made] == [True, True, False]
            assert "result" in await near.get(made[0]["result"]["taskId"])
        uvi.should_exit = True
        await running


@pytest.mark.parametrize("generation", BOTH)
async def test_tasks_are_made_at_a_pace_and_asked_for_at_any(generation: str) -> None:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(house(limits=Limits(creations_per_minute=5)))
        one, other = [await stack.enter_async_context(caller(url, generation, address)) for address in (HERE, THERE)]
        made = [await one.create("quick") for _ in range(7)]
        assert ["taskId" in answer for answer in made] == [True] * 5 + [False] * 2
        assert refused(made[5], "at most 5 tasks a minute can be made from one network without credentials")
        assert refused(made[5], "try again in ")
        # To look costs nothing, nor does a guess; a workflow is a task too.
        for _ in range(20):
            assert "error" not in await one.about("tasks/get", made[0]["taskId"])
            assert (await other.about("tasks/get", UNKNOWN))["error"] == -32602
        await other.prompt()
        assert ["taskId" in await other.create("quick") for _ in range(5)] == [True] * 4 + [False]


async def test_with_credentials_and_without_http_there_is_no_pace(store: str) -> None:
    async with served(store, limits=Limits(creations_per_minute=1)) as url, legacy(url, token="ada") as ada:
        for _ in range(3):
            await ada.task("quick")
    async with modern(House(limits=Limits(creations_per_minute=1)).server) as near:
        for _ in range(3):
            await near.task("quick")


async def test_anonymous_callers_make_no_tasks_where_limits_say_so() -> None:
    async with house(limits=Limits(allow_anonymous=False)) as url, caller(url, "2026-07-28") as one:
        assert refused(await one.create(), "authenticate first")
