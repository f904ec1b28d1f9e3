"""Each app of a server opened once, in a browser that nobody looks at: what becomes of it before its tool is called."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pmcp_lab.client import runtime
from pmcp_lab.errors import AppError, LabError
from pmcp_lab.host import INIT_TIMEOUT
from pmcp_lab.preview.page import Page, PreviewApp
from pmcp_lab.preview.session import PreviewSession
from pmcp_lab.preview.web import PreviewServer

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
PATIENCE = 30.0
"""Seconds in which the browser has to show the page."""
OWN = 3.0
"""Seconds that the page has for the app that it opens by itself."""
LATE = 2.0
"""Seconds in which an app that has started may still go wrong."""
LOOK = 0.1

FLAGS = (
    *("--headless=new", "--no-first-run", "--no-default-browser-check", "--disable-gpu"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"),
)


def open_each(
    session: PreviewSession, uris: Iterable[str], browser: str | None = None
) -> Iterator[tuple[str, bool, list[dict[str, Any]]]]:
    """Open apps one after the other; of each, whether it said `ui/initialize`, and the rows of its `errors`. One that
    can't be read is left out.

    Args:
        session: Not started; it is over when the last app was opened.
        uris: The resources that they are.
        browser: A program that takes Chromium's options; by default the first that is found.

    Raises:
        LabError: There is no browser, it shows nothing, or the server can't be connected to.
    """
    program = browser or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise LabError("there is no Chromium to open apps in: install one (chromium, google-chrome), or name it")
    server = PreviewServer(session)
    try:
        session.start()
        server.start()
        with _running(program, server.url) as ended:
            page = _shown(session, ended)
            for uri in uris:
                try:
                    runtime().run(session.show(page, uri))
                except AppError:
                    continue
                assert page.app is not None
                yield uri, *_became_of(page.app)
    finally:
        server.close()


@contextlib.contextmanager
def _running(program: str, url: str) -> Iterator[Callable[[], int | None]]:
    """A browser with a profile of its own; what it gives says how it ended, or None."""
    # As root, Chromium runs without its sandbox or not at all.
    own = ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
    with tempfile.TemporaryDirectory(prefix="pmcp-lab-", ignore_cleanup_errors=True) as profile:
        try:
            process = subprocess.Popen(
                [program, *FLAGS, *own, f"--user-data-dir={profile}", url],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise LabError(f"{program} can't be started: {error.strerror}") from None
        try:
            yield process.poll
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _shown(session: PreviewSession, ended: Callable[[], int | None]) -> Page:
    """The page, once it shows the app that it opens by itself: another would be replaced by that one."""
    deadline = time.monotonic() + PATIENCE
    came = None
    while (now := time.monotonic()) < deadline:
        for page in list(session.pages.values()):
            came = now if came is None else came
            if page.app is not None or now > came + OWN:
                return page
        if (status := ended()) is not None:
            raise LabError(f"the browser ended by itself (status {status}) before it showed anything")
        time.sleep(LOOK)
    raise LabError(f"the browser showed nothing within {PATIENCE:g} s")


def _became_of(app: PreviewApp) -> tuple[bool, list[dict[str, Any]]]:
    def started() -> bool:
        return any(event["event"] == "initialized" for event in list(app.events))

    deadline = time.monotonic() + INIT_TIMEOUT / 1000
    while not started() and time.monotonic() < deadline:
        time.sleep(LOOK)
    if started():
        time.sleep(LATE)
    rows = app.errors.astype(object)
    return started(), [
        {str(name): value for name, value in row.items()} for row in rows.where(rows.notna(), None).to_dict("records")
    ]
