"""The tables of the specifications (`tests/spec/`) name tests that exist, or say why there is none."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parents[1]

# How many there are of each, so that none gets lost.
TABLES = {
    "2025-11-25": {"MUST": 43, "SHOULD": 36},
    "2026-07-28": {"MUST": 39, "SHOULD": 16},
    "2026-07-28-round-trips": {"MUST": 18, "SHOULD": 7},
    "skills": {"MUST": 38, "SHOULD": 10},
}


class Row(NamedTuple):
    section: str
    level: str
    side: str
    requirement: str
    proof: str


@cache
def rows(revision: str) -> list[Row]:
    lines = (TESTS / "spec" / f"{revision}.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")][2:]
    return [Row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in table]


@cache
def names_in(file: str) -> frozenset[str]:
    path = TESTS / file if "/" in file else next((TESTS / "unit").rglob(file), TESTS / "unit" / file)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions))


@pytest.mark.parametrize("revision", TABLES)
def test_every_requirement_has_a_test_or_a_reason(revision: str) -> None:
    for row in rows(revision):
        assert row.side in ("server", "client"), row
        if row.proof.startswith("none: "):
            assert len(row.proof) > 20, row
            continue
        proofs = re.findall(r"`([\w./]+)::(test_\w+)`", row.proof)
        assert len(proofs) == row.proof.count("::") > 0, row
        for file, name in proofs:
            assert name in names_in(file), f"{row.requirement}: there is no {file}::{name}"


@pytest.mark.parametrize("revision", TABLES)
def test_no_requirement_got_lost(revision: str) -> None:
    assert Counter(row.level for row in rows(revision)) == TABLES[revision]
    # A reason is no proof.
    assert sum(row.proof.startswith("none: ") for row in rows(revision)) < len(rows(revision)) / 5
