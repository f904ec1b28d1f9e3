"""The kernel side against one server on each SDK that has both generations, over both transports.

The servers are in `tests/peers`, and have the same tools, resources and prompt. What an SDK cannot do is in `Kind`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

import pmcp_lab as lab
from hatch_build import node
from pmcp_lab.client import call_of, client_of
from pmcp_lab.client.tasks.task import Task
from pmcp_lab.errors import LabError, PeerError, TaskCancelled, TaskFailed, ToolError
from tests import peers
from tests.conftest import built, installed, python_of
from tests.interop.table import peer
from tests.servers import serving

LEGACY, MODERN = "2025-11-25", "2026-07-28"


@dataclass(frozen=True)
class Kind:
    """One SDK.

    Attributes:
        command: Its server; `--http` makes it serve HTTP and print the URL.
        tasks: Its tools that become tasks, in 2026-07-28.
        mute: Where its server cannot ask: pairs of a generation and a transport.
        sessions: The path at which it has sessions, as 2025-11-25 has them, if that is another.
    """

    command: Callable[[], list[str]]
    tasks: frozenset[str] = frozenset()
    mute: frozenset[tuple[str, str]] = frozenset()
    sessions: str = "/mcp"


def typescript() -> list[str]:
    installed(peers.CONFORMANCE)
    return [node(), str(peers.SERVERS / "server2.mjs")]


SDKS = {
    # Their handlers for HTTP that speak both are without sessions, and so cannot ask by a request of 2025-11-25. Those
    # with sessions are at another path.
    "Go SDK": Kind(lambda: [built(peers.GO, "server")], sessions="/sessions"),
    "TypeScript SDK 2, server": Kind(typescript, sessions="/sessions"),
    # It asks by requests alone, and those are gone from 2026-07-28.
    "fastmcp": Kind(
        lambda: [python_of(peers.FASTMCP), str(peers.SERVERS / "fastmcp_tasks_server.py")],
        tasks=frozenset({"rest", "fail_later", "wait"}),
        mute=frozenset({(MODERN, "stdio"), (MODERN, "HTTP")}),
    ),
    "rmcp": Kind(
        lambda: [built(peers.RUST, "server")], tasks=frozenset({"rest", "fail_later", "wait", "break", "confirm"})
    ),
}


@dataclass(frozen=True)
class Case:
    name: str
    generation: str
    transport: str

    @property
    def kind(self) -> Kind:
        return SDKS[self.name]

    def __str__(self) -> str:
        return f"{self.name}, {self.generation}, {self.transport}"


CASES = [Case(name, when, how) for name in SDKS for when in (LEGACY, MODERN) for how in ("stdio", "HTTP")]


def rows(cases: list[Case]) -> pytest.MarkDecorator:
    """Parametrizes `place`, each value in the row of the table that it belongs to."""
    values = [
        pytest.param(each, id=str(each), marks=peer(each.name, "server", each.generation, each.transport))
        for each in cases
    ]
    return pytest.mark.parametrize("place", values, indirect=True)


@pytest.fixture(scope="module")
def target() -> Iterator[Callable[[Case], str | list[str]]]:
    """What to connect to in a case; each server over HTTP is started once."""
    with ExitStack() as running:
        known: dict[str, str] = {}

        def target(case: Case) -> str | list[str]:
            command = case.kind.command()
            if case.transport == "stdio":
                return command
            if case.name not in known:
                flag = "-http" if case.name == "Go SDK" else "--http"
                known[case.name] = running.enter_context(serving([*command, flag]))
            url = known[case.name]
            return url.removesuffix("/mcp") + case.kind.sessions if case.generation == LEGACY else url

        yield target


@pytest.fixture(scope="module")
def place(
    request: pytest.FixtureRequest, target: Callable[[Case], str | list[str]]
) -> Iterator[tuple[Case, lab.Server]]:
    case: Case = request.param
    # "auto" has to find 2026-07-28 by itself.
    with lab.connect(target(case), name="peer", mode="legacy" if case.generation == LEGACY else "auto") as server:
        assert server.version == case.generation
        yield case, server


@pytest.fixture
def server(place: tuple[Case, lab.Server]) -> lab.Server:
    return place[1]


def until(condition: Callable[[], object], timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def asked(run: Task) -> None:
    until(lambda: run.questions or run.done())
    assert [question.message for question in run.questions] == ["Are you sure?"]


@rows(CASES)
class TestAnyServer:
    def test_what_it_has_is_listed(self, server: lab.Server) -> None:
        assert {"add", "ask", "fail", "steps"} <= set(server.tools)
        assert set(server.resources) == {"note://hello", "note://{name}"}
        assert set(server.prompts) == {"greet"}
        tools = server.tools.df.set_index("tool")
        assert tools.description["add"] == "Adds."
        assert tools.required["add"] == "a, b"
        assert len(server.resources.df) == 2
        assert server.prompts.df.required.tolist() == ["name"]
        assert "add" in server.tools._repr_html_()

    def test_a_result_with_its_structure(self, server: lab.Server) -> None:
        result = server.call("add", a=1, b=2)
        assert result.structured == {"sum": 3}
        assert result.json == {"sum": 3}
        assert result.df["sum"].tolist() == [3]

    def test_what_the_server_can_not_take_is_its_to_say(self, server: lab.Server) -> None:
        with pytest.raises(LabError) as refused:
            server.call("add", {"a": "one"}, check=False)
        assert isinstance(refused.value, PeerError | ToolError)
        assert "Traceback" not in refused.value.message

    def test_an_error_of_a_tool(self, server: lab.Server) -> None:
        with pytest.raises(ToolError, match="on purpose"):
            server.call("fail")

    def test_many_calls_at_once(self, server: lab.Server) -> None:
        many = server.map("add", [{"a": n, "b": n} for n in range(20)])
        assert [result.structured["sum"] for result in many.results(timeout=30)] == [2 * n for n in range(20)]
        assert many.df.status.tolist() == ["completed"] * 20

    def test_resources(self, server: lab.Server) -> None:
        assert server.read("note://hello").text == "A note named hello."
        assert server.read("note://{name}", name="a b").text in ("A note named a b.", "A note named a%20b.")
        with pytest.raises(PeerError):
            server.read("nowhere://at/all")

    def test_a_prompt(self, server: lab.Server) -> None:
        assert server.prompt("greet", name="Ada").text == "Say hello to Ada."

    def test_progress_and_log(self, place: tuple[Case, lab.Server]) -> None:
        case, server = place
        if not (case.name == "rmcp" and case.generation == LEGACY):  # it declares logging and takes no level
            server.set_log_level("info")
        before = len(server.log)
        run = server.task("steps", count=20)
        moved = threading.Event()
        run.subscribe(lambda task: moved.set() if task.progress else None)
        assert run.result(timeout=20).text == "done"
        assert {"step 1", "step 20"} <= {moment.message for moment in run.moments}
        if not (case.kind.tasks and case.generation == MODERN):
            # Nobody had to wait to know that it is no task, so it could be watched.
            assert run.local
            assert moved.is_set()
        until(lambda: len(server.log) > before)
        assert "all steps done" in str(server.log.data.iloc[-1])

    def test_a_task_of_a_server_that_makes_none(self, place: tuple[Case, lab.Server]) -> None:
        case, server = place
        if case.generation == MODERN and case.kind.tasks:
            run = server.task("rest")
            assert run.id is not None
            assert not run.local
        else:
            run = server.task("add", a=1, b=2)
            assert run.id is None
            assert run.local
        assert run.result(timeout=20)
        assert run.status == "completed"
        assert server.tasks[-1] is run


@rows([case for case in CASES if (case.generation, case.transport) not in case.kind.mute])
class TestThatAsks:
    def test_a_question(self, server: lab.Server) -> None:
        run = server.task("ask")
        asked(run)
        assert run.status == "input_required"
        run.answer({"sure": True})
        assert run.result(timeout=20).text == "sure: true"

    def test_a_question_that_is_declined(self, server: lab.Server) -> None:
        run = server.task("ask")
        asked(run)
        run.decline()
        assert run.result(timeout=20).text == "not answered: decline"


@rows([case for case in CASES if (case.generation, case.transport) in case.kind.mute])
def test_one_that_can_not_ask_says_so(server: lab.Server) -> None:
    error = server.task("ask").exception(timeout=20)
    assert isinstance(error, LabError)
    assert any(word in error.message for word in ("elicitation", "client")), error.message


@rows(
    [case for case in CASES if case.kind.sessions != "/mcp" and (case.generation, case.transport) == (LEGACY, "HTTP")]
)
def test_one_of_2025_without_sessions(
    place: tuple[Case, lab.Server], target: Callable[[Case], str | list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    case, _ = place
    url = str(target(case)).removesuffix(case.kind.sessions) + "/mcp"
    with lab.connect(url, name="sessionless", mode="legacy") as server:
        assert server.version == LEGACY
        assert server.call("add", a=1, b=2).structured == {"sum": 3}
        run = server.task("steps", count=3)
        assert run.result(timeout=20).text == "done"
        assert "step 1" in {moment.message for moment in run.moments}
        error = server.task("ask").exception(timeout=20)
        assert isinstance(error, LabError)
        assert "elicitation" in error.message
    assert [record.getMessage() for record in caplog.records if record.levelname not in ("DEBUG", "INFO")] == []


@rows([case for case in CASES if case.kind.tasks and case.generation == MODERN])
class TestTasks:
    def test_a_result(self, server: lab.Server) -> None:
        run = server.task("rest")
        assert run.id
        assert run.result(timeout=20).text == "rested"
        assert server.call("rest").text == "rested"

    def test_an_error_of_the_tool(self, server: lab.Server) -> None:
        run = server.task("fail_later")
        error = run.exception(timeout=20)
        assert isinstance(error, ToolError)
        assert "on purpose" in error.message
        assert run.status == "failed"

    def test_cancel(self, server: lab.Server) -> None:
        run = server.task("wait")
        run.cancel()
        assert isinstance(run.exception(timeout=20), TaskCancelled)
        assert run.status == "cancelled"

    def test_many(self, server: lab.Server) -> None:
        many = server.map("rest", [{} for _ in range(10)])
        assert [result.text for result in many.results(timeout=30)] == ["rested"] * 10
        assert len({task.id for task in many}) == 10

    def test_one_is_found_again_by_its_id(self, server: lab.Server) -> None:
        run = server.task("rest")
        assert run.id is not None
        assert server.attach(run.id).result(timeout=20).text == "rested"

    def test_a_question_and_an_error_of_the_protocol(self, place: tuple[Case, lab.Server]) -> None:
        case, server = place
        if "confirm" not in case.kind.tasks:
            return  # fastmcp's tools have no way to ask in a task, and what they raise is always a result
        run = server.task("confirm")
        asked(run)
        run.answer({"sure": True})
        assert run.result(timeout=20).text == "sure: true"
        broken = server.task("break")
        error = broken.exception(timeout=20)
        assert isinstance(error, TaskFailed)
        assert "it broke" in error.message

    def test_its_messages(self, place: tuple[Case, lab.Server]) -> None:
        case, server = place
        run = server.task("rest")
        run.result(timeout=20)
        if case.name == "rmcp":
            assert {"warming up", "nearly there"} <= {moment.message for moment in run.moments}
        assert [moment.status for moment in run.moments][-1] == "completed"


def children() -> set[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


@rows(CASES)
def test_nothing_is_left_when_it_is_closed(
    place: tuple[Case, lab.Server],
    target: Callable[[Case], str | list[str]],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    case, _ = place
    before = children()
    began = time.monotonic()
    mode = "legacy" if case.generation == LEGACY else MODERN
    server = lab.connect(target(case), name="closed", mode=mode)
    assert server.call("add", a=1, b=2).structured == {"sum": 3}
    if case.transport == "stdio" and sys.platform == "linux":
        assert len(children() - before) == 1
    running = server.task("steps", count=400)
    until(lambda: call_of(running).making is not None)
    server.close()
    assert time.monotonic() - began < 15
    assert client_of(server).connection.summary == "closed"
    assert children() <= before
    assert isinstance(running.exception(timeout=5), LabError)
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert [record.getMessage() for record in caplog.records if record.levelname not in ("DEBUG", "INFO")] == []
