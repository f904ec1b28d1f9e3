"""Records as DynamoDB items, and the conditional writes that change them. No I/O."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from pmcp_lab.errors import LimitExceeded, StoreError
from pmcp_lab.tasks.backends import Position
from pmcp_lab.tasks.codec import decode_record, encode_record
from pmcp_lab.tasks.owner import Owner, key_text, owner_key
from pmcp_lab.tasks.record import TaskRecord

Item = dict[str, Any]

LEASE_BUCKETS: Final = ("lease-0", "lease-1", "lease-2", "lease-3")
"""Partitions of the index of leases, so that heartbeats are not all written to one."""

CLOCK_SKEW: Final = 5.0
"""Seconds that the clocks of the machines which share a table may be apart."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ITEM_BYTES: Final = 390_000
_KEY_BYTES: Final = 1000
_NAME: Final = re.compile(r"#(\w+)")


class Seat(NamedTuple):
    """What a write must know of the item it replaces: at which version, which place of the quota, until when."""

    version: int
    slot: int | None
    expires: int | None


def ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def partition(owner: Owner) -> str:
    key = owner_key(owner)
    if len(key) > _KEY_BYTES:
        key = "h:" + hashlib.blake2b(key.encode(), digest_size=32).hexdigest()
    return f"OWNER#{key}"


def task_key(owner: Owner, task_id: str) -> Item:
    return {"PK": {"S": partition(owner)}, "SK": {"S": f"TASK#{key_text(task_id)}"}}


def slot_key(owner: Owner, slot: int) -> Item:
    return {"PK": {"S": partition(owner)}, "SK": {"S": f"SLOT#{slot}"}}


def storable(task_id: str) -> bool:
    """Whether there can be a task of this id: DynamoDB's keys are short."""
    return 0 < len(key_text(task_id)) <= _KEY_BYTES


def place(position: Position) -> str:
    return f"{ms(position[0]):015d}#{key_text(position[1])}"


def task_id(item: Item) -> str:
    return unquote(item["SK"]["S"].removeprefix("TASK#"), errors="surrogatepass")


def read_record(item: Item) -> TaskRecord:
    """Raises `StoreError` when the item holds no record."""
    try:
        return decode_record(item["data"]["B"], seq=read_version(item))
    except (LookupError, TypeError, ValueError) as error:
        raise StoreError(f"a stored task can't be read: it has no {error}") from None


def read_version(item: Item) -> int:
    return int(item["version"]["N"])


def read_number(item: Item, name: str) -> int | None:
    return int(item[name]["N"]) if name in item else None


def read_seat(item: Item) -> Seat:
    return Seat(read_version(item), read_number(item, "slot"), read_number(item, "expires"))


def attributes(record: TaskRecord, slot: int | None) -> Item:
    """Everything of a task's item but its keys.

    Raises:
        LimitExceeded: The record is larger than an item can be.
    """
    data = encode_record(record)
    if len(data) > _ITEM_BYTES:
        raise LimitExceeded(
            f"task {record.task_id} takes {len(data)} bytes; a DynamoDB item holds {_ITEM_BYTES}. "
            "Keep large results elsewhere and return a link, or use another store"
        )
    item: Item = {
        "data": {"B": data},
        "version": {"N": str(record.seq)},
        "write_id": {"B": secrets.token_bytes(12)},
        "place": {"S": place((record.created, record.task_id))},
        **_ending(record),
    }
    if slot is not None:
        item["slot"] = {"N": str(slot)}
    if record.lease is not None:
        bucket = LEASE_BUCKETS[zlib.crc32(record.task_id.encode("utf-8", "surrogatepass")) % len(LEASE_BUCKETS)]
        item["lease_bucket"] = {"S": bucket}
        item["lease_version"] = {"N": str(record.lease.version)}
    return item


def insert_task(record: TaskRecord, slot: int | None, now: datetime) -> Item:
    """Arguments of PutItem: where there is nothing, or only what has expired."""
    return {
        "Item": task_key(record.owner, record.task_id) | attributes(record, slot),
        **_condition("attribute_not_exists(#PK) OR #expires < :now", now={"N": str(ms(now))}),
    }


def update_task(record: TaskRecord, slot: int | None, expected: int) -> Item:
    """Arguments of UpdateItem: at this version only."""
    values = attributes(record, slot)
    gone = [name for name in ("expires", "expires_at", "slot", "lease_bucket", "lease_version") if name not in values]
    change = "SET " + ", ".join(f"#{name} = :{name}" for name in values)
    if gone:
        change += " REMOVE " + ", ".join(f"#{name}" for name in gone)
    return {
        "Key": task_key(record.owner, record.task_id),
        "UpdateExpression": change,
        **_condition("#version = :expected", change, **values, expected={"N": str(expected)}),
    }


def delete_task(owner: Owner, task_id: str) -> Item:
    return {"Key": task_key(owner, task_id), **_condition("attribute_exists(#PK)")}


def take_slot(record: TaskRecord, slot: int, now: datetime) -> Item:
    """Arguments of PutItem: where nobody sits, or somebody whose task has expired."""
    return {
        "Item": slot_key(record.owner, slot) | {"task_id": {"S": key_text(record.task_id)}} | _ending(record),
        **_condition("attribute_not_exists(#PK) OR #expires < :now", now={"N": str(ms(now))}),
    }


def hold_slot(record: TaskRecord, slot: int) -> Item:
    """Arguments of PutItem: its own place, until the moment the record now has."""
    seated = {"S": key_text(record.task_id)}
    return {
        "Item": slot_key(record.owner, slot) | {"task_id": seated} | _ending(record),
        **_condition("#task_id = :task_id", task_id=seated),
    }


def free_slot(owner: Owner, task_id: str, slot: int) -> Item:
    """Arguments of DeleteItem: its own place."""
    return {"Key": slot_key(owner, slot), **_condition("#task_id = :task_id", task_id={"S": key_text(task_id)})}


def query(expression: str, *also: str, **values: Any) -> Item:
    """Arguments of Query for a key condition; `also` are the other expressions that come with it."""
    return {"KeyConditionExpression": expression, **_terms(values, expression, *also)}


def names(*expressions: str) -> dict[str, str]:
    """ExpressionAttributeNames for the `#name`s in these: many plain names are reserved words."""
    return {f"#{name}": name for name in _NAME.findall(" ".join(expressions))}


def _ending(record: TaskRecord) -> Item:
    if record.expires is None:
        return {}
    moment = ms(record.expires)
    return {"expires": {"N": str(moment)}, "expires_at": {"N": str(moment // 1000 + 1 + int(CLOCK_SKEW))}}


def _condition(expression: str, *also: str, **values: Any) -> Item:
    return {
        "ConditionExpression": expression,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        **_terms(values, expression, *also),
    }


def _terms(values: Mapping[str, Any], *expressions: str) -> Item:
    terms: Item = {"ExpressionAttributeNames": names(*expressions)}
    if values:
        terms["ExpressionAttributeValues"] = {f":{name}": value for name, value in values.items()}
    return terms
