"""`import pmcp_lab` costs nothing that is not used."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import pmcp_lab

HEAVY = (
    "mcp",
    "mcp_types",
    "pandas",
    "IPython",
    "ipywidgets",
    "anywidget",
    "redis",
    "pydantic",
    "jsonschema",
    "asyncio",
)


def loaded(statement: str) -> list[str]:
    code = f"import sys; {statement}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()


def test_nothing_heavy_is_imported() -> None:
    assert loaded("import pmcp_lab; pmcp_lab.__version__; dir(pmcp_lab)") == []


def test_nor_by_the_help_of_the_command_line() -> None:
    assert not {"mcp", "pandas", "IPython"} & set(loaded("import pmcp_lab.cli"))


def test_the_grammar_of_iris_is_not_built_by_a_server() -> None:
    pytest.importorskip("rfc3987_syntax")  # comes with JupyterLab
    code = "import sys, pmcp_lab.demo; print('jsonschema' in sys.modules, 'lark' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout.split() == ["True", "False"]


def test_the_kernel_side_needs_no_notebook() -> None:
    assert not {"pandas", "IPython", "anywidget"} & set(loaded("import pmcp_lab; pmcp_lab.connect"))


def test_the_magics_say_what_they_need() -> None:
    code = (
        "import importlib.util, pmcp_lab\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'anywidget' else found(name)\n"
        "pmcp_lab.load_ipython_extension(None)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'pmcp_lab[notebook]'" in run.stderr


def test_an_unknown_name() -> None:
    import pmcp_lab

    with pytest.raises(AttributeError, match="has no attribute 'conect'"):
        pmcp_lab.conect  # noqa: B018


def test_no_public_name_is_that_of_a_room() -> None:
    """Importing a room sets it as an attribute, and would hide a function of that name."""
    rooms = {module.name for module in pkgutil.iter_modules(pmcp_lab.__path__)}
    assert not rooms & set(pmcp_lab.__all__)
