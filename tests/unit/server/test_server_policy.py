"""What a tool's author decides: whose variables, how many at a time, and what operators see of it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import pytest
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, NoOpTracerProvider, SpanContext, TraceFlags

from pmcp_lab.execution import AsyncioExecutor
from pmcp_lab.server import Counts, TaskContext, Tasks
from pmcp_lab.tasks import Job
from tests.unit.jsonrpc import modern
from tests.unit.server.test_server_life import settled
from tests.unit.server.test_server_tools import refused


def served(tasks: Tasks, **options: Any) -> MCPServer[Any]:
    return MCPServer("p", extensions=[tasks], middleware=[tasks], log_level="CRITICAL", **options)


# --- variables --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("writable", "may", "may_not"),
    [
        (None, ["new"], ["mine"]),
        ("none", [], ["new", "mine"]),
        ("all", ["new", "mine"], []),
        (["mine"], ["mine"], ["new"]),
        (str.isupper, ["NEW"], ["new", "mine"]),
    ],
)
async def test_variables_the_client_may_write(writable: Any, may: list[str], may_not: list[str]) -> None:
    tasks = Tasks()

    @tasks.tool(client_variables=writable)
    async def wait(task: TaskContext) -> None:
        await task.update(variables={"mine": 0})
        await task.cancelled.wait()

    async with modern(served(tasks)) as peer:
        task_id = await peer.task("wait")
        await peer.shows(task_id, "mine")
        for name in may:
            written = await peer.call("run.pmcp/tasks/set_variables", task_id, variables={name: 1})
            assert written["_meta"][name] == 1
        for name in may_not:
            call = peer.call("run.pmcp/tasks/set_variables", task_id, variables={name: 1, "b": 2})
            code, text, _ = await refused(call)
            assert (code, f"'{name}'" in text or "'b'" in text) == (-32602, True)
        assert "b" not in (await peer.call("tasks/get", task_id))["_meta"]
        await peer.call("tasks/cancel", task_id)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"support": "maybe"}, "support is one of"),
        ({"on_lost": "ignore"}, "on_lost is one of fail, retry"),
        ({"concurrency": 0}, "at least 1, not 0"),
        ({"concurrency": True}, "at least 1, not True"),
        ({"client_variables": "some"}, "not 'some'"),
        ({"client_variables": 3}, "not 3"),
        ({"ttl": "soon"}, "duration"),
    ],
)
def test_policies_that_make_no_sense(policy: dict[str, Any], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        Tasks().tool(**policy)


# --- how many at a time -----------------------------------------------------------------------------


async def test_concurrency_of_one_tool_holds_up_nobody_else() -> None:
    tasks = Tasks(executor=AsyncioExecutor(concurrency=2, grace=0.05))
    order: list[int] = []
    running: set[int] = set()
    go = asyncio.Event()

    @tasks.tool(concurrency=1)
    async def narrow(n: int) -> int:
        assert not running
        running.add(n)
        order.append(n)
        await go.wait()
        running.discard(n)
        return n

    @tasks.tool()
    async def other() -> str:
        return "through"

    async with modern(served(tasks)) as peer:
        made = [await peer.task("narrow", {"n": n}) for n in range(5)]
        assert (await peer.until(await peer.task("other"), "completed"))["status"] == "completed"
        counts = tasks.stats().tools["narrow"]
        assert (counts.running, counts.waiting) == (1, 4)
        assert (await peer.call("tasks/get", made[2]))["status"] == "working"
        await peer.call("tasks/cancel", made[2])
        go.set()
        for task_id in made[:2] + made[3:]:
            await peer.until(task_id, "completed")
    assert order == [0, 1, 3, 4]
    counts = tasks.stats().tools["narrow"]
    assert (counts.running, counts.waiting, counts.completed) == (0, 0, 4)
    assert tasks.stats().as_dict()["other"]["completed"] == 1


async def test_a_task_that_waited_runs_with_the_credentials_of_its_own_caller() -> None:
    tasks = Tasks(executor=AsyncioExecutor(concurrency=1))

    @tasks.tool()
    async def who() -> str:
        await asyncio.sleep(0)
        return str(auth_context_var.get())

    async with modern(served(tasks)) as peer:
        made = []
        for name in ("ann", "bob", "cy"):
            token = auth_context_var.set(name)  # type: ignore[arg-type]
            try:
                made.append(
                    await tasks.store.create(
                        ("local",), job=Job(tool="who"), lease=tasks._runner.birth_lease(tasks._tools["who"])
                    )
                )
                await tasks._runner.submit(made[-1])
            finally:
                auth_context_var.reset(token)
        results = [await peer.until(record.task_id, "completed") for record in made]
    assert [r["result"]["structuredContent"]["result"] for r in results] == ["ann", "bob", "cy"]


# --- stopping ---------------------------------------------------------------------------------------


async def test_a_thread_that_can_not_be_stopped_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks(executor=AsyncioExecutor(grace=0.05))
    release, heard = threading.Event(), []

    @tasks.tool()
    def stubborn(task: TaskContext) -> None:
        task.in_thread.update(variables={"runs": True})
        release.wait(10)
        try:
            task.in_thread.update(progress=0.5)
        except Exception as error:
            heard.append((type(error).__name__, task.is_cancelled))

    async with modern(served(tasks)) as peer:
        task_id = await peer.task("stubborn")
        await peer.shows(task_id, "runs")
        await peer.call("tasks/cancel", task_id)
        assert (await peer.call("tasks/get", task_id))["status"] == "cancelled"
        await settled(lambda: tasks.stats().total.not_stoppable == 1)
        await settled(lambda: tasks.stats().total == Counts(cancelled=1, not_stoppable=1))
        assert "'stubborn' runs in a thread, which can't be stopped" in caplog.text
        release.set()
        await settled(lambda: tasks.stats().total.not_stoppable == 0)
    assert heard == [("TaskCancelled", True)]


async def test_a_polite_thread_sees_that_it_should_stop() -> None:
    tasks = Tasks(executor=AsyncioExecutor(grace=5))
    left: list[bool] = []

    @tasks.tool()
    def polite(task: TaskContext) -> None:
        task.in_thread.update(variables={"runs": True})
        while not task.is_cancelled:
            time.sleep(0.005)
        left.append(True)

    async with modern(served(tasks)) as peer:
        task_id = await peer.task("polite")
        await peer.shows(task_id, "runs")
        await peer.call("tasks/cancel", task_id)
        await settled(lambda: left)
    assert tasks.stats().total.not_stoppable == 0


# --- what operators see -----------------------------------------------------------------------------


async def test_logs_name_the_task_and_hold_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tasks = Tasks()

    @tasks.tool()
    async def work(word: str, task: TaskContext) -> str:
        await task.update(variables={"v": f"variable {word}"}, message=f"message {word}")
        return f"result {word}"

    @tasks.tool()
    async def refuse(word: str) -> None:
        raise ToolError(f"no {word}")

    @tasks.tool()
    async def wrong(word: str) -> int:
        return word  # type: ignore[return-value]

    async with modern(served(tasks)) as peer:
        for name in ("work", "refuse", "wrong"):
            done = await peer.until(await peer.task(name, {"word": "hunter2"}), "completed")
            assert done["result"].get("isError", False) is (name != "work")
            ends = [r for r in caplog.records if getattr(r, "task_id", None) == done["taskId"]]
            assert {r.tool for r in ends} == {name}  # type: ignore[attr-defined]
            assert all(len(r.owner_hash) == 8 for r in ends)  # type: ignore[attr-defined]
            assert any(done["taskId"] in r.getMessage() for r in ends)
    assert not [r for r in caplog.records if r.name.startswith("pmcp_lab") and "hunter2" in caplog.handler.format(r)]


class Recorded(NonRecordingSpan):
    def __init__(self, name: str, links: Any, attributes: Any) -> None:
        super().__init__(SpanContext(7, 9, is_remote=False, trace_flags=TraceFlags(1)))
        self.name, self.links, self.attributes = name, list(links or ()), dict(attributes or {})

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value


class Tracer(trace.Tracer):
    def __init__(self) -> None:
        self.spans: list[Recorded] = []

    def start_span(self, name: str, *args: Any, links: Any = None, attributes: Any = None, **options: Any) -> Recorded:
        self.spans.append(Recorded(name, links, attributes))
        return self.spans[-1]

    def start_as_current_span(self, name: str, *args: Any, **options: Any) -> Any:
        return trace.use_span(self.start_span(name, links=options.get("links"), attributes=options.get("attributes")))


@pytest.fixture
def tracer(monkeypatch: pytest.MonkeyPatch) -> Tracer:
    """What an installed OpenTelemetry SDK would be; the API alone, which `mcp` brings, records nothing."""
    made = Tracer()
    monkeypatch.setattr("pmcp_lab.server.tracing._tracer", made)
    monkeypatch.setattr("pmcp_lab.server.tracing.get_tracer_provider", NoOpTracerProvider)
    return made


async def test_a_run_has_a_span_linked_to_its_request(tracer: Tracer) -> None:
    tasks = Tasks()

    @tasks.tool()
    async def work() -> str:
        return f"{trace.get_current_span().get_span_context().span_id}"

    request = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(request)):
        async with modern(served(tasks)) as peer:
            done = await peer.until(await peer.task("work"), "completed")
    [span] = tracer.spans
    assert done["result"]["structuredContent"] == {"result": "9"}, "the run is the current span of the tool"
    assert span.name == "task work"
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [(0xABC, 0xDEF)]
    assert span.attributes["mcp.task.id"] == done["taskId"]
    assert span.attributes["mcp.task.status"] == "completed"
