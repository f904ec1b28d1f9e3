"""Schemas of strangers: nothing is fetched, none takes for ever, and what fits fits."""

from __future__ import annotations

import socket
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_lab.protocol.validation import PATTERN_SECONDS, Comparison, UnusableSchema

DEEP: dict[str, Any] = {"type": "string"}
for _ in range(3_000):
    DEEP = {"properties": {"a": DEEP}}

DOUBLING = {
    "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {"d40": {"type": "object"}},
    "$ref": "#/$defs/d0",
}


@pytest.mark.parametrize("scheme", ["http", "https", "ftp"])
def test_nothing_is_fetched(scheme: str) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0.2)
        url = f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/schema"
        with pytest.raises(UnusableSchema, match="which is not in it"):
            Comparison({"properties": {"a": {"$ref": url}}}).errors({"a": 1})
        with pytest.raises(TimeoutError):
            listening.accept()


def test_no_file_is_read(tmp_path: Any) -> None:
    file = tmp_path / "schema.json"
    file.write_text('{"type": "integer"}')
    with pytest.raises(UnusableSchema, match="which is not in it"):
        Comparison({"$ref": file.as_uri()}).errors("no integer")


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)*x(.*)*y"])
def test_a_pattern_has_a_moment(pattern: str) -> None:
    began = time.monotonic()
    text = "a" * 60 + "!"
    Comparison({"properties": {"a": {"pattern": pattern}}}).errors({"a": text})
    assert Comparison({"patternProperties": {pattern: {"type": "integer"}}}).errors({text: "x"}) == []
    assert time.monotonic() - began < 4 * PATTERN_SECONDS + 1


def test_what_can_not_be_found_out_in_time_is_the_servers_to_enforce() -> None:
    assert Comparison({"properties": {"a": {"pattern": "^(a|a)*$"}}}).errors({"a": "a" * 60 + "!"}) == []


def test_a_pattern_may_be_ecmas_alone() -> None:
    schema = Comparison({"properties": {"a": {"pattern": r"^\p{Lu}+$"}}})
    assert schema.errors({"a": "ÄÖ"}) == []
    assert len(schema.errors({"a": "äö"})) == 1


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (DEEP, "too deep"),
        (DOUBLING, "more than 0.3 s"),
        ({"$ref": "#"}, "goes round in circles"),
        ({"$ref": "#/nowhere"}, "'/nowhere', which is not in it"),
        ({"type": "moon"}, "no JSON Schema"),
        (
            {"properties": {"a": {"pattern": "(a+)+$"}}, "allOf": [{"properties": {"a": {"pattern": "^(a|a)*$"}}}] * 9},
            "0.3",
        ),
    ],
    ids=["deep", "doubling", "circle", "nowhere", "no type", "many patterns"],
)
def test_what_can_not_be_used_says_so(schema: dict[str, Any], why: str) -> None:
    value: dict[str, Any] = {"a": "a" * 60 + "!"}
    for _ in range(3_000 if schema is DEEP else 0):
        value = {"a": value}
    began = time.monotonic()
    with pytest.raises(UnusableSchema, match=why):
        Comparison(schema).errors(value, seconds=0.3)
    assert time.monotonic() - began < 3


DRAFT = "https://json-schema.org/draft/2020-12/schema"
WIDE: dict[str, Any] = {"const": 0}
for _ in range(9):
    WIDE = {"if": WIDE, "then": WIDE, "else": WIDE}
TWICE = {f"d{n}": {"dependentSchemas": {key: {"$ref": f"#/$defs/d{n + 1}"} for key in "ab"}} for n in range(40)}
ASKED_TWICE = {"$defs": TWICE | {"d40": {}}, "$ref": "#/$defs/d0", "unevaluatedProperties": False}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (ASKED_TWICE, {"a": 1, "b": 2}),
        (DOUBLING | {"unevaluatedProperties": False}, {"a": 1}),
        ({"items": {"enum": list(range(5_000))}}, list(range(5_000))),
        ({"items": {"type": "integer"}}, list(range(500_000))),
        ({"contains": {"contains": {"contains": {"const": 1}}}}, [[[0] * 100] * 100] * 100),
        ({"allOf": [{"type": "object"}] * 50_000}, {}),
        (WIDE, 1),
    ],
    ids=["twice", "unevaluated", "enum", "items", "contains", "many", "wide"],
)
def test_no_keyword_takes_for_ever(schema: dict[str, Any], value: Any) -> None:
    began = time.monotonic()
    with pytest.raises(UnusableSchema, match="more than"):
        Comparison(schema).errors(value, seconds=0.1)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("draft", [DRAFT, "http://json-schema.org/draft-07/schema#"])
def test_a_part_that_names_its_own_draft_is_held_to_the_same(draft: str) -> None:
    """The library goes on with a validator of that draft."""
    part = {"$schema": draft, "pattern": "^(a|a)*$"}
    began = time.monotonic()
    assert Comparison({"$defs": {"part": part}, "$ref": "#/$defs/part"}).errors("a" * 26 + "!") == []
    assert Comparison({"properties": {"a": part}}).errors({"a": "a" * 26 + "!"}) == []
    assert time.monotonic() - began < 4 * PATTERN_SECONDS + 1


@pytest.mark.parametrize(
    ("items", "unique"),
    [
        ([{"a": n} for n in range(20_000)], True),
        ([{"a": 1, "b": [1]}, {"b": [1.0], "a": 1}], False),
        ([1, True, 0, False, "1", [1], {"1": 1}, None], True),
        ([[1], [True]], True),
        ([0, 0.0], False),
    ],
    ids=["many", "alike", "kinds", "nested", "zero"],
)
def test_items_are_unique_as_json(items: list[Any], unique: bool) -> None:
    began = time.monotonic()
    assert (Comparison({"uniqueItems": True}).errors(items) == []) is unique
    assert Comparison({"uniqueItems": False}).errors(items) == []
    assert time.monotonic() - began < 2


def test_numbers_beyond_counting() -> None:
    with pytest.raises(UnusableSchema, match="beyond counting"):
        Comparison({"multipleOf": 0.1}).errors(10**5_000)


@pytest.mark.parametrize(
    ("name", "value"), [("iri", "http://x.example/" + "ä" * 4000), ("uri-template", "{" * 100_000)]
)
def test_no_format_takes_for_ever(name: str, value: str) -> None:
    began = time.process_time()
    comparison = Comparison({"properties": {"at": {"format": name}, "n": {"type": "integer"}}})
    assert [error.message for error in comparison.errors({"at": value, "n": "x"})] == ["'x' is not of type 'integer'"]
    assert time.process_time() - began < 1


def test_an_iri_is_compared_with_its_grammar() -> None:
    comparison = Comparison({"format": "iri"})
    assert comparison.errors("http://ü.example/ä") == []
    assert [error.message for error in comparison.errors("no iri")] == ["'no iri' is not a 'iri'"]


def test_a_format_is_a_remark_where_it_is_not_asked_for() -> None:
    schema = {"format": "date"}
    assert len(Comparison(schema).errors("yesterday")) == 1
    assert Comparison(schema, formats=False).errors("yesterday") == []


@pytest.mark.parametrize("pattern", ["(", "[z-a]"])
def test_a_pattern_that_is_none_is_the_servers_to_enforce(pattern: str) -> None:
    found = Comparison({"properties": {"a": {"pattern": pattern}, "b": {"type": "string"}}}).errors({"a": "x", "b": 1})
    assert [error.message for error in found] == ["1 is not of type 'string'"]


SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "pattern": "^[a-c]+$"},
        "b": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/word"}]},
        "c": {"type": "array", "items": {"$ref": "#/$defs/word"}},
    },
    "patternProperties": {"^x": {"type": "integer"}},
    "required": ["a"],
    "$defs": {"word": {"type": "string", "minLength": 2}},
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "abc", "xyz"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "x1", "y"]), below),
    max_leaves=8,
)


@given(VALUES)
def test_everything_else_is_as_the_library_says(value: Any) -> None:
    plain = jsonschema.Draft202012Validator(SCHEMA).iter_errors(value)
    ours = Comparison(SCHEMA).errors(value)
    assert sorted(error.message for error in ours) == sorted(error.message for error in plain)
