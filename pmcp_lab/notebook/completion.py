"""Tab completion for `%mcp`: commands, options, servers, tools, argument names and their values."""

from __future__ import annotations

import json
from typing import Any

from pmcp_lab.client import Server, servers
from pmcp_lab.client.config import find_config, read_config
from pmcp_lab.client.target import BUNDLED
from pmcp_lab.errors import LabError
from pmcp_lab.notebook.magics import COMMANDS, parsers

WITH_TOOL = ("call", "task", "app")


def complete(line: str) -> list[str]:
    """What can stand for the last word of a `%mcp` line.

    Args:
        line: The line up to the cursor.
    """
    words = line.split()
    words = words[words.index("%mcp") + 1 :] if "%mcp" in words else words[1:]
    current = "" if line[-1:].isspace() else (words.pop() if words else "")
    return [option for option in _options(words, current) if option.startswith(current)]


def _options(words: list[str], current: str) -> list[str]:
    if not words:
        return [*COMMANDS, "--help"]
    command, *rest = words
    if current.startswith("-"):
        parser = parsers()[1].get(command)
        return sorted(parser.options) if parser else []
    rest = [word for word in rest if not word.startswith("-")]
    if command == "connect":
        return _targets() if not rest else []
    if command in ("disconnect", "tools", "tasks"):
        return sorted(servers()) if not rest else []
    if command in WITH_TOOL:
        return _tool_words(command, rest, current)
    return []


def _targets() -> list[str]:
    file = find_config()
    try:
        return sorted({*BUNDLED, *(read_config(file) if file else ())})
    except LabError:
        return sorted(BUNDLED)


def _tool_words(command: str, rest: list[str], current: str) -> list[str]:
    known = servers()
    if not rest:
        return sorted(known)
    server = known.get(rest[0])
    if server is None:
        return []
    if len(rest) == 1:
        return _tools(command, server)
    if rest[1] not in server.tools:
        return []
    arguments = server.tools[rest[1]].arguments
    name, equals, _ = current.partition("=")
    if equals:
        return [f"{name}={value}" for value in _values(arguments.get(name, {}))]
    given = {word.partition("=")[0].removesuffix(":") for word in rest[2:]}
    return [f"{argument}=" for argument in arguments if argument not in given]


def _tools(command: str, server: Server) -> list[str]:
    tools = server.tools.values()
    if command == "app":
        return [tool.name for tool in tools if tool.ui.resource_uri]
    return [tool.name for tool in tools if "model" in tool.ui.visibility]


def _values(schema: dict[str, Any]) -> list[str]:
    if schema.get("type") == "boolean":
        return ["true", "false"]
    return [value if isinstance(value, str) else json.dumps(value) for value in schema.get("enum") or ()]


def completer(_shell: Any, event: Any) -> list[str]:
    """The hook for IPython's `complete_command`. A completion that fails must not disturb typing."""
    try:
        return complete(event.line[: getattr(event, "cursor_pos", None) or len(event.line)])
    except LabError:
        return []
