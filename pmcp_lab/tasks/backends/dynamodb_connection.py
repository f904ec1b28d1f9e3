"""One DynamoDB table over the network: a client opened when first used, and what its refusals mean."""

from __future__ import annotations

import asyncio
import functools
import re
from contextlib import AsyncExitStack
from typing import Any, Final
from urllib.parse import parse_qsl

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from botocore.loaders import create_loader

from pmcp_lab.errors import StoreError
from pmcp_lab.protocol.address import shown, split
from pmcp_lab.protocol.backoff import jittered
from pmcp_lab.tasks.backends.dynamodb_items import Item
from pmcp_lab.tasks.backends.dynamodb_table import TTL_ATTRIBUTE, table_definition

_TABLE: Final = re.compile(r"[\w.-]+", re.ASCII)
_REGION: Final = re.compile(r"[\w-]*", re.ASCII)
_BUSY: Final = {"TransactionConflictException", "TransactionInProgressException"}
_MANY_TABLES: Final = {"transact_write_items", "batch_get_item"}
_ATTEMPTS: Final = 40

_PAUSES: Final = (0.005, 0.2)
"""Seconds before the same is asked again: at first, and at most."""

_BATCH: Final = 100
"""Keys that one BatchGetItem may ask for."""


_loader: Final = functools.cache(create_loader)
"""Reads what the service is like from files, which takes longer than a request: once per process."""


class Refused(Exception):
    """Which conditions failed, and the items that were there instead, in the order of the actions."""

    def __init__(self, failed: list[bool], found: list[Item | None]) -> None:
        super().__init__("a condition failed")
        self.failed = failed
        self.items = found


class Table:
    """A table by URL; see `DynamoBackend`."""

    def __init__(self, url: str) -> None:
        parts = split(url)
        options = {} if parts is None else dict(parse_qsl(parts.query))
        # Not `hostname`, which is in lower case.
        self._table = "" if parts is None else parts.netloc.rpartition("@")[2]
        unknown = options.keys() - {"region", "endpoint", "profile"} or not _REGION.fullmatch(options.get("region", ""))
        rest = "" if parts is None else parts.path.strip("/") + parts.fragment
        if not _TABLE.fullmatch(self._table) or rest or unknown or "@" in url.partition("?")[2]:
            raise StoreError(
                f"{shown(url)} can't be read as dynamodb://table?region=…&endpoint=…&profile=…, and has room for "
                "nothing else"
            )
        self._region, self._endpoint = options.get("region"), options.get("endpoint")
        if self._endpoint is not None and shown(self._endpoint) != self._endpoint:
            # boto's errors repeat it.
            raise StoreError(
                f"the endpoint of {shown(url)} is to be http://host:port alone: credentials come from the environment, "
                "a profile or the machine's role"
            )
        self._session = get_session()
        self._session.register_component("data_loader", _loader(self._session.get_config_variable("data_path")))
        if "profile" in options:
            self._session.set_config_variable("profile", options["profile"])
        self._opened: Any = None
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()

    @property
    def name(self) -> str:
        place = self._endpoint or self._region
        return f"DynamoDB table {self._table!r}" + (f" at {place}" if place else "")

    async def _client(self) -> Any:
        async with self._opening:
            if self._opened is None:
                config = AioConfig(
                    connect_timeout=5, read_timeout=10, max_pool_connections=32, retries={"mode": "standard"}
                )
                self._opened = await self._stack.enter_async_context(
                    self._session.create_client(
                        "dynamodb", region_name=self._region, endpoint_url=self._endpoint, config=config
                    )
                )
            return self._opened

    async def call(self, operation: str, **arguments: Any) -> Any:
        """The answer to an operation of DynamoDB's API on this table.

        Raises:
            Refused: A condition did not hold.
            StoreError: Anything else.
        """
        if operation not in _MANY_TABLES:
            arguments["TableName"] = self._table
        for attempt in range(_ATTEMPTS):
            try:
                return await getattr(await self._client(), operation)(**arguments)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "ConditionalCheckFailedException":
                    raise Refused([True], [error.response.get("Item")]) from None
                if code == "ResourceInUseException" and operation == "create_table":
                    raise Refused([True], [None]) from None
                reasons = [reason.get("Code") for reason in error.response.get("CancellationReasons", ())]
                if "ConditionalCheckFailed" in reasons:
                    raise Refused(
                        [reason == "ConditionalCheckFailed" for reason in reasons],
                        [reason.get("Item") for reason in error.response["CancellationReasons"]],
                    ) from None
                # Another transaction has one of the items just now: nothing was refused, only put off.
                if code not in _BUSY and "TransactionConflict" not in reasons:
                    raise self._trouble(error, code) from error
                await asyncio.sleep(jittered(attempt, *_PAUSES))
            except (BotoCoreError, OSError) as error:
                raise self._trouble(error) from error
        raise StoreError(f"{self.name}: others kept changing the same items; try again")

    async def transact(self, *actions: Item) -> None:
        """Carry out `{"Put" | "Update" | "Delete": arguments}` of several items, or none of them. Raises as `call`."""
        named = [{kind: {**args, "TableName": self._table} for kind, args in action.items()} for action in actions]
        await self.call("transact_write_items", TransactItems=named)

    async def read(self, keys: list[Item]) -> list[Item]:
        """The items of these keys, in any order, without those that are not there. Raises `StoreError`."""
        found: list[Item] = []
        for start in range(0, len(keys), _BATCH):
            found += await self._read(keys[start : start + _BATCH])
        return found

    async def _read(self, keys: list[Item]) -> list[Item]:
        found: list[Item] = []
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(jittered(attempt, *_PAUSES))
            asked = {self._table: {"Keys": keys, "ConsistentRead": True}}
            answer = await self.call("batch_get_item", RequestItems=asked)
            found += answer["Responses"].get(self._table, [])
            # More than 16 MB, or than the table's capacity allows at the moment.
            keys = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if not keys:
                return found
        raise StoreError(f"{self.name} is too busy to read from; try again")

    async def create(self) -> None:
        """Make the table unless it is there, and wait until it can be used."""
        try:
            await self.call("create_table", **table_definition(self._table))
        except Refused:
            return
        client = await self._client()
        try:
            await client.get_waiter("table_exists").wait(TableName=self._table, WaiterConfig={"Delay": 1})
        except WaiterError as error:
            raise StoreError(f"{self.name} does not get ready: {error}") from error
        ttl = {"AttributeName": TTL_ATTRIBUTE, "Enabled": True}
        await self.call("update_time_to_live", TimeToLiveSpecification=ttl)

    async def drop(self) -> None:
        """Delete the table with everything in it."""
        await self.call("delete_table")

    async def close(self) -> None:
        async with self._opening:
            self._opened = None
            await self._stack.aclose()

    def _trouble(self, error: Exception, code: str = "") -> StoreError:
        if code == "ResourceNotFoundException":
            return StoreError(
                f"there is no {self.name}: make it with `await create_table(url)` of "
                "pmcp_lab.tasks.backends.dynamodb, or deploy its cloudformation_template()"
            )
        return StoreError(f"{self.name} can't be used: {str(error) or type(error).__name__}")
