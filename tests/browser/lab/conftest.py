"""One JupyterLab for all tests of this folder."""

from __future__ import annotations

import itertools
import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.lab.jupyter import VIEWPORT, JupyterLab, Notebook, running_lab, tidy, write_notebook

PICTURES = os.environ.get("PMCP_LAB_PICTURES", "test-results/pictures")

_names = itertools.count(1)

Open = Callable[..., Notebook]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[JupyterLab]:
    with running_lab(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


class Tab:
    """A page that stays: to load JupyterLab takes more time than most of what a test does in it."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._page: Page | None = None

    def page(self) -> Page:
        if self._page is None:
            self._page = self._browser.new_context(viewport=VIEWPORT).new_page()
        return self._page

    def close(self) -> None:
        if self._page is not None:
            self._page.context.close()
            self._page = None


@pytest.fixture(scope="session")
def tab(browser: Browser) -> Iterator[Tab]:
    made = Tab(browser)
    yield made
    made.close()


@pytest.fixture
def lab_page(tab: Tab, lab: JupyterLab, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page of the test before, where that passed and left JupyterLab in it."""
    page = tab.page()
    yield page
    if request.node.rep_call.passed and page.url.startswith(f"{lab.url}/lab/"):
        tidy(page)
    else:
        tab.close()


@pytest.fixture
def own_page(tab: Tab) -> Iterator[None]:
    """Makes `lab_page` one that nobody had before, or has after."""
    tab.close()
    yield
    tab.close()


@pytest.fixture
def notebook(lab: JupyterLab, lab_page: Page) -> Iterator[Open]:
    """`notebook("cell", "cell", …)` opens a new notebook with these cells; its kernel ends with the test."""
    before = {kernel["id"] for kernel in lab.kernels()}

    def open_notebook(*sources: str, file: Path | None = None) -> Notebook:
        name = f"test-{next(_names)}.ipynb"
        if file is None:
            write_notebook(lab.root / name, sources)
        else:
            (lab.root / name).write_bytes(file.read_bytes())
        return Notebook(lab, lab_page, name)

    yield open_notebook
    for kernel in lab.kernels():
        if kernel["id"] not in before:
            request = urllib.request.Request(f"{lab.url}/api/kernels/{kernel['id']}", method="DELETE")
            urllib.request.urlopen(request, timeout=30)


@pytest.fixture
def picture(lab_page: Page) -> Callable[[str], Path]:
    """`picture("name")` keeps a screenshot among the artefacts of the run."""
    folder = Path(PICTURES)
    folder.mkdir(parents=True, exist_ok=True)

    def take(name: str) -> Path:
        file = folder / f"{name}.png"
        lab_page.screenshot(path=file)
        return file

    return take
