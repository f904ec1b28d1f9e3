"""What is wrong with a program before anything of it runs, and how it sees the tools it may call."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer
from mcp_types import Tool, ToolAnnotations

from pmcp_lab.errors import LabError, MissingExtra
from pmcp_lab.server import CodeLimits, CodeMode, Tasks
from pmcp_lab.server.code_mode.checking import check
from pmcp_lab.server.code_mode.errors import ProgramRefused
from pmcp_lab.server.code_mode.functions import functions_of, identifier
from tests.unit.coding import Shop


def tool(name: str, arguments: dict[str, Any] | None = None, required: tuple[str, ...] = (), **hints: Any) -> Tool:
    schema = {"type": "object", "properties": arguments or {}, "required": list(required)}
    return Tool(name=name, input_schema=schema, annotations=ToolAnnotations(**hints) if hints else None)


TEXT, NUMBER = {"type": "string"}, {"type": ["number", "null"]}
FUNCTIONS = functions_of(
    [tool("price", {"item": TEXT, "most": NUMBER}, ("item",), read_only_hint=True), tool("order", {"item": TEXT})]
)

REFUSED = {
    "": "it is empty",
    "x = 1\nfrob(a=1)": "line 2: there is no 'frob'; the tools a program may call are price, order",
    "price()": "line 1: price needs 'item'",
    "price('tea')": "line 1: price takes its arguments by name: price(item=…, most=…)",
    "price(item='tea', size=1)": "line 1: price has no argument 'size'; it takes item, most",
    "price = 3": "line 1: 'price' is a tool; give this another name",
    "def f(order): pass": "line 1: 'order' is a tool; give this another name",
    "import price": "line 1: 'price' is a tool; give this another name",
    "x = = 1": "line 1: invalid syntax",
    "a\0b": "source code string cannot contain null bytes",
    "x = '\ud800'": "it holds half a character, which UTF-8 can't have",
    "-" * 10_000 + "1": "it is nested too deeply",
    "x" + "+x" * 5_000: "it is nested too deeply",
    "(" * 5_000: "too many nested parentheses",
    "#" * 16_385: "it has 16385 bytes, and at most 16384 are allowed",
    "x = 1\n" * 1_700_000: "it has 10200000 bytes, and at most 16384 are allowed",
}


@pytest.mark.parametrize(("source", "why"), REFUSED.items(), ids=[why[:40] for why in REFUSED.values()])
def test_what_is_refused(source: str, why: str) -> None:
    with pytest.raises(ProgramRefused) as refused:
        check(source, FUNCTIONS, 16_384)
    assert str(refused.value).startswith("the program can't be run: ")
    assert why in str(refused.value)


def test_all_that_is_wrong_is_told_with_its_line() -> None:
    with pytest.raises(ProgramRefused) as refused:
        check("frob()\nprice()\n\nfrob(x=nothing)", FUNCTIONS, 100)
    assert sorted(line for line, _ in refused.value.problems) == [1, 2, 4, 4]
    assert str(refused.value).count("\n") == 4


def test_what_a_program_names_is_what_it_may_call() -> None:
    source = """
"\\d"
import asyncio, json as j
from math import pi
async def both(items, *, most=None, **more):
    try:
        found = [await price(item=each, **more) for each in items]
    except (RuntimeError, ValueError) as error:
        print(error, most)
    match items:
        case [first, *rest]: return first, rest
        case {"a": 1, **others}: return others
        case last: return last
with open("x") as file: pass
ask = price
(lambda y: y)(asyncio.run(both(["tea"])))
"""
    checked = check(source, FUNCTIONS, 2_000)
    assert (set(checked.functions), checked.lines["price"], checked.awaits) == ({"price"}, (7, 15), True)
    assert not check("price(item='await')", FUNCTIONS, 100).awaits


def test_hints_say_what_a_tool_does() -> None:
    found = functions_of(
        [
            tool("a"),
            tool("b", read_only_hint=True),
            tool("c", destructive_hint=False),
            tool("d", idempotent_hint=True),
            tool("e", {"x": {"type": "integer"}, "y": {}}, ("x",)),
        ]
    )
    effects = {name: (one.effect, one.repeatable) for name, one in found.items()}
    assert effects == {
        "a": ("may destroy", False),
        "b": ("reads", True),
        "c": ("writes", False),
        "d": ("may destroy", True),
        "e": ("may destroy", False),
    }
    assert found["e"].signature == "e(x: int, y: Any = ...)"
    loose = Tool(name="loose", input_schema={"type": "object"})
    assert functions_of([loose])["loose"].signature == "loose(**more)"
    assert functions_of([loose])["loose"].problem(["anything"]) is None


def test_names_that_are_none() -> None:
    assert [identifier(name) for name in ("get-weather", "a.b/c", "2fast", "class", "größe", "")] == [
        "get_weather",
        "a_b_c",
        "_2fast",
        "class_",
        "gr__e",
        "_",
    ]
    with pytest.raises(LabError, match="can't tell tools 'a-b' and 'a_b' apart: both would be 'a_b'"):
        functions_of([tool("a-b"), tool("a_b")])
    with pytest.raises(LabError, match="can't call tool 'print': its name is one of Python's own"):
        functions_of([tool("print")])


def test_without_the_sandbox_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_monty", None)
    with pytest.raises(MissingExtra, match=r"code mode needs .* pip install 'pmcp_lab\[code\]'"):
        CodeMode(Tasks(), ["price"])


def test_what_can_not_be_offered() -> None:
    tasks = Tasks()

    @tasks.tool(support="required")
    async def long() -> None:
        """Runs only as a task."""

    server: MCPServer[Any] = MCPServer("s", extensions=[tasks], middleware=[tasks])
    with pytest.raises(LabError, match="offer tool 'absent', which this server does not have"):
        CodeMode(tasks, ["absent"]).attach(server)
    with pytest.raises(LabError, match="can't call tool 'long': it runs only as a task"):
        CodeMode(tasks, ["long"]).attach(server)
    for wrong in ({"tools": "price"}, {"tools": [], "approve": "sometimes"}):
        with pytest.raises(ValueError, match="tools are names|approve is one of"):
            CodeMode(tasks, **wrong)
    shop = Shop()
    with pytest.raises(LabError, match="on a server already"):
        shop.code.attach(shop.server)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        CodeLimits(calls=0)
