"""JupyterLab in WebKitGTK, the engine nearest to Safari's that Linux has: the paths of `test_lab_firefox.py`.

Playwright's WebKit is a build of its own that does not run on every Linux, so Debian's is driven by its WebDriver.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Remote, WebKitGTKOptions
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait
from selenium.webdriver.webkitgtk.service import Service

from tests.browser.lab.conftest import PICTURES
from tests.browser.lab.jupyter import JupyterLab, running_lab, write_notebook

CELLS = (
    "import pmcp_lab as lab\nfrom pmcp_lab.notebook import TaskTable\ndemo = lab.connect('demo')",
    "run = demo.task('publish', model='m')\nrun",
    "form = demo.tools['train'].form(epochs=2, seconds=0.5)\nform",
    "runs = [demo.task('train', epochs=epochs, seconds=4) for epochs in range(30, 0, -1)]\n"
    "table = TaskTable(runs)\ntable",
    "wave = demo.app('wave')\nwave",
)
CARD, FORM, TABLE, APP = range(1, 5)
LIBRARIES = Path("/usr/lib")


def said(element: WebElement) -> str:
    """Its text; the driver's own leaves out what is cut off by an ellipsis."""
    return str(element.get_property("textContent"))


class Book:
    """The notebook in that browser."""

    def __init__(self, driver: Remote, lab: JupyterLab) -> None:
        self.driver = driver
        driver.get(f"{lab.url}/lab/tree/webkit.ipynb?reset")
        kernel = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
        self.until(lambda: driver.execute_script(f"return {kernel}?.status === 'idle'"), 150)

    def until(self, condition: Callable[[], Any], seconds: float = 20) -> Any:
        """What a condition gives as soon as it gives something; what is not there yet may be asked for."""
        waits = WebDriverWait(self.driver, seconds, 0.1, ignored_exceptions=[StaleElementReferenceException])
        return waits.until(lambda _: condition())

    def run(self, index: int) -> None:
        done = """const [index, done] = arguments, app = window.jupyterapp;
            const book = app.shell.currentWidget.content;
            book.activeCellIndex = index;
            app.commands.execute('notebook:run-cell').then(() => {
              // A view that nobody sees is not painted.
              book.widgets[index].outputArea.node.scrollIntoView();
              done(true);
            });"""
        self.driver.set_script_timeout(60)
        self.driver.execute_async_script(done, index)

    def find(self, selector: str, text: str = "", seconds: float = 20) -> WebElement:
        """The first element with such a text that is shown."""

        def shown() -> WebElement | None:
            found = self.driver.find_elements(By.CSS_SELECTOR, selector)
            return next((each for each in found if each.is_displayed() and text in said(each)), None)

        element: WebElement = self.until(shown, seconds)
        return element

    def press(self, name: str, within: WebElement) -> None:
        within.find_element(By.XPATH, f'.//button[normalize-space()="{name}"]').click()

    def picture(self, name: str) -> None:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(f"{PICTURES}/webkit-{name}.png")


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """An X display with nobody before it."""
    if shutil.which("Xvfb") is None:
        pytest.skip("there is no WebKitGTK to drive here: it needs Xvfb")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1300x1000x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as told:
        yield f":{told.readline().strip()}"
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def window(display: str) -> Iterator[Remote]:
    driver, browsers = shutil.which("WebKitWebDriver"), [*LIBRARIES.glob("*/webkit2gtk-4.1/MiniBrowser")]
    if driver is None or not browsers:
        pytest.skip("there is no WebKitGTK to drive here: it needs webkit2gtk-driver")
    options = WebKitGTKOptions()
    options.binary_location = str(browsers[0])
    options.add_argument("--automation")
    # Its own sandbox wants user namespaces, which containers seldom give.
    env = {**os.environ, "DISPLAY": display, "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1"}
    service = Service(driver, env=env)
    service.start()
    try:
        connection = RemoteConnection(client_config=ClientConfig(remote_server_addr=service.service_url))
        window = Remote(connection, options=options)
        window.set_window_size(1280, 960)
        yield window
        window.quit()
    finally:
        service.stop()


@pytest.fixture(scope="module")
def book(window: Remote, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Book]:
    with running_lab(tmp_path_factory.mktemp("jupyter")) as lab:
        write_notebook(lab.root / "webkit.ipynb", CELLS)
        opened = Book(window, lab)
        opened.run(0)
        yield opened


def test_a_card_is_answered(book: Book) -> None:
    book.run(CARD)
    form = book.find(".pmcp-ask", "Publish m?")
    form.find_element(By.CSS_SELECTOR, "input[type=checkbox]").click()
    Select(form.find_element(By.TAG_NAME, "select")).select_by_visible_text("company")
    book.picture("card")
    book.press("Send", form)
    book.find(".pmcp-card", "m is published for: company.")
    assert said(book.find(".pmcp-card .pmcp-badge")) == "completed"


def test_a_form_is_filled_in_and_run(book: Book) -> None:
    book.run(FORM)
    tool = book.find(".pmcp-tool", "Train a model")
    epochs = tool.find_element(By.CSS_SELECTOR, "input")
    epochs.clear()
    epochs.send_keys("0")
    book.press("Run", tool)
    book.find(".pmcp-tool", "At least 1.")
    assert book.driver.switch_to.active_element == epochs
    epochs.clear()
    epochs.send_keys("3")
    book.press("Run", tool)
    book.find(".pmcp-card", "epoch 3 of 3")
    book.picture("form")


def test_a_table_moves_is_filtered_and_opened(book: Book) -> None:
    book.run(TABLE)
    first = '.pmcp-body > .pmcp-row[aria-rowindex="2"]'
    before = said(book.find(first, "epoch"))
    book.until(lambda: said(book.find(first)) != before)
    book.find('input[aria-label="Filter the tasks"]').send_keys('"epoch 30 of 30"')
    book.find(".pmcp-footer", "1 of 30", 30)
    book.find(f"{first} .pmcp-toggle").click()
    book.find(".pmcp-detail", "epoch 30 of 30")
    book.find(".pmcp-life-log li")
    book.picture("table")


def test_an_app_calls_a_tool(book: Book) -> None:
    book.run(APP)
    book.find(".pmcp-app-state-text", "ready")
    outer = book.find("iframe.pmcp-app-frame")
    book.driver.execute_script("arguments[0].scrollIntoView()", outer)
    book.driver.switch_to.frame(outer)
    book.driver.switch_to.frame(book.find("iframe"))
    book.until(lambda: said(book.find("#said")))
    before = said(book.find("#said"))
    book.press("Pendulum", book.find("body"))
    book.until(lambda: said(book.find("#said")) != before)
    time.sleep(0.3)  # it is painted after that
    book.driver.switch_to.default_content()
    book.picture("app")
