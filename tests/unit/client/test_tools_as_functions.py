"""A tool is a function: called, with a signature and documentation, found after a dot."""

from __future__ import annotations

import inspect
import pydoc
import time
from collections.abc import Iterator
from typing import Any, Literal

import mcp_types as types
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.server.lowlevel import Server as Lowlevel
from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.client import Tool
from pmcp_lab.errors import InvalidArguments, LabError, UnknownTool
from pmcp_lab.server import TaskContext, Tasks


@pytest.fixture(params=["legacy", "2026-07-28"])
def server(request: pytest.FixtureRequest) -> Iterator[lab.Server]:
    tasks = Tasks(anonymous="local")

    @tasks.tool(support="optional")
    async def slow(n: int, task: TaskContext) -> int:
        await task.update(progress=0.5)
        return n * n

    served: MCPServer[Any] = MCPServer("sim", extensions=[tasks], middleware=[tasks])

    @served.tool()
    def train(epochs: int, rate: float = 0.1, kind: Literal["a", "b"] = "a", tags: list[str] | None = None) -> str:
        """Train a model.

        With all it takes.
        """
        return f"{epochs} {rate} {kind} {tags}"

    @served.tool()
    def search(text: str) -> str:
        return text

    with lab.connect(served, name="sim", mode=request.param) as connected:
        yield connected


def test_it_is_called(server: lab.Server) -> None:
    assert server.tools.train(epochs=3).text == "3 0.1 a None"
    assert server.tools["train"]({"epochs": 3}, kind="b").text == "3 0.1 b None"
    assert server.tools.slow(n=3).value == 9


def test_as_a_task_and_many_times(server: lab.Server) -> None:
    task = server.tools.slow.task(n=4)
    assert task.result(10).value == 16
    assert task in list(server.tasks)
    many = server.tools.slow.map([{"n": 1}, {"n": 2}], concurrency=1)
    assert [each.value for each in many.results()] == [1, 4]


def test_what_python_knows_of_it(server: lab.Server) -> None:
    train = server.tools.train
    signature = inspect.signature(train)
    assert str(signature.replace(return_annotation=inspect.Signature.empty)) == (
        "(*, epochs: int, rate: float = 0.1, kind: Literal['a', 'b'] = 'a', tags: list[str] | None = None)"
    )
    signature.bind(epochs=1)
    with pytest.raises(TypeError):
        signature.bind()
    assert train.__name__ == "train"
    assert inspect.getdoc(train) == "Train a model.\n\nWith all it takes."
    assert callable(train)
    assert "Train a model." in pydoc.render_doc(train)


def test_names_after_a_dot_and_in_brackets(server: lab.Server) -> None:
    assert {"train", "slow"} <= set(dir(server.tools))
    assert server.tools["search"](text="x").text == "x", "the listing's own `search` has the dot"
    assert len(server.tools.search("train")) == 1
    with pytest.raises(AttributeError, match="no tool 'trane'. Did you mean 'train'"):
        server.tools.trane  # noqa: B018
    with pytest.raises(UnknownTool, match="Did you mean 'train'"):
        server.tools["trane"]


def test_what_does_not_fit(server: lab.Server) -> None:
    with pytest.raises(InvalidArguments, match="'epochs' is a required property"):
        server.tools.train()
    with pytest.raises(InvalidArguments, match="takes its arguments by name"):
        server.tools.train(3)
    with pytest.raises(LabError, match="was not listed by a connected server"):
        Tool("sim", {"name": "train"})()


def test_a_strangers_names_and_schemas() -> None:
    properties = {
        "from": {"type": "string", "description": "Where\n  it begins."},
        "max-n": {"type": ["integer", "null"], "default": None},
        "more": {"enum": [[1], {}]},
        "self": {"anyOf": [{"type": "string"}, {"const": 3}]},
        "odd": "no schema",
        "deep": {"type": "array", "items": {"type": "array", "items": {"type": "object"}}},
    }
    raw = {"name": "list tools", "inputSchema": {"type": "object", "properties": properties, "required": ["from"]}}

    async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[types.Tool(name="list tools", input_schema=dict(raw["inputSchema"]))])

    async def call_tool(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        return types.CallToolResult(content=[types.TextContent(type="text", text=str(sorted(params.arguments or {})))])

    with lab.connect(Lowlevel("stranger", on_list_tools=list_tools, on_call_tool=call_tool)) as server:
        tool = server.tools["list tools"]
        assert list(inspect.signature(tool).parameters) == ["more", "self", "odd", "deep", "_more"]
        assert inspect.getdoc(tool) == "list tools\n\nArgs:\n    from: Where it begins."
        assert tool({"from": "x"}, self="me").text == "['from', 'self']"
        assert "list tools" not in dir(server.tools)


KEYWORDS = st.sampled_from(
    ["type", "enum", "const", "anyOf", "items", "default", "description", "properties", "required"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(KEYWORDS, below, max_size=4)),
    max_leaves=12,
)


@given(st.text(max_size=6), JSON, st.lists(st.text(max_size=4), max_size=3))
def test_no_schema_is_too_strange_to_be_listed(name: str, schema: Any, names: list[str]) -> None:
    properties = dict.fromkeys(names, schema)
    tool = Tool("s", {"name": name, "description": name, "inputSchema": {"properties": properties, "required": schema}})
    inspect.signature(tool)
    assert isinstance(tool.__doc__, str)


def test_a_schema_of_many_choices_takes_no_time() -> None:
    wide = {
        "a": {"anyOf": [{"const": str(n)} for n in range(20_000)]},
        "b": {"type": ["string"] * 20_000},
        "c": {"enum": list(range(20_000))},
        "d": {"anyOf": [{"anyOf": [{"anyOf": [{"type": "string"}] * 20}] * 20}] * 20},
    }
    began = time.monotonic()
    parameters = inspect.signature(Tool("s", {"name": "t", "inputSchema": {"properties": wide}})).parameters
    assert [parameters[name].annotation for name in "abcd"] == [Any, Any, Any, str]
    assert time.monotonic() - began < 1
