"""The browsers that tests are run in: Debian's Chromium, with windows or without, or Debian's Firefox if a test or
`--browser firefox` wants it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Playwright, expect

from tests.browser.app_table import MARK
from tests.filled import collected

RELAY = Path(__file__).with_name("bidi_relay.py")

expect.set_options(timeout=30_000)  # in milliseconds: five seconds are none on a busy machine


def pytest_itemcollected(item: pytest.Item) -> None:
    collected(item, MARK)


def press(button: Locator) -> None:
    """Press a button of consent as a person does who means it: come to it, wait a moment, click."""
    button.wait_for()
    # Firefox tells of no move to where the pointer is.
    for place in (1, 9):
        button.page.mouse.move(place, place)
    button.hover()
    button.page.wait_for_timeout(600)
    button.click()


@pytest.fixture(scope="session")
def firefox_launch_args(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """For `playwright.firefox.launch`; `PMCP_LAB_FIREFOX` names one that is not on PATH."""
    found = os.environ.get("PMCP_LAB_FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
    if found is None:
        pytest.skip("no Firefox on PATH: install it, or set PMCP_LAB_FIREFOX to one")
    program = tmp_path_factory.mktemp("firefox") / "firefox"
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(RELAY), found])} "$@"\n')
    program.chmod(0o755)
    return {"channel": "moz-firefox", "executable_path": program, "headless": True}


@pytest.fixture(scope="session")
def firefox(playwright: Playwright, firefox_launch_args: dict[str, Any]) -> Iterator[Browser]:
    """A running Firefox, for modules whose own `browser` it is."""
    browser = playwright.firefox.launch(**firefox_launch_args)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def browser_type_launch_args(
    browser_type_launch_args: dict[str, Any], browser_name: str, request: pytest.FixtureRequest
) -> dict[str, Any]:
    if browser_name == "firefox":
        return request.getfixturevalue("firefox_launch_args")  # type: ignore[no-any-return]
    return browser_type_launch_args


@pytest.fixture(scope="session")
def whole_browser(launch_browser: Callable[..., Browser]) -> Iterator[Browser]:
    """The browser that people have: for what depends on its processes and its permissions, and for JupyterLab."""
    browser = launch_browser()
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def headless_shell(launch_browser: Callable[..., Browser], browser_name: str) -> Iterator[Browser]:
    """Chromium's engine without its windows: a page takes a third of the time. Where it is not installed, and where
    another browser was asked for, the same as `whole_browser`.
    """
    shell = shutil.which("chromium-headless-shell")
    asked = browser_name != "chromium" or "PMCP_LAB_CHROMIUM" in os.environ
    browser = launch_browser() if asked or shell is None else launch_browser(executable_path=shell)
    yield browser
    browser.close()
