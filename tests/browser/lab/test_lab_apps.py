"""Third parties' apps, unchanged, in one notebook: each does what it is for, and the kernel's state shows it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from tests.browser.lab.jupyter import JupyterLab, Notebook, write_notebook
from tests.peers import Peer

SHADER = "void mainImage(out vec4 color, in vec2 at) { color = vec4(0.0, 1.0, 0.0, 1.0); }"

# What opens each, and the cells that tell what it did.
APPS = {
    "budget-allocator": ("get-budget-data", {}),
    "basic-react": ("get-time", {}),
    "cohort-heatmap": ("get-cohort-data", {}),
    "debug": ("debug-tool", {}),
    "scenario-modeler": ("get-scenario-data", {}),
    "shadertoy": ("render-shadertoy", {"fragmentShader": SHADER}),
    "system-monitor": ("get-system-info", {}),
    "threejs": ("show_threejs_scene", {}),
}


class Apps:
    """One notebook with a cell for each app, and one cell to ask the kernel with."""

    def __init__(self, book: Notebook) -> None:
        self.book = book
        self.page = book.page

    def open(self, name: str, state: str | re.Pattern[str] = "ready") -> FrameLocator:
        index = self.index(name)
        self.book.run(index)
        expect(self.book.cell(index).locator(".pmcp-app-state-text")).to_have_text(state)
        return self.book.app(index)

    def index(self, name: str) -> int:
        return list(APPS).index(name) + 1

    def cell(self, name: str) -> Any:
        return self.book.cell(self.index(name))

    def ask(self, code: str) -> Any:
        """The value of an expression in the kernel; the app's view is `views[name]`."""
        index = len(APPS) + 1
        self.page.evaluate(
            """([index, source]) => {
                const model = window.jupyterapp.shell.currentWidget.content.model;
                model.cells.get(index).sharedModel.setSource(source);
            }""",
            [index, code],
        )
        return ast.literal_eval(self.book.run(index)[0]["data"]["text/plain"])

    def until(self, code: str) -> None:
        """Waits until an expression holds in the kernel, which is told of it by the app."""
        waiting = (
            "import time\nend = time.monotonic() + 10\n"
            f"while not ({code}) and time.monotonic() < end: time.sleep(0.02)\nbool({code})"
        )
        assert self.ask(waiting), code


@pytest.fixture(scope="module")
def apps(lab: JupyterLab, browser: Browser, app_peers: dict[str, Peer]) -> Iterator[Apps]:
    # Whatever the page prefers would hide what the host tells.
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, color_scheme="null")
    cells = ["import pmcp_lab as lab\nviews = {}\nservers = {}"]
    for name, (tool, arguments) in APPS.items():
        connect = f"lab.connect({json.dumps(app_peers[name].stdio)}, name={name!r})"
        cells.append(f"servers[{name!r}] = {connect}\nviews[{name!r}] = servers[{name!r}].app({tool!r}, {arguments!r})")
        cells[-1] += f"\nviews[{name!r}]"
    write_notebook(lab.root / "apps.ipynb", [*cells, "0"])
    book = Notebook(lab, context.new_page(), "apps.ipynb")
    book.run(0)
    yield Apps(book)
    context.close()


@pytest.fixture
def lab_page(apps: Apps) -> Page:
    return apps.page


def pictures(apps: Apps, name: str, picture: Callable[[str], Path]) -> None:
    for theme in ("dark", "light"):
        apps.book.theme(theme)
        apps.cell(name).scroll_into_view_if_needed()
        apps.page.wait_for_timeout(300)
        picture(f"app-{name}-{theme}")


def test_budget_allocator(apps: Apps, picture: Callable[[str], Path]) -> None:
    app = apps.open("budget-allocator")
    slider = app.locator("input[type=range]").first
    slider.fill("40")
    expect(app.locator("body")).to_contain_text("40.0%")
    expect(app.locator("body")).to_contain_text("Allocated: $115,000 / $100,000")
    app.locator("select").first.select_option(label="$500,000")
    expect(app.locator("body")).to_contain_text("$200K")
    names = apps.ask("[tool['name'] for tool in views['budget-allocator'].app_tools.list()]")
    assert names
    pictures(apps, "budget-allocator", picture)


#: What is neither honoured nor dropped; the codes of the answers.
REFUSED = """() => Promise.all([{arguments: [1, 2]}, {task: {}}, {_meta: {_task_id: "x"}}].map((more, n) =>
  new Promise((done) => {
    addEventListener("message", ({data}) => data.id === `refused-${n}` && done(data.error?.code));
    const params = {name: "get-time", arguments: {}, ...more};
    parent.postMessage({jsonrpc: "2.0", id: `refused-${n}`, method: "tools/call", params}, "*");
  })))"""


def test_basic_react(apps: Apps, picture: Callable[[str], Path]) -> None:
    app = apps.open("basic-react")
    shown = app.locator("code").inner_text()
    app.get_by_role("button", name="Get Server Time").click()
    expect(app.locator("code")).not_to_have_text(shown)
    apps.until("views['basic-react'].calls and 'ms' in views['basic-react'].calls[-1]")
    said = apps.ask("views['basic-react'].calls[-1]['result']['content'][0]['text']")
    assert app.locator("code").inner_text() in said
    assert app.locator("body").evaluate(REFUSED) == [-32602] * 3
    app.get_by_role("button", name="Send Message").click()
    apps.until("views['basic-react'].messages")
    assert apps.ask("views['basic-react'].messages[-1]['content'][0]['text']") == "This is message text."
    app.get_by_role("button", name="Send Log").click()
    apps.until("any(event['event'] == 'log' for event in views['basic-react'].events)")
    app.get_by_role("button", name="Open Link").click()
    bar = apps.cell("basic-react").locator(".pmcp-bar")
    expect(bar).to_contain_text("https://modelcontextprotocol.io/")
    bar.get_by_role("button", name="Don’t open").click()
    pictures(apps, "basic-react", picture)


def test_cohort_heatmap(apps: Apps, picture: Callable[[str], Path]) -> None:
    app = apps.open("cohort-heatmap")
    expect(app.locator("body")).to_contain_text("M11")
    app.locator("select").nth(1).select_option(label="Weekly")
    apps.until(
        "[call['params']['arguments'].get('periodType') for call in views['cohort-heatmap'].calls][-1] == 'weekly'"
    )
    apps.until("'ms' in views['cohort-heatmap'].calls[-1]")
    cohorts = apps.ask("views['cohort-heatmap'].calls[-1]['result']['structuredContent']['cohorts']")
    for cohort in (cohorts[0], cohorts[-1]):
        expect(app.locator("body")).to_contain_text(f"{cohort['originalUsers']:,}")
    pictures(apps, "cohort-heatmap", picture)


def test_scenario_modeler(apps: Apps, picture: Callable[[str], Path]) -> None:
    app = apps.open("scenario-modeler")
    ending = app.locator("body").inner_text()
    app.locator("input[type=range]").first.fill("100000")
    expect(app.locator("body")).to_contain_text("$100K")
    expect(app.locator("body")).not_to_have_text(ending)
    # The sum is the server's model: 12 months of 5 % growth less 3 % churn.
    expect(app.locator("body")).to_contain_text("$127K")
    app.locator("select").first.select_option(index=1)
    expect(app.locator("body")).to_contain_text("Bootstrapped Growth")
    pictures(apps, "scenario-modeler", picture)


def test_system_monitor(apps: Apps, picture: Callable[[str], Path]) -> None:
    app = apps.open("system-monitor")
    apps.until("len([call for call in views['system-monitor'].calls if 'ms' in call]) >= 2")
    table = "views['system-monitor'].calls.df"
    assert apps.ask(f"set({table}['name'])") == {"poll-system-stats"}
    app.get_by_role("button", name="Stop").click()
    count = apps.ask("len(views['system-monitor'].calls)")
    apps.page.wait_for_timeout(2_500)
    assert apps.ask("len(views['system-monitor'].calls)") <= count + 1, "one may have been under way"
    memory = apps.ask("views['system-monitor'].calls[-1]['result']['structuredContent']['memory']")
    expect(app.locator("body")).to_contain_text(f"{memory['usedPercent']}%")
    pictures(apps, "system-monitor", picture)


def test_shadertoy(apps: Apps, picture: Callable[[str], Path]) -> None:
    app = apps.open("shadertoy")
    canvas = app.locator("canvas").first
    expect(canvas).to_be_visible()
    pictures(apps, "shadertoy", picture)
    apps.page.wait_for_function("() => true")
    shot = canvas.screenshot()
    assert color(apps.page, shot) == [0, 255, 0], "the shader that Python sent paints green"


def color(page: Page, png: bytes) -> list[int]:
    """Red, green and blue in the middle of a picture."""
    import base64

    script = """async (data) => {
        const picture = await createImageBitmap(await (await fetch(`data:image/png;base64,${data}`)).blob());
        const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
        context.drawImage(picture, 0, 0);
        return [...context.getImageData(picture.width >> 1, picture.height >> 1, 1, 1).data].slice(0, 3);
    }"""
    found: list[int] = page.evaluate(script, base64.b64encode(png).decode())
    return found


def test_threejs_needs_eval(apps: Apps, picture: Callable[[str], Path]) -> None:
    apps.open("threejs", re.compile(r"^blocked: script-src eval \(line \d+\)$"))
    cell = apps.cell("threejs")
    expect(cell.locator(".pmcp-bar")).to_contain_text("unsafe-eval")
    expect(cell.locator(".pmcp-bar")).to_contain_text('lab.connected("threejs").allow_apps(unsafe_eval=True)')
    assert (
        apps.ask("[e['payload']['blocked'] for e in views['threejs'].events if e['event'] == 'csp-violation'][-1]")
        == "eval"
    )
    apps.ask("lab.connected('threejs').allow_apps(unsafe_eval=True) or 0")
    app = apps.open("threejs")
    expect(app.locator("canvas").first).to_be_visible()
    expect(apps.cell("threejs").locator(".pmcp-bar")).to_have_count(0)
    assert apps.ask("[e for e in views['threejs'].events if e['event'] == 'csp-violation']") == []
    pictures(apps, "threejs", picture)


def test_debug_uses_every_feature(apps: Apps, picture: Callable[[str], Path]) -> None:
    app = apps.open("debug")
    view = "views['debug']"

    def press(name: str) -> None:
        app.get_by_role("button", name=name, exact=True).click()

    for seen in ("ontoolinput", "ontoolresult", "pmcp_lab v", "updateModelContext"):
        expect(app.locator("body")).to_contain_text(seen)
    press("Send Text")
    press("Send Test Image")
    apps.until(f"[m['content'][0]['type'] for m in {view}.messages] == ['text', 'image']")
    for level in ("debug", "info", "warning", "error"):
        press(level)
    apps.until(
        f"[e['payload']['level'] for e in {view}.events if e['event'] == 'log'] == ['debug', 'info', 'warning', 'error']"
    )
    press("Update (Text)")
    apps.until(f"{view}.context.get('content', [{{}}])[0].get('type') == 'text'")
    press("Update (Structured)")
    apps.until(f"'structuredContent' in {view}.context")
    press("Update (Image)")
    apps.until(f"{view}.context.get('content', [{{}}])[0].get('type') == 'image'")
    press("400x300")
    apps.until(f"300 in [e['payload']['height'] for e in {view}.events if e['event'] == 'size']")
    press("Call debug-tool")
    press("Call debug-refresh")
    apps.until(f"{{'debug-tool', 'debug-refresh'}} <= set({view}.calls.df.dropna(subset=['ms'])['name'])")
    press("Open Link")
    bar = apps.cell("debug").locator(".pmcp-bar")
    bar.get_by_role("button", name="Don’t open").click()
    assert apps.ask(f"isinstance({view}.app_tools.list(), list)")
    modes = "[e['payload']['mode'] for e in views['debug'].events if e['event'] == 'display']"
    press("Fullscreen")
    declared = apps.ask(f"{view}.app_capabilities.get('availableDisplayModes', [])")
    if "fullscreen" in declared:
        apps.until(f"{modes} == ['fullscreen']")
        apps.page.keyboard.press("Escape")
        apps.until(f"{modes} == ['fullscreen', 'inline']")
    else:
        # A mode that an app does not declare is not given to it. What it says afterwards comes afterwards.
        press("PiP")
        press("Inline")
        press("info")
        apps.until(f"len([e for e in {view}.events if e['event'] == 'log']) == 5")
        assert apps.ask(modes) == []
    pictures(apps, "debug", picture)


def test_a_restarted_kernel_leaves_the_last_state(apps: Apps) -> None:
    app = apps.open("basic-react")
    time = app.locator("code").inner_text()
    apps.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    apps.book.ready()
    cell = apps.cell("basic-react")
    expect(cell.locator(".pmcp-app-state-text")).to_have_text("no live kernel: static snapshot")
    expect(cell.locator(".pmcp-bar")).to_contain_text("Run its cell again")
    expect(app.locator("code")).to_have_text(time)
    apps.book.run(0)
    apps.open("basic-react").get_by_role("button", name="Get Server Time").click()
    apps.until("views['basic-react'].calls and 'ms' in views['basic-react'].calls[-1]")
