"""The files in which other MCP clients keep their servers, and how one entry of them is changed: nothing else of a file
is touched, and one that can't be read is left alone."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pmcp_lab.errors import LabError


class Client(StrEnum):
    """Who is told of a server, for the help and for completion."""

    CLAUDE = "claude"
    CURSOR = "cursor"
    VSCODE = "vscode"
    MCP_JSON = "mcp.json"


SECTIONS = {Client.VSCODE: "servers"}
"""Of the file; `mcpServers` for all others."""


def file_of(client: Client) -> Path:
    """Where a client looks on this system; for VS Code and `.mcp.json`, in the working directory."""
    home = Path.home()
    match client:
        case Client.CLAUDE if sys.platform == "darwin":
            return home / "Library" / "Application Support" / "Claude" / "claude_desktop_config.json"
        case Client.CLAUDE if sys.platform == "win32":
            roaming = os.environ.get("APPDATA") or str(home / "AppData" / "Roaming")
            return Path(roaming) / "Claude" / "claude_desktop_config.json"
        case Client.CLAUDE:
            config = os.environ.get("XDG_CONFIG_HOME") or str(home / ".config")
            return Path(config) / "Claude" / "claude_desktop_config.json"
        case Client.CURSOR:
            return home / ".cursor" / "mcp.json"
        case Client.VSCODE:
            return Path(".vscode") / "mcp.json"
    return Path(".mcp.json")


@dataclass(frozen=True)
class Change:
    """What a file is, and what it would be with one entry more.

    Args:
        before: None where there is no file.
    """

    file: Path
    before: str | None
    after: str

    @property
    def diff(self) -> str:
        """As `diff -u` has it; empty where nothing changes."""
        old = (self.before or "").splitlines()
        lines = difflib.unified_diff(old, self.after.splitlines(), str(self.file), str(self.file), lineterm="")
        return "\n".join(lines)

    def write(self) -> Path | None:
        """Write it, whole or not at all; returns where what was there is kept.

        Raises:
            LabError: The file was changed meanwhile, or can't be written.
        """
        file = self.file.resolve()  # what a link leads to is what is replaced
        if _read(file) != self.before:
            raise LabError(f"{self.file} was changed by somebody else meanwhile; nothing was written")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            backup = None
            if self.before is not None:
                backup = _free(file)
                shutil.copy2(file, backup)
            handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
            try:
                with os.fdopen(handle, "w", encoding="utf-8", newline="") as written:
                    written.write(self.after)
                if self.before is not None:
                    shutil.copymode(file, name)
                else:
                    Path(name).chmod(0o600 if file.is_relative_to(Path.home()) else 0o644)
                Path(name).replace(file)
            finally:
                Path(name).unlink(missing_ok=True)
        except OSError as error:
            raise LabError(f"{self.file} can't be written: {error.strerror or error}") from None
        return backup


def with_entry(file: Path, section: str, name: str, entry: Mapping[str, Any]) -> Change:
    """A file with one server more, or that one changed.

    Raises:
        LabError: The file is no JSON object, or has what would be lost: comments, names that are there twice.
    """
    before = _read(file.resolve())
    servers = {section: {name: dict(entry)}}
    if before is None or not before.strip():
        return Change(file, before, json.dumps(servers, indent=2, ensure_ascii=False) + "\n")
    bare = before.removeprefix("\ufeff")
    whole = _parsed(file, bare)
    known = whole.setdefault(section, {})
    if not isinstance(known, dict):
        raise LabError(f"{file}: {section!r} is no object; nothing was written")
    if known.get(name) == entry:
        return Change(file, before, before)
    known[name] = dict(entry)
    mark = before[: len(before) - len(bare)]
    text = json.dumps(whole, indent=_indent(bare), ensure_ascii=False)
    line = "\r\n" if "\r\n" in bare else "\n"
    return Change(file, before, mark + text.replace("\n", line) + (line if bare.endswith("\n") else ""))


def _read(file: Path) -> str | None:
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LabError(f"{file} can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise LabError(f"{file} is no UTF-8; nothing was written") from None


def _parsed(file: Path, text: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise LabError(f"{file} has {twice!r} twice in one object, and one would be lost; nothing was written")
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=once)
    except ValueError as error:
        raise LabError(
            f"{file} is no JSON ({error}), or has comments, which would be lost; nothing was written. "
            "Correct it, or add the entry by hand: --print shows it"
        ) from None
    except RecursionError:
        raise LabError(f"{file} is nested too deeply; nothing was written") from None
    if not isinstance(found, dict):
        raise LabError(f"{file} is no JSON object; nothing was written")
    return found


def _indent(text: str) -> int | str | None:
    """How the file is written: by the first line that is set in; None for one that is a single line."""
    for line in text.splitlines()[1:]:
        if line.strip() and line[0] in " \t":
            return line[: len(line) - len(line.lstrip())]
    return 2 if "\n" in text.strip() else None


def _free(file: Path) -> Path:
    """The first name of a backup that nobody has."""
    backup = file.with_name(f"{file.name}.bak")
    number = 1
    while backup.exists():
        number += 1
        backup = file.with_name(f"{file.name}.bak{number}")
    return backup
