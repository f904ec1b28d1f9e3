"""Servers that take a request with HTTP 202 and answer on their session's stream, and all that may go wrong then."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

import pmcp_lab as lab
from pmcp_lab.client import call_of, client_of
from pmcp_lab.client.connection import accepted
from pmcp_lab.client.runtime import runtime
from pmcp_lab.errors import ConnectionClosed, ConnectionFailed, PeerError
from tests.servers import started

Streaming = Callable[..., lab.Server]


@pytest.fixture
def streaming() -> Iterator[Streaming]:
    with ExitStack() as opened:

        def connect(way: str = "plain", *, settled: bool = True) -> lab.Server:
            server = lab.connect(
                opened.enter_context(started("tests.servers.on_stream", way)), name="pmcp", mode="legacy"
            )
            opened.callback(server.close)
            if settled:
                server.call("open", timeout=10)
            return server

        yield connect


def posts() -> int:
    """How many requests the SDK waits for."""
    return sum("_run_request_post" in task.get_name() for task in asyncio.all_tasks(runtime().loop))


def count(server: lab.Server) -> dict[str, int]:
    counted: dict[str, int] = json.loads(server.call("count", timeout=20).text)
    return counted


@pytest.mark.parametrize("tool", ["work", "early", "twice"])
def test_an_answer_is_taken_from_wherever_it_comes_and_once(streaming: Streaming, tool: str) -> None:
    server = streaming()
    run = server.task(tool)
    assert run.result(10).text == tool
    assert run.trouble is None
    # What comes a second time is nobody's.
    time.sleep(0.3)
    assert posts() == 0
    assert server.call("work", timeout=10).text == "work"
    assert count(server)[tool] == (2 if tool == "work" else 1)


def test_before_the_stream_is_open_the_answer_is_in_the_response(streaming: Streaming) -> None:
    server = streaming("late", settled=False)
    assert server.call("work", timeout=10).text == "work"
    assert server.call("open", timeout=10).text == "open"
    assert server.call("work", timeout=10).text == "work"


def test_answers_find_their_calls_whichever_comes_first(streaming: Streaming) -> None:
    server = streaming()
    runs = [server.task("pair"), server.task("pair")]
    assert [run.result(10).text for run in runs] == ["pair", "pair"]
    several = [server.task("work") for _ in range(20)] + [server.task("early") for _ in range(20)]
    assert [run.result(20).text for run in several] == ["work"] * 20 + ["early"] * 20


def test_what_is_waited_for_is_said_and_a_time_limit_is_kept(streaming: Streaming) -> None:
    server = streaming()
    run = server.task("silent")
    with pytest.raises(TimeoutError) as late:
        run.result(1)
    said = "server 'pmcp' accepted tools/call with HTTP 202 and has not answered on its stream yet"
    assert str(late.value).startswith(f"pmcp.silent is still working after 1 s; it goes on ({said}")
    assert str(late.value).endswith("if it never does, connect to it again)")
    assert run.trouble is not None
    assert run.trouble.startswith(said)
    with pytest.raises(TimeoutError, match="has not answered on its stream"):
        server.call("silent", timeout=1)
    # What is given up holds nothing open.
    run.cancel()
    assert run.status == "cancelled"
    time.sleep(0.2)
    assert posts() == 0
    assert server.call("work", timeout=10).text == "work"


def test_a_list_that_never_comes_names_the_cause(streaming: Streaming, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepted, "PATIENCE", 0.5)
    server = streaming("silent-lists", settled=False)
    client_of(server).connection.wait()
    time.sleep(0.5)
    with pytest.raises(PeerError) as failed:
        _ = server.tools
    said = "server 'pmcp' accepted tools/list with HTTP 202 and has not answered on its stream yet"
    assert failed.value.message.startswith(f"No answer in time: {said}; if it never does, connect to it again")


@pytest.mark.parametrize("tool", ["cut", "torn"])
def test_a_stream_that_breaks_costs_what_it_was_to_answer_and_nothing_else(streaming: Streaming, tool: str) -> None:
    server = streaming()
    run = server.task(tool)
    with pytest.raises(ConnectionClosed) as failed:
        run.result(10)
    assert failed.value.message == (
        "Server 'pmcp': it accepted tools/call with HTTP 202, and the stream that the answer was to come on broke: "
        "nobody knows whether it was done"
    )
    assert count(server)[tool] == 1, "it is not sent again"
    # However often: it is opened again each time.
    for _ in range(3):
        with pytest.raises(ConnectionClosed):
            server.call(tool, timeout=10)
        server.call("open", timeout=10)
        assert server.call("work", timeout=10).text == "work"


def test_a_stream_that_is_taken_up_where_it_broke_costs_nothing(streaming: Streaming) -> None:
    server = streaming("ids")
    assert server.call("resumed", timeout=10).text == "resumed"
    assert count(server)["resumed"] == 1


def test_the_rest_of_a_response_is_no_stream(streaming: Streaming, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepted, "REOPEN", 0.3)
    server = streaming()
    first = server.task("pair")
    assert server.call("elsewhere", timeout=10).text == "elsewhere"
    time.sleep(0.6)
    assert server.call("pair", timeout=10).text == first.result(10).text == "pair"


def test_a_stream_that_can_not_be_opened_again_is_left_for_a_new_session(streaming: Streaming) -> None:
    server = streaming("once")
    connection = client_of(server).connection
    first = connection.peer
    with pytest.raises(ConnectionClosed, match="broke"):
        server.call("cut", timeout=10)
    # PMCP accepts all that comes now, for a stream that nobody reads.
    run = server.task("silent")
    with pytest.raises(ConnectionClosed) as failed:
        run.result(20)
    assert "the stream it answers on broke, and the server refuses one (HTTP 409)" in failed.value.message
    assert server.call("work", timeout=20).text == "work"
    assert connection.peer is not first
    assert count(server)["cut"] == count(server)["silent"] == 1


@pytest.mark.parametrize("way", ["refuses", "absent"])
def test_accepting_without_a_stream_is_an_error_at_once(streaming: Streaming, way: str) -> None:
    server = streaming(way, settled=False)
    client_of(server).connection.wait()
    time.sleep(0.3)
    with pytest.raises(PeerError) as failed:
        _ = server.tools
    text = failed.value.message
    assert "it accepted tools/list with HTTP 202, and there is no stream (GET) that its answer could come on" in text
    assert ("HTTP 405" in text) == (way == "refuses")
    assert "ask its authors" in text


def test_a_handshake_that_is_accepted_says_so(streaming: Streaming) -> None:
    began = time.monotonic()
    with pytest.raises(ConnectionFailed) as failed:
        streaming("accepts-all", settled=False)
    assert "it accepted initialize with HTTP 202, and there is no stream" in failed.value.message
    assert time.monotonic() < began + 10


def test_a_call_that_is_done_holds_nothing(streaming: Streaming) -> None:
    server = streaming()
    run = server.task("silent")
    call = call_of(run)
    while call.trouble is None:
        time.sleep(0.01)
    began = time.monotonic()
    server.close()
    assert time.monotonic() < began + 3
    with pytest.raises(lab.errors.LabError):
        run.result(5)
