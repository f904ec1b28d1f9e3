"""Reading `mcpServers` files: `.mcp.json` and the like, as other MCP hosts write them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pmcp_lab.errors import TargetError, nearest

NAMES = (".mcp.json", "mcp.json", ".vscode/mcp.json", ".cursor/mcp.json")

_USER = (
    ".claude.json",
    "Library/Application Support/Claude/claude_desktop_config.json",
    "AppData/Roaming/Claude/claude_desktop_config.json",
    ".config/Claude/claude_desktop_config.json",
    "Library/Application Support/Code/User/mcp.json",
    "AppData/Roaming/Code/User/mcp.json",
    ".config/Code/User/mcp.json",
    ".cursor/mcp.json",
    ".codeium/windsurf/mcp_config.json",
)

_VARIABLE = re.compile(r"\$\{(input:)?(?:env:)?([A-Za-z_][A-Za-z0-9_-]*)(?::-([^}]*))?\}")
# A string, which is kept, or what JSON does not have but VS Code's files do: a comment, a comma before a bracket.
_EXTRAS = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/|,(?=\s*(?://[^\n]*\s*|/\*.*?\*/\s*)*[\]}])', re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One server of a configuration file, with its variables still in it."""

    name: str
    file: Path
    raw: Mapping[str, Any]

    def filled(self) -> dict[str, Any]:
        """The entry with `${NAME}`, `${NAME:-default}` and VS Code's variables filled in.

        Raises:
            TargetError: One that isn't set.
        """
        folder = self.file.parent
        places = {
            "workspaceFolder": str(folder.parent if folder.name in (".vscode", ".cursor") else folder),
            "userHome": str(Path.home()),
        }
        filled: dict[str, Any] = expand(self.raw, f"server {self.name!r} in {self.file}", places)
        return filled


def find_config(start: Path | None = None) -> Path | None:
    """The nearest configuration file, from `start` (default: the working directory) upwards."""
    folder = (start or Path.cwd()).resolve()
    for place in (folder, *folder.parents):
        for name in NAMES:
            if (place / name).is_file():
                return place / name
    return None


def user_configs() -> list[Path]:
    """The configuration files of hosts that this person uses."""
    return [file for name in _USER if (file := Path.home() / name).is_file()]


def configs() -> Iterator[Path]:
    """The files that are searched for a name, nearest first."""
    nearest_one = find_config()
    if nearest_one is not None:
        yield nearest_one
    yield from (file for file in user_configs() if file != nearest_one)


def configured() -> dict[str, Entry]:
    """Every server that can be connected to by its name. A person's own file that can't be read counts for nothing.

    Raises:
        TargetError: The nearest file can't be read.
    """
    found: dict[str, Entry] = {}
    project = find_config()
    for file in configs():
        try:
            entries = read_config(file)
        except TargetError:
            if file == project:
                raise
            continue
        for name, entry in entries.items():
            found.setdefault(name, entry)
    return found


def read_config(path: Path) -> dict[str, Entry]:
    """The entries of a file, by name. Reads `mcpServers`, VS Code's `servers` and Claude Code's `projects`.

    Raises:
        TargetError: The file can't be read, is no JSON, or has no such section.
    """
    try:
        raw = json.loads(_EXTRAS.sub(lambda match: match[1] or "", path.read_text(encoding="utf-8")))
    except OSError as error:
        raise TargetError(f"Can't read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise TargetError(f"{path} is not valid JSON: {error}") from None
    sections = _sections(raw) if isinstance(raw, Mapping) else []
    if not sections:
        raise TargetError(f'{path} has no "mcpServers" section')
    return {
        str(name): Entry(str(name), path, entry)
        for section in sections
        for name, entry in section.items()
        if isinstance(entry, Mapping)
    }


def _sections(raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The last one counts."""
    nested = raw.get("mcp")  # VS Code's settings
    found = [raw.get("mcpServers", raw.get("servers")), nested.get("servers") if isinstance(nested, Mapping) else None]
    projects = raw.get("projects")
    if isinstance(projects, Mapping):
        here = Path.cwd()
        for folder, project in projects.items():
            if isinstance(project, Mapping) and here.is_relative_to(str(folder)):
                found.append(project.get("mcpServers"))
    return [section for section in found if isinstance(section, Mapping)]


def config_entry(path: Path, name: str | None) -> Entry:
    """One entry of a file; the only one when `name` is None.

    Raises:
        TargetError: No such entry, or several and none named.
    """
    entries = read_config(path)
    if name is None:
        if len(entries) != 1:
            raise TargetError(f"{path} has {len(entries)} servers; name one of them.{nearest('', entries)}")
        name = next(iter(entries))
    if name not in entries:
        raise TargetError(f"{path} has no server {name!r}.{nearest(name, entries)}")
    return entries[name]


def expand(value: Any, where: str, places: Mapping[str, str]) -> Any:
    """Replace the variables in every string: by `places`, or the environment's."""

    def substitute(match: re.Match[str]) -> str:
        asked, name, default = match.groups()
        if not asked and name in places:
            return places[name]
        # What VS Code would ask the person for has no name that an environment could have.
        variable = re.sub(r"\W", "_", name).upper() if asked else name
        found = os.environ.get(variable, default)
        if found is None:
            raise TargetError(f"{where} needs the environment variable {variable}, which is not set")
        return found

    if isinstance(value, str):
        return _VARIABLE.sub(substitute, value)
    if isinstance(value, Mapping):
        return {key: expand(item, where, places) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, where, places) for item in value]
    return value
