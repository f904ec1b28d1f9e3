"""Reading `mcpServers` files: `.mcp.json` and the like, as other MCP hosts write them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pmcp_lab.errors import TargetError, nearest

NAMES = (".mcp.json", "mcp.json", ".vscode/mcp.json", ".cursor/mcp.json")

_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def find_config(start: Path | None = None) -> Path | None:
    """The nearest configuration file, from `start` (default: the working directory) upwards."""
    folder = (start or Path.cwd()).resolve()
    for place in (folder, *folder.parents):
        for name in NAMES:
            if (place / name).is_file():
                return place / name
    return None


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of a file, by name. Reads `mcpServers` and VS Code's `servers`.

    Raises:
        TargetError: The file can't be read, is no JSON, or has no such section.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TargetError(f"Can't read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise TargetError(f"{path} is not valid JSON: {error}") from None
    section = raw.get("mcpServers", raw.get("servers")) if isinstance(raw, Mapping) else None
    if not isinstance(section, Mapping):
        raise TargetError(f'{path} has no "mcpServers" section')
    return {str(name): dict(entry) for name, entry in section.items() if isinstance(entry, Mapping)}


def config_entry(path: Path, name: str | None) -> tuple[str, dict[str, Any]]:
    """One entry with its environment variables filled in; the only one when `name` is None.

    Raises:
        TargetError: No such entry, several and none named, or a variable that isn't set.
    """
    entries = read_config(path)
    if name is None:
        if len(entries) != 1:
            raise TargetError(f"{path} has {len(entries)} servers; name one of them.{nearest('', entries)}")
        name = next(iter(entries))
    if name not in entries:
        raise TargetError(f"{path} has no server {name!r}.{nearest(name, entries)}")
    return name, expand(entries[name], f"server {name!r} in {path}")


def expand(value: Any, where: str) -> Any:
    """Replace `${NAME}` and `${NAME:-default}` in every string."""

    def substitute(match: re.Match[str]) -> str:
        found = os.environ.get(match[1], match[2])
        if found is None:
            raise TargetError(f"{where} needs the environment variable {match[1]}, which is not set")
        return found

    if isinstance(value, str):
        return _VARIABLE.sub(substitute, value)
    if isinstance(value, Mapping):
        return {key: expand(item, where) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, where) for item in value]
    return value
