"""Forms from JSON Schema: what fields there are, and what is wrong with what was entered.

The fields are drawn by `js/src/form` (`Field` of `js/MESSAGES.md`), which compares what is typed with them; the
whole schema has the last word here. A question's schema is flat; a tool's arguments are taken one level deep, and
what is nested in them is entered as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pmcp_lab.protocol.validation import Comparison, UnusableSchema

SIMPLE = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean"}
FORMATS = {"email": "email", "uri": "uri", "date": "date", "date-time": "date-time"}
BOUNDS = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "minItems", "maxItems"),
)
LONG = 200
"""Characters from which a text gets a field of several lines."""


def fields(schema: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The fields of an object's schema.

    Args:
        values: What is filled in beforehand; wins over the schema's defaults.
    """
    properties = schema.get("properties")
    known = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    names = set(map(str, required)) if isinstance(required, list) else set()
    return [_field(str(name), each, str(name) in names, schema, values or {}) for name, each in known.items()]


def _field(name: str, raw: Any, required: bool, root: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    schema, optional = _plain(raw, root)
    found: dict[str, Any] = {
        "name": name,
        "title": str(schema.get("title") or name),
        "description": str(schema.get("description") or ""),
        "required": required,
        **_kind(schema, root),
    }
    if optional and found["kind"] == "json":
        found["nullable"] = True
    default = values.get(name, schema.get("default"))
    if default is not None:
        found["default"] = default
    if found["kind"] == "text" and isinstance(default, str) and ("\n" in default or len(default) >= LONG):
        found["long"] = True  # a field of one line would drop the breaks
    return found


def _plain(raw: Any, root: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """A schema without local `$ref`s and without the null that an optional field allows; whether null was there."""
    schema = dict(raw) if isinstance(raw, Mapping) else {}
    optional = False
    for _ in range(8):  # a schema may refer to itself
        target = _target(schema.pop("$ref", None), root)
        alternatives = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if target is not None:
            schema = {**target, **schema}
        elif isinstance(alternatives, list) and not _constants(alternatives):
            rest = [each for each in alternatives if not (isinstance(each, Mapping) and each.get("type") == "null")]
            optional = optional or len(rest) < len(alternatives)
            if len(rest) != 1 or not isinstance(rest[0], Mapping):
                break
            own = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf", "allOf")}
            schema = {**rest[0], **own}
        else:
            break
    kinds = schema.get("type")
    if isinstance(kinds, list):
        rest = [kind for kind in kinds if kind != "null"]
        optional = optional or len(rest) < len(kinds)
        schema["type"] = rest[0] if len(rest) == 1 else rest
    return schema, optional


def _target(reference: Any, root: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: Any = root
    for part in reference[2:].split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _kind(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """What a field is, with the bounds that are checked while it is filled in."""
    bounds = {name: schema[name] for name in BOUNDS if name in schema}
    options = list(_options(schema))
    if options:
        return {"kind": "choice", "options": options}
    kind = schema.get("type")
    if kind == "array":
        items, _ = _plain(schema.get("items"), root)
        choices = list(_options(items))
        if choices:
            return {"kind": "choices", "options": choices, **bounds}
    elif isinstance(kind, str) and kind in SIMPLE:
        if kind != "string":
            return {"kind": SIMPLE[kind], **bounds}
        form = schema.get("format")
        if isinstance(form, str) and form in FORMATS:
            return {"kind": FORMATS[form], **bounds}
        longest = schema.get("maxLength")
        long = isinstance(longest, int | float) and longest >= LONG
        return {"kind": "text", **bounds, **({"long": True} if long else {})}
    return {"kind": "json", "type": kind if isinstance(kind, str) else "any"}


def _constants(alternatives: Any) -> bool:
    return bool(alternatives) and all(isinstance(each, Mapping) and "const" in each for each in alternatives)


def _options(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The choices of an enumeration: plain, titled, or with the older `enumNames`."""
    alternatives = schema.get("oneOf") or schema.get("anyOf")
    if isinstance(alternatives, list) and _constants(alternatives):
        for each in alternatives:
            yield {"value": each["const"], "title": str(each.get("title") or each["const"])}
    elif isinstance(schema.get("enum"), list):
        names = schema.get("enumNames")
        titles = names if isinstance(names, list) else []
        for index, value in enumerate(schema["enum"]):
            if value is not None:
                yield {"value": value, "title": str(titles[index] if index < len(titles) else value)}
    elif "const" in schema:
        yield {"value": schema["const"], "title": str(schema["const"])}


def problems(schema: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with an answer, by field; "" is for what belongs to none. Slow at its first use."""
    found: dict[str, str] = {}
    try:
        for error in Comparison(schema).errors(dict(content)):
            if error.validator == "required" and not error.absolute_path:
                for name in schema.get("required") or ():
                    if name not in content:
                        found.setdefault(str(name), "Required.")
            else:
                where = str(error.absolute_path[0]) if error.absolute_path else ""
                found.setdefault(where, error.message[:300])
    except UnusableSchema:
        return {}  # it is the server's to enforce
    return found
