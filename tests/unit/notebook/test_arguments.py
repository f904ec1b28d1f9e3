"""`key=value` words of a `%mcp` line, typed by a schema."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_lab.client import Tool
from pmcp_lab.errors import InvalidArguments
from pmcp_lab.notebook.arguments import read_arguments, split_words, unquote

TOOL = Tool(
    "s",
    {
        "name": "t",
        "inputSchema": {
            "type": "object",
            "$defs": {"Many": {"type": "array", "items": {"type": "integer"}}},
            "properties": {
                "text": {"type": "string"},
                "count": {"type": "integer"},
                "share": {"type": "number"},
                "yes": {"type": "boolean"},
                "items": {"$ref": "#/$defs/Many"},
                "options": {"type": "object"},
                "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                "kind": {"enum": ["1", "two"]},
            },
        },
    },
)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("text=hello", {"text": "hello"}),
        ("text=12", {"text": "12"}),
        ('text="two words"', {"text": "two words"}),
        ("text='it'", {"text": "it"}),
        ("text=don't", {"text": "don't"}),
        ("text=a=b", {"text": "a=b"}),
        ("text=", {"text": ""}),
        ("count=12", {"count": 12}),
        ("share=0.5", {"share": 0.5}),
        ("share=1e-3", {"share": 0.001}),
        ("yes=true", {"yes": True}),
        ("yes=False", {"yes": False}),
        ("items=[1, 2]", {"items": [1, 2]}),
        ('options={"a": {"b": "c d"}}', {"options": {"a": {"b": "c d"}}}),
        ("maybe=null", {"maybe": None}),
        ("maybe=None", {"maybe": None}),
        ("either=1", {"either": 1}),
        ("either=one", {"either": "one"}),
        ('either="1"', {"either": "1"}),
        ("kind=1", {"kind": "1"}),
        ("text:=3", {"text": 3}),
        ("text=$name", {"text": [1]}),
        ("other=3", {"other": 3}),
        ("other=x", {"other": "x"}),
    ],
)
def test_values(line: str, value: dict[str, Any]) -> None:
    assert read_arguments(TOOL, split_words(line), {"name": [1]}) == value


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("count=many", "count=many: s.t wants integer here"),
        ("items=[1,", "is missing at the end"),
        ('text="open', "is missing at the end"),
        ("text", "'text' is no key=value"),
        ("=3", "is no key=value"),
        ("text=$nobody", "there is no variable 'nobody'"),
    ],
)
def test_what_can_not_be_read(line: str, said: str) -> None:
    with pytest.raises(InvalidArguments, match=said.replace("(", r"\(")):
        read_arguments(TOOL, split_words(line), {})


@given(st.text(st.characters(exclude_characters="\\")))
def test_any_text_survives_quoting(text: str) -> None:
    import json

    word = "text=" + json.dumps(text)
    assert split_words(f"a {word} b") == ["a", word, "b"]
    assert unquote(word[5:]) == text
