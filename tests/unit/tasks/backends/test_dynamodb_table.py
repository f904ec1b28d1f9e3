"""The DynamoDB table: made by `create_table` or by CloudFormation it is the same, and any endpoint will do."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed: pip install 'pmcp_lab[dynamodb]'")

from aiobotocore.session import get_session

from pmcp_lab.tasks.backends.conformance import keeps_every_field
from pmcp_lab.tasks.backends.dynamodb import cloudformation_template, create_table
from pmcp_lab.tasks.backends.dynamodb_table import table_definition
from tests.unit import storage_servers
from tests.unit.backend_cases import dynamodb
from tests.unit.storage_servers import moto_endpoint, start_moto

REGION = "eu-central-1"


def service(name: str) -> Any:
    return get_session().create_client(name, region_name=REGION, endpoint_url=moto_endpoint())


def test_the_template_makes_the_same_table() -> None:
    template = json.loads(json.dumps(cloudformation_template("jobs")))
    assert template["Parameters"]["TableName"]["Default"] == "jobs"
    table = template["Resources"]["Tasks"]["Properties"]
    assert {**table_definition("jobs"), "TableName": {"Ref": "TableName"}}.items() <= table.items()
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    used = {key["AttributeName"] for key in table["KeySchema"]}
    for index in (*table["LocalSecondaryIndexes"], *table["GlobalSecondaryIndexes"]):
        used |= {key["AttributeName"] for key in index["KeySchema"]}
    assert Counter(used) == Counter(each["AttributeName"] for each in table["AttributeDefinitions"])


async def test_both_ways_to_make_the_table_make_the_same_one() -> None:
    for _ in range(2):
        await create_table(f"dynamodb://by-hand?region={REGION}&endpoint={moto_endpoint()}")
    async with service("cloudformation") as client:
        template = json.dumps(cloudformation_template("by-stack"))
        await client.create_stack(StackName="tasks", TemplateBody=template, Capabilities=["CAPABILITY_IAM"])
        (stack,) = (await client.describe_stacks(StackName="tasks"))["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    assert outputs["Url"] == f"dynamodb://by-stack?region={REGION}"
    async with service("dynamodb") as client:
        by_hand, by_stack = [(await client.describe_table(TableName=name))["Table"] for name in ("by-hand", "by-stack")]
        expiry = (await client.describe_time_to_live(TableName="by-hand"))["TimeToLiveDescription"]
    for part in ("KeySchema", "AttributeDefinitions", "BillingModeSummary"):
        assert by_hand[part] == by_stack[part]
    for part in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
        assert [(index["IndexName"], index["KeySchema"], index["Projection"]) for index in by_hand[part]] == [
            (index["IndexName"], index["KeySchema"], index["Projection"]) for index in by_stack[part]
        ]
    # moto's CloudFormation leaves the expiry out; that the template has the same is checked above.
    assert expiry == {"AttributeName": "expires_at", "TimeToLiveStatus": "ENABLED"}


async def test_the_tests_use_the_endpoint_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setenv("PMCP_LAB_DYNAMODB_ENDPOINT", start_moto(seen.append))
    monkeypatch.setattr("tests.unit.backend_cases.dynamodb_endpoint", storage_servers.dynamodb_endpoint.__wrapped__)
    async with dynamodb() as backend:
        await keeps_every_field(backend)
    operations = {target.partition(".")[2] for target in seen}
    assert operations >= {"CreateTable", "UpdateTimeToLive", "PutItem", "GetItem", "UpdateItem", "DeleteTable"}
