"""Loopback servers and stores for the unit tests."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pmcp_lab.tasks import Limits, TaskStore, open_store
from tests.unit.backend_cases import CASES, BackendCase, Clock
from tests.unit.storage_servers import RedisServer

if TYPE_CHECKING:
    from redis.asyncio import Redis


@pytest.fixture(scope="module")
def http_demo() -> Iterator[str]:
    """URL of the demo server over streamable HTTP."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pmcp_lab", "demo", "--http", "--port", "0"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        found = [word for word in line.split() if word.startswith("http://")]
        if found:
            break
    else:
        raise RuntimeError("the demo did not start:\n" + "".join(lines))
    # What else it writes must not fill the pipe.
    threading.Thread(target=process.stdout.read, daemon=True).start()
    yield found[0].rstrip(".,")
    process.terminate()
    process.wait(10)
    process.stdout.close()


@pytest.fixture
def plain_http() -> Iterator[str]:
    """URL of a web server that knows nothing of MCP."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(404)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/mcp"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=CASES, ids=lambda case: case.name)
async def store(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[TaskStore]:
    """An empty store, on each of the backends in turn."""
    case: BackendCase = request.param
    async with case.make() as backend:
        # There is one clock here, and time has passed when it says so.
        backend.clock_skew = 0.0
        yield TaskStore(backend, Limits(tasks_per_owner=5, max_ttl=10_000), clock=clock)


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> AsyncIterator[TaskStore]:
    """A store that outlives processes."""
    opened = open_store(f"sqlite:///{tmp_path}/tasks.db")
    yield opened
    await opened.close()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis of the test's own, which may be stopped, paused and emptied."""
    server = RedisServer("--appendonly", "no")
    yield server
    server.resume()
    server.close()


@pytest.fixture
async def redis_client(own_redis: RedisServer) -> AsyncIterator[Redis]:
    """A client of it. After a restart of Redis its connection is from before: the second attempt gets a new one."""
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    async with Redis(port=own_redis.port, retry=Retry(NoBackoff(), 1)) as client:
        yield client
