"""A record survives its bytes, PMCP's records can be read, and bytes that are no record are a StoreError."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pmcp_lab.errors import StoreError
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import LOCAL, NO_RESULT, Job, Lease, TaskRecord
from pmcp_lab.tasks.codec import decode_record, encode_record

NOW = datetime(2026, 11, 21, 8, 0, 0, 123_000, tzinfo=UTC)
PLAIN = TaskRecord(task_id="t", owner=("client", "c"), created=NOW, updated=NOW)

moments = st.datetimes(timezones=st.just(UTC)).map(lambda m: m.replace(microsecond=m.microsecond // 1000 * 1000))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(), json_values, max_size=3)
counts = st.none() | st.integers(0, 2**70)
records = st.builds(
    TaskRecord,
    task_id=st.text(min_size=1),
    owner=st.lists(st.text(), min_size=1, max_size=3).map(tuple),
    status=st.sampled_from(TaskStatus),
    message=st.none() | st.text(),
    created=moments,
    updated=moments,
    ttl=counts,
    expires=st.none() | moments,
    poll_interval=counts,
    method=st.text(),
    job=st.none() | st.builds(Job, tool=st.text(), arguments=objects, context=objects),
    variables=objects,
    client_variables=st.frozensets(st.text(), max_size=3),
    progress=st.none() | st.floats(0, 1),
    result=st.just(NO_RESULT) | json_values,
    error=st.none() | objects,
    questions=st.dictionaries(st.text(), objects, max_size=2),
    answers=objects,
    last_run=st.none() | st.text(),
    lease=st.none()
    | st.builds(
        Lease,
        run=st.text(),
        seconds=st.floats(min_value=0, max_value=1e9),
        version=st.integers(-(2**40), 2**40),
        phase=st.sampled_from(["queued", "running", "asking"]),
    ),
    seq=st.integers(1, 2**40),
)


@given(records)
def test_a_record_survives(record: TaskRecord) -> None:
    data = encode_record(record)
    assert decode_record(data) == record
    assert decode_record(data, seq=7) == replace(record, seq=7)


@given(st.binary())
def test_any_bytes_are_a_record_or_a_store_error(data: bytes) -> None:
    with pytest.raises(StoreError):
        decode_record(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.lists(st.sampled_from(["task", "owner", "ownerId", "variables", "result", "lease", "job", "seq", "expiresAt"])),
    st.lists(st.sampled_from(["taskId", "status", "createdAt", "lastUpdatedAt", "ttl", "pollInterval"])),
)
def test_any_json_in_any_place_is_a_record_or_a_store_error(value: Any, outer: list[str], inner: list[str]) -> None:
    stored = json.loads(encode_record(PLAIN))
    stored["task"].update(dict.fromkeys(inner, value))
    stored.update(dict.fromkeys(outer, value))
    try:
        record = decode_record(json.dumps(stored).encode())
    except StoreError:
        return
    assert decode_record(encode_record(record)) == record


@pytest.mark.parametrize("result", [None, [], {}, 0, False, ""])
def test_a_null_result_is_told_from_none(result: Any) -> None:
    assert decode_record(encode_record(PLAIN)).result is NO_RESULT
    assert decode_record(encode_record(replace(PLAIN, result=result))).result == result


def test_half_a_surrogate_pair_is_kept() -> None:
    record = replace(PLAIN, variables={"x": "\ud83d"}, owner=("client", "\udfff"))
    encode_record(record).decode()
    assert decode_record(encode_record(record)) == record


@pytest.mark.parametrize("data", [b"[" * 200_000, b"NaN", b"1" * 5_000, b"\xff", b"{}", b'{"task":{}}'])
def test_what_breaks_parsers(data: bytes) -> None:
    with pytest.raises(StoreError):
        decode_record(data)


def test_what_is_not_json_is_refused() -> None:
    for value in (float("nan"), {1, 2}):
        with pytest.raises(StoreError, match="task t"):
            encode_record(replace(PLAIN, result=value))


def test_a_pmcp_record_is_read() -> None:
    stored = {
        "task": {
            "taskId": "3c0e",
            "status": "completed",
            "createdAt": "2026-03-01T08:15:30.250Z",
            "lastUpdatedAt": "2026-03-01T10:15:30.250+02:00",
            "ttl": 3_600_000,
            "pollInterval": 5_000,
        },
        "ownerId": "alice",
        "variables": {"a": 1},
        "result": None,
        "requestMethod": "tools/call",
        "expiresAt": "2026-03-01T09:15:30.250417963Z",
    }
    record = decode_record(json.dumps(stored).encode(), seq=3)
    created = datetime(2026, 3, 1, 8, 15, 30, 250_000, tzinfo=UTC)
    assert record == TaskRecord(
        task_id="3c0e",
        owner=("subject", "", "alice"),
        status=TaskStatus.COMPLETED,
        created=created,
        updated=created,
        ttl=3_600_000,
        expires=created + timedelta(hours=1),
        poll_interval=5_000,
        variables={"a": 1},
        seq=3,
    )
    assert decode_record(json.dumps({**stored, "ownerId": "local", "result": [1]}).encode()).owner == LOCAL
    again = json.loads(encode_record(record))
    assert {name: again[name] for name in ("ownerId", "variables", "result", "requestMethod")} == {
        name: stored[name] for name in ("ownerId", "variables", "result", "requestMethod")
    }
    assert again["task"] == {**stored["task"], "lastUpdatedAt": "2026-03-01T08:15:30.250Z"}
