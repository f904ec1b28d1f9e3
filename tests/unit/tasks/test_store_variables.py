"""What may be stored in a task's variables, how changes are merged, and typed reading."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pmcp_lab.errors import VariableError
from pmcp_lab.tasks import Limits, TaskStore, Variables, resolve_owner
from pmcp_lab.tasks.backends.memory import MemoryBackend
from pmcp_lab.tasks.variables import merge

ANN = resolve_owner("ann")


def nested(depth: int) -> Any:
    return 1 if depth == 0 else {"n": nested(depth - 1)}


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"deep": nested(11)}, "'deep' is nested deeper"),
        ({"long": "é" * 32_769}, "65538 bytes"),
        ({"inside": {"list": ["a" * 65_537]}}, "'inside'"),
        ({"mcp/x": 1}, "reserved"),
        ({"io.modelcontextprotocol/related-task": 1}, "reserved"),
        ({"": 1}, "needs a name"),
        ({7: 1}, "name is text"),
        ({"n" * 257: 1}, "at most 256 bytes"),
        ({"bad": float("nan")}, "JSON"),
        ({"bad": object()}, "JSON"),
        ({"bad": 10**5_000}, "JSON"),
        ({f"v{n}": n for n in range(1_001)}, "at most 1000 variables"),
        ({f"v{n}": "x" * 65_000 for n in range(17)}, r"would take \d+ bytes; at most 1048576 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_variables_that_are_refused(variables: dict[str, Any], says: str) -> None:
    store = TaskStore(MemoryBackend())
    task = await store.create(ANN, variables={"kept": 1})
    for call in (
        store.set_variables(ANN, task.task_id, variables),
        store.update(ANN, task.task_id, message="x", variables=variables),
        store.create(ANN, variables=variables),
    ):
        with pytest.raises(VariableError, match=says) as refused:
            await call
        assert refused.value.code == -32602
    assert (await store.list(ANN)).records == [task], "nothing is changed, and nothing left behind"


async def test_variables_at_the_limit_and_merging(store: TaskStore) -> None:
    task = await store.create(ANN, variables={"deep": nested(10), "long": "a" * 65_536, "a": {"x": 1}})
    merged = await store.set_variables(ANN, task.task_id, {"a": {"y": 2}, "long": None, "missing": None})
    assert merged.variables == {"deep": nested(10), "a": {"y": 2}}
    assert await store.get(ANN, task.task_id) == merged


async def test_a_client_writes_its_own_names_only(store: TaskStore) -> None:
    task = await store.create(ANN, variables={"epoch": 1})
    await store.set_variables(ANN, task.task_id, {"note": "a"}, by_client=True)
    await store.set_variables(ANN, task.task_id, {"note": "b"}, by_client=True)
    for value in (2, None):
        with pytest.raises(VariableError, match="server's"):
            await store.set_variables(ANN, task.task_id, {"epoch": value}, by_client=True)
    assert (await store.get(ANN, task.task_id)).variables == {"epoch": 1, "note": "b"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(max_size=4), json_values, max_size=4), max_size=3))
def test_any_json_is_merged_or_refused_whole(changes: list[dict[str, Any]]) -> None:
    present: dict[str, Any] = {}
    for change in changes:
        before = dict(present)
        try:
            merged = merge(present, change, Limits())
        except VariableError:
            assert present == before
            continue
        assert merged == {name: value for name, value in {**before, **change}.items() if value is not None}
        present = merged


class Point(BaseModel):
    x: int


def test_typed_reading_never_raises() -> None:
    read = Variables({"t": "a", "i": 3, "f": 1.5, "b": True, "p": {"x": 1}, "n": None, "huge": 10**400})
    assert (read.text("t"), read.integer("i"), read.number("f"), read.number("i"), read.flag("b")) == (
        *("a", 3, 1.5, 3.0),
        True,
    )
    assert read.typed("p", Point) == Point(x=1)
    assert [read.integer("b"), read.integer("f"), read.number("b"), read.flag("i"), read.text("i")] == [None] * 5
    assert read.number("huge", 1.0) == 1.0
    assert read.typed("t", Point) is read.typed("missing", Point) is None
    assert (read.text("missing", "d"), read.integer("t", 7), read["n"], len(read)) == ("d", 7, None, 7)
