"""What a server was asked and what it answered, as a file: fixtures for tests, mock data for landing pages.

The file is JSON, to be read and edited by people:

```json
{
  "format": "pmcp-lab-recording/1",
  "server": {"name": "chess", "version": "1.0"},
  "tools": [{"name": "move", "inputSchema": {}, "_meta": {"ui": {"resourceUri": "ui://chess/board"}}}],
  "resources": [{"uri": "ui://chess/board", "mimeType": "text/html;profile=mcp-app", "text": "…"}],
  "calls": [
    {"tool": "move", "arguments": {"square": "e4"}, "result": {"content": []}, "ms": 12.5},
    {"tool": "move", "arguments": {"square": "z9"}, "error": {"code": -32602, "message": "no such square"}, "ms": 3}
  ]
}
```

`tools` are as listed, `resources` as the items of `resources/read`, `result` is a whole `CallToolResult`. Answering
from one is in `replay`; making one from a live connection is `pmcp_lab.record`.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pmcp_lab.errors import AppError, nearest
from pmcp_lab.protocol.validation import Comparison, UnusableSchema

FORMAT = "pmcp-lab-recording/1"

LEFT_OUT = "[left out]"
"""What stands in a recording in place of a secret."""

SHORTEST_SECRET = 6
"""Characters; replacing a shorter text wherever it stands would garble what is no secret."""

_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:password|passwd|passphrase|secret|token|credentials?|authorization|cookie|api[_-]?key|"
    r"access[_-]?key|private[_-]?key|session[_-]?id)$",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"(?P<keep>\bBearer\s+)[\w.~+/=-]{8,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|\b(?:sk|pk|ghp|gho|ghs|github_pat|xox[abpr]|AKIA)[-_]?[A-Za-z0-9_-]{16,}"
)
"""Bearer tokens, JWTs, and keys that say by their first letters what they are."""


@dataclass(frozen=True, kw_only=True)
class RecordedCall:
    """One call of a tool, and how it ended.

    Args:
        result: A whole `CallToolResult`; None when there was an error.
        error: A JSON-RPC error: `code`, `message`, perhaps `data`; None when there was a result.
        ms: Milliseconds until it was there.
    """

    tool: str
    arguments: dict[str, Any]
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    ms: float = 0.0


@dataclass(kw_only=True)
class Recording:
    """What is known of one server.

    Args:
        server: `name`, and what else of its `Implementation` is known.
        tools: As listed.
        resources: `ui://` resources as items of `resources/read`: `uri`, `mimeType`, `text` or `blob`, `_meta`.
        calls: Oldest first.
    """

    server: dict[str, Any]
    tools: list[dict[str, Any]] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    calls: list[RecordedCall] = field(default_factory=list)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recording:
        """Read a file.

        Raises:
            AppError: It is not there, or no recording; one line that says where.
        """
        file = Path(path).expanduser()
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise AppError(f"{file} can't be read: {error.strerror}") from None
        except ValueError as error:
            raise AppError(f"{file} is no JSON: {error}") from None
        return cls.from_dict(said, str(file))

    @classmethod
    def from_dict(cls, said: Any, where: str = "the recording") -> Recording:
        """Read what `to_dict` makes.

        Raises:
            AppError: It is none.
        """
        if not isinstance(said, Mapping) or said.get("format") != FORMAT:
            raise AppError(f'{where} is no recording: it does not begin with "format": "{FORMAT}"')
        server = said.get("server")
        if not isinstance(server, Mapping) or not isinstance(server.get("name"), str):
            raise AppError(f"{where}: server must have a name")
        tools = _objects(said, "tools", "name", where)
        resources = _objects(said, "resources", "uri", where)
        calls = [_call(raw, f"{where}: calls[{n}]") for n, raw in enumerate(_objects(said, "calls", "tool", where))]
        return cls(server=dict(server), tools=tools, resources=resources, calls=calls)

    def to_dict(self) -> dict[str, Any]:
        """What the file holds."""
        return {
            "format": FORMAT,
            "server": self.server,
            "tools": self.tools,
            "resources": self.resources,
            "calls": [_written(call) for call in self.calls],
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a file, whole or not at all, readable by its owner only; replaces one that is there.

        Raises:
            AppError: It can't be written.
        """
        file = Path(path).expanduser()
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=1, default=str) + "\n"
        try:
            descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                opened.write(text)
            Path(draft).replace(file)
        except OSError as error:
            raise AppError(f"{file} can't be written: {error.strerror}") from None
        return file

    def tool(self, name: str) -> dict[str, Any]:
        """A tool as listed.

        Raises:
            AppError: There is none of this name.
        """
        for tool in self.tools:
            if tool["name"] == name:
                return tool
        known = nearest(name, (tool["name"] for tool in self.tools))
        raise AppError(f"the recording of {self.server['name']!r} has no tool {name!r}.{known}")

    def find(self, tool: str, arguments: Mapping[str, Any], *, after: int = 0) -> RecordedCall | None:
        """The recorded call with just these arguments; of several the one that is so many further, or the last.

        Args:
            after: How many calls with these arguments were answered already.
        """
        wanted = matching(arguments)
        same = [call for call in self.calls if call.tool == tool and matching(call.arguments) == wanted]
        return same[min(after, len(same) - 1)] if same else None

    def check(self) -> None:
        """Compare every call with its tool's schemas.

        Raises:
            AppError: One does not fit: which, and why. One line.
        """
        for n, call in enumerate(self.calls):
            tool = self.tool(call.tool)
            pairs: list[tuple[str, Any, Any]] = []
            if call.error is None and not (call.result or {}).get("isError"):
                pairs.append(("arguments", tool.get("inputSchema"), call.arguments))
                if tool.get("outputSchema") is not None:
                    pairs.append(
                        ("structuredContent", tool["outputSchema"], (call.result or {}).get("structuredContent"))
                    )
            for what, schema, value in pairs:
                try:
                    problems = Comparison(schema or {}, formats=False).errors(value)
                except UnusableSchema as error:
                    raise AppError(
                        f"calls[{n}] of {call.tool!r}: the schema of its {what} can't be used: {error}"
                    ) from None
                for problem in problems[:1]:
                    place = "".join(f"[{part!r}]" for part in problem.absolute_path)
                    raise AppError(f"calls[{n}] of {call.tool!r}: {what}{place}: {problem.message}")

    def __repr__(self) -> str:
        return f"<Recording of {self.server['name']}: {len(self.calls)} calls, {len(self.resources)} widgets>"


def matching(arguments: Mapping[str, Any]) -> str:
    """Two calls are alike when this is: whatever the order of names, and without secrets."""
    return json.dumps(without_secrets(dict(arguments)), sort_keys=True, ensure_ascii=False, default=str)


def without_secrets(value: Any, known: Collection[str] = ()) -> Any:
    """A JSON value with `LEFT_OUT` for what is called or looks like a secret.

    Args:
        known: Texts that are secrets wherever they stand, such as the connection's token.
    """
    if isinstance(value, Mapping):
        return {
            key: LEFT_OUT if each and _is_secret(str(key), each) else without_secrets(each, known)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(each, known) for each in value]
    if not isinstance(value, str):
        return value
    for secret in known:
        value = value.replace(secret, LEFT_OUT)
    return _SECRET_TEXT.sub(lambda match: (match["keep"] or "") + LEFT_OUT, value)


def secret_values(value: Any) -> set[str]:
    """The texts that are called a secret anywhere in a JSON value, or in JSON that is a text in it.

    A result says most things twice, once as data and once as text, and the text has no names to go by.
    """
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return secret_values(json.loads(value))
        except ValueError:
            return set()
    if isinstance(value, list | tuple):
        return set().union(*map(secret_values, value))
    if not isinstance(value, Mapping):
        return set()
    named = {each for key, each in value.items() if _is_secret(str(key), each) and len(each) >= SHORTEST_SECRET}
    return named.union(*map(secret_values, value.values()))


def _is_secret(name: str, value: Any) -> bool:
    # `inputSchema.properties.token` describes a secret and is none; nor is a number of tokens.
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return isinstance(value, str) and _SECRET_NAME.search(spaced) is not None


def _objects(said: Mapping[str, Any], name: str, key: str, where: str) -> list[dict[str, Any]]:
    items = said.get(name, [])
    if not isinstance(items, list):
        raise AppError(f"{where}: {name} must be a list")
    for n, item in enumerate(items):
        if not isinstance(item, dict) or not isinstance(item.get(key), str):
            raise AppError(f"{where}: {name}[{n}] must have a {key}")
    return items


def _call(raw: dict[str, Any], where: str) -> RecordedCall:
    arguments, ms = raw.get("arguments", {}), raw.get("ms", 0)
    result, error = raw.get("result"), raw.get("error")
    if not isinstance(arguments, dict):
        raise AppError(f"{where}: arguments must be names with values")
    if isinstance(ms, bool) or not isinstance(ms, int | float) or ms < 0:
        raise AppError(f"{where}: ms must be a number of milliseconds")
    if (result is None) == (error is None) or not isinstance(result if error is None else error, dict):
        raise AppError(f"{where} must have either a result or an error, as an object")
    if isinstance(error, dict) and not isinstance(error.get("code"), int):
        raise AppError(f"{where}: error must have a code, which is a number")
    return RecordedCall(tool=raw["tool"], arguments=arguments, result=result, error=error, ms=ms)


def _written(call: RecordedCall) -> dict[str, Any]:
    ending = {"result": call.result} if call.error is None else {"error": call.error}
    return {"tool": call.tool, "arguments": call.arguments, **ending, "ms": round(call.ms, 1)}
