"""Forms from JSON Schema: which fields there are, and that what they let through fits the schema."""

from __future__ import annotations

from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from pmcp_lab.host.forms import fields, problems


def only(schema: dict[str, Any], required: bool = True, **more: Any) -> dict[str, Any]:
    """The field of a schema with one property."""
    (field,) = fields({"type": "object", "properties": {"x": schema}, "required": ["x"] if required else [], **more})
    return field


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"type": "string", "minLength": 2}, {"kind": "text", "minLength": 2}),
        ({"type": "string", "maxLength": 2000}, {"kind": "text", "long": True}),
        ({"type": "string", "format": "email"}, {"kind": "email"}),
        ({"type": "string", "format": "uri"}, {"kind": "uri"}),
        ({"type": "string", "format": "date"}, {"kind": "date"}),
        ({"type": "string", "format": "date-time"}, {"kind": "date-time"}),
        ({"type": "string", "format": "of a kind nobody knows"}, {"kind": "text"}),
        ({"type": "integer", "minimum": 1, "maximum": 9}, {"kind": "integer", "minimum": 1, "maximum": 9}),
        ({"type": "number", "exclusiveMinimum": 0}, {"kind": "number", "exclusiveMinimum": 0}),
        ({"type": "boolean", "default": True}, {"kind": "boolean", "default": True}),
        ({"enum": ["a", "b"]}, {"kind": "choice", "options": [{"value": v, "title": v} for v in "ab"]}),
        (
            {"type": "string", "enum": ["a", "b"], "enumNames": ["Ah"]},
            {"options": [{"value": "a", "title": "Ah"}, {"value": "b", "title": "b"}]},
        ),
        (
            {"oneOf": [{"const": "a", "title": "Ah"}, {"const": "b"}]},
            {"kind": "choice", "options": [{"value": "a", "title": "Ah"}, {"value": "b", "title": "b"}]},
        ),
        (
            {"type": "array", "items": {"enum": ["a"]}, "minItems": 1, "maxItems": 2},
            {"kind": "choices", "options": [{"value": "a", "title": "a"}], "minItems": 1, "maxItems": 2},
        ),
        (
            {"type": "array", "items": {"anyOf": [{"const": "a", "title": "Ah"}]}},
            {"kind": "choices", "options": [{"value": "a", "title": "Ah"}]},
        ),
        ({"type": "array", "items": {"type": "number"}}, {"kind": "json", "type": "array"}),
        ({"type": "object"}, {"kind": "json", "type": "object"}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"kind": "text"}),
        ({"type": ["integer", "null"]}, {"kind": "integer"}),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {"kind": "json", "type": "any"}),
        (True, {"kind": "json"}),
        ({}, {"kind": "json"}),
    ],
)
def test_kinds(schema: Any, field: dict[str, Any]) -> None:
    found = only(schema)
    assert {key: found[key] for key in field} == field


def test_null_is_offered_where_json_is_written_and_null_allowed() -> None:
    assert only({"anyOf": [{"type": "object"}, {"type": "null"}]})["nullable"] is True
    assert only({"type": ["array", "null"]})["nullable"] is True
    for schema in ({"type": "object"}, {"type": ["integer", "null"]}, {}):
        assert "nullable" not in only(schema)


def test_titles_and_descriptions() -> None:
    assert only({"type": "string", "title": "T", "description": "D"}, required=False) == {
        "name": "x",
        "title": "T",
        "description": "D",
        "required": False,
        "kind": "text",
    }


def test_references_are_followed_and_never_for_ever() -> None:
    again = {"$defs": {"e": {"enum": ["a"]}, "loop": {"$ref": "#/$defs/loop"}}}
    assert only({"$ref": "#/$defs/e", "description": "mine"}, **again)["kind"] == "choice"
    assert only({"$ref": "#/$defs/loop"}, **again)["kind"] == "json"
    assert only({"$ref": "https://elsewhere.example"})["kind"] == "json"


def test_values_win_over_defaults() -> None:
    (field,) = fields({"properties": {"x": {"type": "integer", "default": 1}}}, {"x": 2})
    assert field["default"] == 2


def test_what_pydantic_makes() -> None:
    class Wanted(BaseModel):
        name: str = Field(min_length=1)
        size: Literal["s", "m"] = "s"
        note: str | None = None
        tags: list[Literal["x", "y"]] = []
        deep: dict[str, int] = {}

    kinds = {field["name"]: (field["kind"], field["required"]) for field in fields(Wanted.model_json_schema())}
    assert kinds == {
        "name": ("text", True),
        "size": ("choice", False),
        "note": ("text", False),
        "tags": ("choices", False),
        "deep": ("json", False),
    }


@pytest.mark.parametrize("schema", [{}, {"properties": None}, {"properties": {"x": None}, "required": "x"}])
def test_what_is_no_schema_breaks_nothing(schema: dict[str, Any]) -> None:
    fields(schema)
    problems(schema, {})


def test_problems_are_beside_their_fields() -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "maximum": 3}, "s": {"type": "string", "pattern": "^a"}},
        "required": ["n", "s"],
        "minProperties": 1,
    }
    assert problems(schema, {"n": 9})["s"] == "Required."
    assert "maximum of 3" in problems(schema, {"n": 9})["n"]
    assert "does not match" in problems(schema, {"n": 1, "s": "b"})["s"]
    assert "" in problems(schema, {})
    assert problems(schema, {"n": 1, "s": "a"}) == {}


# --- any schema: what the fields allow, the schema takes ---

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)


@st.composite
def properties(draw: st.DrawFn) -> dict[str, Any]:
    """A property as an elicitation may ask for it."""
    choices = draw(st.lists(texts, min_size=1, max_size=4, unique=True))
    low, high = sorted(draw(st.tuples(st.integers(-50, 50), st.integers(-50, 50))))
    few, many = sorted(draw(st.tuples(st.integers(0, 4), st.integers(0, 4))))
    enum = draw(
        st.sampled_from(
            [
                {"type": "string", "enum": choices},
                {"type": "string", "enum": choices, "enumNames": [f"name {n}" for n in range(len(choices))]},
                {"type": "string", "oneOf": [{"const": each, "title": f"<b>{each}</b>"} for each in choices]},
            ]
        )
    )
    items = {key: value for key, value in enum.items() if key != "enumNames"}
    fewest = min(few, len(choices))
    kind = draw(
        st.sampled_from(
            [
                {"type": "string", "minLength": few, "maxLength": many},
                *({"type": "string", "format": name} for name in ("email", "uri", "date", "date-time")),
                {"type": "integer", "minimum": low, "maximum": high},
                {"type": "number", "minimum": low, "maximum": high},
                {"type": "boolean"},
                enum,
                {"type": "array", "items": items, "minItems": fewest, "maxItems": max(fewest, many)},
            ]
        )
    )
    return {**kind, **draw(st.sampled_from([{}, {"title": "T"}, {"description": "D"}]))}


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(texts, max_size=4, unique=True))
    required = draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    return {"type": "object", "properties": {name: draw(properties()) for name in names}, "required": required}


def entered(field: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What a person may enter into a field, going by the field alone."""
    values = [option["value"] for option in field.get("options", [])]
    match field["kind"]:
        case "text":
            return st.text("abc ü𝄞", min_size=field.get("minLength", 0), max_size=field.get("maxLength"))
        case "email":
            return st.just("a@b.example")
        case "uri":
            return st.just("https://a.example/b?c")
        case "date":
            return st.dates().map(str)
        case "date-time":
            return st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
        case "integer":
            return st.integers(field["minimum"], field["maximum"])
        case "number":
            return st.floats(field["minimum"], field["maximum"])
        case "boolean":
            return st.booleans()
        case "choice":
            return st.sampled_from(values)
        case "choices":
            most = min(field["maxItems"], len(values))
            return st.lists(st.sampled_from(values), min_size=field["minItems"], max_size=most, unique=True)
    raise AssertionError(field["kind"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schemas(), st.data())
def test_what_the_fields_allow_fits_the_schema(schema: dict[str, Any], data: st.DataObject) -> None:
    answer = {
        field["name"]: data.draw(entered(field))
        for field in fields(schema)
        if field["required"] or data.draw(st.booleans())
    }
    jsonschema.validate(answer, schema, format_checker=jsonschema.FormatChecker())
    assert problems(schema, answer) == {}
    for name in schema["required"]:
        assert problems(schema, {key: value for key, value in answer.items() if key != name})[name] == "Required."


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | texts,
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "type",
                        "properties",
                        "required",
                        "enum",
                        "enumNames",
                        "oneOf",
                        "anyOf",
                        "allOf",
                        "items",
                        "$ref",
                        "format",
                        "default",
                        "title",
                        "const",
                        "x",
                    ]
                ),
                inner,
            )
        ),
        max_leaves=12,
    )
)
def test_nonsense_makes_a_form_or_none_but_never_an_error(nonsense: Any) -> None:
    for field in fields({"type": "object", "properties": {"x": nonsense}, "required": nonsense}):
        assert isinstance(field["title"], str)
        assert isinstance(field["kind"], str)


def test_a_text_of_several_lines_has_a_field_of_several_lines() -> None:
    code = "// draw\nscene();"
    assert only({"type": "string", "default": code})["long"] is True
    (field,) = fields({"properties": {"x": {"type": "string"}}}, {"x": code})
    assert field["long"] is True
    assert "long" not in only({"type": "string", "default": "one line"})
