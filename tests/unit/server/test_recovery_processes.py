"""Server processes that share a store: one is killed, or asked to end, and what it ran goes on or fails."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import open_store
from pmcp_lab.tasks.owner import owner_named
from tests.unit.farm import fresh
from tests.unit.jsonrpc import ModernPeer, modern
from tests.unit.storage_servers import dynamodb_endpoint, shared_redis

ROOT = Path(__file__).parents[3]
LEASE = 1.5
"""As in `tests.servers.mortal`."""


class Mortal:
    """A server process, at `url` unless it is on stdio."""

    def __init__(self, store: str, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.mortal", store, *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def url(self) -> str:
        return self.read().strip()

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def send(self, **message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.communicate(timeout=20)


pytestmark = pytest.mark.timeout(180)
"""Each starts two or three servers, which takes its time where many tests run at once."""

Start = Callable[..., Mortal]


@pytest.fixture(params=["sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty one, that several processes can open."""
    if request.param == "redis":
        return fresh(shared_redis().url)
    if request.param == "dynamodb":
        from pmcp_lab.tasks.backends.dynamodb import create_table

        url = f"dynamodb://pmcp-lab-test-{uuid.uuid4()}?region=eu-central-1&endpoint={dynamodb_endpoint()}"
        await create_table(url)
        return url
    return f"sqlite:///{tmp_path}/tasks.db"


@contextmanager
def processes(store: str) -> Iterator[Start]:
    started: list[Mortal] = []

    def start(*options: str) -> Mortal:
        started.append(Mortal(store, *options))
        return started[-1]

    try:
        yield start
    finally:
        for mortal in started:
            mortal.end()


async def started(peer: ModernPeer, *tools: str) -> list[str]:
    """Tasks of these tools, once each says that it runs."""
    made = [await peer.task(tool) for tool in tools]
    for task_id in made:
        await peer.shows(task_id, "pid")
    return made


@pytest.mark.parametrize("store", ["sqlite", "redis", "dynamodb"], indirect=True)
async def test_a_killed_server_that_is_started_again(store: str) -> None:
    with processes(store) as start:
        first = start()
        async with modern(first.url) as peer:
            again, once = await started(peer, "again", "once")
            first.end()
        async with modern(start().url) as peer:
            served = time.monotonic()
            done = await peer.until(again, "completed")
            lost = await peer.until(once, "failed")
            assert time.monotonic() - served < 6 * LEASE
    assert done["result"]["structuredContent"] == {"result": "attempt 2"}
    assert done["_meta"]["attempt"] == 2
    assert done["statusMessage"] == "attempt 2 of 3: its process ended while it ran"
    assert lost["error"] == {"code": -32603, "message": "its process ended while it ran"}


async def test_another_server_answers_cancels_and_takes_over(store: str) -> None:
    with processes(store) as start:
        one, two = start(), start()
        async with modern(one.url) as mine, modern(two.url) as other:
            asked = await mine.task("confirm")
            question = await other.until(asked, "input_required")
            answer = {"action": "accept", "content": {"sure": True}}
            await other.call("tasks/update", asked, inputResponses=dict.fromkeys(question["inputRequests"], answer))
            done = await mine.until(asked, "completed")
            assert done["result"]["structuredContent"] == {"result": True}

            [unwanted] = await started(mine, "once")
            await other.call("tasks/cancel", unwanted)
            async with asyncio.timeout(5):
                # Its tool looks at nothing: it is ended after the two seconds of grace.
                while (await mine.tool("cancelled"))["structuredContent"] == {"result": 0}:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.05)

            [again] = await started(mine, "again")
            one.end()
            killed = time.monotonic()
            done = await other.until(again, "completed")
            assert time.monotonic() - killed < 2 * LEASE
            assert done["_meta"]["pid"] == two.process.pid


@pytest.mark.parametrize("transport", ["http", "stdio", "stdin closed"])
async def test_a_server_that_ends_hands_back(store: str, transport: str) -> None:
    with processes(store) as start:
        if transport == "http":
            mortal = start()
            async with modern(mortal.url) as peer:
                again, once = await started(peer, "again", "once")
        else:
            mortal = start("--stdio")
            again, once = await on_stdio(mortal, "again", "once")
        if transport == "stdin closed":
            mortal.process.communicate(timeout=20)
        else:
            mortal.end(signal.SIGTERM)
        opened = open_store(store)
        left, failed = [await opened.get(owner_named(one), one) for one in (again, once)]
        assert (left.status, left.lease and left.lease.free) == (TaskStatus.WORKING, True)
        assert (failed.status, failed.message) == (TaskStatus.FAILED, "the server was stopped before the task was done")
        # For its second run the tool has to know that it may end.
        await opened.set_variables(left.owner, again, {"handed_back": True})
        await opened.close()
        async with modern(start().url) as peer:
            done = await peer.until(again, "completed")
    assert done["result"]["structuredContent"] == {"result": "attempt 1"}, "ending in order costs no attempt"


async def on_stdio(mortal: Mortal, *tools: str) -> list[str]:
    """`started` for a 2025-11-25 client."""
    info = {"name": "tests", "version": "1"}
    mortal.send(
        id=0, method="initialize", params={"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}
    )
    mortal.read()
    mortal.send(method="notifications/initialized")
    for number, tool in enumerate(tools, 1):
        mortal.send(id=number, method="tools/call", params={"name": tool, "arguments": {}, "task": {}})
    made: dict[int, str] = {}
    running: set[str] = set()
    while len(running) < len(tools):
        message = json.loads(mortal.read())
        if "id" in message:
            made[message["id"]] = message["result"]["task"]["taskId"]
        elif "pid" in message["params"].get("_meta", {}):
            running.add(message["params"]["taskId"])
    return [made[number] for number in sorted(made)]
