"""What `app new` would write: the packaging tests write and run it."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from pmcp_lab.apps.metadata import parse_metadata
from pmcp_lab.apps.placeholders import fill_placeholders
from pmcp_lab.apps.scaffold import TEMPLATES, package_name, project
from pmcp_lab.apps.transplant import transplanted
from pmcp_lab.apps.writing import write_files
from pmcp_lab.cli.app import TemplateName
from pmcp_lab.errors import AppError

DEMOS = [name for name, template in TEMPLATES.items() if template.demo]


def test_the_command_line_has_every_template() -> None:
    assert {name.value for name in TemplateName} == TEMPLATES.keys()


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_file_is_what_its_name_says(template: str) -> None:
    made = project("My.Fine-App", template)
    assert (made.package, made.app) == ("my_fine_app", "my-fine-app")
    for path, text in made.contents.items():
        assert not path.endswith(".in")
        if path.endswith(".py"):
            ast.parse(text)
        elif path.endswith((".json", ".ipynb")):
            json.loads(text)
        elif path.endswith(".yaml"):
            parse_metadata(text, path)
        elif path.endswith(".toml"):
            assert tomllib.loads(text)["project"]["name"] == "My.Fine-App"
        if not path.endswith((".html", ".csv")):
            assert not re.search(r"\{\{|\}\}|ui://demo|pmcp_lab\.demo", text), path
    assert {
        "README.md",
        ".mcp.json",
        ".gitignore",
        "notebooks/try-it.ipynb",
        "tests/test_server.py",
    } <= made.contents.keys()
    assert f"my_fine_app/widgets/{TEMPLATES[template].widget}.html" in made.contents
    assert made.examples[TEMPLATES[template].tool]


@pytest.mark.parametrize("python", ["/home/ann/.venv/bin/python", r"C:\Users\Ann \"A\"\python.exe"])
def test_hosts_start_it_with_the_python_that_made_it(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", python)
    entry = json.loads(project("my-app").contents[".mcp.json"])["mcpServers"]["my-app"]
    assert entry == {"command": python, "args": ["-m", "my_app"]}


def test_placeholders_are_filled_once_and_other_braces_stay() -> None:
    values = {"name": "{{app}}", "app": "shop"}
    assert (
        fill_placeholders("{{app}}: {{name}} {x} {{ app }} {}", values, template="t")
        == "shop: {{app}} {x} {{ app }} {}"
    )


def test_an_unknown_placeholder() -> None:
    with pytest.raises(AppError, match=r"base/a\.in names {{nme}}, for which there is no value\. Did you mean 'name'"):
        fill_placeholders("{{nme}}", {"name": "x", "app": "y"}, template="base/a.in")


@pytest.mark.parametrize("demo", DEMOS)
def test_a_demo_app_is_moved_not_copied(demo: str) -> None:
    made = transplanted(demo, widget="board", app="mine")
    source = made[f"{demo}/__init__.py"]
    assert 'URI = "ui://mine/board"' in source
    assert "add_html_resource" not in source
    assert "def build" not in source
    assert parse_metadata(made["widgets/board.yaml"], "board.yaml").title
    widget = (Path(__file__).parents[3] / "pmcp_lab/demo" / demo / "widget.html").read_text()
    assert made["widgets/board.html"] == widget


@pytest.mark.parametrize("name", ["a", "my-app", "My_App", "x1", "a.b", "chess-club"])
def test_names_that_will_do(name: str) -> None:
    assert package_name(name).isidentifier()


def test_a_name_may_not_hide_what_the_template_needs() -> None:
    with pytest.raises(AppError, match="would hide the 'chess' that the project needs"):
        project("chess", "chess")
    assert project("chess", "map").package == "chess"


def test_an_unknown_template() -> None:
    with pytest.raises(AppError, match="there is no template 'ches'.* Did you mean 'chess'"):
        project("fine", "ches")


# --- writing ----------------------------------------------------------------------------------------


def test_files_are_written_below_folders_that_are_not_there(tmp_path: Path) -> None:
    written = write_files(tmp_path / "a/b", {"c/d.txt": "é", "e.bin": b"\0"})
    assert [file.read_bytes() for file in written] == ["é".encode(), b"\0"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_one_file_in_the_way_stops_all(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("mine")
    with pytest.raises(AppError, match="b exists already; --force replaces it"):
        write_files(tmp_path, {"a": "new", "b": "new"})
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("b", "mine")]
    write_files(tmp_path, {"a": "new", "b": "new"}, force=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "new", "b": "new"}


def test_a_folder_in_the_place_of_a_file_stays(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(AppError, match="can't write"):
        write_files(tmp_path, {"a": "new"}, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
