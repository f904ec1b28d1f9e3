"""Our client against fastmcp's hints of how long its answers are fresh."""

from __future__ import annotations

import time

import pmcp_lab as lab
from tests import peers
from tests.conftest import python_of


def connected(seconds: int) -> lab.Server:
    command = [python_of(peers.FASTMCP), str(peers.SERVERS / "fastmcp_hints.py"), str(seconds)]
    return lab.connect(command, name=f"hints-{seconds}", mode="2026-07-28")


def test_what_is_fresh_is_kept_and_what_is_stale_is_asked_for() -> None:
    with connected(3) as server:
        assert (list(server.tools), server.read("memo://count").text) == (["grow"], "1")
        began = time.monotonic()
        server.call("grow", name="more")
        seen = list(server.tools), server.read("memo://count").text
        if time.monotonic() < began + 2:
            assert seen == (["grow"], "1")
        time.sleep(3.1)
        assert (list(server.tools), server.read("memo://count").text) == (["grow", "more"], "2")
        server.refresh()
        assert server.read("memo://count").text == "3"


def test_without_a_hint_all_is_stale() -> None:
    with connected(0) as server:
        assert (list(server.tools), server.read("memo://count").text) == (["grow"], "1")
        server.call("grow", name="more")
        assert (list(server.tools), server.read("memo://count").text) == (["grow", "more"], "2")
