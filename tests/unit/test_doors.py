"""What each room of the package offers to the others, and that they take nothing else from it."""

from __future__ import annotations

import ast
import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pmcp_lab"
OFFERED = Path(__file__).with_name("doors.json")
"""By room, the names of its `__all__`. Whoever changes it changes what others may use: say so in the changelog."""

OPEN = {
    "protocol": "wire shapes, each module a subject of its own",
    "tasks": "its records, leases and limits are used by all of the server side",
    "execution": "an executor that needs an extra is imported only by whoever wants it",
    "server": "workflows are a part of it in a room of their own",
    "apps": "the command line has a command for each of its files",
    "workflow": "only the demo stands on it",
    "tasks.backends": "a backend is a module of its own, also outside this package",
}
"""Rooms whose files others may import, and why."""


def rooms() -> list[str]:
    """Every package, by its dotted name below `pmcp_lab`."""
    found = [path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py")]
    names = [".".join(path.parts) for path in found if path.parts]
    # Templates of projects, and the apps of the demo, are no rooms.
    return sorted(name for name in names if not name.startswith(("apps.", "demo.")))


ROOMS = rooms()


def room_of(module: str) -> str:
    """The innermost room that a module below `pmcp_lab` is in; "" for the package itself."""
    parts = module.split(".")
    return next((name for n in range(len(parts), 0, -1) if (name := ".".join(parts[:n])) in ROOMS), "")


def imported(path: Path) -> Iterator[tuple[str, list[str], int]]:
    """Modules below `pmcp_lab` that a file imports from, with the names and the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pmcp_lab."):
            yield node.module.removeprefix("pmcp_lab."), [each.name for each in node.names], node.lineno


IMPORTS = {path: list(imported(path)) for path in PACKAGE.rglob("*.py")}


def offered(room: str) -> list[str]:
    return sorted(getattr(importlib.import_module(f"pmcp_lab.{room}"), "__all__", ()))


@pytest.mark.parametrize("room", [room for room in ROOMS if room not in OPEN])
def test_a_room_has_one_door(room: str) -> None:
    names = set(offered(room))
    past: list[str] = []
    for path, imports in IMPORTS.items():
        inside = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if inside == room or inside.startswith(f"{room}."):
            continue
        for module, taken, line in imports:
            if room_of(module) == room and (module != room or not names.issuperset(taken)):
                past.append(f"{path.relative_to(PACKAGE)}:{line} takes {', '.join(taken)} from {module}")
    assert not past, f"pmcp_lab.{room} offers what its __init__ names:\n" + "\n".join(past)


def test_what_the_doors_offer() -> None:
    now = {room: names for room in ROOMS if (names := offered(room))}
    assert now == json.loads(OFFERED.read_text(encoding="utf-8")), f"if that is meant, write it into {OFFERED.name}"


def test_every_room_says_what_lives_there() -> None:
    assert [room for room in ROOMS if not importlib.import_module(f"pmcp_lab.{room}").__doc__] == []
