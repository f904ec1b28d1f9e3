"""What a kernel keeps of what an app says: bounded in bytes, over all lists, oldest first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import comm
import pytest
from mcp.server.apps import Apps
from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.host.kept import LIMIT, Kept, weigh
from pmcp_lab.notebook import AppView
from tests.unit.front_end import Comm, FrontEnd, until

MB = 2**20
LARGE = "x" * (6 * MB)


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> Iterator[AppView]:
    monkeypatch.setattr(comm, "create_comm", Comm)
    apps = Apps()
    apps.add_html_resource("ui://large/page", "<p>hello</p>")

    @apps.tool(resource_uri="ui://large/page")
    def large(size: int = 0) -> str:
        return "y" * size

    with lab.connect(MCPServer("large", extensions=[apps])) as server:
        yield server.app("large")  # type: ignore[misc]


def kept(view: AppView) -> int:
    return sum(weigh(entry) for entry in [*view.calls, *view.events, *view.messages])


def ask(page: FrontEnd, method: str, params: dict[str, Any], number: int) -> None:
    page.send(kind="rpc", view="v1", call=number, payload={"method": method, "params": params})
    page.wait("rpc-result", number)


def test_all_lists_share_one_bound(view: AppView) -> None:
    page = FrontEnd(view)
    for number in range(1, 8):
        ask(page, "tools/call", {"name": "nope", "arguments": {"text": LARGE}}, number)
    assert len(view.calls) == 5
    assert kept(view) <= LIMIT
    for _ in range(3):
        page.send(kind="event", view="v1", event="log", payload={"level": "info", "data": LARGE})
    until(lambda: len([each for each in view.events if each["event"] == "log"]) == 3)
    # The oldest of all went for them.
    until(lambda: len(view.calls) == 2)
    assert kept(view) <= LIMIT
    for number in range(8, 13):
        ask(page, "ui/message", {"role": "user", "content": [{"type": "text", "text": LARGE}]}, number)
    assert kept(view) <= LIMIT
    assert len(view.messages) >= 2
    assert view.dropped["calls"] >= 5
    assert "older calls are not kept any more: 1,000 are, of at most 32 MB together" in repr(view.calls)
    assert "older calls" in view.calls._repr_html_()


def test_an_answer_counts_too(view: AppView) -> None:
    page = FrontEnd(view)
    for number in range(1, 5):
        ask(page, "tools/call", {"name": "large", "arguments": {"size": 6 * MB}}, number)
    # Each holds its text twice, in its content and in its structured content.
    assert len(view.calls) == 2
    assert kept(view) <= LIMIT


def test_what_is_under_way_is_bounded(view: AppView) -> None:
    """They are held until they are answered, whatever list they left."""
    waiting = threading.Event()
    view.on_message(lambda _: waiting.wait(10))
    page = FrontEnd(view)
    message = {"role": "user", "content": [{"type": "text", "text": LARGE}]}
    for number in range(1, 9):
        page.send(kind="rpc", view="v1", call=number, payload={"method": "ui/message", "params": message})
    refused = page.wait("rpc-result", 3)
    assert {each["payload"]["error"]["message"] for each in refused} == {
        "Too much of this app is under way: wait for earlier answers."
    }
    waiting.set()
    page.wait("rpc-result", 8)
    ask(page, "ui/message", message, 9)
    assert "error" not in page.of("rpc-result")[-1]["payload"], "there is room again"


def test_a_list_that_somebody_emptied_goes_on() -> None:
    kept = Kept(limit=500)
    kept.add("events", {"text": "a" * 60})
    kept.events.clear()
    for _ in range(3):
        kept.add("events", {"text": "b" * 60})
    assert [each["text"][0] for each in kept.events] == ["b"]
    assert kept.weight <= 500


@pytest.mark.parametrize("value", [[{} for _ in range(600_000)], "x" * 9 * MB + "\N{DOG}"], ids=["objects", "emoji"])
def test_what_is_small_as_json_and_large_in_memory_counts_as_large(value: object) -> None:
    kept = Kept()
    kept.add("events", {"payload": "first"})
    kept.add("events", {"payload": value})
    assert len(kept.events) == 0
    assert kept.weight <= LIMIT


def test_a_list_holds_a_thousand_entries() -> None:
    kept = Kept()
    for number in range(1_003):
        kept.add("calls", {"time": number})
    assert [kept.calls[0]["time"], len(kept.calls), kept.dropped["calls"]] == [3, 1_000, 3]
