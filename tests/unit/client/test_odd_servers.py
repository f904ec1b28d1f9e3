"""Servers of other people that are odd in one way each: they connect, and nothing of them is guessed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pmcp_lab as lab
from pmcp_lab.client import call_of, client_of
from pmcp_lab.errors import ConnectionFailed, NotOffered, TaskFailed

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
    assert "mode='legacy'" in failed.value.message


def test_a_generation_that_is_named_is_not_tried_twice(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    with pytest.raises(ConnectionFailed) as failed:
        lab.connect([sys.executable, str(SERVER), "ends-on-probe", str(starts)], mode="2026-07-28")
    assert starts.read_text().split() == ["started"]
    assert "mode=" not in failed.value.message


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
