"""The demo's three apps over the whole chain but Jupyter: server, connection, kernel's view, page, sandboxed frames.

What is clicked and typed here goes to the real server and comes back.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comm
import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect

import pmcp_lab as lab
import pmcp_lab.notebook
from pmcp_lab.demo import build
from tests.browser.bare.conftest import JS
from tests.unit.front_end import Comm, FrontEnd, until

TRAITS = ("_resource", "_call", "_host", "_storage", "_closed", "_seq")

# The page's model is the far end of the kernel's comm.
WIRE = """async (state) => {
  await open_widget("app-view", state, {mount: false, answers: false});
  model.receive = (content) => { model.sent.push(content); kernel_hear(content) };
  mount();
  clearInterval(window.pump);
  window.pump = setInterval(async () => {
    for (const {method, content, state} of await kernel_say()) {
      if (method === "custom") model.emit("msg:custom", content);
      else model.assign(state ?? {});
    }
  }, 20);
}"""


class Stage:
    """One page that shows an app of the demo server at a time."""

    def __init__(self, page: Page, site: str, server: lab.Server) -> None:
        self.page, self.site, self.server = page, site, server
        self.kernel: FrontEnd | None = None
        self.view: Any = None
        self.told = 0
        page.expose_function("kernel_hear", lambda content: self.kernel and self.kernel.send(**content))
        page.expose_function("kernel_say", self.news)
        page.expose_function("server_call", lambda name, given: server.call(name, given, check=False).raw)

    def news(self) -> list[Any]:
        if self.kernel is None:
            return []
        new = self.kernel.comm.sent[self.told :]
        self.told += len(new)
        return [json.loads(json.dumps(each["data"], default=str)) for each in new if each["data"]]

    def open(self, tool: str, **arguments: Any) -> FrameLocator:
        self.kernel = None
        self.page.goto(self.site)
        self.view = self.server.app(tool, arguments)
        kernel = FrontEnd(self.view)
        until(lambda: self.view._call["result"] or self.view._call["error"])
        self.told = len(kernel.comm.sent)
        self.kernel = kernel
        self.show()
        return self.app

    def show(self) -> None:
        """Once more, as after a reload of the page."""
        state = {name: getattr(self.view, name) for name in TRAITS}
        self.page.evaluate(WIRE, json.loads(json.dumps(state, default=str)))

    @property
    def app(self) -> FrameLocator:
        return self.page.frame_locator("#cell iframe.pmcp-app-frame").frame_locator("iframe")

    def theme(self, name: str) -> None:
        self.page.evaluate("(light) => { document.body.dataset.jpThemeLight = light }", str(name == "light").lower())
        expect(self.app.locator("html")).to_have_css("color-scheme", name)

    def wide(self, width: int) -> None:
        self.page.set_viewport_size({"width": width, "height": 900})


@pytest.fixture(scope="module")
def stage(browser: Browser, site: str) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comm, "create_comm", Comm)
        server = lab.connect(build(), name="apps")
        context = browser.new_context(viewport={"width": 1000, "height": 900}, reduced_motion="reduce")
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield Stage(page, site, server)
        context.close()
        server.close()
        assert errors == []


def note(app: FrameLocator, text: str | re.Pattern[str]) -> None:
    expect(app.locator("#note")).to_contain_text(text)


def square(app: FrameLocator, name: str) -> Locator:
    return app.locator(f'.square[data-square="{name}"]')


def test_chess_by_mouse(stage: Stage) -> None:
    app = stage.open("chess", opponent="easy")
    expect(app.locator(".square")).to_have_count(64)
    note(app, "White to move")
    square(app, "e2").click()
    expect(app.locator(".square.goal")).to_have_count(2)
    square(app, "e5").click()
    expect(app.locator(".square.goal")).to_have_count(0)
    square(app, "e2").click()
    square(app, "e4").click()
    note(app, re.compile("^Black played"))
    expect(app.locator("#moves button")).to_have_count(2)
    expect(square(app, "e4")).to_have_attribute("aria-label", re.compile("^e4, white pawn"))
    # A move that the rules forbid is not even asked for.
    calls = len(stage.view.calls)
    square(app, "d2").drag_to(square(app, "d5"))
    expect(square(app, "d2")).to_have_attribute("aria-label", re.compile("white pawn"))
    assert len(stage.view.calls) == calls
    square(app, "d2").drag_to(square(app, "d4"))
    expect(app.locator("#moves button")).to_have_count(4)
    app.get_by_role("button", name="Take back").click()
    expect(app.locator("#moves button")).to_have_count(2)
    app.get_by_role("button", name="White: e4").click()
    note(app, "Looking back: 1 of 2 moves")
    app.get_by_role("button", name="Look at the move after").click()
    app.get_by_role("button", name="Turn the board").click()
    expect(app.locator(".square").first).to_have_attribute("data-square", "h1")
    app.get_by_label("You play").select_option("black")
    app.get_by_role("button", name="New game").click()
    expect(app.locator("#moves button")).to_have_count(1)
    note(app, "Black to move")
    told = stage.view.context["content"][0]["text"]
    assert "Black to move" in told


def test_chess_by_keyboard_to_a_promotion_and_mate(stage: Stage) -> None:
    app = stage.open("chess", start="7k/P5pp/8/8/8/8/4N3/K7 w - - 0 1", opponent="nobody")
    keys = stage.page.keyboard
    note(app, "White to move")
    square(app, "e1").focus()
    keys.press("ArrowUp")
    expect(square(app, "e2")).to_be_focused()
    keys.press("Enter")
    expect(square(app, "e2")).to_have_attribute("aria-selected", "true")
    keys.press("Escape")
    expect(square(app, "e2")).to_have_attribute("aria-selected", "false")
    for _ in range(5):
        keys.press("ArrowUp")
    keys.press("Home")
    expect(square(app, "a7")).to_be_focused()
    keys.press("Enter")
    keys.press("ArrowUp")
    expect(square(app, "a8")).to_have_attribute("aria-label", "a8, can be moved to")
    keys.press("Enter")
    choices = app.get_by_role("dialog", name="What does the pawn become?").get_by_role("button")
    expect(choices).to_have_count(4)
    expect(choices.first).to_be_focused()
    keys.press("ArrowRight")
    expect(app.get_by_role("button", name="rook")).to_be_focused()
    keys.press("Enter")
    note(app, "White played a8=R#. Checkmate: White wins")
    expect(square(app, "h8")).to_have_attribute("aria-label", re.compile("in check"))
    assert "a7a8r" in [asked.get("move") for asked in stage.view.calls.df["arguments"].dropna()]


def test_a_game_goes_on_when_its_view_is_opened_again(stage: Stage) -> None:
    app = stage.open("chess", moves=["e4", "e5"], opponent="nobody")
    note(app, "White to move")
    square(app, "g1").click()
    square(app, "f3").click()
    note(app, "White played Nf3")
    until_stored(stage, "g1f3")
    stage.page.goto(stage.site)
    stage.show()
    note(app, "White played Nf3")
    # Another call is another game.
    app = stage.open("chess", moves=["e4", "e5"], opponent="nobody")
    note(app, "Black played e5")


def until_stored(stage: Stage, text: str) -> None:
    for _ in range(100):
        if text in json.dumps(stage.view._storage):
            return
        stage.page.wait_for_timeout(20)
    raise AssertionError(stage.view._storage)


def test_a_refusal_is_shown_in_words(stage: Stage) -> None:
    app = stage.open("chess", moves=["e5"])
    expect(app.get_by_role("alert")).to_contain_text("Move 1, 'e5', is not legal for White.")


def test_map(stage: Stage) -> None:
    app = stage.open("map")
    items = app.locator("#list button")
    expect(items).to_have_count(84)
    expect(app.locator("path.country")).to_have_count(241)
    keys = stage.page.keyboard
    app.get_by_role("searchbox").focus()
    keys.type("zurich")
    expect(items).to_have_count(1)
    keys.press("Tab")
    app.get_by_role("button", name="Zürich").focus()
    keys.press("Enter")
    card = app.get_by_role("region", name="Details")
    expect(card).to_contain_text("Switzerland · Trade")
    expect(app.locator("path.country.on")).to_have_count(1)
    card.get_by_role("button", name="Bern").click()
    expect(card.get_by_role("heading", name="Bern")).to_be_visible()
    keys.press("Escape")
    expect(card).to_have_count(0)

    app.get_by_role("searchbox").fill("")
    app.get_by_role("button", name="Nature").click()
    expect(app.locator("#said")).to_have_text("14 of 84 places")
    expect(app.get_by_role("button", name="Nature")).to_have_attribute("aria-pressed", "true")
    app.get_by_role("button", name="All", exact=True).click()
    expect(items).to_have_count(84)

    # By keyboard, mouse and wheel.
    view, world = app.locator("#view"), app.locator("#world")
    expect(app.get_by_role("button", name="Zoom out")).to_be_disabled()
    before = still(world)
    view.focus()
    keys.press("+")
    zoomed = still(world, before)
    keys.press("ArrowRight")
    moved = still(world, zoomed)
    box = view.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    stage.page.mouse.move(x, y)
    stage.page.mouse.down()
    stage.page.mouse.move(x - 60, y + 30, steps=3)
    stage.page.mouse.up()
    dragged = still(world, moved)
    stage.page.mouse.wheel(0, -200)
    still(world, dragged)
    keys.press("0")
    expect(world).to_have_attribute("transform", before)

    app.locator('.place[data-id="nuuk"] .spot').click()
    expect(card.get_by_role("heading", name="Nuuk")).to_be_visible()
    app.get_by_role("button", name="Places around here").click()
    expect(app.locator("#near")).to_contain_text("km")
    expect(app.get_by_role("button", name="Nuuk")).to_be_visible()


def still(world: Locator, unlike: str | None = None) -> str:
    """The map's place, once it no longer moves."""
    if unlike is not None:
        expect(world).not_to_have_attribute("transform", unlike)
    place: str = world.evaluate("""async (world) => {
      for (let before; ; ) {
        await new Promise((done) => setTimeout(done, 60));
        const now = world.getAttribute("transform");
        if (now === before) return now;
        before = now;
      }
    }""")
    return place


def test_dataviz(stage: Stage) -> None:
    app = stage.open("dataviz")
    keys = stage.page.keyboard
    expect(app.locator("rect.bar")).to_have_count(12)
    expect(app.get_by_role("img")).to_have_accessible_name(re.compile("^Bar chart of trips by station. 12 values from"))
    app.locator("rect.bar").first.hover()
    expect(app.locator("#tip")).to_contain_text("trips: 2973\nstation: Central Station")

    app.get_by_role("button", name="Members and guests, by month").click()
    expect(app.locator("path.curve")).to_have_count(2)
    app.locator("#chart").focus()
    keys.press("End")
    expect(app.locator("#reading")).to_contain_text("month: 2024-12, trips: ")
    app.get_by_role("button", name="guest", exact=True).click()
    expect(app.locator("path.curve")).to_have_count(1)

    # The kinds are radio buttons: arrows choose.
    app.get_by_role("radio", name="Line").focus()
    keys.press("ArrowLeft")
    expect(app.locator("rect.bar").first).to_be_visible()
    app.get_by_role("radio", name="Table").check()
    rows = app.locator("tbody tr")
    expect(rows).to_have_count(24)
    app.get_by_role("button", name="trips", exact=True).click()
    expect(app.get_by_role("columnheader", name="trips")).to_have_attribute("aria-sort", "descending")
    values = [int(text) for text in app.locator("tbody td.number").all_inner_texts()]
    assert values == sorted(values, reverse=True)

    app.get_by_label("SQL").fill("SELECT nam FROM station")
    keys.press("Control+Enter")
    expect(app.get_by_role("alert")).to_contain_text("There is no column 'nam'. Columns: station: id, name")
    expect(rows).to_have_count(24)
    app.get_by_label("SQL").fill("DELETE FROM trip")
    app.get_by_role("button", name="Run").click()
    expect(app.get_by_role("alert")).to_contain_text("Only reading is possible here")
    app.get_by_label("SQL").fill("SELECT height_m, docks FROM station")
    app.get_by_role("button", name="Run").click()
    expect(app.locator("circle.cloud").or_(app.locator("path.curve")).first).to_be_visible()
    expect(app.get_by_role("alert")).to_have_count(0)
    app.get_by_role("radio", name="Scatter").check()
    expect(app.locator("circle.cloud")).to_have_count(12)


@pytest.fixture(scope="session")
def axe() -> str:
    folders = [JS / "node_modules", *map(Path, filter(None, os.environ.get("NODE_PATH", "").split(os.pathsep)))]
    found = next((file for folder in folders if (file := folder / "axe-core" / "axe.min.js").is_file()), None)
    if found is None:
        pytest.skip("needs axe-core: `npm ci` in js/")
    return found.read_text()


OPENED = {
    "chess": ({"moves": ["e4", "f6", "Qh5"], "opponent": "nobody"}, ".square.check"),
    "map": ({"query": "zurich"}, "#card:not([hidden])"),
    "dataviz": ({"sql": "SELECT hour, rider, count(*) AS trips FROM trip GROUP BY 1, 2"}, "path.curve"),
}


@pytest.mark.parametrize("name", OPENED)
def test_nobody_is_left_out(stage: Stage, axe: str, name: str) -> None:
    arguments, ready = OPENED[name]
    app = stage.open(name, **arguments)
    app.locator(ready).first.wait_for()
    for theme, width in (("light", 1000), ("dark", 380)):
        stage.wide(width)
        stage.theme(theme)
        found = app.locator("html").evaluate(CHECK, axe)
        assert found == [], f"{theme}, {width} px"
        # Nothing sticks out at the side.
        assert app.locator("html").evaluate("(html) => html.scrollWidth <= html.clientWidth")
    stage.wide(1000)


# What is behind the app is the host's, which a frame does not see.
CHECK = """async (html, axe) => {
  html.style.background = "var(--color-background-primary)";
  (0, eval)(axe);
  const {violations} = await window.axe.run(document, {resultTypes: ["violations"]});
  return violations.flatMap(({id, nodes}) => nodes.map((node) => `${id}: ${node.target} ${node.failureSummary}`));
}"""


# What shows that the result arrived, where nothing can be asked.
GIVEN = {"chess": ".square.check", "map": "#list button", "dataviz": "path.curve"}


def official(stage: Stage, module: str, name: str, capabilities: dict[str, Any]) -> FrameLocator:
    """The app in the official host, which calls our server."""
    arguments, ready = OPENED[name]
    stage.kernel = None
    stage.page.goto(stage.site)
    session = {
        "html": stage.server.read(f"ui://demo/{name}")[0].text,
        "info": {"name": "official", "version": "1"},
        "capabilities": capabilities,
        # A host may tell next to nothing.
        "context": {},
        "input": arguments,
        "result": stage.server.call(name, arguments).raw,
    }
    stage.page.evaluate(OFFICIAL, [module, session])
    app = stage.page.frame_locator("iframe.official")
    app.locator(ready if capabilities else GIVEN[name]).first.wait_for()
    return app


@pytest.mark.parametrize("name", OPENED)
def test_in_the_official_host(stage: Stage, official_host: str, name: str) -> None:
    app = official(stage, official_host, name, {"serverTools": {}, "updateModelContext": {"text": {}}})
    if name == "chess":
        app.get_by_role("button", name="Take back").click()
        note(app, "Black played f6")
        app.get_by_role("button", name="New game").click()
        note(app, "White to move")
    elif name == "map":
        app.get_by_role("searchbox").fill("norway")
        expect(app.locator("#list button")).to_have_count(2)
    else:
        app.get_by_label("SQL").fill("SELECT 1 AS one")
        app.get_by_role("button", name="Run").click()
        expect(app.locator("tbody td")).to_have_text("1")
    until(lambda: stage.page.evaluate("window.sizes.length") > 0)


def test_a_host_without_calls_of_tools_shows_what_it_was_given(stage: Stage, official_host: str) -> None:
    for name in OPENED:
        app = official(stage, official_host, name, {})
        expect(app.get_by_role("status").first).to_contain_text("this host lets apps call no tools", ignore_case=True)
        expect(app.get_by_role("alert")).to_have_count(0)


OFFICIAL = """async ([from, session]) => {
  window.sizes = [];
  const bridge = await (await import(from)).show(session);
  bridge.oncalltool = async ({name, arguments: given}) => server_call(name, given ?? {});
  bridge.addEventListener("sizechange", (size) => window.sizes.push(size));
  document.querySelector("iframe.official").style = "width: 900px; height: 800px";
}"""
