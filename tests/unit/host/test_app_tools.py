"""What Python asks of an app: the tools that it offers, and how it is shown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import comm
import pytest

import pmcp_lab as lab
from pmcp_lab.client import ToolResult
from pmcp_lab.errors import AppError, ToolError
from pmcp_lab.notebook import AppView
from tests.unit.front_end import Comm, FrontEnd, until

TEXT = {"type": "text", "text": "hello"}


@pytest.fixture(autouse=True)
def comms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm, "create_comm", Comm)


@pytest.fixture(scope="module")
def demo() -> Iterator[lab.Server]:
    with lab.connect("demo", name="asked") as server:
        yield server


@pytest.fixture
def view(demo: lab.Server) -> AppView:
    return demo.app("wave")


@pytest.fixture
def page(view: AppView) -> FrontEnd:
    return FrontEnd(view)


def answering(page: FrontEnd, reply: Callable[[str, dict[str, Any]], dict[str, Any]]) -> threading.Thread:
    """Plays an app that offers tools."""
    page.send(
        kind="event",
        view="v1",
        event="initialized",
        payload={"appInfo": {"name": "x"}, "appCapabilities": {"tools": {}}},
    )

    def answer() -> None:
        for number in range(1, 3):
            request = page.wait("ask", number)[number - 1]
            payload = reply(request["payload"]["method"], request["payload"]["params"])
            page.send(kind="answer", view="v1", call=request["call"], payload=payload)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


def test_tools_of_the_app(view: AppView, page: FrontEnd) -> None:
    with pytest.raises(AppError, match="offers no tools"):
        view.app_tools.list()

    def reply(method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "tools/list":
            return {"result": {"tools": [{"name": "zoom"}]}}
        return {"result": {"content": [{"type": "text", "text": f"zoomed {params['arguments']['by']}"}]}}

    answering(page, reply)
    until(lambda: view.app_capabilities)
    result = view.app_tools.call("zoom", by=2)
    assert isinstance(result, ToolResult)
    assert result.text == "zoomed 2"


def test_a_tool_of_the_app_that_fails(view: AppView, page: FrontEnd) -> None:
    answering(
        page,
        lambda method, _: (
            {"result": {"tools": [{"name": "zoom"}]}}
            if method == "tools/list"
            else {"result": {"content": [TEXT], "isError": True}}
        ),
    )
    until(lambda: view.app_capabilities)
    with pytest.raises(ToolError, match="hello"):
        view.app_tools.call("zoom")


def test_an_app_that_goes_away_or_says_nothing(view: AppView, page: FrontEnd) -> None:
    page.send(kind="event", view="v1", event="initialized", payload={"appCapabilities": {"tools": {}}})
    until(lambda: view.app_capabilities)
    with pytest.raises(TimeoutError):
        view.app_tools.list(timeout=0.05)
    leaving = threading.Timer(0.1, lambda: page.send(kind="bye", view="v1"))
    leaving.start()
    with pytest.raises(AppError, match="went away"):
        view.app_tools.list()
    with pytest.raises(AppError):
        view.ask("tools/list", {}, timeout=1)


def test_an_app_that_starts_over_in_its_view(view: AppView, page: FrontEnd) -> None:
    def started(name: str, tools: dict[str, Any]) -> None:
        page.send(kind="event", view=name, event="initialized", payload={"appCapabilities": tools})

    started("v1", {"tools": {"first": True}})
    started("v2", {"tools": {"other": True}})
    until(lambda: view.app_capabilities == {"tools": {"other": True}})
    again = threading.Timer(0.1, lambda: started("v2", {"tools": {"again": True}}))
    again.start()
    with pytest.raises(AppError, match="went away"):
        view.app_tools.list()
    assert view.app_capabilities == {"tools": {"again": True}}
    started("v1", {"tools": {"last": True}})
    until(lambda: view.app_capabilities == {"tools": {"last": True}})
    with pytest.raises(TimeoutError):
        view.app_tools.list(timeout=0.05)
    assert page.of("ask")[-1]["to"] == "v1", "it started last"
