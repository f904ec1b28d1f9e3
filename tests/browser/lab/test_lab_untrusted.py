"""A notebook that somebody else made, opened and not run: what the widget state in its file brings about."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comm
import nbformat
import pytest
from mcp.server.apps import Apps
from mcp.server.mcpserver import MCPServer

import pmcp_lab
import pmcp_lab.notebook
from tests.browser.bare.conftest import Attacker, serve_attacker
from tests.browser.lab.conftest import Open
from tests.browser.lab.jupyter import JupyterLab
from tests.unit.front_end import Comm

WIDE = "default-src * 'unsafe-inline' data: blob:"


@pytest.fixture
def attacker() -> Iterator[Attacker]:
    yield from serve_attacker()


@pytest.fixture
def app_state(attacker: Attacker, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An app's state as it is saved, its frame's policy opened and its server put elsewhere."""
    monkeypatch.setattr(comm, "create_comm", Comm)
    html = f"<script>new Image().src = '{attacker.url}/~ours~'</script>"
    apps = Apps()
    apps.add_html_resource("ui://file/page", html)
    apps.tool(resource_uri="ui://file/page", name="show")(lambda: "shown")
    with pmcp_lab.connect(MCPServer("file", extensions=[apps])) as server:
        state: dict[str, Any] = server.app("show").get_state()
    policy = {"csp": WIDE, "allow": ""}
    target = {"mode": "direct", "url": f"{attacker.url}/~ours-direct~", "version": "2026-07-28"}
    return {
        **state,
        "_resource": {**state["_resource"], **policy, "html": html},
        "_host": {**state["_host"], "policy": policy, "server": "python -c 'print(1)'"},
        "_bridge": {**target, "info": {"name": "x", "version": "1"}, "capabilities": {}},
    }


def saved(folder: Path, *states: dict[str, Any]) -> Path:
    """A notebook whose one cell, never run, shows these widgets."""
    book = nbformat.v4.new_notebook()
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    base = {"model_module": "@jupyter-widgets/base", "model_module_version": "2.0.0"}
    models: dict[str, Any] = {"layout": {**base, "model_name": "LayoutModel", "state": {}}}
    cell = nbformat.v4.new_code_cell("raise SystemExit")
    for index, state in enumerate(states):
        known = {
            name.removeprefix("_"): state[name] for name in ("_model_name", "_model_module", "_model_module_version")
        }
        models[f"shown{index}"] = {**known, "state": {**state, "layout": "IPY_MODEL_layout"}}
        view = {"version_major": 2, "version_minor": 0, "model_id": f"shown{index}"}
        data = {"application/vnd.jupyter.widget-view+json": view, "text/plain": ""}
        cell.outputs.append(nbformat.v4.new_output("display_data", data=data))
    book.cells = [cell]
    state = {"version_major": 2, "version_minor": 0, "state": models}
    book.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": state}
    nbformat.write(book, folder / "stranger.ipynb")
    return folder / "stranger.ipynb"


@pytest.mark.usefixtures("own_page")
def test_a_file_starts_and_reaches_nothing(
    notebook: Open, lab: JupyterLab, tmp_path: Path, app_state: dict[str, Any], attacker: Attacker
) -> None:
    call = "fetch('{}/~{}~', {{mode: 'no-cors'}})"
    module, start = (call.format(attacker.url, name) for name in ("module", "initialize"))
    somebodys = {**app_state, "_esm": f"{module}; export default {{initialize() {{ {start} }}, render() {{}}}}"}
    book = notebook(file=saved(tmp_path, app_state, somebodys))
    book.page.wait_for_timeout(1500)
    trusted = "() => window.jupyterapp.shell.currentWidget.content.model.cells.get(0).trusted"
    assert not book.page.evaluate(trusted)
    # Upstream: JupyterLab makes the models of a file it does not trust, and anywidget runs their modules. SECURITY.md
    # says so; when this is no longer so, neither should it.
    assert sorted(attacker.hits) == ["GET /~initialize~", "GET /~module~"]

    home = lab.root.parent
    places = {"JUPYTER_DATA_DIR": str(home / "data"), "JUPYTER_CONFIG_DIR": str(home / "config")}
    sign = [sys.executable, "-m", "jupyter", "trust", str(lab.root / book.name)]
    subprocess.run(sign, env={**os.environ, **places}, check=True, capture_output=True)
    book.open()
    view = book.cell(0).locator(".pmcp-app")
    view.get_by_role("button", name="1 problem").wait_for()
    assert book.page.evaluate(trusted)
    assert view.locator(".pmcp-app-state-text").inner_text() == "no live kernel: static snapshot"
    assert not [hit for hit in attacker.hits if "ours" in hit]
