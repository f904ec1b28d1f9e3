"""The kernel side against server-everything: tasks of 2025-11-25 as somebody else implements them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import pmcp_lab as lab
from pmcp_lab.client import call_of
from pmcp_lab.errors import InvalidArguments, TaskCancelled
from pmcp_lab.host.forms import fields
from tests.interop.table import peer
from tests.peers import Peer

pytestmark = peer("server-everything", "server", "2025-11-25", "stdio")


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
    call_of(run).asked.result(20)
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
    assert "image" in [block.kind for block in server.call("get-tiny-image").content]
    links = server.call("get-resource-links", count=2).content
    assert any(block.kind == "resource_link" for block in links)


def test_resources_and_templates(server: lab.Server) -> None:
    address = "demo://resource/static/document/features.md"
    assert server.resources[address].mime_type == "text/markdown"
    assert "Everything Server" in server.read(address).text
    template = "demo://resource/dynamic/text/{resourceId}"
    assert server.resources[template].variables == ["resourceId"]
    assert "Resource 7" in server.read(template, resourceId=7).text
    assert server.read("demo://resource/dynamic/blob/{resourceId}", resourceId=1).data


def test_prompts_and_their_completion(server: lab.Server) -> None:
    assert "weather in Oslo" in server.prompt("args-prompt", city="Oslo").text
    with pytest.raises(InvalidArguments, match="city: missing"):
        server.prompt("args-prompt")
    assert server.complete("completable-prompt", "department", "E") == ["Engineering"]
    assert "Alice" in server.complete("completable-prompt", "name", "", department="Engineering")
    made = server.prompt("resource-prompt", resourceType="Text", resourceId=1)
    assert [message.content.kind for message in made] == ["text", "resource"]
    assert made[1].content.uri == "demo://resource/dynamic/text/1"


def test_roots_and_log(server: lab.Server, tmp_path: Path) -> None:
    server.set_log_level("debug")
    server.roots = [tmp_path]
    deadline = time.monotonic() + 10
    while not server.log.data.astype(str).str.contains("1 root").any():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert tmp_path.as_uri() in server.call("get-roots-list").text


def test_what_it_shows_is_shown(server: lab.Server) -> None:
    image = server.call("get-tiny-image")
    assert image.image.data is not None
    assert image.image.data.startswith(b"\x89PNG")
    assert "<img " in image._repr_mimebundle_()["text/html"]
    assert server.call("get-structured-content", location="Chicago").df.temperature.tolist() == [36]


def test_many_tasks_and_those_of_another_session(server: lab.Server) -> None:
    topics = ["tides", "moons", "winds"]
    many = server.map("simulate-research-query", topics)
    assert all(topic in result.text for topic, result in zip(topics, many.results(timeout=60), strict=True))
    assert many.df.status.tolist() == ["completed"] * 3
    assert {task.id for task in many} <= {task.id for task in server.tasks.refresh()}
