"""The YAML of a SKILL.md is read in two ways in the world: what both agree on is served, either is taken for right."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_lab.protocol.front_matter import (
    MAX_BYTES,
    InvalidFrontMatter,
    allowed_tools,
    field_problems,
    read_front_matter,
    same_json,
)
from pmcp_lab.protocol.served_front_matter import served_problems

PLAIN = {"name": "refunds", "description": "Pay money back"}


BOMB = [f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in ("ab", "bc", "cd", "de", "ef")]


def skill(*lines: str) -> str:
    return "\n".join(["---", "name: refunds", "description: Pay money back", *lines, "---", "# Refunds", ""])


def test_a_plain_one() -> None:
    read = read_front_matter(skill("license: MIT", "metadata:", "  author: acme", 'version: "1.0"'))
    assert read.fields == {**PLAIN, "license": "MIT", "metadata": {"author": "acme"}, "version": "1.0"}
    assert read.core == read.old
    assert served_problems(read) == field_problems(read.fields) == []


@pytest.mark.parametrize("before", ["", "\ufeff"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_marks_and_line_ends_of_other_systems(before: str, line_end: str) -> None:
    read = read_front_matter(before + skill().replace("\n", line_end))
    assert read.fields == PLAIN
    assert served_problems(read) == []


@pytest.mark.parametrize(
    ("value", "old", "core"),
    [
        ("yes", True, "yes"),
        ("Off", False, "Off"),
        ("010", 8, 10),
        ("0o10", "0o10", 8),
        ("1:30", 90, "1:30"),
        ("1_000", 1000, "1_000"),
        ("0b11", 3, "0b11"),
        ("1e3", "1e3", 1000.0),
        ("+12", 12, 12),
        ("0x1F", 31, 31),
        ("~", None, None),
        ("True", True, True),
        ("1.50", 1.5, 1.5),
        ("", None, None),
        ('"yes"', "yes", "yes"),
        ("[a, yes]", ["a", True], ["a", "yes"]),
        (">-\n  two\n  lines", "two lines", "two lines"),
    ],
)
def test_both_readings_of_a_value(value: str, old: object, core: object) -> None:
    read = read_front_matter(skill(f"extra: {value}"))
    assert read.old is not None
    assert read.core is not None
    assert same_json(read.old["extra"], old)
    assert same_json(read.core["extra"], core)
    agreed = same_json(old, core)
    assert (served_problems(read) == []) is agreed
    assert read.differences() == ([] if agreed else ["extra"])
    assert read.matches({**PLAIN, "extra": old})
    assert read.matches({**PLAIN, "extra": core})
    assert not read.matches({**PLAIN, "extra": "else"})
    assert read.differences({**PLAIN, "extra": "else"}) == ["extra"]


def test_the_line_end_of_the_last_block_of_text() -> None:
    """fastmcp cuts it off, others keep it; in the middle there is no doubt."""
    read = read_front_matter("---\nname: a\ndescription: >\n  Some\n  text\n---\n")
    for description, same in (("Some text", True), ("Some text\n", True), ("Some text\n\n", False)):
        assert read.matches({"name": "a", "description": description}) is same
    assert any("line end" in problem for problem in served_problems(read))
    for clear in ("description: >-\n  Some\n  text\nname: a", "name: a\ndescription: >-\n  Some", "x: >\n  a\nname: a"):
        assert served_problems(read_front_matter(f"---\n{clear}\n---\n")) == []


def test_a_separator_of_lines_is_a_letter_in_yaml_1_2() -> None:
    read = read_front_matter(skill('extra: ["a\u2028b", {"c\x85": d}]'))
    assert read.core is not None
    assert read.core["extra"] == ["a\u2028b", {"c\x85": "d"}]


@pytest.mark.parametrize("text", [skill().replace("---", "--- ", 1), skill().replace("---\n#", "---\t\n#")])
def test_spaces_after_a_line_of_hyphens(text: str) -> None:
    read = read_front_matter(text)
    assert read.fields == PLAIN
    assert any("has spaces after it" in problem for problem in served_problems(read))


@pytest.mark.parametrize(
    "value",
    [
        "[a, {b: [c]}, 'd'] # e",
        "'a' # b",
        "{}",
        "[]",
        "\n  - a\n  - b: c",
        "|-\n  a\n    b",
        ">\n\n  a\nmore: b",
        "a\n  b",
        "-1.5",
        "?a",
    ],
)
def test_what_everybody_knows(value: str) -> None:
    assert served_problems(read_front_matter(skill(f"extra: {value}"))) == []


def test_a_date_is_text_or_nothing() -> None:
    read = read_front_matter(skill("released: 2026-01-31"))
    assert read.old is None
    assert read.fields["released"] == "2026-01-31"
    assert read.matches({**PLAIN, "released": "2026-01-31"})
    assert not read.matches({**PLAIN, "released": "2026-02-01"})
    assert any("date" in problem for problem in served_problems(read))


def test_a_merge_key_is_a_key_of_its_own_in_yaml_1_2() -> None:
    read = read_front_matter(skill("extra:", "  <<: {a: b}"))
    assert read.old is not None
    assert read.old["extra"] == {"a": "b"}
    assert read.fields["extra"] == {"<<": {"a": "b"}}
    assert served_problems(read)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("extra: &a [b]", "anchors"),
        ("a: &a b\nc: *a", "aliases"),
        ("extra: !!str 1", "tags"),
        ("extra: 'two\n  lines'", "several lines"),
        ("extra: a\x85b", "U+0085"),
        ("extra: a\u2028b", "U+2028"),
        ("extra: 9007199254740993", "JavaScript"),
        ("extra: '=' \nmore: =", "YAML 1.1"),
        ("extra: [a,\n  b]", "over several lines"),
        ("extra: {a: [b],\n  c: d}", "over several lines"),
        ("extra: [a: b]", "without braces"),
        ("extra: {a, b: c}", "without a value"),
        ("extra: |2\n   a", "a number for its indentation"),
        ("? extra\n: a", "marked with ?"),
        ("extra: {? a : b}", "marked with ?"),
        ("extra: {__proto__: a}", "__proto__"),
        ("=: a", "the name ="),
        ("'extra' : a", "between a quoted name and its colon"),
        ("extra: 'a'#b", "a comment without a space"),
        ("extra: [a]#b", "a comment without a space"),
        ("extra: a\r\rb: c", "U+000D"),
        ("extra: a\ufeffb", "U+FEFF"),
    ],
)
def test_what_only_some_readers_know(line: str, said: str) -> None:
    assert any(said in problem for problem in served_problems(read_front_matter(skill(line))))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no front matter"),
        ("# Refunds", "no front matter"),
        (" ---\nname: a\n---\n", "no front matter"),
        ("---\nname: a\n", "no line --- ends"),
        ("---\n---\n", "no mapping"),
        ("---\n- a\n---\n", "no mapping"),
        (skill("name: other"), "'name' is there twice"),
        (skill("extra: {a: 1, a: 2}"), "twice"),
        (skill("1: one"), "key that is no text"),
        (skill("true: one"), "key that is no text"),
        (skill("extra: .nan"), "nan"),
        (skill("extra: -.inf"), "-inf"),
        (skill("extra: !!python/object:os.system x"), "can't be read"),
        (skill("extra: [a"), "can't be read in line"),
        (skill("extra: a\x00b"), "can't be read"),
        (skill("extra: " + "1" * 5000), "can't be read"),
        (skill("extra: " + "[" * 5000), "too deep"),
        (skill("extra: " + "[" * 60 + "]" * 60), "too deep"),
        (skill("extra: &a [*a]"), "too deep"),
        (skill("a: &a [x, x, x, x, x, x, x, x, x]", *BOMB), "too large"),
        (skill("extra: " + "x" * MAX_BYTES), "bytes"),
        (skill("? [a, b]\n: c"), "can't be read"),
        (skill('extra: ["\\ud800"]'), "no character"),
        (skill('"\\ud800": extra'), "no character"),
    ],
    ids=range(24),
)  # fmt: skip
def test_what_can_not_be_read(text: str, said: str) -> None:
    with pytest.raises(InvalidFrontMatter, match=said):
        read_front_matter(text)


@pytest.mark.parametrize(
    ("fields", "which"),
    [
        ({}, ["name", "description"]),
        ({"name": "a" * 64, "description": "d" * 1024}, []),
        ({"name": "a" * 65, "description": "d" * 1025}, ["name", "description"]),
        ({"name": "-a", "description": " "}, ["name", "description"]),
        ({"name": "a--b", "description": 1}, ["name", "description"]),
        ({"name": "a\n", "description": "d"}, ["name"]),
        ({"name": "é", "description": "d"}, ["name"]),
        ({**PLAIN, "license": 1, "compatibility": "", "metadata": {"a": 1}}, ["license", "compatibility", "metadata"]),
        ({**PLAIN, "compatibility": "c" * 500}, []),
        ({**PLAIN, "compatibility": "c" * 501, "metadata": []}, ["compatibility", "metadata"]),
        ({**PLAIN, "metadata": {"io.modelcontextprotocol/x": "y"}}, ["metadata"]),
        ({**PLAIN, "allowed-tools": "Read Write", "anything": [1]}, []),
        ({**PLAIN, "allowed-tools": ["Read"]}, []),
        ({**PLAIN, "allowed-tools": {"Read": True}}, ["allowed-tools"]),
    ],
)
def test_fields(fields: dict[str, Any], which: list[str]) -> None:
    assert [name for name, _ in field_problems(fields)] == which


def test_tools_that_are_asked_for() -> None:
    assert allowed_tools({"allowed-tools": "Read  Bash(git:*)"}) == ["Read", "Bash(git:*)"]
    assert allowed_tools({"allowed-tools": ["Read"]}) == ["Read"]
    assert allowed_tools({}) == []
    assert allowed_tools({"allowed-tools": [1]}) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        ("1", 1, False),
        ([1], (1,), False),
        (None, False, False),
        ({"a": 1}, {}, False),
    ],
)
def test_the_same_in_json(one: object, other: object, same: bool) -> None:
    assert same_json(one, other) is same


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@given(values)
def test_json_is_yaml_to_both(value: object) -> None:
    """What is written as JSON, ASCII alone, is read by both as it was meant."""
    import json

    text = json.dumps(value)
    if "e" in text and any(isinstance(each, float) for each in _leaves(value)):
        return  # 1e+16 is text in YAML 1.1
    if any(
        ord(character) > 0xFFFF or 0xD800 <= ord(character) < 0xE000
        for character in json.dumps(value, ensure_ascii=False)
    ):
        return  # JSON writes two escapes for one
    read = read_front_matter(skill(f"extra: {text}"))
    assert read.core is not None
    assert same_json(read.core["extra"], value)


def _leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in _leaves(each)]
    return [value]


@given(st.text())
def test_no_text_is_a_surprise(text: str) -> None:
    try:
        read = read_front_matter(f"---\n{text}\n---\n")
    except InvalidFrontMatter:
        return
    served_problems(read)
    field_problems(read.fields)
    assert all(not isinstance(each, float) or math.isfinite(each) for each in _leaves(read.fields))
