"""What listeners cost: memory, beside the SDK's own streams; and how long others wait while all of them are told.

Then a full server beside an empty one in the same run: 100,000 live tasks and 1,000 listeners. Memory is that of server
processes of their own. How long a request takes is what the server's CPU does meanwhile, so that other programs on the
machine don't count. Python's collector stops a process the longer the more there is to look through: its longest full
collection is shown by itself, and left out of nothing.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from mcp.server.mcpserver import MCPServer
from mcp_types import SubscriptionFilter, SubscriptionsListenRequest, SubscriptionsListenRequestParams

from pmcp_lab.server import Tasks
from pmcp_lab.tasks import LOCAL, Limits
from tests.unit.farm import farm
from tests.unit.jsonrpc import Body, modern
from tests.unit.modern_http import ENVELOPE, Modern, rpc

LISTENERS = 1_000
TASKS = 100_000
LEGACY_TASKS = 10_000
CHANGES = 9
MOST_BYTES = 12 * 1024
MOST_DELAY = 0.020
SLOWER = 3.0
"""A full server's p99 beside an empty one's, at most."""

_TABLE: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    yield
    print("\n\n" + "\n".join(_TABLE))


def row(name: str, figure: str, aim: str = "") -> None:
    _TABLE.append(f"  {name:56} {figure:>34}  {aim}")


class Server:
    """A server process, and the raw streams of who listens to it."""

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self.port = urlsplit(url).port or 0
        self.streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._peer = Modern(http, url)

    async def call(self, tool: str, **arguments: Any) -> Any:
        answer = rpc(await self._peer.post("tools/call", tool, name=tool, arguments=arguments))["result"]
        assert not answer.get("isError"), answer
        return answer.get("structuredContent", {}).get("result")

    async def usage(self) -> dict[str, float]:
        await asyncio.sleep(0.5)
        answer = rpc(await self._peer.post("tools/call", "usage", name="usage", arguments={}))
        return dict(answer["result"]["structuredContent"])

    async def listen(self, count: int, filters: dict[str, Any]) -> None:
        params = {"notifications": filters, "_meta": ENVELOPE}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params})
        head = (
            f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-type: application/json\r\n"
            "accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n"
            f"mcp-method: subscriptions/listen\r\ncontent-length: {len(body)}\r\n\r\n"
        )

        async def one() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write((head + body).encode())
            await _until(reader, b"acknowledged")
            self.streams.append((reader, writer))

        for _ in range(0, count, 50):
            await asyncio.gather(*(one() for _ in range(50)))

    def leave(self) -> None:
        for _, writer in self.streams:
            writer.transport.abort()
        self.streams.clear()

    async def tell(self, task_id: str, message: str) -> tuple[float, float]:
        """Change the task; when that was, and when the last listener had heard of it."""
        clock = asyncio.get_running_loop().time
        heard = [asyncio.create_task(_until(reader, message.encode())) for reader, _ in self.streams]
        began = clock()
        await self.call("say", task_id=task_id, message=message)
        await asyncio.gather(*heard)
        return began, clock()


async def _until(reader: asyncio.StreamReader, text: bytes) -> None:
    read = b""
    async with asyncio.timeout(60):
        while text not in read:
            more = await reader.read(65536)
            assert more, read
            read = read[-len(text) :] + more


@asynccontextmanager
async def serving(*arguments: str) -> AsyncIterator[Server]:
    async with farm("") as started, httpx2.AsyncClient(timeout=600) as http:
        url = (await started.start("-m", "tests.benchmarks.arms.listened_server", *arguments))[1]
        server = Server(url, http)
        try:
            # What is loaded or made by the first of its kind is nobody's cost.
            if not arguments:
                await server.call("create")
            await server.listen(50, {"toolsListChanged": True})
            server.leave()
            await server.usage()
            yield server
        finally:
            server.leave()


def percentile(times: list[float], part: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * part))]


async def test_what_a_listener_costs() -> None:
    figures: dict[str, dict[str, tuple[float, float]]] = {}
    for measured in ("bytes", "traced"):
        for name, arguments in (("sdk", ["plain"]), ("tasks", [])):
            async with serving(*arguments) as server:
                if measured == "traced":
                    await server.call("trace")
                wanted = {"taskIds": [await server.call("create")]} if name == "tasks" else {"toolsListChanged": True}
                before = await server.usage()
                await server.listen(LISTENERS, wanted)
                during = await server.usage()
                server.leave()
                after = await server.usage()
                while after["tasks"] > before["tasks"]:
                    after = await server.usage()
                each = (during[measured] - before[measured]) / LISTENERS
                figures.setdefault(measured, {})[name] = each, (after[measured] - before[measured]) / LISTENERS
                if measured == "bytes":
                    objects = (during["objects"] - before["objects"]) / LISTENERS
                    row(f"objects the collector knows per listener, {name}", f"{objects:.0f}")
    for measured, what in (("bytes", "resident"), ("traced", "tracemalloc")):
        sdk, ours = figures[measured]["sdk"][0], figures[measured]["tasks"][0]
        row(f"a listener over HTTP, {what}", f"{ours / 1024:.1f} KB, {sdk / 1024:.1f} of them the SDK's")
        row("  of it ours", f"{(ours - sdk) / 1024:.1f} KB", f"≤ {MOST_BYTES / 1024:g} KB")
    left = figures["traced"]["tasks"][1]
    row("left per listener once all have gone, tracemalloc", f"{left:.0f} bytes")
    assert figures["traced"]["tasks"][0] - figures["traced"]["sdk"][0] <= MOST_BYTES
    assert figures["bytes"]["tasks"][0] - figures["bytes"]["sdk"][0] <= MOST_BYTES
    assert left <= 0.05 * figures["traced"]["tasks"][0]


async def test_what_a_listener_in_this_process_costs() -> None:
    """On one connection without a network; the client's half counts too."""
    tasks = Tasks("memory://", limits=Limits(tasks_per_owner=None))
    task = await tasks.store.create(LOCAL)
    sdk = await traced([], {"toolsListChanged": True})
    ours = await traced([tasks], {"taskIds": [task.task_id]})
    row("a listener in this process", f"{ours / 1024:.1f} KB, {sdk / 1024:.1f} of them the SDK's")
    row("  of it ours", f"{(ours - sdk) / 1024:.1f} KB", f"≤ {MOST_BYTES / 1024:g} KB")
    assert ours - sdk <= MOST_BYTES


async def traced(extensions: list[Any], filters: dict[str, Any]) -> float:
    """Bytes per listener, by tracemalloc."""
    server: MCPServer[Any] = MCPServer("here", extensions=extensions, middleware=extensions, log_level="CRITICAL")
    wanted = SubscriptionsListenRequestParams(notifications=SubscriptionFilter.model_validate(filters))
    async with modern(server) as peer:

        async def listen() -> None:
            await peer.client.session.send_request(SubscriptionsListenRequest(params=wanted), Body)

        listening = [asyncio.create_task(listen()) for _ in range(50)]
        await asyncio.sleep(0.5)
        gc.collect()
        tracemalloc.start()
        try:
            listening += [asyncio.create_task(listen()) for _ in range(LISTENERS // 2)]
            await asyncio.sleep(2)
            gc.collect()
            each = tracemalloc.get_traced_memory()[0] / (LISTENERS // 2)
        finally:
            tracemalloc.stop()
        for one in listening:
            assert not one.done()
            one.cancel()
    return each


async def changes_of(server: Server, listened: str, other: str) -> list[tuple[float, float]]:
    """Per change to all listeners: how long it took to reach the last, and the most that another request waited."""
    told = []
    probing = asyncio.create_task(server.call("probe", task_id=other, seconds=600))
    await asyncio.sleep(0.5)
    for number in range(CHANGES):
        told.append(await server.tell(listened, f"change number {number}"))
        await asyncio.sleep(0.3)
    await server.call("stop")
    probes = await probing
    return [
        (ended - began, max(waited for start, end, waited in probes if end > began and start < ended))
        for began, ended in told
    ]


async def test_a_change_to_a_thousand_listeners() -> None:
    async with serving() as server:
        listened, other = await server.call("create"), await server.call("create")
        await server.listen(LISTENERS, {"taskIds": [listened]})
        changes = await changes_of(server, listened, other)
    longest = sorted(delay for _, delay in changes)
    row(f"a change reaches all of {LISTENERS:,}", f"{statistics.median(took for took, _ in changes) * 1e3:.0f} ms")
    row(
        "the longest that a `get` waited meanwhile, median and worst",
        f"{statistics.median(longest) * 1e3:.1f}, {longest[-1] * 1e3:.1f} ms",
        f"≤ {MOST_DELAY * 1e3:g} ms",
    )
    assert statistics.median(longest) <= MOST_DELAY


async def test_a_full_server_beside_an_empty_one() -> None:
    async with AsyncExitStack() as stack:
        empty, full = [await stack.enter_async_context(serving()) for _ in range(2)]
        before = await full.usage()
        await full.call("fill", count=TASKS, generation="modern")
        filled = await full.usage()
        asked = {server: await server.call("create") for server in (empty, full)}
        listened = await full.call("create")
        await full.listen(LISTENERS, {"taskIds": [listened]})
        attended = await full.usage()
        times: dict[Server, list[float]] = {empty: [], full: []}
        for _ in range(5):
            for server in (empty, full):
                probes = await server.call("probe", task_id=asked[server], seconds=2)
                times[server] += [waited for _, _, waited in probes]
        changes = await changes_of(full, listened, asked[full])
        last = await full.usage()
    _TABLE.append(f"{TASKS:,} live tasks that run, and {LISTENERS:,} listeners, beside an empty server")
    per_task, per_listener = (
        (filled["bytes"] - before["bytes"]) / TASKS,
        (attended["bytes"] - filled["bytes"]) / LISTENERS,
    )
    row("memory per task, per listener", f"{per_task / 1024:.1f} KB, {per_listener / 1024:.1f} KB")
    row("objects the collector knows per task", f"{(filled['objects'] - before['objects']) / TASKS:.0f}")
    for part in (0.5, 0.99):
        figures = [percentile(times[server], part) for server in (full, empty)]
        row(f"`get`, p{part * 100:g}", f"{figures[0] * 1e3:.2f} ms beside {figures[1] * 1e3:.2f} ms")
    longest = [max(times[server]) for server in (full, empty)]
    row("`get`, the longest", f"{longest[0] * 1e3:.0f} ms beside {longest[1] * 1e3:.0f} ms")
    row("a change reaches all listeners", f"{statistics.median(took for took, _ in changes) * 1e3:.0f} ms")
    row("  the longest `get` meanwhile", f"{statistics.median(delay for _, delay in changes) * 1e3:.1f} ms")
    row("Python's longest full collection", f"{last['pause'] * 1e3:.0f} ms")
    assert percentile(times[full], 0.99) <= SLOWER * percentile(times[empty], 0.99)
    assert statistics.median(delay for _, delay in changes) <= MOST_DELAY


async def test_what_a_reported_task_costs() -> None:
    """Of a 2025-11-25 client, which is told of the tasks it made, beside one of 2026-07-28, which is not."""
    each = {}
    for generation in ("modern", "legacy"):
        async with serving() as server:
            before = await server.usage()
            await server.call("fill", count=LEGACY_TASKS, generation=generation)
            after = await server.usage()
            each[generation] = tuple((after[what] - before[what]) / LEGACY_TASKS for what in ("bytes", "objects"))
    (old, old_objects), (new, new_objects) = each["legacy"], each["modern"]
    _TABLE.append(f"{LEGACY_TASKS:,} live tasks of a 2025-11-25 client, which is told of them")
    row("memory per task, beside a task of 2026-07-28", f"{old / 1024:.1f} KB beside {new / 1024:.1f} KB")
    row("objects the collector knows", f"{old_objects:.0f} beside {new_objects:.0f}")
    assert old - new <= 4 * 1024
