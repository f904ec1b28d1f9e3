"""What VS Code and Colab ask of a widget, by pages that impose their rules: frames, policies, sandboxes, and a kernel
that hears nothing from the page while a cell runs.

Neither can be run here. Their rules are from VS Code's sources (the files are named in the pages), vscode-jupyter's and
Colab's widget manager (googlecolab/colab-cdn-widget-manager): both give widgets the comm and no kernel, and have no
subshells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from ipywidgets import DOMWidget
from playwright.sync_api import Browser, Frame, Page, expect

import pmcp_lab as lab
from pmcp_lab.notebook import TaskCard, TaskTable
from tests.browser.bare.kernel import Kernel, running_kernel
from tests.browser.conftest import press

#: `notebook.experimental.enableCsp`, which is off unless somebody sets it.
STRICT = (
    "default-src 'none'; script-src 'self' https://*.vscode-cdn.net 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' https://*.vscode-cdn.net 'unsafe-inline'; img-src 'self' https: http: data:; "
    "font-src 'self' https:; connect-src https:; child-src https: data:"
)

Place = Callable[[Page, str], Callable[[], Frame]]


def in_vscode(page: Page, site: str) -> Callable[[], Frame]:
    """All outputs in one frame."""
    page.goto(f"{site}/vscode.html")
    frame = page.frame("webview")
    assert frame is not None
    return lambda: frame


def in_colab(page: Page, site: str) -> Callable[[], Frame]:
    """A frame for each output, and none of them of the page's origin."""
    page.goto(site)
    elsewhere = site.replace("127.0.0.1", "localhost")

    def another() -> Frame:
        name = f"output-{len(page.frames)}"
        with page.expect_event("framenavigated", lambda frame: frame.name == name):
            page.evaluate(
                """([name, src]) => document.body.append(Object.assign(document.createElement("iframe"),
                  {name, src, width: 960, height: 640}))""",
                [name, f"{elsewhere}/outputframe.html"],
            )
        frame = page.frame(name)
        assert frame is not None
        return frame

    return another


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel() as running:
        yield running


@pytest.fixture(scope="module")
def demo(kernel: Kernel) -> Iterator[lab.Server]:
    with lab.connect("demo", name="elsewhere") as server:
        yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    # A frame of another origin that nobody sees is not painted.
    context = browser.new_context(viewport={"width": 1000, "height": 2800})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def show(frame: Frame, kernel: Kernel, widget: DOMWidget) -> Frame:
    """A widget in the frame, under a manager that is not Jupyter's own."""
    frame.wait_for_function("() => window.link_kernel")
    frame.evaluate(
        """async ([url, id]) => {
          if (!window.linked) link_kernel(url);
          window.linked = true;
          await show_widget(id, {});
        }""",
        [kernel.url, widget.model_id],
    )
    return frame


@pytest.mark.parametrize("place", [in_vscode, in_colab], ids=lambda place: place.__name__[3:])
def test_views_there(page: Page, site: str, kernel: Kernel, demo: lab.Server, place: Place) -> None:
    another = place(page, site)
    card = show(another(), kernel, TaskCard(demo.task("publish", model="m")))
    table = show(another(), kernel, TaskTable([demo.task("train", epochs=400, seconds=60) for _ in range(3)]))
    form = show(another(), kernel, demo.tools["train"].form(epochs=2, seconds=0.2))
    outer = show(another(), kernel, demo.app("wave"))

    app = outer.frame_locator("iframe[title='ui://demo/wave']").frame_locator("iframe")
    expect(app.locator("svg path").first).to_be_visible()
    said = app.locator("#said").inner_text()
    app.locator("#frequency").fill("6")
    expect(app.locator("#said")).not_to_have_text(said)
    form.locator(".pmcp-tool").get_by_role("button", name="Run").click()
    expect(form.locator(".pmcp-card", has_text="epoch 2 of 2").locator(".pmcp-badge")).to_have_text("completed")
    ask = card.get_by_role("group", name="Publish m?")
    ask.get_by_label("Publish it?").check()

    first = table.locator('.pmcp-body > .pmcp-row[aria-rowindex="2"]')
    published = card.locator(".pmcp-card", has_text="publish").first
    with kernel.running_a_cell():
        ask.get_by_role("button", name="Send").click()
        said = app.locator("#said").inner_text()
        app.locator("#frequency").fill("9")
        before = first.inner_text()
        expect(first).not_to_have_text(before)
        for link in (published.locator(".pmcp-link-state"), outer.locator(".pmcp-app-state-text")):
            expect(link).to_contain_text("no answer from the kernel")
        assert published.locator(".pmcp-badge").inner_text() == "needs input"
        assert app.locator("#said").inner_text() == said
    expect(published.locator(".pmcp-badge")).to_have_text("completed")
    expect(published.locator(".pmcp-link-state")).not_to_be_visible()
    expect(app.locator("#said")).not_to_have_text(said)
    expect(outer.locator(".pmcp-app-state-text")).to_have_text("ready")


def test_a_link_leads_out_of_vscode(page: Page, site: str, kernel: Kernel, demo: lab.Server) -> None:
    """Its sandbox lets no window open; what is clicked on is opened by VS Code."""
    frame = show(in_vscode(page, site)(), kernel, demo.app("wave"))
    app = frame.frame_locator("iframe[title='ui://demo/wave']").frame_locator("iframe")
    expect(app.locator("svg path").first).to_be_visible()
    app.locator("body").evaluate(
        """() => parent.postMessage(
             {jsonrpc: "2.0", id: "open", method: "ui/open-link", params: {url: "https://example.org/x"}}, "*")"""
    )
    press(frame.locator(".pmcp-bar").get_by_role("button", name="Open", exact=True))
    frame.wait_for_function("() => opened.length > 0")
    assert frame.evaluate("() => opened") == ["https://example.org/x"]


def test_where_no_widget_of_anywidget_can_run(page: Page, site: str) -> None:
    """Not ours alone: anywidget gives every module to the page by such an address."""
    page.route(
        "**/webview.html",
        lambda route: route.fulfill(
            response=route.fetch(), headers={"Content-Type": "text/html", "Content-Security-Policy": STRICT}
        ),
    )
    frame = in_vscode(page, site)()
    refused = frame.evaluate(
        """() => import(URL.createObjectURL(new Blob(["export default 1"], {type: "text/javascript"})))
             .then(() => null, (error) => error.message)"""
    )
    assert refused is not None
