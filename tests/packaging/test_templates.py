"""Each template, generated into a fresh folder, installed, and put to work: its own tests, a notebook, a check."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from pmcp_lab.apps.scaffold import TEMPLATES
from pmcp_lab.cli import main
from tests.packaging.conftest import ROOT, Environment


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment of its own that sees what is installed here, and this checkout."""
    folder = tmp_path_factory.mktemp("templates") / "env"
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "here.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    made = Environment(folder)
    # What builds the projects, once for all of them.
    pip(made, "hatchling>=1.27", "editables")
    return made


def pip(environment: Environment, *what: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--python", environment.python, "install", "--quiet"]
    subprocess.run([*command, *what], check=True)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_generated_project_works(
    template: str,
    environment: Environment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"my-{template}"
    main(["app", "new", name, "--template", template, "--json"])
    said = json.loads(capsys.readouterr().out)
    project = tmp_path / name
    assert {tmp_path / file for file in said["files"]} == {each for each in project.rglob("*") if each.is_file()}
    # Nothing that is not there, nothing imported for nothing.
    subprocess.run(["ruff", "check", "--isolated", "--select", "F,E9", "--quiet", project], check=True)
    pip(environment, "--no-deps", "--no-build-isolation", "--editable", project)
    passed = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert " passed" in passed
    assert "failed" not in passed
    entry = json.loads((project / ".mcp.json").read_text())["mcpServers"][name]
    assert entry == {"command": sys.executable, "args": ["-m", said["package"]]}
    checked = environment.run(
        "-m", "pmcp_lab", "app", "check", f"python -m {said['package']}",
        "--strict", "--call", "--examples", "mock-data/examples.json", "--json", cwd=project,
    )  # fmt: skip
    assert json.loads(checked)["ok"] is True
    notebook = json.loads((project / "notebooks/try-it.ipynb").read_text())
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert "True" in environment.run("-c", "\n".join([*code[:-1], "print(not server.closed)"]), cwd=project)
