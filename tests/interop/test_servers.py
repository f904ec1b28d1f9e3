"""Our client against other people's task servers, one of each generation."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

import pmcp_lab as lab
from pmcp_lab.client.tasks.task import Task
from pmcp_lab.errors import TaskCancelled, ToolError
from tests import peers
from tests.conftest import python_of

SERVERS = {
    "2025-11-25": (peers.MCP1, "mcp1.py"),
    "2026-07-28": (peers.FASTMCP, "fastmcp_tasks_server.py"),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[lab.Server]:
    peer, script = SERVERS[request.param]
    with lab.connect([python_of(peer), str(peers.SERVERS / script)], name="peer") as connected:
        assert connected.version == request.param
        yield connected


def test_a_result(server: lab.Server) -> None:
    run = server.task("add", a=1, b=2)
    assert run.result(timeout=20).text == "3"
    assert run.status == "completed"


def test_a_tool_error(server: lab.Server) -> None:
    run = server.task("fail")
    error = run.exception(timeout=20)
    assert isinstance(error, ToolError)
    assert "on purpose" in str(error)
    assert run.status == "failed"


def test_cancel(server: lab.Server) -> None:
    run = server.task("wait")
    run.cancel()
    assert isinstance(run.exception(timeout=20), TaskCancelled)


# The other one asks before there is a task, never in it.
@pytest.mark.parametrize("server", ["2025-11-25"], indirect=True)
def test_a_question(server: lab.Server) -> None:
    run = server.task("confirm")
    asked = threading.Event()

    def look(task: Task) -> None:
        if task.questions:
            asked.set()

    run.subscribe(look)
    look(run)
    assert asked.wait(20)
    run.answer({"sure": True})
    assert "True" in run.result(timeout=20).text
