"""Callers without credentials, on real HTTP servers: a task's id is the right to it, in both generations, on any
connection and after a restart; and it is none to what was made with credentials."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.server.mcpserver import MCPServer

from pmcp_lab.protocol import workflow_wire
from pmcp_lab.server import Tasks
from pmcp_lab.tasks import LOCAL, open_store
from pmcp_lab.tasks.owner import owner_named
from pmcp_lab.tasks.secret import store_secret
from pmcp_lab.workflow import SequentialWorkflow, Workflows
from tests.servers import ROOT, environment
from tests.unit.callers import BOTH, THERE, Caller, House, caller, house
from tests.unit.jsonrpc import Json, legacy, modern, serve
from tests.unit.modern_http import Modern, rpc
from tests.unit.tasks.test_owners import UNKNOWN, same, secured, served


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tasks.db'}"


@pytest.mark.parametrize("after", BOTH)
@pytest.mark.parametrize("before", BOTH)
async def test_an_id_is_enough_after_a_restart_and_from_another_network(store: str, before: str, after: str) -> None:
    async with house(store) as url, caller(url, before, silent=True) as first:
        done, asking = await first.task("quick"), await first.task("ask")
        await first.until(done, "completed")
        await first.until(asking, "input_required")
        ended = await first.task("ask")
    async with house(store) as url, caller(url, after, THERE) as other:
        assert (await other.until(done, "completed"))["taskId"] == done
        assert (await other.outcome(done))["structuredContent"] == {"result": "done"}
        written = await other.about("run.pmcp/tasks/set_variables", asking, variables={"note": "hers"})
        assert written["_meta"]["note"] == "hers"
        await other.until(asking, "input_required")
        if after == "2026-07-28":
            answers = {"who": {"action": "accept", "content": {"name": "Ada"}}}
            assert "error" not in await other.about("tasks/update", asking, inputResponses=answers)
        assert (await other.outcome(asking))["structuredContent"] == {"result": "Ada"}
        assert "error" not in await other.about("tasks/cancel", ended)
        assert (await other.until(ended, "cancelled"))["status"] == "cancelled"


@pytest.mark.parametrize("generation", BOTH)
async def test_an_id_is_enough_after_the_server_was_killed(store: str, generation: str) -> None:
    with killed("tests.servers.restartable", store, "0", "session") as url:
        async with caller(url, generation) as peer:
            done, running = await peer.task("quick", text="kept"), await peer.task("slow", seconds=60)
            await peer.until(done, "completed")
    with killed("tests.servers.restartable", store, "0", "session") as url:
        async with caller(url, generation, THERE) as peer:
            assert (await peer.outcome(done))["structuredContent"] == {"result": "kept"}
            # Its tool may not run twice.
            assert "ended" in (await peer.until(running, "failed"))["statusMessage"]


@contextmanager
def killed(module: str, *arguments: str) -> Iterator[str]:
    """The URL of a server that is killed at the end of the block."""
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


@pytest.mark.parametrize("after", BOTH)
@pytest.mark.parametrize("before", BOTH)
async def test_a_workflow_goes_on_by_its_id_after_a_restart(store: str, before: str, after: str) -> None:
    async with house(store) as url, caller(url, before) as first:
        begun = await first.prompt()
        assert [step.status.value for step in begun.steps] == ["pending", "pending"]
    async with house(store) as url, caller(url, after, THERE) as other:
        resumed = await other.prompt(begun.task_id)
        assert (resumed.task_id, resumed.status) == (begun.task_id, "working")
        ended = await other.weigh(begun.task_id)
        assert (ended.status, [step.status.value for step in ended.steps]) == ("completed", ["completed"] * 2)


@pytest.mark.parametrize("how", ["prompts/get", "tools/call"])
async def test_a_workflow_of_somebody_with_credentials_does_not_go_on_for_a_stranger(store: str, how: str) -> None:
    ran: list[int] = []

    def built(**secured: Any) -> tuple[Tasks, MCPServer[Any]]:
        tasks = Tasks(store)
        server: MCPServer[Any] = MCPServer(
            "flow", extensions=[tasks], middleware=[tasks], log_level="CRITICAL", **secured
        )

        @server.tool()
        def weigh(kilos: int) -> int:
            ran.append(kilos)
            return kilos

        flow = SequentialWorkflow("flow").step("weigh", "weigh", execution="client").step("2", "weigh", {"kilos": 2})
        Workflows([flow], tasks).attach(server)
        return tasks, server

    async with serve(built(**secured())[1]) as url, httpx2.AsyncClient(timeout=20) as http:
        begun = await Caller(Modern(http, url, "ada")).prompt()
    async with serve(built()[1]) as url, caller(url, "2026-07-28") as stranger:
        assert isinstance(stranger.peer, Modern)
        stranger.peer.envelope = {**stranger.peer.envelope, **workflow_wire.continuation_meta(begun.task_id)}
        named = {"name": "flow"} if how == "prompts/get" else {"name": "weigh", "arguments": {"kilos": 1}}
        answer = rpc(await stranger.peer.post(how, named["name"], **named))
        assert answer["error"]["code"] == -32602
        assert "not found" in answer["error"]["message"]
        assert ran == []


async def test_listening_takes_no_more_than_an_id(store: str) -> None:
    async with house(store) as url, caller(url, "2025-11-25") as first:
        held, known = await first.task("hold"), await first.task("quick")
        async with caller(url, "2026-07-28", THERE) as other:
            assert isinstance(other.peer, Modern)
            guessed = f"{UNKNOWN}{held[36:]}"
            async with other.peer.listen(held, guessed, UNKNOWN, known) as messages:
                acknowledged = await anext(messages)
                assert acknowledged["params"]["notifications"]["taskIds"] == [held, known]
                await first.about("tasks/cancel", held)
                async with asyncio.timeout(10):
                    while (await anext(messages))["params"].get("status") != "cancelled":
                        pass


# --- credentials ------------------------------------------------------------------------------------

METHODS: list[tuple[str, Json]] = [
    ("tasks/get", {}),
    ("tasks/cancel", {}),
    ("tasks/cancel", {"result": 1}),
    ("tasks/result", {}),
    ("tasks/update", {"inputResponses": {"who": {"action": "accept", "content": {"name": "Eve"}}}}),
    ("run.pmcp/tasks/set_variables", {"variables": {"note": "hers"}}),
]


def guesses(task_id: str, tag: str) -> list[str]:
    """The id of another's task, and what a stranger might make of it."""
    bare = task_id[:36]
    return [task_id, bare, bare + tag, f"{task_id}.", f".{task_id}", f"{task_id}{tag}{tag}", bare.upper() + tag]


@pytest.mark.parametrize("generation", BOTH)
async def test_without_credentials_nobody_reaches_what_was_made_with_them(store: str, generation: str) -> None:
    async with served(store) as secured, house(store) as url, httpx2.AsyncClient(timeout=20) as http:
        ada = Modern(http, secured, "ada")
        working = await ada.task("wait")
        before = await ada.get(working)
        async with caller(url, generation, THERE) as stranger:
            own = await stranger.task("hold")
            for method, params in METHODS:
                missing = await stranger.about(method, UNKNOWN, **params)
                for guess in guesses(working, own[36:]):
                    answer = await stranger.about(method, guess, **params)
                    assert answer == {**missing, "says": missing["says"].replace(UNKNOWN, guess)}, (method, guess)
        assert await ada.get(working) == before


async def test_with_credentials_nobody_reaches_what_was_made_without(store: str) -> None:
    async with AsyncExitStack() as stack:
        with_token, url = [await stack.enter_async_context(one) for one in (served(store), house(store))]
        somebody = await stack.enter_async_context(caller(url, "2025-11-25"))
        held = await somebody.task("hold")
        eve = Modern(await stack.enter_async_context(httpx2.AsyncClient(timeout=20)), with_token, "eve")
        for method, params in METHODS:
            missing = await eve.about(method, UNKNOWN, **params)
            assert same(await eve.about(method, held, **params), missing, held, UNKNOWN), method
        other = Caller(await stack.enter_async_context(legacy(with_token, token="eve")))
        for method, params in METHODS:
            unknown = await other.about(method, UNKNOWN, **params)
            found = await other.about(method, held, **params)
            assert found == {**unknown, "says": unknown["says"].replace(UNKNOWN, held)}, method
        assert (await somebody.until(held, "working"))["taskId"] == held


async def test_a_setting_that_changes_loses_no_task(store: str) -> None:
    async with house(store, anonymous="session") as url, caller(url, "2025-11-25") as first:
        one = await first.task("quick")
        await first.until(one, "completed")
    async with house(store, anonymous="local") as url, caller(url, "2025-11-25") as second:
        assert "error" not in await second.about("tasks/get", one)
        two = await second.task("quick")
        await second.until(two, "completed")
    async with house(store, anonymous="session") as url, caller(url, "2026-07-28") as third:
        for task_id in (one, two):
            assert "error" not in await third.about("tasks/get", task_id)
    async with house(store, anonymous="refuse") as url, caller(url, "2026-07-28") as fourth:
        for task_id in (one, two):
            assert (await fourth.about("tasks/get", task_id))["error"] == -32600


async def test_the_server_s_own_process_reaches_them(store: str) -> None:
    lab = House(store)
    async with serve(lab.server) as url, caller(url, "2025-11-25") as first:
        held = await first.task("quick")
        await first.until(held, "completed")
        async with modern(lab.server) as near:
            assert (await near.call("tasks/get", held))["status"] == "completed"
        assert (await lab.tasks.run_task(held)).status == "completed"
        begun = await first.prompt()
        resumed = await lab.workflows.resume(begun.task_id)
        assert (resumed.task_id, resumed.status) == (begun.task_id, "working")


# --- what an id says --------------------------------------------------------------------------------


async def test_an_id_says_whose_it_is_to_its_store_alone(tmp_path: Path) -> None:
    stores = [f"sqlite:///{tmp_path / name}.db" for name in ("one", "two")]
    tags: list[set[str]] = []
    for where in stores:
        made = []
        for _ in range(2):
            async with house(where) as url, caller(url, "2026-07-28") as peer:
                made += [await peer.task("quick") for _ in range(2)]
        assert len({task_id[:36] for task_id in made}) == 4
        tags.append({task_id[36:] for task_id in made})
    assert [len(each) for each in tags] == [1, 1], "the same after a restart"
    # Else whoever is given an id could try four billion addresses.
    assert tags[0] != tags[1]


async def test_the_secret_of_a_store_is_one_whoever_makes_it(store: str) -> None:
    opened = [open_store(store) for _ in range(8)]
    all_looked = asyncio.Barrier(len(opened))

    def looking(get: Any) -> Any:
        async def looked(*key: Any) -> Any:
            found = await get(*key)
            await all_looked.wait()
            return found

        return looked

    # Every process looks before any has made it.
    for each in opened:
        each.backend.get = looking(each.backend.get)  # type: ignore[method-assign]
    found = await asyncio.gather(*(store_secret(each) for each in opened))
    assert len(set(found)) == 1
    assert len(found[0]) == 32
    for each in opened:
        await each.close()


@pytest.mark.parametrize("tag", ["", ".", ".0123456789AB", ".0123456789a", ".0123456789abc", ".0123456789ab."])
def test_what_names_no_network_is_the_local_owner_s(tag: str) -> None:
    assert owner_named(f"{UNKNOWN}{tag}") == LOCAL
    assert owner_named(f"{UNKNOWN}.0123456789ab") == ("network", "0123456789ab")
