"""Servers of other people that are odd in one way each: they connect, and nothing of them is guessed."""

from __future__ import annotations

import http.server
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pmcp_lab as lab
from pmcp_lab.client import call_of, client_of
from pmcp_lab.errors import ConnectionFailed, InvalidArguments, NotOffered, PeerError, TaskFailed

SERVER = Path(__file__).parents[2] / "servers" / "odd.py"

Odd = Callable[..., lab.Server]


@pytest.fixture
def odd() -> Iterator[Odd]:
    opened: list[lab.Server] = []

    def connect(way: str, *arguments: str) -> lab.Server:
        opened.append(lab.connect([sys.executable, str(SERVER), way, *arguments], name=way))
        return opened[-1]

    yield connect
    for server in opened:
        server.close()


def test_one_that_ends_when_it_is_asked_what_it_speaks_is_started_again(odd: Odd, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    server = odd("ends-on-probe", str(starts))
    assert server.version == "2025-11-25"
    assert server.stderr == ""
    server.close()
    assert starts.read_text().split() == ["started"] * 2
    # It is remembered for that target.
    again = odd("ends-on-probe", str(starts))
    assert list(again.tools) == ["work"]
    assert starts.read_text().split() == ["started"] * 3


def test_one_that_always_ends_is_told_of_once(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("import sys; print('out of cheese', file=sys.stderr); sys.exit(3)")
    with pytest.raises(ConnectionFailed) as failed:
        lab.connect([sys.executable, str(script)])
    assert failed.value.message.count("out of cheese") == 1
    assert "mode=" not in failed.value.message, "what it says is what there is to be done"


def test_one_that_ends_without_a_word_may_want_to_be_asked_less(tmp_path: Path) -> None:
    script = tmp_path / "silent.py"
    script.write_text("raise SystemExit(3)")
    with pytest.raises(ConnectionFailed, match="mode='legacy' or mode='2026-07-28'"):
        lab.connect([sys.executable, str(script)])


def test_a_generation_that_is_named_is_not_tried_twice(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    with pytest.raises(ConnectionFailed) as failed:
        lab.connect([sys.executable, str(SERVER), "ends-on-probe", str(starts)], mode="2026-07-28")
    assert starts.read_text().split() == ["started"]
    assert "mode=" not in failed.value.message


def test_one_that_does_not_speak_the_generation_that_is_named_says_how_to_ask() -> None:
    with pytest.raises(ConnectionFailed, match=r"method not found \(.*mode='2026-07-28' .*mode='auto' asks it\)"):
        lab.connect([sys.executable, str(SERVER), "generous"], mode="2026-07-28")


def test_one_that_chatters_is_understood_and_its_chatter_is_in_one_place(
    odd: Odd, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    server = odd("chatters")
    assert list(server.tools) == ["work"]
    assert server.stderr.splitlines() == [
        "(on stdout, where only MCP belongs) Hello, I am caf\N{REPLACEMENT CHARACTER}",
        "(on stdout, where only MCP belongs) {broken",
    ]
    assert "Traceback" not in caplog.text
    assert capsys.readouterr().err == ""


def test_one_whose_notifications_can_not_be_read_is_told_of_in_one_place(
    odd: Odd, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    server = odd("garbles")
    assert server.call("work").text == "done"
    level, progress = server.stderr.splitlines()
    assert level.startswith("(in its messages) notifications/message can't be read: params.level: Input should be 'al")
    assert progress.startswith("(in its messages) notifications/progress can't be read: params.progress: Input should")
    assert [record.message for record in caplog.records if record.levelname != "INFO"] == []
    assert capsys.readouterr().err == ""


def test_one_that_only_chatters_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed) as failed:
        lab.connect([sys.executable, str(SERVER), "banner"], timeout=2)
    text = failed.value.message
    assert "It printed text that is no MCP on stdout: 'Uvicorn running on http://127.0.0.1:8000 (Press" in text
    assert "connect to 'http://127.0.0.1:8000'" in text
    assert "pydantic" not in text


def test_what_it_declares_and_does_not_know_is_not_there(odd: Odd) -> None:
    server = odd("generous")
    assert list(server.resources) == ["memo://a"]
    assert list(server.prompts) == []
    with pytest.raises(NotOffered, match="declares logging, but takes no level"):
        server.set_log_level("info")
    with pytest.raises(NotOffered, match="offers no completion"):
        server.complete("memo://a", "name")


def test_extensions_and_settings_that_nobody_knows_are_no_trouble(odd: Odd) -> None:
    server = odd("extends")
    assert server.version == "2026-07-28"
    # Whether an extension is there is in its name alone, whatever stands beside it.
    peer = client_of(server).connection.peer
    assert peer.offers_tasks
    assert not peer.offers_variables
    assert server.call("work").text == "done"
    run = server.task("work")
    assert run.result(10).text == "done"
    assert (run.local, run.id) == (True, None), "it made no task of it"


def test_a_prompt_that_declares_less_than_it_takes_can_be_given_all(odd: Odd) -> None:
    server = odd("reticent")
    with pytest.raises(InvalidArguments, match="name: not an argument of this prompt"):
        server.prompt("greet", name="Ada")
    assert server.prompt("greet", check=False, name="Ada").text == "Say hello to Ada."


def test_a_modern_server_without_tasks_is_called_in_the_background(odd: Odd, tmp_path: Path) -> None:
    release = tmp_path / "release"
    server = odd("slow", str(release))
    began = time.monotonic()
    run = server.task("work")
    assert time.monotonic() - began < 1
    assert run.local
    moved = threading.Event()
    run.subscribe(lambda task: moved.set() if task.progress else None)
    assert moved.wait(10)
    assert not run.done()
    release.touch()
    assert run.result(10).text == "done"


def test_a_failed_task_with_a_result_has_failed(odd: Odd) -> None:
    run = odd("failed-with-result").task("work")
    with pytest.raises(TaskFailed, match="it broke"):
        run.result(10)
    assert run.status == "failed"
    assert run.message == "it broke"
    assert run.outcome is None
    assert run.partial is not None
    assert run.partial.text == "so far"


def test_a_task_whose_result_is_refused_while_it_asks_is_not_over(odd: Odd) -> None:
    run = odd("refuses-while-it-asks").task("work")
    assert run.result(20).text == "done"
    assert call_of(run).trouble is None


def test_a_server_that_is_away_is_told_of_at_once(odd: Odd) -> None:
    server = odd("generous")
    connection = client_of(server).connection
    assert connection.summary == "2025-11-25"
    server.close()
    assert connection.summary == "closed"


class Stranger(http.server.BaseHTTPRequestHandler):
    """Answers what is no MCP, by the path."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status, kind, body, headers = {
            "/": (200, "text/html; charset=utf-8", "<!doctype html><title>Caf\u00e9 &amp; more</title>", {}),
            "/api": (404, "application/json", '{"detail": "Not Found"}', {}),
            "/mcp": (404, "text/html", "<title>404</title>", {}),
            "/broken": (500, "text/plain", "\n  database is locked\nTraceback", {}),
            "/private": (302, "text/plain", "", {"location": "/users/sign_in?next=secret-token"}),
            "/moved": (307, "text/plain", "", {"location": "https://elsewhere.test/mcp?key=secret-token"}),
        }[self.path]
        self.send_response(status)
        data = body.encode()
        for name, value in {"content-type": kind, "content-length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/", "it answers with a page of HTML: 'Caf\u00e9 & more'. MCP servers are often at {url}/mcp"),
        ("/api", 'HTTP 404 Not Found: \'{{"detail": "Not Found"}}\'. MCP servers are often at {url}/api/mcp'),
        ("/mcp", "HTTP 404 Not Found: '404'"),
        ("/broken", "HTTP 500 Internal Server Error: 'database is locked'"),
        ("/private", 'it sends you to {url}/users/sign_in to sign in: connect with auth="oauth", or with token=\u2026'),
        ("/moved", "it redirects to https://elsewhere.test/mcp: connect to that, if it is what you want"),
    ],
)
def test_what_is_no_server_says_what_it_is(
    stranger: str, path: str, said: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConnectionFailed) as failed:
        lab.connect(stranger + path, timeout=10)
    assert failed.value.message.endswith(f"): {said.format(url=stranger)}")
    assert "secret-token" not in failed.value.message + caplog.text
    assert "Unexpected" not in caplog.text + capsys.readouterr().err


def test_an_answer_that_is_hardly_one_is_read_as_far_as_it_can_be(odd: Odd) -> None:
    """The SDK drops what it can't read, and whoever waits for it waits for ever."""
    server = odd("mumbles")
    assert server.call("work", how="half", check=False, timeout=10).text == "a\N{REPLACEMENT CHARACTER}b"
    assert server.call("work", how="number", check=False, timeout=10).value["n"] == 1
    with pytest.raises(PeerError, match="no message of JSON-RPC"):
        server.call("work", how="none", check=False, timeout=10)
