"""An app asks its server over the kernel, and from the page itself: the same comes of it, in both generations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

import pmcp_lab as lab
from pmcp_lab.notebook import AppView
from tests.browser.bare.conftest import HERE
from tests.browser.bare.kernel import Kernel, running_kernel
from tests.servers.bridged import Bridged
from tests.unit.front_end import until

GENERATIONS = ["legacy", "2026-07-28"]


@pytest.fixture(scope="module")
def bridged() -> Iterator[Bridged]:
    server = Bridged((HERE / "app.html").read_text())
    with server.serving():
        yield server


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel() as kernel:
        yield kernel


class Opened:
    """An app in a page, and its view in the kernel."""

    def __init__(self, page: Page, view: AppView, bridged: Bridged) -> None:
        self.page = page
        self.view = view
        self.bridged = bridged
        page.evaluate("(id) => show_widget(id)", view.model_id)
        expect(self.app.locator("#state")).to_have_text("started")

    @property
    def app(self) -> FrameLocator:
        return self.page.frame_locator("#cell iframe.pmcp-app-frame").frame_locator("iframe")

    def rpc(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a request of the app: its result, or `{"error": …}`."""
        asked = "(_, [method, params]) => rpc(method, params).catch((error) => ({error}))"
        answer: dict[str, Any] = self.app.locator("body").evaluate(asked, [method, params])
        return answer

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        return self.rpc("tools/call", name=name, arguments=arguments)

    def heard(self, method: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.app.locator("body").evaluate(
            "(_, method) => log.filter((each) => each.method === method).map((each) => each.params)", method
        )
        return found

    def switch(self, bridge: str) -> None:
        self.view.bridge = bridge  # type: ignore[assignment]
        if bridge == "direct":
            self.page.wait_for_function("() => model.kinds('event').some((each) => each.event === 'bridge')")


@pytest.fixture(scope="module", params=GENERATIONS)
def opened(
    request: pytest.FixtureRequest, browser: Browser, site: str, static: object, kernel: Kernel, bridged: Bridged
) -> Iterator[Opened]:
    """One open app for each generation; the tests switch its bridge while it is open."""
    context = browser.new_context(viewport={"width": 900, "height": 700})
    page = context.new_page()
    page.set_default_timeout(5_000)
    page.goto(site)
    page.add_script_tag(url=f"{site}/linked.js")
    page.evaluate("(url) => link_kernel(url)", kernel.url)
    with lab.connect(bridged.url, name=f"bridged-{request.param}", mode=request.param) as server:
        yield Opened(page, server.app("show"), bridged)
        context.close()


@pytest.fixture(params=["kernel", "direct"])
def app(request: pytest.FixtureRequest, opened: Opened) -> Opened:
    opened.switch(request.param)
    return opened


def test_who_asks_the_server(app: Opened) -> None:
    before = len(app.bridged.origins)
    assert app.call("add", a=1, b=2)["structuredContent"] == {"sum": 3}
    asked = set(app.bridged.origins[before:])
    page = app.page.evaluate("() => location.origin")
    assert asked == ({page} if app.view.bridge == "direct" else {None})


def test_nothing_of_a_result_is_lost(app: Opened) -> None:
    answer = app.call("everything")
    assert answer["content"] == [
        {"type": "text", "text": "grüße ✓ \u2028 \u0000"},
        {"type": "image", "data": "AAAA", "mimeType": "image/png"},
    ]
    assert answer["structuredContent"] == {"deep": [{"null": None, "big": 2**53}]}
    assert answer["isError"] is True
    assert answer["_meta"]["run.pmcp/own"] == {"kept": True}


def test_failures(app: Opened) -> None:
    failed = app.call("broken")
    assert failed["isError"] is True
    assert "it broke" in failed["content"][0]["text"]
    assert app.call("no such tool")["error"]["code"] == -32602
    assert app.rpc("resources/read", uri="ui://bridged/none")["error"]["code"] == -32602


REFUSED = [
    {"arguments": [1, 2]},
    {"arguments": None},
    {"arguments": "{}"},
    {"arguments": {}, "task": {"ttl": 1000}},
    {"arguments": {}, "task": None},
    {"arguments": {}, "_meta": []},
    {"arguments": {}, "_meta": {"progressToken": [1]}},
    {"arguments": {}, "_meta": {"_task_id": "x"}},
    {"arguments": {}, "_meta": {"io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"}}},
]


def test_nothing_of_a_call_is_dropped_unsaid(app: Opened) -> None:
    """It is honoured, or the call is refused."""
    answers = [app.rpc("tools/call", name="tagged", **more) for more in REFUSED]
    assert [answer.get("error", {}).get("code") for answer in answers] == [-32602] * len(REFUSED)
    said = app.rpc("tools/call", name="tagged", arguments={}, _meta={"com.example/row": 7, "progressToken": "t"})
    assert said["structuredContent"] == {"com.example/row": 7}


def test_what_is_not_for_apps_is_neither_listed_nor_called(app: Opened) -> None:
    answer = app.call("hidden")
    assert answer["error"]["code"] == -32602
    assert "not visible to apps" in answer["error"]["message"]
    names = [tool["name"] for tool in app.rpc("tools/list")["tools"]]
    assert "add" in names
    assert "hidden" not in names


def test_resources(app: Opened) -> None:
    (content,) = app.rpc("resources/read", uri="ui://bridged/page")["contents"]
    assert content["text"].startswith("<!doctype html>")
    assert [each["uri"] for each in app.rpc("resources/list")["resources"]] == ["ui://bridged/page"]


def test_progress(app: Opened) -> None:
    token = f"halves-{app.view.bridge}"
    answer = app.rpc("tools/call", name="halves", arguments={}, _meta={"progressToken": token})
    assert answer["content"][0]["text"] == "done"
    told = [each for each in app.heard("notifications/progress") if each["progressToken"] == token]
    assert told == [{"progressToken": token, "progress": 1, "total": 2, "message": "half"}]


def test_calls_side_by_side(app: Opened) -> None:
    answers = app.app.locator("body").evaluate(
        """() => Promise.all([...Array(20).keys()].map((n) =>
             rpc("tools/call", {name: "add", arguments: {a: n, b: 1}}).then((r) => r.structuredContent.sum)))"""
    )
    assert answers == [n + 1 for n in range(20)]


def test_a_call_can_be_cancelled(app: Opened) -> None:
    before = len(app.bridged.ended)
    app.app.locator("body").evaluate(
        "() => void rpc('tools/call', {name: 'nap', arguments: {}}, 'nap').catch(() => {})"
    )
    app.page.wait_for_timeout(300)
    app.app.locator("body").evaluate("() => note('notifications/cancelled', {requestId: 'nap'})")
    until(lambda: len(app.bridged.ended) > before)


def test_a_question_is_asked_beneath_the_app(app: Opened) -> None:
    app.app.locator("body").evaluate(
        "() => { window.said = null; rpc('tools/call', {name: 'shirt', arguments: {}}).then((r) => { said = r }) }"
    )
    card = app.page.locator(".pmcp-app-cards")
    card.get_by_role("textbox", name="Size").fill("7")
    card.get_by_role("button", name="Send").click()
    body = app.app.locator("body")
    until(lambda: (app.page.wait_for_timeout(20), body.evaluate("() => said"))[1])
    assert body.evaluate("() => said.content[0].text") == "size 7"
    expect(card).to_be_empty()
    assert app.view.asking == []


def test_a_question_can_be_answered_from_python(app: Opened) -> None:
    app.app.locator("body").evaluate(
        "() => { window.said = null; rpc('tools/call', {name: 'shirt', arguments: {}}).then((r) => { said = r }) }"
    )
    expect(app.page.locator(".pmcp-app-cards")).to_contain_text("Which size?")
    (call,) = app.view.asking
    call.decline()
    body = app.app.locator("body")
    until(lambda: (app.page.wait_for_timeout(20), body.evaluate("() => said"))[1])
    assert body.evaluate("() => said.content[0].text") == "decline"


def test_a_task_is_the_kernels_and_in_the_table(app: Opened) -> None:
    before = len(app.view.server.tasks)
    assert app.call("train", epochs=3)["structuredContent"] == {"epochs": 3}
    (task,) = app.view.server.tasks[before:]
    assert (task.tool, task.status) == ("train", "completed")


def test_the_notebook_sees_every_call(app: Opened) -> None:
    app.view.calls.clear()
    app.call("add", a=2, b=2)
    app.call("hidden")
    until(lambda: len([call for call in app.view.calls if "ms" in call]) == 2)
    done, refused = app.view.calls
    assert done["method"] == "tools/call"
    assert done["params"]["arguments"] == {"a": 2, "b": 2}
    assert done["result"]["structuredContent"] == {"sum": 4}
    assert refused["error"]["code"] == -32602
    assert app.view.calls.df["name"].tolist() == ["add", "hidden"]


def test_new_tools_are_told_and_called(app: Opened) -> None:
    name = f"grown-{app.view.bridge}-{app.view.server.version}"
    app.bridged.grow(name)
    assert app.call(name)["content"][0]["text"] == name


def test_what_is_under_way_ends_where_it_began(opened: Opened) -> None:
    opened.switch("direct")
    opened.app.locator("body").evaluate(
        "() => { window.said = null; rpc('tools/call', {name: 'shirt', arguments: {}}).then((r) => { said = r }) }"
    )
    expect(opened.page.locator(".pmcp-app-cards")).to_contain_text("Which size?")
    opened.switch("kernel")
    assert opened.call("add", a=1, b=1)["structuredContent"] == {"sum": 2}
    opened.view.asking[0].answer({"size": 9})
    body = opened.app.locator("body")
    until(lambda: (opened.page.wait_for_timeout(20), body.evaluate("() => said"))[1])
    assert body.evaluate("() => said.content[0].text") == "size 9"
