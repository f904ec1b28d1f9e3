"""The kernel side against the Go SDK's own example server: names that are no Python names, roots, sampling, icons."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pmcp_lab as lab
from pmcp_lab.errors import InvalidArguments, LabError, PeerError, ToolError
from tests import peers
from tests.conftest import built
from tests.interop.table import peer
from tests.unit.storage_servers import free_port

LEGACY, MODERN = "2025-11-25", "2026-07-28"
NAME = "Go SDK, everything"
# Its handler for HTTP has sessions, and so speaks 2025-11-25 alone: "auto" has to find out.
PLACES = [(LEGACY, "stdio", "legacy"), (MODERN, "stdio", "auto"), (LEGACY, "HTTP", "auto")]


def until(condition: Callable[[], object], timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((when, how, mode), id=f"{when}, {how}", marks=peer(NAME, "server", when, how))
        for when, how, mode in PLACES
    ],
)
def server(request: pytest.FixtureRequest) -> Iterator[lab.Server]:
    generation, transport, mode = request.param
    program = built(peers.GO, "everything")
    target: str | list[str] = [program]
    process = None
    if transport == "HTTP":
        place = f"127.0.0.1:{free_port()}"
        process = subprocess.Popen([program, "-http", place], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert "listening" in process.stderr.readline()
        target = f"http://{place}/mcp"
    try:
        connected = lab.connect(target, name="go", mode=mode, on_sampling=lambda messages, params: "four")
        with connected:
            assert connected.version == generation
            yield connected
    finally:
        if process is not None:
            process.kill()
            process.communicate()


def test_what_it_has(server: lab.Server) -> None:
    assert {"greet", "greet (structured)", "elicit (form)", "log", "ping"} <= set(server.tools)
    assert len(server.tools.df) == 10
    assert "greet (with Icons)" in server.tools._repr_html_()
    assert set(server.prompts) == {"greet", "greet (with Icons)"}
    # Two resources of one address are one here.
    assert "embedded:info" in server.resources


def test_names_that_are_no_python_names(server: lab.Server) -> None:
    assert server.call("greet (structured)", name="Ada").df.message.tolist() == ["Hi Ada"]
    (link,) = server.call("greet (content with ResourceLink)", name="Ada").content
    assert link.kind == "resource_link"
    assert link.uri == "data:text/plain,Hi%20Ada"
    assert server.call("greet", name="Ada").text == "Hi Ada"


def test_log(server: lab.Server) -> None:
    server.set_log_level("info")
    server.call("log")
    until(lambda: "something happened!" in server.log.data.tolist())


def test_resources(server: lab.Server) -> None:
    assert server.read("embedded:info").text == "This is the hello example server."
    with pytest.raises(PeerError, match="wrong scheme"):
        server.read("http://example.com/~{resource_name}/", resource_name="a")


def test_a_prompt_that_declares_no_arguments(server: lab.Server) -> None:
    with pytest.raises(InvalidArguments, match="name: not an argument of this prompt"):
        server.prompt("greet", name="Ada")
    assert server.prompt("greet", check=False, name="Ada").text == "Say hi to Ada"
    assert server.complete("greet", "name", "A") == ["Ax"]


def test_what_it_asks_of_a_client(server: lab.Server, tmp_path: Path) -> None:
    calls = ("ping", "sample", "roots", "elicit (form)", "elicit (url)")
    if server.version == MODERN:
        # Its example asks by requests alone, and 2026-07-28 has none.
        for name in calls:
            with pytest.raises(ToolError, match="ping failed|cannot be sent while serving a request"):
                server.call(name)
        return
    server.call("ping")
    assert server.call("sample").text == "four"
    server.roots = [tmp_path]
    assert tmp_path.as_uri() in server.call("roots").text
    form = server.task("elicit (form)")
    until(lambda: form.questions)
    form.answer({"random": "dice"})
    assert form.result(timeout=20).text == "dice"
    page = server.task("elicit (url)")
    until(lambda: page.questions)
    assert page.questions[0].url is not None
    page.answer()
    assert page.result(timeout=20).text == "(elicitation pending)"


def test_a_question_that_is_declined(server: lab.Server) -> None:
    if server.version == MODERN:
        return
    # Its example takes the answer for given, and ends the call, or itself, without it.
    run = server.task("elicit (form)")
    until(lambda: run.questions)
    run.decline()
    assert isinstance(run.exception(timeout=20), LabError)
