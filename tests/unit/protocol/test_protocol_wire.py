"""A task survives its own wire, in both generations; what peers get wrong is read all the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pmcp_lab.errors import LabError, VariableError
from pmcp_lab.protocol import TaskState, TaskStatus, decode_result, decode_task, legacy, modern
from pmcp_lab.protocol.meta import PROGRESS, check_variable_name, reserved

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
MOMENTS = st.integers(0, 4_000_000_000_000).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
NAMES = st.text(min_size=1, max_size=20).filter(lambda name: not reserved(name))
RESULTS = st.fixed_dictionaries(
    {"content": st.just([])},
    optional={"structuredContent": st.dictionaries(st.text(), JSON), "isError": st.just(False)},
)
ERRORS = st.fixed_dictionaries({"code": st.integers(-33_000, -32_000), "message": st.text()}, optional={"data": JSON})
QUESTIONS = st.dictionaries(
    st.text(min_size=1),
    st.fixed_dictionaries({"method": st.just("elicitation/create"), "params": st.dictionaries(st.text(), JSON)}),
)


@st.composite
def tasks(draw: st.DrawFn) -> TaskState:
    status = draw(st.sampled_from(TaskStatus))
    return TaskState(
        task_id=draw(st.text(min_size=1)),
        status=status,
        created_at=draw(MOMENTS),
        updated_at=draw(MOMENTS),
        message=draw(st.none() | st.text()),
        ttl=draw(st.none() | st.integers(0, 2**53)),
        poll_interval=draw(st.none() | st.integers(0, 2**31)),
        progress=draw(st.none() | st.floats(0, 1)),
        variables=draw(st.dictionaries(NAMES, JSON, max_size=5)),
        result=draw(RESULTS) if status is TaskStatus.COMPLETED else None,
        error=draw(ERRORS) if status is TaskStatus.FAILED else None,
        input_requests=draw(QUESTIONS) if status is TaskStatus.INPUT_REQUIRED else {},
    )


def sent(body: dict[str, Any]) -> dict[str, Any]:
    """As it arrives: plain JSON, with a key nobody knows."""
    return {**json.loads(json.dumps(body)), "x-unknown": 1}


@given(tasks())
def test_modern_round_trip(task: TaskState) -> None:
    assert decode_task(sent(modern.encode_got(task))) == task
    shown = decode_task(sent(modern.encode_created(task)))
    assert shown == replace(task, result=None, error=None, input_requests={})


@given(tasks())
def test_legacy_round_trip(task: TaskState) -> None:
    # This wire carries results and questions elsewhere.
    expected = replace(task, result=None, error=None, input_requests={})
    assert decode_task(sent(legacy.encode_task(task))) == expected
    assert decode_task(sent(legacy.encode_created(task))) == expected


@given(
    st.recursive(
        JSON,
        lambda inner: st.dictionaries(st.sampled_from(["task", "taskId", "status", "_meta", "ttl"]), inner),
    )
)
def test_arbitrary_json_is_refused_with_our_error_or_read(raw: Any) -> None:
    try:
        decode_task(raw if isinstance(raw, dict) else {"task": raw})
    except LabError as error:
        assert "server sent" in str(error)  # noqa: PT017


@pytest.mark.parametrize("reported", [True, False])
def test_a_tool_error_is_failed_in_one_generation_and_completed_in_the_other(reported: bool) -> None:
    now = datetime.now(UTC)
    result = {"content": [], "isError": reported}
    task = TaskState(task_id="t", status=TaskStatus.COMPLETED, created_at=now, updated_at=now, result=result)
    assert legacy.encode_task(task)["status"] == ("failed" if reported else "completed")
    assert modern.encode_got(task)["status"] == "completed"


def test_wrapped_results() -> None:
    plain = {"content": [], "structuredContent": {"n": 1}}
    assert decode_result(legacy.encode_result("t", plain))["structuredContent"] == {"n": 1}
    assert decode_result({"result": plain, "_meta": {"a": 1}}) == {**plain, "_meta": {"a": 1}}
    assert decode_result({"result": {"rows": 3}})["structuredContent"] == {"rows": 3}


@pytest.mark.parametrize(
    "name",
    [
        "io.modelcontextprotocol/related-task",
        "modelcontextprotocol.io/x",
        "mcp",
        "mcp/x",
        "mcp.dev/x",
        "api.mcp.com/x",
        "progressToken",
        PROGRESS,
        "",
    ],
)
def test_reserved_names(name: str) -> None:
    with pytest.raises(VariableError):
        check_variable_name(name)


@pytest.mark.parametrize("name", ["epoch", "_workflow.progress", "com.example/x", "task_id", "a b", "é"])
def test_free_names(name: str) -> None:
    check_variable_name(name)


@pytest.mark.parametrize(
    ("said", "read"),
    [((1, 2), 0.5), ((3, 2), 1.0), ((-1, 2), 0.0), ((0, 1), 0.0), ((1, 0), None), ((1, -1), None), ((True, 1), None)],
)
def test_progress_is_read_as_a_fraction(said: tuple[float, float], read: float | None) -> None:
    done, total = said
    raw = {"taskId": "t", "status": "working", "_meta": {PROGRESS: {"progress": done, "total": total}}}
    assert decode_task(raw).progress == read
