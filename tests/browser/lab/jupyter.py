"""A JupyterLab of its own for the tests, and a notebook in it as a person sees it."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import FrameLocator, Locator, Page, ViewportSize

ROOT = Path(__file__).parents[3]
VIEWPORT: ViewportSize = {"width": 1280, "height": 900}


def _die_with_parent() -> None:
    """A test run that is killed must not leave a server behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class JupyterLab:
    """A running server whose every file is below `home`.

    Args:
        prefix: Path below which it is, as behind a JupyterHub: `/user/ann`.
        options: More for its command line.
    """

    def __init__(
        self, home: Path, *, env: dict[str, str] | None = None, prefix: str = "", options: Sequence[str] = ()
    ) -> None:
        self.root = home / "notebooks"
        self.root.mkdir(parents=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{prefix}"
        places = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        settings = home / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._log = (home / "jupyter.log").open("w+")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={self.port}"),
                *("--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.password="),
                *(f"--ServerApp.root_dir={self.root}", "--allow-root", "--LabApp.expose_app_in_browser=True"),
                "--LabApp.news_url=None",
                "--ServerApp.disable_check_xsrf=True",
                f"--ServerApp.base_url={prefix}/",
                *options,
            ],
            env={**os.environ, **{name: str(home / place) for name, place in places.items()}, "PYTHONPATH": path}
            | (env or {}),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent,
        )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"{self.url}/api", timeout=5)
                return
            time.sleep(0.1)
        self._log.seek(0)
        raise RuntimeError(f"JupyterLab did not start:\n{self._log.read()[-4000:]}")

    def kernels(self) -> list[dict[str, Any]]:
        return json.load(urllib.request.urlopen(f"{self.url}/api/kernels", timeout=10))  # type: ignore[no-any-return]

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


class Notebook:
    """One notebook open in the browser."""

    def __init__(self, lab: JupyterLab, page: Page, name: str) -> None:
        self.lab = lab
        self.page = page
        self.name = name
        if page.url.startswith(f"{lab.url}/lab/"):
            self.switch()
        else:
            self.open()

    def open(self) -> None:
        """Load JupyterLab with it, or load it anew, and wait until the kernel is idle."""
        self.page.goto(f"{self.lab.url}/lab/tree/{self.name}?reset")
        self.ready()

    def switch(self) -> None:
        """Open it in the JupyterLab that the page shows, and wait until the kernel is idle."""
        self.page.evaluate(
            """async (path) => {
                const app = window.jupyterapp;
                window.__runs = {};
                await app.commands.execute('docmanager:open', {path});
            }""",
            self.name,
        )
        self.ready()

    def ready(self) -> None:
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        self.page.wait_for_function(
            "(path) => window.jupyterapp?.shell.currentWidget?.context?.path === path", arg=self.name, timeout=60_000
        )
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
            timeout=60_000,
        )

    def start(self, index: int) -> None:
        """Run a cell without waiting for it."""
        self.page.evaluate(
            """(index) => {
                const app = window.jupyterapp;
                app.shell.currentWidget.content.activeCellIndex = index;
                window.__runs = window.__runs || {};
                window.__runs[index] = 'running';
                window.__began = performance.timeOrigin + performance.now();
                app.commands.execute('notebook:run-cell').then(() => { window.__runs[index] = 'done'; });
            }""",
            index,
        )

    def finish(self, index: int, timeout: float = 60) -> list[dict[str, Any]]:
        """Wait for a started cell; returns its outputs."""
        self.page.wait_for_function(f"() => window.__runs[{index}] === 'done'", timeout=timeout * 1000)
        return self.outputs(index)

    def clear(self, index: int) -> None:
        """Take a cell's outputs away."""
        self.page.evaluate(
            """(index) => {
                const app = window.jupyterapp;
                app.shell.currentWidget.content.activeCellIndex = index;
                return app.commands.execute('notebook:clear-cell-output');
            }""",
            index,
        )

    def running(self, index: int) -> bool:
        return bool(self.page.evaluate(f"() => window.__runs[{index}] === 'running'"))

    def run(self, index: int, timeout: float = 60) -> list[dict[str, Any]]:
        """Run a cell to its end.

        Raises:
            AssertionError: The cell raised.
        """
        self.start(index)
        outputs = self.finish(index, timeout)
        for output in outputs:
            assert output["output_type"] != "error", "\n".join(output["traceback"])
        return outputs

    def outputs(self, index: int) -> list[dict[str, Any]]:
        model = self.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.toJSON()")
        return model["cells"][index].get("outputs", [])  # type: ignore[no-any-return]

    def cell(self, index: int) -> Locator:
        return self.page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{index}"]')

    def app(self, index: int) -> FrameLocator:
        """The document of the app that a cell shows."""
        return self.cell(index).frame_locator("iframe").frame_locator("iframe")

    def theme(self, name: str) -> None:
        """`light` or `dark`."""
        self.page.evaluate(
            "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})",
            {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}[name],
        )
        light = "true" if name == "light" else "false"
        self.page.wait_for_selector(f'body[data-jp-theme-light="{light}"]', state="attached")


def tidy(page: Page) -> None:
    """Leave a JupyterLab as it was before a test: nothing open, light, and as large."""
    page.evaluate(
        """async () => {
            const app = window.jupyterapp;
            for (const each of [...app.shell.widgets('main')]) each.dispose();
            await app.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'});
        }"""
    )
    page.set_viewport_size(VIEWPORT)


def write_notebook(path: Path, sources: Sequence[str]) -> None:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


@contextlib.contextmanager
def running_lab(home: Path, **settings: Any) -> Iterator[JupyterLab]:
    lab = JupyterLab(home, **settings)
    try:
        yield lab
    finally:
        lab.close()
