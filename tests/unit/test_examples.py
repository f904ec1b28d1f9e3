"""The examples beside the notebooks, each run as it stands."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.unit.farm import fresh
from tests.unit.storage_servers import moto_endpoint, shared_redis

EXAMPLES = Path(__file__).parents[2] / "notebooks" / "examples"


def run(name: str, *arguments: Any) -> Any:
    return runpy.run_path(str(EXAMPLES / name))["main"](*arguments)


def test_basic_tasks() -> None:
    assert run("basic_tasks.py") == {"epochs": 5, "published": True}


def test_approval_workflow() -> None:
    assert run("approval_workflow.py") == ["lab-1.2.tar.gz"]


def test_dynamodb_table() -> None:
    assert run("dynamodb_table.py", moto_endpoint()) == 10


@pytest.mark.timeout(180)
def test_docket_workers() -> None:
    assert run("docket_workers.py", fresh(shared_redis().url))


def test_each_is_listed_with_its_time() -> None:
    told = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    for example in EXAMPLES.glob("*.py"):
        assert f"| `examples/{example.name}` |" in told, example.name
