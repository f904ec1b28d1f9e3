"""A marimo server of its own for the tests, and its one notebook as a person sees it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tests.browser.lab.jupyter import ROOT, _die_with_parent, free_port


@contextlib.contextmanager
def marimo(
    notebook: Path, mode: Literal["edit", "run"], home: Path, *, theme: Literal["light", "dark"] = "light"
) -> Iterator[str]:
    """The URL at which a copy of the notebook is shown; everything of the person's is below `home`."""
    (home / "marimo").mkdir(parents=True)
    (home / "marimo" / "marimo.toml").write_text(f'[display]\ntheme = "{theme}"\n[runtime]\nauto_instantiate = true\n')
    copy = home / notebook.name
    copy.write_text(notebook.read_text())
    port = free_port()
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with (home / "marimo.log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "marimo", mode, str(copy), "--headless", "--no-token", "--port", str(port)],
            cwd=home,
            env={**os.environ, "XDG_CONFIG_HOME": str(home), "PYTHONPATH": path, "MARIMO_SKIP_UPDATE_CHECK": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent,
        )
        try:
            yield _answering(process, f"http://127.0.0.1:{port}", home / "marimo.log")
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answering(process: subprocess.Popen[bytes], url: str, log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"{url}/health", timeout=5)
            return url
        time.sleep(0.1)
    raise RuntimeError(f"marimo did not start:\n{log.read_text()[-4000:]}")
