"""Reading the words of a `%mcp` line: `key=value` arguments typed by a tool's input schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pmcp_lab.client import Tool
from pmcp_lab.errors import InvalidArguments

_CLOSING = {"[": "]", "{": "}", "(": ")"}


def split_words(line: str) -> list[str]:
    """Words at white space, keeping what is inside quotes or brackets together. Quotes are kept.

    Raises:
        InvalidArguments: A quote or bracket stays open.
    """
    words: list[str] = []
    word = ""
    closing: list[str] = []
    quote = ""
    escaped = False
    for char in line:
        if quote:
            word += char
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == quote:
                quote = ""
        elif char in "\"'" and (closing or not word or word[-1] in "=:"):
            quote = char
            word += char
        elif char in _CLOSING and (closing or not word or word[-1] in "=:"):
            closing.append(_CLOSING[char])
            word += char
        elif closing and char == closing[-1]:
            closing.pop()
            word += char
        elif char.isspace() and not closing:
            if word:
                words.append(word)
            word = ""
        else:
            word += char
    if quote or closing:
        raise InvalidArguments(f"{quote or closing[-1]!r} is missing at the end of: {line.strip()}")
    return [*words, word] if word else words


def unquote(word: str) -> str:
    """`"a b"` → `a b`, with JSON escapes in double quotes; other text as it is."""
    if len(word) >= 2 and word[0] == word[-1] == '"':
        try:
            return str(json.loads(word))
        except ValueError:
            return word[1:-1]
    if len(word) >= 2 and word[0] == word[-1] == "'":
        return word[1:-1].replace("\\'", "'")
    return word


def read_arguments(tool: Tool, words: Sequence[str], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """A tool's arguments from `key=value` words.

    A value is read as its schema says: text for a string, JSON for the rest. `key=$name` takes a variable
    of the notebook, `key:=json` is JSON whatever the schema says.

    Raises:
        InvalidArguments: No `=`, no such variable, or a value that can't be what the schema wants.
    """
    known = tool.arguments
    arguments: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        as_json = key.endswith(":")
        key = key.removesuffix(":")
        if not equals or not key:
            raise InvalidArguments(f"{word!r} is no key=value. The tool is {tool.signature}")
        if value.startswith("$") and not as_json:
            if value[1:] not in namespace:
                raise InvalidArguments(f"{key}={value}: there is no variable {value[1:]!r} in this notebook")
            arguments[key] = namespace[value[1:]]
        else:
            arguments[key] = _read_value(tool, key, value, {} if as_json else known.get(key, {}), as_json)
    return arguments


def read_texts(words: Sequence[str], namespace: Mapping[str, Any]) -> dict[str, str]:
    """The arguments of a prompt or resource template from `key=value` words: text only; `key=$name` a variable's.

    Raises:
        InvalidArguments: No `=`, or no such variable.
    """
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InvalidArguments(f"{word!r} is no key=value")
        if value.startswith("$") and value[1:] not in namespace:
            raise InvalidArguments(f"{word}: there is no variable {value[1:]!r} in this notebook")
        found[key] = str(namespace[value[1:]]) if value.startswith("$") else unquote(value)
    return found


def _read_value(tool: Tool, key: str, value: str, schema: Mapping[str, Any], as_json: bool) -> Any:
    quoted = value[:1] in ("'", '"') and value[-1:] == value[:1] and len(value) > 1
    kinds = kinds_of(schema, tool.input_schema)
    if as_json or (kinds and "string" not in kinds):
        try:
            return _json(unquote(value) if quoted and not as_json else value)
        except ValueError:
            wanted = " or ".join(sorted(kinds)) or "JSON"
            raise InvalidArguments(
                f"{key}={value}: {tool.server}.{tool.name} wants {wanted} here\n{tool.signature}"
            ) from None
    if quoted or kinds == {"string"}:
        return unquote(value)
    try:
        return _json(value)
    except ValueError:
        return value


def _json(text: str) -> Any:
    lowered = {"True": True, "False": False, "None": None}
    return lowered[text] if text in lowered else json.loads(text)


def kinds_of(schema: Mapping[str, Any], root: Mapping[str, Any]) -> set[str]:
    """The JSON types a schema allows; empty when it does not say. Follows local `$ref`s and alternatives."""
    if "$ref" in schema:
        found = referred(schema, root)
        return kinds_of(found, root) if found is not None else set()
    kind = schema.get("type")
    if isinstance(kind, str):
        return {kind}
    if isinstance(kind, list):
        return set(map(str, kind))
    if isinstance(schema.get("enum"), list) or "const" in schema:
        values = schema.get("enum") or [schema.get("const")]
        return {"string"} if all(isinstance(value, str) for value in values) else set()
    return set().union(*(kinds_of(option, root) for option in _options(schema)))


def _options(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = schema.get("anyOf") or schema.get("oneOf")
    return [option for option in listed if isinstance(option, Mapping)] if isinstance(listed, list) else []


def values_of(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Any]:
    """The values a schema lists, as `enum`, `const` or in alternatives; empty when any will do."""
    if "$ref" in schema:
        found = referred(schema, root)
        return values_of(found, root) if found is not None else []
    if isinstance(schema.get("enum"), list):
        return list(schema["enum"])
    if "const" in schema:
        return [schema["const"]]
    if schema.get("type") == "boolean":
        return [True, False]
    return [value for option in _options(schema) for value in values_of(option, root)]


def referred(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a local `$ref` leads to, over others if need be."""
    seen: list[Mapping[str, Any]] = []
    found: Any = schema
    while isinstance(found, Mapping) and "$ref" in found and found not in seen:
        seen.append(found)
        reference = found["$ref"]
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return None
        found = root
        for part in reference[2:].split("/"):
            found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) and "$ref" not in found else None
