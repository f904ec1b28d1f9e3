"""Callers who mean harm or know no better: malformed messages, too much of everything, ids that are not theirs."""

from __future__ import annotations

import asyncio
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp.server.mcpserver import MCPServer

from pmcp_lab.server import Limits, TaskContext, Tasks
from tests.servers import ROOT, environment, started
from tests.unit.jsonrpc import Json, RpcError, legacy, modern, serve
from tests.unit.modern_http import ENVELOPE, Modern, rpc
from tests.unit.server.test_server_tools import refused

# --- messages of any kind -------------------------------------------------------------------------------

METHODS = (
    "tasks/get",
    "tasks/result",
    "tasks/list",
    "tasks/cancel",
    "tasks/update",
    "run.pmcp/tasks/set_variables",
    "tools/call",
    "tools/list",
    "initialize",
    "server/discover",
    "notifications/cancelled",
    "notifications/initialized",
    "tasks/nothing",
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANY = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["greet", "slow_compute", "failing_job", "confirm_delete", "nothing"]) | ANY
VERSIONED = st.sampled_from([ENVELOPE, {}, {"progressToken": []}, {"io.modelcontextprotocol/related-task": 1}]) | ANY
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "_meta": VERSIONED,
        "taskId": st.sampled_from(["", "x", "../../etc", "00000000-0000-4000-8000-000000000000"]) | ANY,
        "name": NAMES,
        # A real tool that is called should not keep the test waiting.
        "arguments": st.dictionaries(st.sampled_from(["name", "label", "filename"]), LEAVES) | ANY,
        "task": st.fixed_dictionaries({}, optional={"ttl": ANY, "taskId": ANY}) | ANY,
        "cursor": ANY,
        "variables": st.dictionaries(st.text(max_size=5), ANY, max_size=2) | ANY,
        "inputResponses": st.dictionaries(st.text(max_size=5), ANY, max_size=2) | ANY,
        "result": ANY,
        "protocolVersion": st.sampled_from(["2025-11-25", "2026-07-28", "1"]) | ANY,
        "capabilities": ANY,
    },
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "2.0", "2.0", "1.0"]) | ANY,
        "id": st.integers() | st.text(max_size=10) | ANY,
        "method": st.sampled_from(METHODS) | st.sampled_from(METHODS) | ANY,
        "params": PARAMS | ANY,
        "result": ANY,
        "error": ANY,
    },
)
PROPER = st.fixed_dictionaries(
    {
        "jsonrpc": st.just("2.0"),
        "id": st.integers() | st.text(max_size=10),
        "method": st.sampled_from(METHODS),
        "params": PARAMS,
    }
)
SENT = PROPER | PROPER | MESSAGES | ANY
FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
SECRETS = ("Traceback", 'File "', "site-packages", "pmcp_lab/")


def as_lines(value: Any, cut: int | None) -> bytes:
    # Python's own JSON has NaN and infinities, which is one more thing to send.
    return json.dumps(value).encode()[:cut].replace(b"\n", b" ")


class Stdio:
    """A server on pipes, spoken to in raw lines."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.conformance", "--stdio"],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.lines: queue.Queue[bytes] = queue.Queue()
        self.count = 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)

    def send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def ask(self, method: str, params: Json) -> list[bytes]:
        """Everything that comes up to the answer to this request, which has to be a result."""
        self.count += 1
        number = f"probe-{self.count}"
        self.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode())
        seen = []
        while True:
            seen.append(self.lines.get(timeout=30))
            message = json.loads(seen[-1])
            if message.get("id") == number:
                assert "result" in message, message
                return seen


@pytest.fixture(scope="module", params=["2025-11-25", "2026-07-28"])
def stdio(request: pytest.FixtureRequest) -> Iterator[tuple[Stdio, Json]]:
    server = Stdio()
    meta: Json = {}
    if request.param == "2025-11-25":
        info = {"name": "fuzz", "version": "1"}
        server.ask("initialize", {"protocolVersion": request.param, "capabilities": {}, "clientInfo": info})
        server.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
    else:
        meta = {"_meta": ENVELOPE}
        server.ask("server/discover", meta)
    yield server, meta
    assert server.process.stdin is not None
    assert server.process.stdout is not None
    server.process.stdin.close()
    server.process.wait(10)
    server.reader.join(10)
    server.process.stdout.close()


@FUZZ
@given(batch=st.lists(st.tuples(SENT, st.none() | st.none() | st.integers(0, 40)), min_size=1, max_size=4))
def test_any_line_on_stdin_leaves_the_server_serving(
    stdio: tuple[Stdio, Json], batch: list[tuple[Any, int | None]]
) -> None:
    server, meta = stdio
    for value, cut in batch:
        server.send(as_lines(value, cut))
    for line in server.ask("tools/call", {"name": "greet", "arguments": {}, **meta}):
        assert not any(secret.encode() in line for secret in SECRETS), line
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        if "error" in message:
            assert isinstance(message["error"]["code"], int)
            assert message["error"]["message"]


@pytest.fixture(scope="module")
def http() -> Iterator[tuple[httpx2.Client, str]]:
    with started("tests.servers.conformance") as url, httpx2.Client(timeout=10) as client:
        yield client, url


HEADERS = st.fixed_dictionaries(
    {"accept": st.sampled_from(["application/json, text/event-stream", "application/json", "text/plain"])},
    optional={
        "mcp-protocol-version": st.sampled_from(["2026-07-28", "2026-07-28", "2025-11-25", "1999-01-01"]),
        "mcp-method": st.sampled_from(METHODS),
        "mcp-name": st.sampled_from(["x", "greet", "=?base64?eA==?=", "=?base64?%%%?="]),
        "mcp-session-id": st.sampled_from(["x", "0" * 32]),
        "content-type": st.sampled_from(["application/json", "text/plain"]),
    },
)


@FUZZ
@given(value=SENT, cut=st.none() | st.none() | st.integers(0, 40), headers=HEADERS, agree=st.booleans())
def test_any_body_over_http_is_answered(
    http: tuple[httpx2.Client, str], value: Any, cut: int | None, headers: dict[str, str], agree: bool
) -> None:
    client, url = http
    if agree and isinstance(value, dict) and value.get("method") in METHODS:
        headers = {**headers, "mcp-method": value["method"], "content-type": "application/json"}
    answer = client.post(url, content=as_lines(value, cut), headers=headers)
    assert answer.status_code < 500, (answer.status_code, answer.text)
    assert not any(secret in answer.text for secret in SECRETS), answer.text
    probe = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": ENVELOPE}}
    good = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/list",
    }
    assert "result" in rpc(client.post(url, json=probe, headers=good))


# --- too much -------------------------------------------------------------------------------------------


def lab(**limits: Any) -> MCPServer[Any]:
    tasks = Tasks(limits=Limits(**limits), anonymous="local")

    @tasks.tool()
    async def size(text: str) -> int:
        return len(text)

    @tasks.tool()
    async def shout(n: int) -> str:
        return "x" * n

    @tasks.tool()
    async def wait(task: TaskContext) -> None:
        await task.cancelled.wait()

    return MCPServer("attacked", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")


async def test_arguments_that_are_too_big() -> None:
    server = lab(argument_bytes=1_000)
    async with serve(server) as url, legacy(url) as old:
        code, text, _ = await refused(old.tool("size", {"text": "x" * 2_000}, task={}))
        assert code == -32602
        assert "the arguments would be 2011 bytes; at most 1000 are allowed" in text
        assert (await old.call("tasks/list"))["tasks"] == []
    async with modern(server) as new:
        code, text, _ = await refused(new.tool("size", {"text": "x" * 2_000}))
        assert (code, "at most 1000" in text) == (-32602, True)
        task_id = await new.task("wait")
        answers = {"q": {"action": "accept", "content": {"x": "x" * 2_000}}}
        assert (await refused(new.call("tasks/update", task_id, inputResponses=answers)))[0] == -32602
        await new.call("tasks/cancel", task_id)


async def test_a_request_that_is_too_big_for_http() -> None:
    async with serve(lab(), max_request_body_size=10_000) as url, httpx2.AsyncClient() as http:
        peer = Modern(http, url)
        assert (await peer.post("tools/call", "size", name="size", arguments={"text": "x" * 20_000})).status_code == 413
        assert "result" in await peer.call("size", text="x")


async def test_a_result_that_is_too_big_fails_the_task() -> None:
    server = lab(result_bytes=1_000)
    async with modern(server) as new:
        task = await new.until(await new.task("shout", {"n": 5_000}), "failed", "completed")
        assert task["status"] == "failed"
        assert "at most 1000 are allowed" in task["error"]["message"]
    async with serve(server) as url, legacy(url) as old:
        task_id = await old.task("shout", {"n": 5_000})
        with pytest.raises(RpcError, match="at most 1000 are allowed"):
            await old.call("tasks/result", {"taskId": task_id})


async def test_a_flood_of_creates_stops_at_the_quota() -> None:
    async with modern(lab(tasks_per_owner=10)) as peer:
        outcomes = await asyncio.gather(*(peer.tool("wait") for _ in range(300)), return_exceptions=True)
        made = [outcome["taskId"] for outcome in outcomes if isinstance(outcome, dict)]
        assert len(made) == 10
        refusals = {str(outcome) for outcome in outcomes if not isinstance(outcome, dict)}
        assert len(refusals) == 1
        assert "already 10 unfinished tasks" in refusals.pop()
        for task_id in made:
            await peer.call("tasks/cancel", task_id)
        await peer.call("tasks/cancel", await peer.task("wait"))


async def test_variables_that_are_too_big_or_too_many() -> None:
    async with modern(lab(variable_bytes=500, variable_keys=3)) as peer:
        task_id = await peer.task("wait")
        for variables in ({"a": "x" * 600}, dict.fromkeys("abcd", 1), {"a": [[[[[[[[[[[[1]]]]]]]]]]]]}, {"": 1}):
            code, _, _ = await refused(peer.call("run.pmcp/tasks/set_variables", task_id, variables=variables))
            assert code == -32602
        assert "a" not in (await peer.call("tasks/get", task_id))["_meta"]
        await peer.call("tasks/cancel", task_id)
