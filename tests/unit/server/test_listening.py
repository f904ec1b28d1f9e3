"""Streams that name tasks: what they are told, whatever happens to the task, the store, or who listens."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from mcp.client._memory import InMemoryTransport
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from pmcp_lab.server import Tasks
from pmcp_lab.tasks import LOCAL, Limits, TaskStore
from tests.unit.jsonrpc import Json, serve
from tests.unit.modern_http import CAPABILITIES, ENVELOPE, Modern, messages_of, rpc
from tests.unit.server.test_server_life import settled
from tests.unit.watched_backend import WatchedBackend

HEADERS = {
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "subscriptions/listen",
}


class Listened:
    """A server over HTTP whose tasks the test changes in its store."""

    def __init__(self, url: str, tasks: Tasks, http: httpx2.AsyncClient) -> None:
        self.url = url
        self.store = tasks.store
        self.peer = Modern(http, url)

    @property
    def backend(self) -> WatchedBackend:
        assert isinstance(self.store.backend, WatchedBackend)
        return self.store.backend

    async def task(self, message: str = "0") -> str:
        return (await self.store.create(LOCAL, message=message)).task_id

    async def say(self, task_id: str, message: str) -> None:
        await self.store.update(LOCAL, task_id, message=message)

    async def ask(self, params: Any) -> httpx2.Response:
        """The answer to a request that is refused."""
        body = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
        return await self.peer.http.post(self.url, json=body, headers=HEADERS)

    @asynccontextmanager
    async def stream(self, filters: Json) -> AsyncIterator[AsyncIterator[Json]]:
        params = {"notifications": filters, "_meta": ENVELOPE}
        body = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
        async with self.peer.http.stream("POST", self.url, json=body, headers=HEADERS) as stream:
            yield messages_of(stream)

    @asynccontextmanager
    async def deaf(self, task_id: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A listener that reads its acknowledgement, and then nothing unless the test does."""
        address = urlsplit(self.url)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (address.hostname, address.port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=4096)
        params = {"notifications": {"taskIds": [task_id]}, "_meta": ENVELOPE}
        body = json.dumps({"jsonrpc": "2.0", "id": "deaf", "method": "subscriptions/listen", "params": params})
        head = (
            f"POST /mcp HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-type: application/json\r\n"
            "accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n"
            f"mcp-method: subscriptions/listen\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        try:
            writer.write((head + body).encode())
            await reader.readuntil(b"acknowledged")
            yield reader, writer
        finally:
            writer.transport.abort()


@pytest.fixture
async def listened() -> AsyncIterator[Listened]:
    tasks = Tasks(TaskStore(WatchedBackend(), Limits(tasks_per_owner=None)))
    server: MCPServer[Any] = MCPServer("listened", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
    limits = httpx2.Limits(max_connections=None)
    async with serve(server) as url, httpx2.AsyncClient(timeout=10, limits=limits) as http:
        yield Listened(url, tasks, http)


async def heard(messages: AsyncIterator[Json], until: Callable[[Json], bool]) -> list[Json]:
    """The tasks that a stream tells of, up to one."""
    found: list[Json] = []
    async with asyncio.timeout(20):
        async for message in messages:
            assert message.get("method") == "notifications/tasks", message
            found.append(message["params"])
            if until(found[-1]):
                return found
    raise AssertionError(f"the stream ended after {found}")


def says(message: str) -> Callable[[Json], bool]:
    return lambda task: task["statusMessage"] == message


# --- what is asked for ------------------------------------------------------------------------------

MALFORMED: dict[str, Any] = {
    "no parameters": None,
    "no notifications": {},
    "notifications are null": {"notifications": None},
    "notifications are a list": {"notifications": []},
    "notifications are a text": {"notifications": "taskIds"},
    "notifications are a number": {"notifications": 3},
    "null": {"notifications": {"taskIds": None}},
    "a text": {"notifications": {"taskIds": "abc"}},
    "an object": {"notifications": {"taskIds": {"0": "abc"}}},
    "a number": {"notifications": {"taskIds": 3}},
    "true": {"notifications": {"taskIds": True}},
    "with a number": {"notifications": {"taskIds": ["abc", 1]}},
    "with null": {"notifications": {"taskIds": ["abc", None]}},
    "nested": {"notifications": {"taskIds": [["abc"]]}},
    "deeply nested": {"notifications": {"taskIds": json.loads("[" * 200 + "]" * 200)}},
    "too many": {"notifications": {"taskIds": ["abc"] * 1_001}},
}


@pytest.mark.parametrize("extension", [True, False], ids=["extension", "no extension"])
@pytest.mark.parametrize("malformed", MALFORMED)
async def test_what_is_malformed_is_invalid_params(
    listened: Listened, malformed: str, extension: bool, caplog: pytest.LogCaptureFixture
) -> None:
    params = MALFORMED[malformed]
    envelope = ENVELOPE if extension else {**ENVELOPE, CAPABILITIES: {}}
    with caplog.at_level(logging.WARNING):
        answer = await listened.ask(params if params is None else {**params, "_meta": envelope})
    assert answer.status_code == 400
    assert rpc(answer)["error"]["code"] == -32602
    assert [record for record in caplog.records if record.exc_info] == []


async def test_tasks_beside_something_malformed_are_let_go(
    listened: Listened, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = {"taskIds": [await listened.task()], "toolsListChanged": "perhaps"}
    with caplog.at_level(logging.WARNING):
        answer = await listened.ask({"notifications": wanted, "_meta": ENVELOPE})
    assert rpc(answer)["error"]["code"] == -32602
    assert [record for record in caplog.records if record.exc_info] == []
    await settled(lambda: listened.backend.watches == 0)


async def test_names_of_tasks_need_the_extension(listened: Listened) -> None:
    answer = await listened.ask({"notifications": {"taskIds": ["abc"]}, "_meta": {**ENVELOPE, CAPABILITIES: {}}})
    assert rpc(answer)["error"]["code"] == -32021


async def test_unknown_kinds_are_tolerated_and_not_honoured(listened: Listened) -> None:
    task_id = await listened.task()
    filters = {"taskIds": [task_id, "unknown", task_id], "weather": ["rain"], "toolsListChanged": True}
    async with listened.stream(filters) as messages:
        acknowledged = await anext(messages)
        assert acknowledged["params"]["notifications"] == {"taskIds": [task_id], "toolsListChanged": True}
        await heard(messages, says("0"))


# --- what is told -----------------------------------------------------------------------------------


async def test_the_present_each_change_and_the_end(listened: Listened) -> None:
    task_id = await listened.task()
    async with listened.peer.listen(task_id) as messages:
        assert (await anext(messages))["method"] == "notifications/subscriptions/acknowledged"
        for message in ("0", "1", "2"):
            [task] = await heard(messages, says(message))
            assert task["_meta"]["io.modelcontextprotocol/subscriptionId"] == "listening"
            await listened.say(task_id, str(int(message) + 1))
        await listened.store.complete(LOCAL, task_id, {"content": []})
        ended = await heard(messages, lambda task: task["status"] == "completed")
        assert ended[-1]["result"] == {"content": []}
        await settled(lambda: listened.backend.watches == 0)


async def test_a_task_that_is_over_is_shown_once(listened: Listened) -> None:
    over, goes_on = await listened.task(), await listened.task()
    await listened.store.cancel(LOCAL, over)
    async with listened.peer.listen(over, goes_on) as messages:
        await anext(messages)
        shown = [await anext(messages), await anext(messages)]
        assert {message["params"]["status"] for message in shown} == {"cancelled", "working"}
        await listened.say(goes_on, "1")
        assert [task["taskId"] for task in await heard(messages, says("1"))] == [goes_on]


async def test_a_task_that_goes_leaves_the_others(listened: Listened) -> None:
    going, staying = await listened.task(), await listened.task()
    async with listened.peer.listen(going, staying) as messages:
        await anext(messages)
        await heard(messages, lambda task: task["taskId"] == staying)
        await listened.backend.delete(LOCAL, going)
        await settled(lambda: listened.backend.watches == 1)
        await listened.say(staying, "1")
        await heard(messages, says("1"))


async def test_nothing_is_missed_by_who_comes_as_it_changes(listened: Listened) -> None:
    task_id, said, done = await listened.task(), 0, asyncio.Event()

    async def change() -> None:
        nonlocal said
        while not done.is_set():
            await listened.say(task_id, str(said + 1))
            said += 1
            await asyncio.sleep(0.0005 * (said % 3))
        await listened.say(task_id, "last")

    changing = asyncio.create_task(change())
    async with AsyncExitStack() as stack:
        listening = []
        for _ in range(30):
            before = said
            messages = await stack.enter_async_context(listened.peer.listen(task_id))
            assert (await anext(messages))["method"] == "notifications/subscriptions/acknowledged"
            first = await anext(messages)
            assert int(first["params"]["statusMessage"]) >= before
            listening.append(asyncio.create_task(heard(messages, says("last"))))
        done.set()
        await changing
        for one in listening:
            received = [int(task["statusMessage"]) for task in (await one)[:-1]]
            assert received == sorted(set(received))


async def test_one_stream_names_a_thousand_tasks(listened: Listened) -> None:
    ids = [await listened.task() for _ in range(1_000)]
    async with listened.peer.listen(*ids) as messages:
        assert (await anext(messages))["params"]["notifications"]["taskIds"] == ids
        received = {(await anext(messages))["params"]["taskId"] for _ in ids}
        assert received == set(ids)
        await settled(lambda: listened.backend.watches == 1_000)
        for task_id in ids:
            await listened.store.complete(LOCAL, task_id, {"content": []})
        ended: set[str] = set()
        async with asyncio.timeout(20):
            while len(ended) < 1_000:
                task = (await anext(messages))["params"]
                assert task["status"] == "completed"
                assert task["taskId"] not in ended
                ended.add(task["taskId"])
        await settled(lambda: listened.backend.watches == 0)


async def test_all_who_listen_to_a_task_share_a_watch(listened: Listened) -> None:
    task_id = await listened.task()
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(listened.peer.listen(task_id)) for _ in range(60)]
        for messages in streams:
            await anext(messages)
            await heard(messages, says("0"))
        assert listened.backend.watches == 1
        await listened.say(task_id, "1")
        for messages in streams:
            await heard(messages, says("1"))
    await settled(lambda: listened.backend.watches == 0)


# --- who listens ------------------------------------------------------------------------------------


async def test_who_does_not_read_holds_up_nobody_and_is_left_with_the_last_state(listened: Listened) -> None:
    task_id, rounds, long = await listened.task(), 60, "x" * 300_000
    async with listened.deaf(task_id) as (reader, _), listened.peer.listen(task_id) as messages:
        await anext(messages)
        for number in range(rounds):
            await listened.say(task_id, f"{number} {long}")
            await heard(messages, says(f"{number} {long}"))
        await listened.say(task_id, "last")
        await heard(messages, says("last"))
        text = b""
        async with asyncio.timeout(20):
            while b'"statusMessage":"last"' not in text:
                text += await reader.read(1 << 20)
        # What the sockets and their buffers held, and the last one.
        assert text.count(b"notifications/tasks") < rounds / 2


async def test_who_leaves_while_a_change_is_sent_is_forgotten(listened: Listened) -> None:
    task_id, long = await listened.task(), "x" * 300_000
    async with AsyncExitStack() as staying, AsyncExitStack() as leaving:
        streams = [await staying.enter_async_context(listened.peer.listen(task_id)) for _ in range(5)]
        for _ in range(20):
            await leaving.enter_async_context(listened.deaf(task_id))
        for number in range(40):
            await listened.say(task_id, f"{number} {long}")
            await asyncio.sleep(0.005)
        await listened.say(task_id, "last")
        await leaving.aclose()
        for messages in streams:
            await anext(messages)
            await heard(messages, says("last"))
        await settled(lambda: sending() == 0)
        assert listened.backend.watches == 1
    await settled(lambda: listened.backend.watches == 0)
    await settled(lambda: watching() == 0)


def sending() -> int:
    return sum(task.get_name() == "listener" for task in asyncio.all_tasks())


def watching() -> int:
    return sum(task.get_name() == "watch of a task" for task in asyncio.all_tasks())


async def test_streams_of_one_connection_are_told_apart_and_cancelled_alone(listened: Listened) -> None:
    first, second = await listened.task(), await listened.task()
    tasks = Tasks(listened.store)
    server: MCPServer[Any] = MCPServer("streams", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
    async with asyncio.timeout(10), InMemoryTransport(server) as (read, write):

        async def listen(name: str, *task_ids: str) -> None:
            params = {"notifications": {"taskIds": list(task_ids)}, "_meta": ENVELOPE}
            request = JSONRPCRequest(jsonrpc="2.0", id=name, method="subscriptions/listen", params=params)
            await write.send(SessionMessage(request))

        async def received(count: int) -> set[tuple[str, str, str]]:
            """What comes next: on which stream, about which task, and what it says."""
            found: set[tuple[str, str, str]] = set()
            while len(found) < count:
                item = await read.receive()
                assert not isinstance(item, Exception)
                note = item.message
                assert isinstance(note, JSONRPCNotification)
                if note.method == "notifications/tasks":
                    body = note.params or {}
                    stream = body["_meta"]["io.modelcontextprotocol/subscriptionId"]
                    found.add((stream, body["taskId"], body["statusMessage"]))
            return found

        await listen("a", first)
        await listen("b", first, second)
        assert await received(3) == {("a", first, "0"), ("b", first, "0"), ("b", second, "0")}
        cancelled = JSONRPCNotification(jsonrpc="2.0", method="notifications/cancelled", params={"requestId": "b"})
        await write.send(SessionMessage(cancelled))
        await settled(lambda: listened.backend.watches == 1)
        await listened.say(first, "1")
        assert await received(1) == {("a", first, "1")}
    await settled(lambda: listened.backend.watches == 0)


async def test_a_cancelled_stream_says_nothing_more_however_late_it_is_read(listened: Listened) -> None:
    ids = [await listened.task() for _ in range(20)]
    tasks = Tasks(listened.store)
    server: MCPServer[Any] = MCPServer("late", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
    async with asyncio.timeout(10), InMemoryTransport(server) as (read, write):
        params = {"notifications": {"taskIds": ids}, "_meta": ENVELOPE}
        request = JSONRPCRequest(jsonrpc="2.0", id="a", method="subscriptions/listen", params=params)
        await write.send(SessionMessage(request))
        await settled(lambda: sending() == 1)
        await asyncio.sleep(0.05)
        cancelled = JSONRPCNotification(jsonrpc="2.0", method="notifications/cancelled", params={"requestId": "a"})
        await write.send(SessionMessage(cancelled))
        await settled(lambda: listened.backend.watches == 0)
        assert sending() == 0
        request = JSONRPCRequest(jsonrpc="2.0", id="b", method="server/discover", params={"_meta": ENVELOPE})
        await write.send(SessionMessage(request))
        late = []
        while not late or not isinstance(late[-1], JSONRPCResponse):
            item = await read.receive()
            assert not isinstance(item, Exception)
            late.append(item.message)
        # What was on its way when it was cancelled.
        assert len(late) <= 3


async def test_two_event_loops_of_one_process(listened: Listened) -> None:
    task_id = await listened.task()
    there: asyncio.Queue[str] = asyncio.Queue()
    here, over = asyncio.get_running_loop(), threading.Event()

    async def serve_there() -> None:
        tasks = Tasks(listened.store)
        server: MCPServer[Any] = MCPServer("there", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")
        async with serve(server) as url:
            here.call_soon_threadsafe(there.put_nowait, url)
            while not over.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await listened.store.cancel(LOCAL, task_id)

    thread = threading.Thread(target=asyncio.run, args=(serve_there(),))
    thread.start()
    try:
        other = Modern(listened.peer.http, await there.get())
        async with listened.peer.listen(task_id) as near, other.listen(task_id) as far:
            for messages in (near, far):
                await anext(messages)
                await heard(messages, says("0"))
            assert listened.backend.watches == 2
            await listened.say(task_id, "1")
            for messages in (near, far):
                await heard(messages, says("1"))
            over.set()
            # The other loop changed this one: its own watch is told at once, ours from its thread.
            await heard(near, lambda task: task["status"] == "cancelled")
    finally:
        over.set()
        await asyncio.to_thread(thread.join)


# --- what breaks ------------------------------------------------------------------------------------


async def test_a_store_that_breaks_ends_the_streams_with_one_clear_error(
    listened: Listened, caplog: pytest.LogCaptureFixture
) -> None:
    task_id, other = await listened.task(), await listened.task()
    async with AsyncExitStack() as stack:
        wanted = [(task_id,), (other,), (task_id, other), (task_id,), (other,)]
        streams = [await stack.enter_async_context(listened.peer.listen(*ids)) for ids in wanted]
        for messages, ids in zip(streams, wanted, strict=True):
            await anext(messages)
            for _ in ids:
                await heard(messages, says("0"))
        with caplog.at_level(logging.WARNING):
            await listened.say(task_id, "1")
            await listened.say(other, "1")
            listened.backend.broken = True
            for messages in streams:
                async with asyncio.timeout(5):
                    error = (await anext(messages))["error"]
                assert error["code"] == -32603
                assert "can't use its task store" in error["message"]
                assert "tasks.db" not in error["message"]
                assert [message async for message in messages] == []
    texts = [record.getMessage() for record in caplog.records]
    assert texts == ["tasks can't be watched any more: /var/lib/tasks.db can't be read: disk I/O error"]
    assert caplog.records[0].exc_info is None
    # It is there again, and so is who listens.
    listened.backend.broken = False
    async with listened.peer.listen(task_id) as messages:
        await anext(messages)
        await heard(messages, says("1"))


async def test_a_store_that_is_broken_refuses_the_stream(listened: Listened) -> None:
    task_id = await listened.task()
    listened.backend.broken = True
    answer = await listened.ask({"notifications": {"taskIds": [task_id]}, "_meta": ENVELOPE})
    assert rpc(answer)["error"]["code"] == -32603
    assert listened.backend.watches == 0
