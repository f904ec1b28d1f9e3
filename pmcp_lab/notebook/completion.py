"""Tab completion for `%mcp`: commands, options, servers, what they list, argument names and their values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pmcp_lab.client import BUNDLED, Resource, Server, client_of, configured, servers
from pmcp_lab.errors import LabError
from pmcp_lab.notebook.arguments import values_of
from pmcp_lab.notebook.magic_commands import COMMANDS, parsers


def complete(line: str) -> list[str]:
    """What can stand for the last word of a `%mcp` or `%%mcp` line.

    Args:
        line: The line up to the cursor.
    """
    words = line.split()
    at = next((index for index, word in enumerate(words) if word.lstrip("%") == "mcp"), 0)
    words = words[at + 1 :]
    current = "" if line[-1:].isspace() else (words.pop() if words else "")
    if words[1:2] == ["<<"]:
        words = words[2:]
    return [option for option in _options(words, current) if option.startswith(current)]


def _options(words: list[str], current: str) -> list[str]:
    if not words:
        return [*COMMANDS, "--help"]
    command, *rest = words
    parser = parsers()[1].get(command)
    if parser is None:
        return []
    if current.startswith("-"):
        return sorted(parser.options)
    if rest and (choices := parser.options.get(rest[-1])):
        return choices
    rest = [word for word in rest if not word.startswith("-")]
    match command:
        case "connect":
            return _targets() if not rest else []
        case "help":
            return list(COMMANDS) if not rest else []
        case "config" | "servers":
            return []
        case _ if not rest:
            return sorted(servers())
        case "read" | "prompt" | "workflow" | "attach" if rest[0] in servers():
            return _listed(command, servers()[rest[0]], rest[1:], current)
        case "call" | "task" | "app" | "map" if rest[0] in servers():
            return _tool_words(command, servers()[rest[0]], rest[1:], current)
        case _:
            return []


def _targets() -> list[str]:
    try:
        return sorted({*BUNDLED, *configured()})
    except LabError:
        return sorted(BUNDLED)


def _listed(command: str, server: Server, rest: list[str], current: str) -> list[str]:
    if command == "attach":
        return [] if rest else [task.id for task in server.tasks if task.id is not None]
    listing = _known(server, "resources" if command == "read" else "prompts")
    if not rest:
        return list(listing)
    if rest[0] not in listing:
        return []
    item = listing[rest[0]]
    return _unused(item.variables if isinstance(item, Resource) else list(item.arguments), rest[1:], current)


def _known(server: Server, which: str) -> Any:
    """A list, however old: whoever types waits for nothing that was there a moment ago."""
    return client_of(server).listings.known(which) or getattr(server, which)


def _unused(names: Iterable[str], given: list[str], current: str) -> list[str]:
    known = {word.partition("=")[0].removesuffix(":") for word in given}
    return [f"{name}=" for name in names if name not in known] if "=" not in current else []


def _tool_words(command: str, server: Server, rest: list[str], current: str) -> list[str]:
    if not rest:
        return _tools(command, server)
    tools = _known(server, "tools")
    if rest[0] not in tools:
        return []
    tool = tools[rest[0]]
    name, equals, _ = current.partition("=")
    if equals:
        values = values_of(tool.arguments.get(name, {}), tool.input_schema)
        return [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for value in values]
    return _unused(tool.arguments, rest[1:], current)


def _tools(command: str, server: Server) -> list[str]:
    tools = _known(server, "tools").values()
    if command == "app":
        return [tool.name for tool in tools if tool.ui.resource_uri]
    return [tool.name for tool in tools if "model" in tool.ui.visibility]


def completer(_shell: Any, event: Any) -> list[str]:
    """The hook for IPython's `complete_command`. A completion that fails must not disturb typing."""
    try:
        return complete(event.line[: getattr(event, "cursor_pos", None) or len(event.line)])
    except LabError:
        return []
