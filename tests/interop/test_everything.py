"""The kernel side against server-everything: tasks of 2025-11-25 as somebody else implements them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import pmcp_lab as lab
from pmcp_lab.errors import InvalidArguments, TaskCancelled
from pmcp_lab.notebook.forms import fields
from tests.peers import Peer


@pytest.fixture(scope="module")
def server(everything: Peer) -> Iterator[lab.Server]:
    with lab.connect(everything.stdio, name="everything") as connected:
        yield connected


def test_it_speaks_legacy(server: lab.Server) -> None:
    assert server.version == "2025-11-25"
    assert server.tools["simulate-research-query"].task_support == "required"


def test_a_plain_call(server: lab.Server) -> None:
    assert server.call("get-sum", a=1, b=2).text == "The sum of 1 and 2 is 3."


def test_a_task_with_its_messages(server: lab.Server) -> None:
    run = server.task("simulate-research-query", topic="tides")
    assert run.id
    assert "Research Report: tides" in run.result(timeout=30).text
    said = [moment.message for moment in run.moments]
    assert "Gathering sources..." in said
    assert "Generating report..." in said
    assert run.moments[-1].status == "completed"


def test_a_required_task_by_a_plain_call(server: lab.Server) -> None:
    assert "Research Report: moons" in server.call("simulate-research-query", topic="moons", timeout=30).text


def test_a_question(server: lab.Server) -> None:
    run = server.task("simulate-research-query", topic="tides", ambiguous=True)
    deadline = time.monotonic() + 20
    while not run.questions:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert run.status == "input_required"
    assert "multiple interpretations" in run.questions[0].message
    with pytest.raises(InvalidArguments):
        run.answer({"interpretation": "culinary"})
    run.answer({"interpretation": "technical"})
    assert "tides (technical)" in run.result(timeout=30).text


def test_a_plain_call_asks_for_every_kind_of_field(server: lab.Server) -> None:
    run = server.task("trigger-elicitation-request")
    run.asked.result(20)
    (question,) = run.questions
    kinds = [field["kind"] for field in fields(question.schema)]
    assert kinds.count("choice") == 3
    assert {"text", "email", "uri", "date", "integer", "number", "boolean", "choices"} <= set(kinds)
    filled = {field["name"]: field["default"] for field in fields(question.schema) if "default" in field}
    run.answer({**filled, "name": "Ada", "check": True})
    assert "Ada" in run.result(timeout=20).text


@pytest.mark.parametrize("error_path", [False, True])
def test_a_person_is_sent_to_a_url(server: lab.Server, error_path: bool) -> None:
    run = server.task(
        "trigger-url-elicitation",
        {"url": "https://a.example/", "elicitationId": f"id-{error_path}", "errorPath": error_path},
    )
    wanted: list[str | None] = ["https://a.example/"]
    if error_path:
        # First the call is refused until the person has been elsewhere; nobody but the person tells when.
        wanted = ["https://modelcontextprotocol.io", None, *wanted]
    for url in wanted:
        deadline = time.monotonic() + 20
        while not [question for question in run.questions if question.url == url]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        run.answer()
    assert "User completed" in run.result(timeout=20).text


def test_sampling(everything: Peer) -> None:
    with lab.connect(everything.stdio, name="sampled", on_sampling=lambda messages, params: "four") as server:
        assert '"text": "four"' in server.call("trigger-sampling-request", prompt="2 + 2", timeout=20).text


def test_cancel(server: lab.Server) -> None:
    run = server.task("simulate-research-query", topic="tides")
    run.cancel()
    assert isinstance(run.exception(timeout=10), TaskCancelled)
    assert run.status == "cancelled"


def test_progress_of_a_plain_call(server: lab.Server) -> None:
    seen: list[float | None] = []
    run = server.task("trigger-long-running-operation", duration=1, steps=4)
    run.subscribe(lambda task: seen.append(task.progress))
    assert run.result(timeout=20).text
    assert run.local
    assert {0.5, 1.0} <= set(seen)


def test_many_kinds_of_content_pass(server: lab.Server) -> None:
    kinds = [block["type"] for block in server.call("get-tiny-image").content]
    assert "image" in kinds
    links = server.call("get-resource-links", count=2).content
    assert any(block["type"] == "resource_link" for block in links)
