"""What was written here is read by a faster way, which gives what the other gives."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pmcp_lab.errors import StoreError
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import Job, TaskRecord
from pmcp_lab.tasks.codec import _record, _written_here, decode_record, encode_record
from pmcp_lab.tasks.json_value import read_json
from tests.unit.tasks.test_codec import PLAIN, records

NOW = datetime(2026, 11, 21, 8, 0, 0, 123_000, tzinfo=UTC)
FULL = replace(
    PLAIN,
    status=TaskStatus.COMPLETED,
    message="hé",
    ttl=3_600_000,
    expires=NOW,
    poll_interval=1_000,
    job=Job(tool="train", arguments={"epochs": 3, "é": "😀"}),
    variables={"loss": 0.25},
    client_variables=frozenset("ab"),
    progress=0.5,
    result={"a": [1, 2**70]},
    error={"code": -1},
    questions={"q": {"method": "x"}},
    answers={"q": {}},
)


def slowly(data: bytes) -> TaskRecord | None:
    """What the other way gives; None for what is no record."""
    try:
        return _record(read_json(data), None)
    except (TypeError, ValueError, LookupError, ArithmeticError, RecursionError, AttributeError):
        return None


def decoded(data: bytes) -> TaskRecord | None:
    try:
        return decode_record(data)
    except StoreError:
        return None


@given(records)
def test_both_ways_agree_on_records(record: TaskRecord) -> None:
    data = encode_record(record)
    faster = _written_here(data, None)
    assert faster is None or repr(faster) == repr(slowly(data))


@pytest.mark.parametrize("record", [PLAIN, FULL])
def test_what_is_written_here_goes_the_faster_way(record: TaskRecord) -> None:
    assert _written_here(encode_record(record), None) == record


@pytest.mark.parametrize("record", [PLAIN, FULL])
def test_both_ways_agree_on_damaged_bytes(record: TaskRecord) -> None:
    whole, chance = encode_record(record), random.Random(1)
    for _ in range(3_000):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 1, 1, 3])):
            at = chance.randrange(len(data))
            # A moment that ends with a small z is read by one of them only, and rightly.
            if data[at] != ord("Z"):
                data[at] = chance.choice([chance.randrange(256), data[at] ^ 1 << chance.randrange(8)])
        assert repr(decoded(bytes(data))) == repr(slowly(bytes(data))), bytes(data)


VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.0, 1.5, 2**70, -(2**70), "", "x", "working", [], ["a"], [1], {}, {"a": 1}, {"a": {}}),
    *("2026-11-21T08:00:00.1234Z", "2026-11-21T08:00:00+02:00", "2026-11-21T08:00:00", "2026-11-21", "\ud800"),
)


@pytest.mark.parametrize("record", [PLAIN, FULL])
@pytest.mark.parametrize("place", ["record", "task", "job"])
def test_both_ways_agree_on_what_others_write(record: TaskRecord, place: str) -> None:
    whole = json.loads(encode_record(record))
    for name in (*(whole if place == "record" else whole.get(place, ())), "lease", "hasResult", "new"):
        for value in (*VALUES, ...):
            stored = json.loads(json.dumps(whole))
            inside = stored if place == "record" else stored.setdefault(place, {})
            if value is ...:
                inside.pop(name, None)
            else:
                inside[name] = value
            data = json.dumps(stored).encode()
            assert repr(decoded(data)) == repr(slowly(data)), data


@given(st.binary() | st.sampled_from([b"[" * 100_000, b'{"task":' * 50_000]))
def test_any_bytes(data: bytes) -> None:
    assert decoded(data) is None
