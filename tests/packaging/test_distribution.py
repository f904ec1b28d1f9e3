"""What a person gets who installs the package: the built front end, and no need of Node."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from tests.packaging.conftest import NO_NPM_REGISTRY, ROOT, Environment, new_environment

BUNDLES = {
    f"pmcp_lab/static/{name}.{kind}"
    for name in ("app-view", "inspector", "preview", "landing")
    for kind in ("js", "css")
}
SCRIPTS = (
    *("bridge", "cards", "consent", "direct", "old-widgets", "opening", "prelude", "probe", "task-table", "views"),
)
BUNDLES |= {f"pmcp_lab/static/{name}.js" for name in SCRIPTS} | {"pmcp_lab/static/views.css"}


def test_editable_install_builds_the_front_end_without_node_on_path(editable: Path):
    assert {path for path in BUNDLES if (editable / path).stat().st_size} == BUNDLES


def test_a_second_editable_install_builds_nothing(editable: Path, environment: Environment):
    before = {path: (editable / path).stat().st_mtime_ns for path in BUNDLES}
    said = environment.run(
        "-m", "pip", "install", "--verbose", "--no-deps", "--editable", editable, env=NO_NPM_REGISTRY
    )
    assert "nodejs" not in said
    assert {path: (editable / path).stat().st_mtime_ns for path in BUNDLES} == before


def test_sdist_holds_the_bundles_and_their_sources(sdist: Path):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= BUNDLES | {"js/package-lock.json", "js/build.mjs", "hatch_build.py", "LICENSE"}
    assert not [name for name in names if "node_modules" in name or name.startswith(("tests/", "notebooks/"))]


def test_wheel_holds_the_package_and_the_bundles_alone(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert names >= BUNDLES | {"pmcp_lab/py.typed", "pmcp_lab/_version.py"}
    templates = {"base/.mcp.json.in", "base/.gitignore.in", "deploy/handlers.py.in", "hello/mock-data/examples.json"}
    assert names >= {f"pmcp_lab/apps/templates/{name}" for name in templates}
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"pmcp_lab"}
    static = {name for name in names if name.startswith("pmcp_lab/static/")}
    assert static == BUNDLES


def test_wheel_installs_and_imports_without_node_and_without_any_dependency(wheel: Path, tmp_path: Path):
    environment = new_environment(tmp_path / "env")
    environment.run("-m", "pip", "install", "--no-deps", "--no-index", wheel)
    said = environment.run("-c", "import pmcp_lab; print(pmcp_lab.__version__, pmcp_lab.__file__)")
    version, file = said.split(maxsplit=1)
    assert version in wheel.name
    assert file.startswith(str(tmp_path))


def test_metadata_names_the_extras(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = (path for path in zipfile.Path(archive).iterdir() if path.name.endswith(".dist-info"))
        distribution = PathDistribution(folder)
        assert set(distribution.metadata.get_all("Provides-Extra")) == {
            "notebook",
            "redis",
            "dynamodb",
            "docket",
            "apps",
            "demo",
            "code",
            "keyring",
            "all",
        }
        assert [(script.name, script.value) for script in distribution.entry_points] == [
            ("pmcp-lab", "pmcp_lab.cli:main")
        ]


def test_app_view_is_within_its_budget(editable: Path):
    """anywidget sends a widget's module with every instance, so bytes are the budget (20 KB, gzip)."""
    from tests.benchmarks.test_weight import APP_VIEW_LIMIT, gzip_size

    assert gzip_size(editable / "pmcp_lab/static/app-view.js") <= APP_VIEW_LIMIT


def test_importing_the_package_imports_nothing_heavy():
    heavy = "{'mcp', 'pydantic', 'anyio', 'pandas', 'IPython', 'ipywidgets', 'anywidget'}"
    said = subprocess.run(
        [sys.executable, "-c", f"import pmcp_lab, sys; print(sorted({heavy} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.strip() == "[]"


@pytest.mark.parametrize("folder", ["js", "tests/peers"])
def test_lock_files_pin_contents_not_addresses(folder: str):
    """Where packages are fetched from is the business of the machine that installs them."""
    lock = json.loads((ROOT / folder / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert not [name for name, entry in packages.items() if "resolved" in entry]
    assert not [name for name, entry in packages.items() if "integrity" not in entry]


def test_the_all_extra_names_every_other():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = extras.pop("all")
    assert everything == f"pmcp_lab[{','.join(extras)}]"
