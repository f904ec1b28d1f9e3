"""Each combination of store extras, in clean environments: what is installed works, what is not says how to get it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Environment, new_environment

# The parts of the core that any server needs. What they cover of Redis and DynamoDB is in the unit tests.
CORE = (
    "tasks/backends/test_backends",
    "tasks/test_open_store",
    "server/test_server_life",
    "server/test_server_tools",
)
CHOSEN = "not redis and not dynamodb"

# Not the project's own: that would put the sources before what is installed.
SETTINGS = """
[pytest]
addopts = --import-mode=importlib -p no:cacheprovider -q
pythonpath = .
anyio_mode = auto
markers = timeout
"""

CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"
"""

LOOK = """
import sys
from importlib.util import find_spec
import pmcp_lab, pmcp_lab.server, pmcp_lab.tasks
from pmcp_lab.errors import MissingExtra
from pmcp_lab.tasks import import_pmcp, open_store

assert pmcp_lab.__file__.startswith(sys.prefix), pmcp_lab.__file__
assert not find_spec("pandas") and not find_spec("IPython"), "a server needs no notebook"
missing = set()
for url in ("redis://h", "rediss://h", "redis+cluster://h", "dynamodb://t?region=x"):
    try:
        open_store(url)
    except MissingExtra as error:
        missing.add(error.extra)
        assert str(error).endswith(f"Install it: pip install 'pmcp_lab[{error.extra}]'"), error
        try:
            import_pmcp(url.replace("redis+cluster", "redis"), open_store("memory://")).send(None)
        except MissingExtra as same:
            assert same.extra == error.extra
    else:
        assert find_spec("redis" if "redis" in url else "aiobotocore")
print(*sorted(missing))
"""


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The package and pytest, without any extra."""
    made = new_environment(tmp_path_factory.mktemp("extras") / "none")
    made.run("-m", "pip", "install", "--quiet", wheel, "pytest")
    return made


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unit tests, away from the sources and from what the other tests need."""
    folder = tmp_path_factory.mktemp("core")
    shutil.copytree(ROOT / "tests/unit", folder / "tests/unit", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests/conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text(SETTINGS)
    return folder


@pytest.mark.parametrize("extras", [(), ("redis",), ("dynamodb",), ("redis", "dynamodb")], ids="+".join)
def test_the_core_works_with_these_extras_alone(
    extras: tuple[str, ...], plain: Environment, wheel: Path, tests: Path, tmp_path: Path
) -> None:
    environment = plain
    if extras:
        # A copy of an environment is one that was made alike, in a tenth of the time.
        environment = Environment(Path(shutil.copytree(plain.folder, tmp_path / "env", symlinks=True)))
        environment.run("-m", "pip", "install", "--quiet", f"{wheel}[{','.join(extras)}]")
    assert environment.run("-c", LOOK).split() == sorted({"redis", "dynamodb"} - set(extras))
    files = [f"tests/unit/{name}.py" for name in CORE]
    said = environment.run("-m", "pytest", *files, "-k", CHOSEN, cwd=tests)
    assert "skipped" not in said
    assert int(said.split(" passed")[0].split()[-1]) > 60
