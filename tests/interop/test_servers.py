"""Our client against the Python SDK 1.x, with tasks of 2025-11-25. Those of 2026-07-28 are in test_sdk_servers.py."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

import pmcp_lab as lab
from pmcp_lab.client.tasks.task import Task
from pmcp_lab.errors import TaskCancelled, ToolError
from tests import peers
from tests.conftest import python_of
from tests.interop.table import peer

pytestmark = peer("Python SDK 1", "server", "2025-11-25", "stdio")


@pytest.fixture(scope="module")
def server() -> Iterator[lab.Server]:
    with lab.connect([python_of(peers.MCP1), str(peers.SERVERS / "mcp1.py")], name="peer") as connected:
        assert connected.version == "2025-11-25"
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
