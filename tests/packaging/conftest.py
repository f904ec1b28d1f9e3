"""One cold build, shared: a copy of the tree as a clone would be, and an environment that knows no Node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_IN_A_CLONE = (".git", ".venv", "static", "node_modules", "dist", "test-results", "__pycache__", ".*_cache")

# Nothing listens there: npm, if anything starts it, fails at once.
NO_NPM_REGISTRY = {"npm_config_registry": "http://127.0.0.1:9", "npm_config_fetch_retries": "0"}


@dataclass(frozen=True)
class Environment:
    """A virtual environment whose programs see no others on PATH: no Node, no npm, no compiler."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def run(self, *command: str | Path, env: Mapping[str, str] = {}, cwd: Path | None = None) -> str:
        """Run Python with these arguments; what it printed, or a failed test that shows it."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            [self.python, *command],
            # What is not imported need not be compiled: most of it.
            env=clean | {"PATH": str(self.python.parent), "PIP_NO_COMPILE": "1"} | env,
            cwd=cwd or self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}", pytrace=False)
        return done.stdout


def new_environment(folder: Path) -> Environment:
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    return Environment(folder)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    made = new_environment(tmp_path_factory.mktemp("packaging") / "env")
    assert shutil.which("node", path=str(made.python.parent)) is None
    return made


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree with nothing built in it."""
    return Path(
        shutil.copytree(
            ROOT, tmp_path_factory.mktemp("clone") / "pmcp_lab", ignore=shutil.ignore_patterns(*NOT_IN_A_CLONE)
        )
    )


@pytest.fixture(scope="session")
def editable(clone: Path, environment: Environment) -> Path:
    """The clone after `pip install -e .` without Node on PATH: the only build that may reach the npm registry."""
    environment.run("-m", "pip", "install", "--no-deps", "--editable", clone)
    return clone


@pytest.fixture(scope="session")
def sdist(editable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    builder = [sys.executable, "-m", "build", "--sdist", "--outdir", folder, editable]
    subprocess.run(builder, check=True, env=os.environ | NO_NPM_REGISTRY)
    (made,) = folder.glob("*.tar.gz")
    return made


@pytest.fixture(scope="session")
def wheel(sdist: Path, environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel made from the sdist, without Node and out of reach of the npm registry."""
    folder = tmp_path_factory.mktemp("wheel")
    environment.run("-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, sdist, env=NO_NPM_REGISTRY)
    (made,) = folder.glob("*.whl")
    return made
