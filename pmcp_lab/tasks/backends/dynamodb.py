"""Records in one DynamoDB table: nothing to run, and as many tasks as one pays for.

A quota is a row of numbered places, an item each. A task takes a free one in the transaction that stores it and
leaves it in the one that ends it; the place of a task that has expired is free by its own `expires`, without anybody
having to write. So parallel creates cannot overshoot, nothing is counted twice or forgotten, and tasks of one owner
do not queue up behind one counter. Tasks created without a limit take no place: setting one later doesn't count them.

What to expect of the table itself (items of at most 400 KB, 10 GB per owner) is in `dynamodb_table`.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, cast

from pmcp_lab.errors import StoreError
from pmcp_lab.tasks.backends import Changes, Conflict, Position, QuotaReached
from pmcp_lab.tasks.backends import dynamodb_items as items
from pmcp_lab.tasks.backends.dynamodb_connection import Refused, Table
from pmcp_lab.tasks.backends.dynamodb_feed import OWNER_PAUSES, TASK_PAUSES, LocalFeed
from pmcp_lab.tasks.backends.dynamodb_items import Item, Seat
from pmcp_lab.tasks.backends.dynamodb_table import BY_LEASE, BY_PLACE, cloudformation_template
from pmcp_lab.tasks.backends.reading import legible
from pmcp_lab.tasks.owner import Owner
from pmcp_lab.tasks.record import TaskRecord

__all__ = ["DynamoBackend", "cloudformation_template", "create_table", "drop_table", "open_url"]

_ATTEMPTS: Final = 40
_SEATS: Final = 10_000
_LEAP: Final = 1000
_LEASES: Final = 500
"""Leases per page."""


def open_url(url: str) -> DynamoBackend:
    return DynamoBackend(url)


async def create_table(url: str) -> None:
    """Make the table of this URL, with its indexes and its expiry, unless it is there; wait until it can be used.

    Raises:
        StoreError: It can't be made.
    """
    table = Table(url)
    try:
        await table.create()
    finally:
        await table.close()


async def drop_table(url: str) -> None:
    """Delete the table of this URL, with everything in it.

    Raises:
        StoreError: It can't be deleted.
    """
    table = Table(url)
    try:
        await table.drop()
    finally:
        await table.close()


class DynamoBackend:
    """A store on a DynamoDB table that is there already; see `create_table` and `cloudformation_template`.

    Args:
        url: `dynamodb://table?region=eu-central-1&endpoint=http://127.0.0.1:8000&profile=…`; what is left out, and the
            credentials, come from the environment, as with every AWS tool.

    Raises:
        StoreError: The URL can't be read.
    """

    durable = True
    clock_skew = items.CLOCK_SKEW

    def __init__(self, url: str) -> None:
        self._table = Table(url)
        self._feed = LocalFeed()
        self._seats: OrderedDict[tuple[Owner, str], Seat] = OrderedDict()
        self._surveyed: dict[Owner, int] = {}

    async def get(self, owner: Owner, task_id: str) -> TaskRecord | None:
        item = await self._read(owner, task_id) if items.storable(task_id) else None
        return None if item is None else self._seen(item)

    async def insert(self, record: TaskRecord, *, quota: int | None, now: datetime) -> None:
        if quota is None:
            put = items.insert_task(record, None, now)
            try:
                await self._table.call("put_item", **put)
            except Refused as refused:
                self._lost(refused.items[0], put["Item"])
            self._written(record, None)
            return
        # A guess saves counting, as long as nobody with a higher limit may have taken places beyond ours.
        slot: int | None = random.randrange(quota) if quota and self._surveyed.get(record.owner) == quota else None  # noqa: S311
        for _ in range(_ATTEMPTS):
            if slot is None:
                slot = await self._vacancy(record.owner, quota, now)
            task, seat = items.insert_task(record, slot, now), items.take_slot(record, slot, now)
            try:
                await self._table.transact({"Put": task}, {"Put": seat})
            except Refused as refused:
                if refused.failed[0]:
                    self._lost(refused.items[0], task["Item"])
                    break
                slot = None
            else:
                break
        else:
            raise StoreError(f"{self._table.name}: too many tasks are being created for one owner at once; try again")
        self._written(record, slot)

    async def replace(self, record: TaskRecord, *, expected: int) -> None:
        owner, task_id = record.owner, record.task_id
        seat = self._seats.get((owner, task_id))
        if seat is None or seat.version != expected:
            item = await self._read(owner, task_id)
            if item is None:
                raise Conflict(None)
            current = self._seen(item)
            if current.seq != expected:
                raise Conflict(current)
            seat = items.read_seat(item)
        slot = seat.slot
        expires = None if record.expires is None else items.ms(record.expires)
        if slot is not None and (not record.live or expires != seat.expires):
            change = {"Put": items.hold_slot(record, slot)} if record.live else None
            update = items.update_task(record, slot if record.live else None, expected)
            try:
                await self._table.transact(
                    {"Update": update}, change or {"Delete": items.free_slot(owner, task_id, slot)}
                )
            except Refused as refused:
                if refused.failed[0]:
                    self._lost(refused.items[0], _values(update))
                else:
                    # It had expired, and another task has the place since.
                    slot = None
                    await self._update(record, None, expected)
        else:
            await self._update(record, slot, expected)
        self._written(record, slot if record.live else None)

    async def delete(self, owner: Owner, task_id: str) -> bool:
        item = await self._read(owner, task_id) if items.storable(task_id) else None
        if item is None:
            return False
        slot = items.read_number(item, "slot")
        delete = items.delete_task(owner, task_id)
        try:
            if slot is not None:
                try:
                    await self._table.transact({"Delete": delete}, {"Delete": items.free_slot(owner, task_id, slot)})
                except Refused as refused:
                    if refused.failed[0]:
                        return False
                    slot = None
            if slot is None:
                await self._table.call("delete_item", **delete)
        except Refused:
            return False
        self._seats.pop((owner, task_id), None)
        self._feed.tell(_watched(owner, task_id), task_id, None)
        return True

    async def page(self, owner: Owner, *, after: Position | None, limit: int, now: datetime) -> list[TaskRecord]:
        keys, values = "#PK = :owner", {"owner": {"S": items.partition(owner)}, "now": {"N": str(items.ms(now))}}
        if after is not None:
            keys += " AND #place < :after"
            values["after"] = {"S": items.place(after)}
        unexpired = "attribute_not_exists(#expires) OR #expires >= :now"
        found: list[TaskRecord] = []
        more: Item = {}
        while (wanted := limit - len(found)) > 0:
            answer = await self._table.call(
                "query",
                IndexName=BY_PLACE,
                ConsistentRead=True,
                ScanIndexForward=False,
                # Once there were expired ones in between, there may be many more.
                Limit=max(wanted, _LEAP) if more else wanted,
                FilterExpression=unexpired,
                **items.query(keys, unexpired, **values),
                **more,
            )
            found += await self._first(answer["Items"], wanted)
            if "LastEvaluatedKey" not in answer:
                break
            more = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        return found

    async def purge(self, now: datetime) -> int:  # noqa: ARG002
        """0: DynamoDB deletes expired items by itself, for nothing; a Scan that looks for them would cost."""
        return 0

    async def next_expiry(self) -> datetime | None:
        """None: see `purge`."""
        return None

    async def leases(self) -> AsyncIterator[list[tuple[Hashable, int]]]:
        """See `Backend.leases`. The index is a moment behind the table."""
        for bucket in items.LEASE_BUCKETS:
            more: Item = {}
            while True:
                answer = await self._table.call(
                    "query",
                    IndexName=BY_LEASE,
                    Limit=_LEASES,
                    **items.query("#lease_bucket = :bucket", bucket={"S": bucket}),
                    **more,
                )
                yield [
                    ((entry["PK"]["S"], entry["SK"]["S"]), int(entry["lease_version"]["N"]))
                    for entry in answer["Items"]
                ]
                if "LastEvaluatedKey" not in answer:
                    break
                more = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def leased(self, key: Hashable) -> TaskRecord | None:
        partition, sort = cast(tuple[str, str], key)
        item = await self._fetch({"PK": {"S": partition}, "SK": {"S": sort}})
        record = None if item is None else self._seen(item)
        return record if record is not None and record.lease is not None else None

    @asynccontextmanager
    async def watch(self, owner: Owner, task_id: str | None = None) -> AsyncIterator[Changes]:
        async def look_at_task() -> Mapping[str, int]:
            assert task_id is not None
            item = await self._fetch(items.task_key(owner, task_id), "#version") if items.storable(task_id) else None
            return {} if item is None else {task_id: items.read_version(item)}

        async def look_at_owner() -> Mapping[str, int]:
            return await self._versions(owner)

        key = _watched(owner, task_id)[0]
        look, pauses = (look_at_owner, OWNER_PAUSES) if task_id is None else (look_at_task, TASK_PAUSES)
        async with self._feed.listen(key, look, pauses) as changes:
            yield changes

    async def close(self) -> None:
        await self._table.close()

    async def _update(self, record: TaskRecord, slot: int | None, expected: int) -> None:
        update = items.update_task(record, slot, expected)
        try:
            await self._table.call("update_item", **update)
        except Refused as refused:
            self._lost(refused.items[0], _values(update))

    async def _read(self, owner: Owner, task_id: str) -> Item | None:
        return await self._fetch(items.task_key(owner, task_id))

    async def _fetch(self, key: Item, attributes: str = "") -> Item | None:
        projection: Item = {}
        if attributes:
            projection = {"ProjectionExpression": attributes, "ExpressionAttributeNames": items.names(attributes)}
        answer = await self._table.call("get_item", Key=key, ConsistentRead=True, **projection)
        item: Item | None = answer.get("Item")
        return item

    async def _first(self, entries: list[Item], limit: int) -> list[TaskRecord]:
        """The first `limit` records behind entries of an index, of those that are still there and can be read."""
        found: list[TaskRecord] = []
        while entries and (wanted := limit - len(found)) > 0:
            found += await self._load(entries[:wanted])
            entries = entries[wanted:]
        return found

    async def _load(self, entries: list[Item]) -> list[TaskRecord]:
        keys = [{"PK": entry["PK"], "SK": entry["SK"]} for entry in entries]
        there = {(item["PK"]["S"], item["SK"]["S"]): item for item in await self._table.read(keys)}
        found = (there.get((key["PK"]["S"], key["SK"]["S"])) for key in keys)
        return legible([item for item in found if item is not None], self._seen)

    async def _vacancy(self, owner: Owner, quota: int, now: datetime) -> int:
        taken: set[int] = set()
        moment = items.ms(now)
        async for item in self._all(owner, "SLOT#", "#SK, #expires"):
            expires = items.read_number(item, "expires")
            if expires is None or expires >= moment:
                taken.add(int(item["SK"]["S"].removeprefix("SLOT#")))
        free = [slot for slot in range(quota) if slot not in taken]
        if len(taken) >= quota:
            raise QuotaReached
        if len(self._surveyed) >= _SEATS:
            self._surveyed.clear()
        self._surveyed[owner] = quota
        return random.choice(free)  # noqa: S311

    async def _versions(self, owner: Owner) -> dict[str, int]:
        found = [item async for item in self._all(owner, "TASK#", "#SK, #version")]
        return {items.task_id(item): items.read_version(item) for item in found}

    async def _all(self, owner: Owner, kind: str, attributes: str) -> AsyncIterator[Item]:
        more: Item = {}
        while True:
            answer = await self._table.call(
                "query",
                ConsistentRead=True,
                ProjectionExpression=attributes,
                **items.query(
                    "#PK = :owner AND begins_with(#SK, :kind)",
                    attributes,
                    owner={"S": items.partition(owner)},
                    kind={"S": kind},
                ),
                **more,
            )
            for item in answer["Items"]:
                yield item
            if "LastEvaluatedKey" not in answer:
                return
            more = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _lost(self, there: Item | None, ours: Item) -> None:
        """Raise what a refused write means; a write of ours whose first answer was lost is not refused."""
        if there is None:
            raise Conflict(None)
        if there["write_id"]["B"] != ours["write_id"]["B"]:
            raise Conflict(self._seen(there))

    def _seen(self, item: Item) -> TaskRecord:
        try:
            record = items.read_record(item)
        except StoreError as error:
            raise StoreError(f"in {self._table.name}, {items.task_id(item)}: {error}") from None
        self._remember(record.owner, record.task_id, items.read_seat(item))
        return record

    def _written(self, record: TaskRecord, slot: int | None) -> None:
        expires = None if record.expires is None else items.ms(record.expires)
        self._remember(record.owner, record.task_id, Seat(record.seq, slot, expires))
        self._feed.tell(_watched(record.owner, record.task_id), record.task_id, record.seq)

    def _remember(self, owner: Owner, task_id: str, seat: Seat) -> None:
        self._seats[owner, task_id] = seat
        self._seats.move_to_end((owner, task_id))
        if len(self._seats) > _SEATS:
            self._seats.popitem(last=False)


def _values(update: Item) -> Item:
    return {name.removeprefix(":"): value for name, value in update["ExpressionAttributeValues"].items()}


def _watched(owner: Owner, task_id: str | None) -> tuple[str, ...]:
    """Keys of the local feed that a change of this task is told under."""
    whole = items.partition(owner)
    return (whole,) if task_id is None else (f"{whole}#{task_id}", whole)
