"""Calls that ask, when something goes wrong between the question and its answer: processes end, clients give up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp_types import ElicitResult

from pmcp_lab.errors import StoreError
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks import TaskRecord, TaskStore, open_store
from pmcp_lab.tasks.backends.memory import MemoryBackend
from tests.unit.asking import NAMED, Asked, Lab, Name, body, questions, said, text
from tests.unit.farm import fresh
from tests.unit.jsonrpc import modern, serve
from tests.unit.modern_http import Modern
from tests.unit.storage_servers import shared_redis

INVALID = {"reason": "invalid_request_state"}


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/tasks.db" if request.param == "sqlite" else fresh(shared_redis().url)


async def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_answer_comes_to_another_process(url: str) -> None:
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(Lab(url).asked()) for _ in range(2)]
        asked = await one.call("greet", {"times": 2})
        # The first thing this process ever hears.
        there = one.elsewhere(other)
        second = await there.call("greet", {"times": 2}, to=asked, answers=dict.fromkeys(questions(asked), NAMED))
        done = await one.call("greet", {"times": 2}, to=second, answers=dict.fromkeys(questions(second), NAMED))
        assert text(done) == "Hello, Ada and Ada!"
        assert text(await there.call("greet", {"times": 2}, to=asked)) == text(done), "it is kept for a while"


async def test_the_server_ends_between_question_and_answer(url: str) -> None:
    # That it may be killed as well: `test_restarted_processes`.
    async with AsyncExitStack() as stack:
        lab = Lab(url)
        first = await stack.enter_async_context(lab.asked())
        asked, lost = await first.call("again"), await first.call("greet")
        kept = questions(asked)
        await lab.tasks.close(0)
        client = first.elsewhere(await stack.enter_async_context(Lab(url).asked()))
        second = await client.call("again", to=asked, answers=dict.fromkeys(kept, NAMED))
        assert list(questions(second).values()) == ["Second?"]
        done = await client.call("again", to=second, answers=dict.fromkeys(questions(second), NAMED))
        assert text(done) == "Ada and Ada, attempt 1"
        failed = (await client.call("greet", to=lost, answers=dict.fromkeys(questions(lost), NAMED)))["error"]
        assert failed["code"] == -32603
        assert failed["message"] == "tool 'greet' did not end: the server was stopped before the task was done"


async def test_a_server_without_its_lifespan_learns_who_it_is_over_http(tmp_path: Path) -> None:
    def served() -> MCPServer[Any]:
        tasks = Tasks(f"sqlite:///{tmp_path}/tasks.db", lease=0.5)

        @tasks.tool()
        async def greet(task: TaskContext) -> str:
            return said(await task.elicit("Who?", Name))

        return MCPServer("plain", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")

    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(serve(served())) for _ in range(2)]
        http = await stack.enter_async_context(httpx2.AsyncClient(timeout=10))
        one, other = [Asked(Modern(http, url, capabilities={"elicitation": {}})) for url in urls]
        for client in (one, other):
            body(await client.peer.post("server/discover"))
        asked = await one.call("greet")
        assert text(await other.call("greet", to=asked, answers=dict.fromkeys(questions(asked), NAMED))) == "Ada"


async def test_it_is_said_where_a_state_is_of_one_process(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks()

    @tasks.tool()
    async def greet(task: TaskContext) -> str:
        return said(await task.elicit("Who?", Name))

    async def answer(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="decline")

    server = MCPServer[Any]("plain", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
    async with Client(server, mode="2026-07-28", elicitation_callback=answer) as client:
        for _ in range(2):
            assert (await client.call_tool("greet", {})).structured_content == {"result": "decline"}
    said_so = [record.getMessage() for record in caplog.records if "at this process only" in record.getMessage()]
    assert len(said_so) == 1
    assert "tasks.attach(server)" in said_so[0]
    await tasks.close(0)


class Away(MemoryBackend):
    """A storage that can't be reached."""

    async def insert(self, *args: Any, **options: Any) -> None:
        raise StoreError("redis://secret-host:6379 can't be reached")


async def test_the_storage_is_away_when_a_tool_asks() -> None:
    async with Lab(TaskStore(Away())).asked() as client:
        for tool in ("greet", "by_context", "in_thread"):
            refused = await client.call(tool)
            assert refused["isError"], tool
            assert text(refused) == f"Error executing tool {tool}: the server can't use its task store"
        assert text(await client.call("adds", {"a": 1})) == "2", "what does not ask needs none"


# --- clients that give up ---


async def behind(lab: Lab) -> TaskRecord:
    [record] = await lab.behind("local")
    return record


async def test_a_call_is_cancelled_before_its_tool_has_asked() -> None:
    lab = Lab()
    async with modern(lab.server, tasks=False) as peer:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await peer.client.call_tool("early", {})
        await until(lambda: lab.stopped == ["early"])
        assert await lab.behind("local") == []


async def test_a_call_is_cancelled_while_its_tool_works_on_an_answer() -> None:
    lab = Lab()
    async with modern(lab.server, tasks=False) as peer:
        session = peer.client.session
        asked = await session.call_tool("slow", {}, allow_input_required=True)
        assert asked.result_type == "input_required"
        again = {
            "input_responses": {key: ElicitResult(**NAMED) for key in asked.input_requests or {}},
            "request_state": asked.request_state,
        }
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await session.call_tool("slow", {}, **again)  # type: ignore[arg-type]
        await until(lambda: lab.stopped == ["slow"])
        record = await behind(lab)
        assert (record.status, record.message) == ("cancelled", "its caller has cancelled the call")
        with pytest.raises(Exception, match="this call of tool 'slow' was cancelled; call the tool again"):
            await session.call_tool("slow", {}, **again)  # type: ignore[arg-type]


@pytest.mark.parametrize("back", ["here", "elsewhere", "never"])
async def test_a_stream_breaks_while_the_tool_works(
    sqlite_store: TaskStore, back: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pmcp_lab.server.round_trips._COMES_BACK", 0.5)
    async with AsyncExitStack() as stack:
        labs = [Lab(open_store(sqlite_url(sqlite_store))) for _ in range(2)]
        first, other = [await stack.enter_async_context(lab.asked()) for lab in labs]
        lab, client = labs[0], first
        asked = await client.call("slow")
        answers = dict.fromkeys(questions(asked), NAMED)
        broken = asyncio.create_task(client.call("slow", to=asked, answers=answers))
        await asyncio.sleep(0.3)
        broken.cancel()
        if back == "never":
            await until(lambda: lab.stopped == ["slow"])
            refused = await client.call("slow", to=asked, answers=answers)
            assert "was cancelled" in refused["error"]["message"]
            return
        client = client if back == "here" else client.elsewhere(other)
        # A stream that broke has lost its request: a client makes it again.
        again = asyncio.create_task(client.call("slow", to=asked, answers=answers))
        await asyncio.sleep(1)
        lab.go.set()
        assert text(await again) == "Ada"
        assert lab.stopped == []


def sqlite_url(store: TaskStore) -> str:
    return f"sqlite:///{store.backend.path}"  # type: ignore[attr-defined]


async def test_one_of_two_that_wait_gives_up() -> None:
    lab = Lab()
    async with lab.asked() as client:
        asked = await client.call("slow")
        answers = dict.fromkeys(questions(asked), NAMED)
        leaves, stays = [asyncio.create_task(client.call("slow", to=asked, answers=answers)) for _ in range(2)]
        await asyncio.sleep(0.2)
        leaves.cancel()
        await asyncio.sleep(0.2)
        lab.go.set()
        assert text(await stays) == "Ada"


@pytest.mark.parametrize("last", ["older", "newer"])
async def test_all_that_wait_give_up(last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pmcp_lab.server.round_trips._COMES_BACK", 0.1)
    lab = Lab()
    async with lab.asked() as client:
        asked = await client.call("slow")
        answers = dict.fromkeys(questions(asked), NAMED)
        waiting = []
        for _ in range(2):
            waiting.append(asyncio.create_task(client.call("slow", to=asked, answers=answers)))
            await asyncio.sleep(0.1)
        for leaving in waiting if last == "newer" else reversed(waiting):
            leaving.cancel()
            await asyncio.sleep(0.1)
        await until(lambda: lab.stopped == ["slow"])


async def test_a_server_that_ends_stops_what_waits() -> None:
    lab = Lab()
    async with modern(lab.server, tasks=False) as peer:
        await peer.client.session.call_tool("waits", {}, allow_input_required=True)
        await lab.tasks.close(0)
        assert lab.stopped == ["waits"]
