"""What a new project requires: the package from where it was installed."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from pmcp_lab import __version__
from pmcp_lab.apps.origin import installed_from, requirement
from pmcp_lab.apps.scaffold import project

GIT = {"url": "https://git.example/lab.git", "vcs_info": {"vcs": "git", "commit_id": "ab12"}}
WHEEL = {"url": "https://files.example/pmcp_lab-0.1-py3-none-any.whl", "archive_info": {"hash": "sha256=00"}}
FOLDER = {"url": "file:///src/lab", "dir_info": {"editable": True}}


@pytest.mark.parametrize(
    ("origin", "required"),
    [
        (None, f"pmcp_lab[apps]>={__version__}"),
        (GIT, "pmcp_lab[apps] @ git+https://git.example/lab.git@ab12"),
        ({**GIT, "subdirectory": "py"}, "pmcp_lab[apps] @ git+https://git.example/lab.git@ab12#subdirectory=py"),
        (WHEEL, f"pmcp_lab[apps] @ {WHEEL['url']}"),
        (FOLDER, "pmcp_lab[apps] @ file:///src/lab"),
        ({"url": 7}, f"pmcp_lab[apps]>={__version__}"),
    ],
)
def test_it_is_where_it_was_installed_from(origin: dict[str, Any] | None, required: str) -> None:
    assert requirement(origin, "apps") == required


def test_a_project_names_it() -> None:
    made = tomllib.loads(project("my-app").contents["pyproject.toml"])
    assert requirement(installed_from()) in made["project"]["dependencies"]
    assert requirement(installed_from(), "apps", "notebook") in made["project"]["optional-dependencies"]["dev"]
