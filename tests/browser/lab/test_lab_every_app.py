"""Apps of other people in JupyterLab, in Notebook 7 and in the preview: each does one thing that it is for.

They fill the table of `tests/browser/README.md` (`app_table.py`). One notebook holds them all; an app is gone when the
next one is shown.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from hatch_build import node
from pmcp_lab.cli import main
from pmcp_lab.preview import PreviewServer, PreviewSession
from tests import peers
from tests.browser.app_table import shown
from tests.browser.lab.jupyter import JupyterLab, Notebook, running_lab, write_notebook
from tests.browser.shown_apps import APPS, ShownApp
from tests.conftest import installed, python_of
from tests.servers import serving

Addresses = dict[str, str]


def each_app(place: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "app", [pytest.param(app, id=app.name, marks=shown(app.name, place)) for app in APPS]
    )


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """Where each app's server is."""
    for app in APPS:
        if app.pin.startswith("server-"):
            installed(peers.Peer(app.pin))
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("files")
        said = stack.enter_context(serving([node(), str(peers.SERVERS / "apps.mjs"), str(folder)]))
        base, lazy_auth = said.split()
        fastmcp = [python_of(peers.FASTMCP_SKILLS), str(peers.SERVERS / "fastmcp_apps.py")]
        own = {"lazy-auth": lazy_auth, "fastmcp": stack.enter_context(serving(fastmcp)), "files": str(folder)}
        yield {app.served: f"{base}/{app.served}/mcp" for app in APPS} | own


def arguments(app: ShownApp, addresses: Addresses) -> dict[str, Any]:
    return {"url": f"{addresses['files']}/pages.pdf"} if app.served == "pdf" else dict(app.arguments)


def cell(app: ShownApp, addresses: Addresses) -> str:
    source = f"server = lab.connect({addresses[app.served]!r}, name={app.name!r})\n"
    if app.eval:
        source += "server.allow_apps(unsafe_eval=True)\n"
    return source + f"server.app({app.tool!r}, {arguments(app, addresses)!r}, host={app.host!r})"


class Notebook7(Notebook):
    def open(self) -> None:
        self.page.goto(f"{self.lab.url}/notebooks/{self.name}")
        self.ready()


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory, addresses: Addresses) -> Iterator[JupyterLab]:
    options = ["--JupyterNotebookApp.expose_app_in_browser=True"]
    with running_lab(tmp_path_factory.mktemp("jupyter"), options=options) as server:
        cells = ["import pmcp_lab as lab", *(cell(app, addresses) for app in APPS)]
        write_notebook(server.root / "apps.ipynb", cells)
        yield server


Opened = Callable[[ShownApp], FrameLocator]


@pytest.fixture(scope="module")
def opened(browser: Browser, jupyter: JupyterLab, request: pytest.FixtureRequest) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    book = request.param(jupyter, context.new_page(), "apps.ipynb")
    book.run(0)
    last = 0

    def show(app: ShownApp) -> FrameLocator:
        nonlocal last
        book.clear(last)
        last = 1 + APPS.index(app)
        book.run(last)
        return book.app(last)

    yield show
    context.close()
    for kernel in jupyter.kernels():
        ended = urllib.request.Request(f"{jupyter.url}/api/kernels/{kernel['id']}", method="DELETE")
        urllib.request.urlopen(ended, timeout=30)


@pytest.mark.parametrize("opened", [Notebook], ids=["lab"], indirect=True)
@each_app("JupyterLab")
def test_in_jupyterlab(opened: Opened, app: ShownApp) -> None:
    app.works(opened(app))


@pytest.mark.parametrize("opened", [Notebook7], ids=["notebook"], indirect=True)
@each_app("Notebook 7")
def test_in_notebook_7(opened: Opened, app: ShownApp) -> None:
    app.works(opened(app))


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


OPENED = ("basic-react", "budget-allocator", "video-resource")
"""Apps that are opened to be checked: all of them take two minutes."""


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_nothing_is_said_against_it(
    addresses: Addresses, chromium: str, capsys: pytest.CaptureFixture[str], app: ShownApp
) -> None:
    options = ["--browser", chromium] if app.name in OPENED else ["--no-open"]
    with suppress(SystemExit):
        main(["app", "check", addresses[app.served], "--json", *options])
    found = json.loads(capsys.readouterr().out)
    assert [each for each in found["findings"] if each["level"] != "note"] == []
    assert bool(found["opened"]) == (app.name in OPENED)


@each_app("preview")
def test_in_the_preview(page: Page, addresses: Addresses, app: ShownApp) -> None:
    session = PreviewSession(addresses[app.served], profile=app.host, tool=app.tool)
    session.start()
    assert session.server is not None
    session.server.allow_apps(unsafe_eval=app.eval)
    server = PreviewServer(session)
    server.start()
    try:
        # As if somebody had filled in the form before.
        kept = (f"pmcp-lab-preview-arguments {app.tool}", json.dumps(arguments(app, addresses)))
        page.add_init_script(f"sessionStorage.setItem(...{json.dumps(kept)})")
        page.goto(server.url)
        expect(page.locator(".pmcp-app:is([data-state=ready], [data-state=trouble])")).to_be_visible()
        page.get_by_role("button", name="Run").click()
        expect(page.locator(".pv-call").first).to_have_attribute("data-outcome", "done")
        app.works(page.frame_locator(".pv-stage iframe.pmcp-app-frame").frame_locator("iframe"))
    finally:
        server.close()
