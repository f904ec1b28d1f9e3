"""The rules for the schemas of tools: what a model or a form makes nothing of, though it may be valid JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pmcp_lab.apps.finding import Finding
from pmcp_lab.apps.made_up import pointed
from pmcp_lab.apps.served import Raw
from pmcp_lab.protocol.validation import Comparison, UnusableSchema

DEEPEST = 40
"""Levels of a schema that are looked at."""
_COMBINED = ("$ref", "allOf", "anyOf", "oneOf", "if", "patternProperties", "dependentSchemas", "$dynamicRef")
_PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_BOUNDS = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)


def check_schema(schema: object, key: str, place: str) -> Iterator[Finding]:
    """What is wrong with a tool's `inputSchema` or `outputSchema`."""
    where = f"{place} {key}"
    if schema is None:
        if key == "inputSchema":
            yield Finding("error", "schema", where, "is missing", 'write at least {"type": "object"}')
        return
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        yield Finding("error", "schema", where, "is not the schema of an object", 'give it "type": "object"')
        return
    try:
        Comparison(schema)
    except UnusableSchema as error:
        yield Finding("error", "schema", where, str(error).removeprefix("it "), "correct it")
        return
    for path, each in _within(schema, "", 0):
        yield from _one(each, schema, where + path)
    if key == "inputSchema":
        for name in schema.get("properties") or {}:
            if not _PROPERTY.fullmatch(str(name)):
                yield Finding(
                    "warning",
                    "schema-name",
                    f"{where}.{name}",
                    "is a name that some models' APIs refuse",
                    "use 1 to 64 letters, digits, '_', '-' and '.'",
                )


def _within(schema: Any, path: str, depth: int) -> Iterator[tuple[str, Raw]]:
    """A schema and every schema in it, with where it is."""
    if not isinstance(schema, Mapping) or depth > DEEPEST:
        return
    yield path, schema
    for name in ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas"):
        inner = schema.get(name)
        for key, each in inner.items() if isinstance(inner, Mapping) else ():
            yield from _within(each, f"{path}.{key}" if name == "properties" else f"{path}.{name}.{key}", depth + 1)
    for name in ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"):
        yield from _within(schema.get(name), f"{path}.{name}", depth + 1)
    for name in ("allOf", "anyOf", "oneOf", "prefixItems"):
        each = schema.get(name)
        for number, part in enumerate(each if isinstance(each, list) else ()):
            yield from _within(part, f"{path}.{name}[{number}]", depth + 1)


def _one(schema: Raw, root: Raw, where: str) -> Iterator[Finding]:
    ref = schema.get("$ref")
    if isinstance(ref, str):
        local = ref == "#" or ref.startswith("#/")
        if local and pointed(root, ref) is None:
            yield Finding("error", "schema-ref", where, f"refers to {ref}, which is not there", "define it in $defs")
        elif not ref.startswith("#"):
            yield Finding("error", "schema-ref", where, f"refers to {ref}, which nobody fetches", "write it into $defs")
    yield from _required(schema, where)
    for least, most in _BOUNDS:
        low, high = schema.get(least), schema.get(most)
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            yield Finding(
                "error", "schema-empty", where, f"has {least} {low} and {most} {high}: nothing fits", "swap them"
            )
    if isinstance(values := schema.get("enum"), list) and not values:
        yield Finding("error", "schema-empty", where, "has an empty enum: nothing fits", "name the values")
    if "default" in schema and "$ref" not in schema:
        yield from _default(schema, root, where)
    if isinstance(pattern := schema.get("pattern"), str):
        try:
            re.compile(pattern)
        except re.error as error:
            if not re.search(r"\\p\{|\(\?<|\\u|\\c", pattern):  # what is only JavaScript's
                yield Finding("error", "schema", where, f"has a pattern that is none: {error}", "correct it")


def _required(schema: Raw, where: str) -> Iterator[Finding]:
    required, known = schema.get("required"), schema.get("properties")
    if not isinstance(required, list) or any(name in schema for name in _COMBINED):
        return
    if "type" not in schema and known is None:
        return  # a condition within another schema
    for name in required:
        if name not in (known if isinstance(known, Mapping) else {}):
            yield Finding(
                "error",
                "schema-required",
                where,
                f"requires {name!r}, of which it says nothing else",
                "describe it in properties, or do not require it",
            )


def _default(schema: Raw, root: Raw, where: str) -> Iterator[Finding]:
    own = dict(schema) | {name: root[name] for name in ("$defs", "definitions") if name in root}
    if schema["default"] is None:
        return  # libraries write so that there is none
    try:
        wrong = Comparison(own, formats=False).errors(schema["default"])
    except UnusableSchema:
        return
    if wrong:
        yield Finding(
            "error",
            "schema-default",
            where,
            f"has a default that does not fit: {wrong[0].message[:120]}",
            "correct one of both",
        )
