"""Apps that are read before somebody opens one: once, for all who want it, and only where somebody looks on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import pytest

import pmcp_lab as lab
from pmcp_lab.client import client_of
from pmcp_lab.client.runtime import runtime
from pmcp_lab.errors import LabError, PeerError
from pmcp_lab.host import read_ahead
from pmcp_lab.host.prefetch import QUIET
from pmcp_lab.notebook import AppView
from tests.servers import slow_app

Connect = Callable[..., lab.Server]


@pytest.fixture
def slow() -> Iterator[Connect]:
    opened: list[lab.Server] = []

    def connect(*arguments: str) -> lab.Server:
        opened.append(lab.connect([sys.executable, "-m", "tests.servers.slow_app", *arguments], name="slow"))
        return opened[-1]

    yield connect
    for server in opened:
        server.close()


def asked(server: lab.Server) -> dict[str, int]:
    counts: dict[str, int] = server.call("asked").structured or {}
    return counts


def test_what_was_read_ahead_is_shown_without_waiting(slow: Connect) -> None:
    server = slow()
    runtime().run(read_ahead(client_of(server)))
    assert asked(server)["reads"] == 1
    began = time.monotonic()
    view = server.app("show")
    assert isinstance(view, AppView)
    assert time.monotonic() - began < slow_app.SECONDS
    assert view._source.html == slow_app.PAGE
    assert asked(server)["reads"] == 1


def test_an_app_that_is_opened_while_it_is_read_waits_for_that(slow: Connect) -> None:
    server = slow()
    ahead = runtime().start(read_ahead(client_of(server)))
    time.sleep(QUIET + slow_app.SECONDS / 2)
    assert server.app("show")._source.html == slow_app.PAGE
    assert asked(server)["reads"] == 1
    runtime().wait(ahead)


def test_an_app_that_was_opened_at_once_is_not_read_ahead(slow: Connect) -> None:
    server = slow()
    ahead = runtime().start(read_ahead(client_of(server)))
    server.app("show")
    runtime().wait(ahead)
    assert asked(server)["reads"] == 1


def test_where_nobody_looks_on_nothing_is_read_ahead(slow: Connect) -> None:
    server = slow()
    time.sleep(QUIET + 0.3)
    assert asked(server) == {"reads": 0, "lists": 0}


def test_what_the_list_says_of_an_app_counts(slow: Connect) -> None:
    view = slow().app("show")
    assert view._resource["wanted"]["connect"] == ["https://listed.example"]


def test_an_app_that_is_listed_nowhere_opens_with_the_tightest_policy(slow: Connect) -> None:
    view = slow("unlisted").app("show")
    assert view._source.html == slow_app.PAGE
    assert "connect" not in view._resource["wanted"]


def test_a_list_that_fails_is_told_rather_than_a_policy_guessed(slow: Connect) -> None:
    with pytest.raises(PeerError, match="the list is broken"):
        slow("broken").app("show")


def test_a_server_that_fails_is_told_of_when_its_app_is_opened() -> None:
    server = lab.connect([sys.executable, "-m", "tests.servers.slow_app"], name="slow")
    ahead = runtime().start(read_ahead(client_of(server)))
    server.close()
    assert runtime().wait(ahead, timeout=10) is None
    with pytest.raises(LabError):
        server.app("show")
