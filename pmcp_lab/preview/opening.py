"""Apps opened in a browser that nobody looks at: what becomes of each, with the arguments and the result of a call."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pmcp_lab.client import Server, runtime
from pmcp_lab.errors import AppError, LabError
from pmcp_lab.preview.probed import ProbedApp, ProbedPages
from pmcp_lab.preview.web import PreviewServer
from pmcp_lab.protocol.ui import PERMISSIONS

BROWSERS = (
    "chromium-headless-shell",  # the same browser without what makes windows: a quarter of the work
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
)
PATIENCE = 30.0
"""Seconds in which the browser has to show the page."""
AT_ONCE = 6
"""Apps on the page."""
SILENT = 12.0
"""Seconds until an app that says nothing is taken for silent: more than a page waits, for many begin at once."""
LATE = 1.5
"""Seconds in which an app that has all it gets may still go wrong."""
LONGEST = 10.0
"""Seconds that an app which goes on asking its server is looked at."""
LOOK = 0.1
LEAVING = 3.0
"""Seconds in which the browser's processes end."""
WINDOW = "1400,1200"
"""Pixels. What is out of sight is held back by a browser."""

FLAGS = (
    *("--headless=new", "--no-first-run", "--no-default-browser-check", "--disable-gpu", f"--window-size={WINDOW}"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"),
    # Nobody is there to be asked, and no camera.
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An app that is to be opened.

    Args:
        tool: The name of the tool whose app it is; None for one that no tool names.
        arguments: None opens it without a call.
        result: None where there is none yet, or none is known.
    """

    uri: str
    tool: str | None = None
    arguments: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Became:
    """What became of it.

    Args:
        started: Whether it said `ui/initialize`, and that it is ready.
        problems: What its document told, and its probe: `kind`, `message` and more of each.
    """

    started: bool
    problems: tuple[dict[str, Any], ...]


def find_browser() -> str | None:
    """A Chromium of this machine."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def open_each(server: Server, wanted: Sequence[Wanted], browser: str | None = None) -> list[Became | None]:
    """Open apps, some at a time, and say of each what became of it; None of one that can't be read.

    They get all that they declare: domains, and permissions for a camera that is none. Whatever an app asks of its
    server by itself is asked.

    Args:
        browser: A program that takes Chromium's options; by default the first that is found.

    Raises:
        LabError: There is no browser, it shows nothing, or it ended by itself.
    """
    program = browser or find_browser()
    if program is None:
        raise LabError("there is no Chromium to open apps in: install one (chromium, google-chrome), or name it")
    server.allow_apps(domains=True, permissions=PERMISSIONS)
    pages = ProbedPages()
    web = PreviewServer(pages)
    try:
        web.start()
        with _running(program, web.url) as ended:
            return runtime().run(_each(server, wanted, pages, ended))
    finally:
        web.close()


@contextlib.contextmanager
def _running(program: str, url: str) -> Iterator[Callable[[], int | None]]:
    """A browser with a profile of its own; what it gives says how it ended, or None."""
    # As root, Chromium runs without its sandbox or not at all.
    own = ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
    profile = tempfile.mkdtemp(prefix="pmcp-lab-")
    try:
        process = _started([program, *FLAGS, *own, f"--user-data-dir={profile}", url])
        try:
            yield process.poll
        finally:
            _end(process)
    finally:
        _remove(profile)


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    silent = subprocess.DEVNULL
    try:
        # In a group of its own: what is on PATH may be a script, which would end without the browser.
        return subprocess.Popen(command, stdin=silent, stdout=silent, stderr=silent, start_new_session=True)
    except OSError as error:
        raise LabError(f"{command[0]} can't be started: {error.strerror}") from None


def _end(process: subprocess.Popen[bytes]) -> None:
    def send(number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, number)
            else:
                process.terminate()

    send(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    # The group may outlive its first process.
    send(getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()


def _remove(profile: str) -> None:
    """Take a profile away, into which the browser's other processes may write for a moment."""
    deadline = time.monotonic() + LEAVING
    while Path(profile).exists() and time.monotonic() < deadline:
        shutil.rmtree(profile, ignore_errors=True)
        time.sleep(LOOK / 2)


async def _each(
    server: Server, wanted: Sequence[Wanted], pages: ProbedPages, ended: Callable[[], int | None]
) -> list[Became | None]:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not pages.pages:
        _alive(ended)
        if asyncio.get_running_loop().time() > deadline:
            raise LabError(f"the browser showed nothing within {PATIENCE:g} s")
        await asyncio.sleep(LOOK)
    places = asyncio.Semaphore(AT_ONCE)

    async def one(each: Wanted) -> Became | None:
        async with places:
            _alive(ended)
            try:
                app = await pages.open(server, each.uri, each.tool, each.arguments, each.result)
            except AppError:
                return None
            try:
                return await _became_of(app, ended)
            finally:
                pages.take_away(app)

    opening = [asyncio.create_task(one(each)) for each in wanted]
    try:
        return await asyncio.gather(*opening)
    finally:
        for each in opening:
            each.cancel()


def _alive(ended: Callable[[], int | None]) -> None:
    if (status := ended()) is not None:
        raise LabError(f"the browser ended by itself (status {status}) before every app was looked at")


async def _became_of(app: ProbedApp, ended: Callable[[], int | None]) -> Became:
    clock = asyncio.get_running_loop().time
    deadline = clock() + SILENT
    while not app.started and clock() < deadline:
        _alive(ended)
        await asyncio.sleep(LOOK)
    if app.started:
        # Whoever asks has not done yet what comes of the answer.
        began = quiet = clock()
        while clock() < min(quiet + LATE, began + LONGEST):
            await asyncio.sleep(LOOK)
            if app.waits:
                quiet = clock()
    return Became(app.started, app.problems)
