"""A value that fits a schema, for an app that is looked at before anybody has called its tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pmcp_lab.protocol.validation import Comparison, UnusableSchema

DEEPEST = 8
"""Levels; a schema that refers to itself has no end."""
_MISSING = object()
_FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.com",
}


def made_up(schema: Mapping[str, Any]) -> Any:
    """A value for a schema: what it gives as example or default, or else the simplest there is.

    Raises:
        UnusableSchema: There is none that was found to fit.
    """
    value = _value(schema, schema, 0)
    if Comparison(schema, formats=False).errors(value):
        raise UnusableSchema("it is not clear what fits it")
    return value


def resolved(schema: Any, root: Mapping[str, Any]) -> Any:
    """What a `$ref` within the same schema leads to, or None; any other schema is itself."""
    seen = set()
    while isinstance(schema, Mapping) and isinstance(ref := schema.get("$ref"), str):
        if ref in seen or not ref.startswith("#"):
            return None
        seen.add(ref)
        schema = pointed(root, ref)
    return schema


def pointed(root: Mapping[str, Any], ref: str) -> Any:
    """What stands at a JSON pointer, written as `#/…`; None where nothing does."""
    found: Any = root
    for part in ref.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _value(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    schema = resolved(schema, root)
    if not isinstance(schema, Mapping) or depth > DEEPEST:
        return {} if depth == 0 else None
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    for name in ("examples", "enum"):
        if isinstance(schema.get(name), list) and schema[name]:
            return schema[name][0]
    for name in ("anyOf", "oneOf"):
        choices = schema.get(name)
        if isinstance(choices, list) and choices:
            plain = [each for each in choices if not (isinstance(each, Mapping) and each.get("type") == "null")]
            chosen = _value((plain or choices)[0], root, depth + 1)
            return chosen if not isinstance(chosen, dict) else {**_object(schema, root, depth), **chosen}
    if isinstance(parts := schema.get("allOf"), list) and parts:
        values = [_value(part, root, depth + 1) for part in parts]
        if all(isinstance(each, dict) for each in values):
            return {name: item for each in [*values, _object(schema, root, depth)] for name, item in each.items()}
        return values[0]
    return _plain(schema, root, depth)


def _plain(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    match kind or ("object" if "properties" in schema else "array" if "items" in schema else "string"):
        case "object":
            return _object(schema, root, depth)
        case "array":
            return _array(schema, root, depth)
        case "integer" | "number":
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
    text = _FORMATS.get(str(schema.get("format")), "text")
    least, most = schema.get("minLength", 0), schema.get("maxLength", len(text))
    return (text + "x" * max(0, least - len(text)))[: max(most, least)]


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    known = schema.get("properties")
    known = known if isinstance(known, Mapping) else {}
    needed = schema.get("required") or ()
    found = {name: _value(each, root, depth + 1) for name, each in known.items() if name in needed or depth < 3}
    more = schema.get("additionalProperties")
    if not known and isinstance(more, Mapping):
        found["key"] = _value(more, root, depth + 1)
    return found


def _array(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> list[Any]:
    first = schema.get("prefixItems")
    found = [_value(each, root, depth + 1) for each in first] if isinstance(first, list) else []
    items = schema.get("items")
    least = schema.get("minItems", 0)
    while isinstance(items, Mapping) and len(found) < max(1, least):
        found.append(_value(items, root, depth + 1))
    return found[: schema.get("maxItems", len(found))]


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    step = schema.get("multipleOf") or (1 if whole else 0.5)
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    found: float = 1
    if least is not None and found <= least:
        found = least if "minimum" in schema else least + step
    if most is not None and found >= most:
        found = most if "maximum" in schema else most - step
    if "multipleOf" in schema:
        found = step * -(-found // step)
    return int(found) if whole else found
