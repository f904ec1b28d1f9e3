"""A widget's file is saved, and the open view shows it: from the disk to the paint, without a notebook between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import comm
import pytest
from mcp.server.mcpserver import MCPServer
from playwright.sync_api import FrameLocator, Page, expect

import pmcp_lab as lab
from pmcp_lab.apps import Apps, WidgetDir, document
from pmcp_lab.notebook import AppView
from tests.unit.front_end import Comm, FrontEnd

WIDGET = """<!doctype html>
<!-- mcp-app
title: Counter
-->
<h1>first</h1><p id=out></p><p id=count></p><button>Add</button><input id=name>
<script>
  const app = new McpApps.App({name: "counter", version: "1"});
  const show = () => { count.textContent = localStorage.getItem("count") ?? "0" };
  app.ontoolresult = ({structuredContent}) => { out.textContent = structuredContent.start };
  document.querySelector("button").onclick = async () => {
    const {structuredContent} = await app.callServerTool({name: "add", arguments: {n: Number(count.textContent)}});
    localStorage.setItem("count", structuredContent.n); show();
  };
  show(); app.connect();
</script>"""


class Wire:
    """Carries messages between a widget of this process and a page that shows it, as Jupyter does."""

    def __init__(self, page: Page, view: AppView) -> None:
        self.page = page
        self.front = FrontEnd(view)
        self.carried = len(self.front.comm.sent)
        state = {name: view.get_state(name)[name] for name in ("_resource", "_call", "_host", "_storage", "_closed")}
        page.evaluate("(s) => open_widget('app-view', s, {})", state)

    def carry(self) -> None:
        """Everything that has come about until now, in both directions."""
        sent = [each["data"] for each in self.front.comm.sent[self.carried :]]
        self.carried += len(sent)
        said = self.page.evaluate(
            """(all) => { for (const {method, state, content} of all) {
                if (method === "custom") model.emit("msg:custom", content);
                else if (method === "update") {
                  Object.assign(model.state, state);
                  for (const [name, value] of Object.entries(state)) model.emit(`change:${name}`, value);
                } } return model.sent.splice(0) }""",
            [data for data in sent if data],
        )
        for message in said:
            if message["kind"] not in ("hello", "ping", "inspector"):
                self.front.send(**message)

    def until(self, text: str, where: Callable[[], str], timeout: float = 10) -> float:
        """Carry until a text is there; the seconds that took."""
        began = time.monotonic()
        while where() != text:
            assert time.monotonic() < began + timeout, f"{where()!r} is not {text!r}"
            self.carry()
            self.page.wait_for_timeout(5)
        return time.monotonic() - began


@pytest.fixture
def widgets(tmp_path: Path, static: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = (static / "bridge.js").read_text()
    monkeypatch.setattr(document, "_bridge", lambda: script)
    (tmp_path / "counter.html").write_text(WIDGET)
    return tmp_path


@pytest.fixture(params=["auto", "legacy"])
def view(widgets: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[AppView]:
    monkeypatch.setattr(comm, "create_comm", Comm)
    apps = Apps(WidgetDir(widgets, app="demo", watch=True))

    @apps.tool("counter")
    def start(at: int) -> dict[str, int]:
        return {"start": at}

    @apps.tool("counter", visibility=["app"])
    def add(n: int) -> dict[str, int]:
        return {"n": n + 1}

    server: MCPServer[Any] = MCPServer("demo", extensions=[apps], middleware=[apps], log_level="ERROR")
    with lab.connect(server, name=f"reload-{request.param}", mode=request.param) as connected:
        yield connected.app("start", at=7)


def test_a_saved_widget_is_shown_with_its_state_and_its_result(
    view: AppView, widgets: Path, bare: Page, inner: Callable[[], FrameLocator]
) -> None:
    wire = Wire(bare, view)
    app = inner()
    file = widgets / "counter.html"

    def text(place: str) -> Callable[[], str]:
        return lambda: app.locator(place).text_content() if app.locator(place).count() else ""

    wire.until("7", text("#out"))
    app.locator("button").click()
    wire.until("1", text("#count"))
    app.locator("button").click()
    wire.until("2", text("#count"))
    app.locator("#name").fill("Ada")

    # The store is told a moment later; a save right behind it loses nothing.
    file.write_text(WIDGET.replace("first", "second"))
    took = wire.until("second", text("h1"))
    wire.until("7", text("#out"))
    assert text("#count")() == "2"
    assert took < 2
    expect(app.locator("#name")).to_have_value("Ada")
    assert bare.locator("#cell iframe.pmcp-app-frame").count() == 1

    # What is wrong stands in its place, as text, and goes when it is mended.
    (widgets / "counter.yaml").write_text("title: <img src=x onerror=alert(1)>\ncsp: {connect: [http://localhost]}\n")
    wire.until("The widget counter can't be shown", text("h1"))
    problem = app.locator("pre").inner_text()
    assert problem.startswith("counter.html is described twice")
    file.write_text(WIDGET.replace("first", "third").replace("mcp-app", "note"))
    wire.until("1", lambda: str(app.locator("pre", has_text="'http://localhost' is no origin").count()))
    assert app.locator("img").count() == 0
    (widgets / "counter.yaml").unlink()
    wire.until("third", text("h1"))
    wire.until("2", text("#count"))
    assert str(widgets) not in str(view.get_state())
