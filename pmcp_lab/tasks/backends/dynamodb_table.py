"""The DynamoDB table: its keys, its indexes, and how to make it.

One item per task and one per taken place of a quota:

    PK             SK          attributes
    OWNER#<owner>  TASK#<id>   data, version, write_id, place, expires, expires_at, slot, lease_bucket, lease_version
    OWNER#<owner>  SLOT#<n>    task_id, expires, expires_at

`place` (creation time, then id) is the sort key of the local index that lists an owner's tasks. `lease_bucket` and
`lease_version` are there only while a task is leased, so the global index holds nothing else. `expires` is in ms;
`expires_at`, in whole seconds and never too early, is what DynamoDB deletes by, up to two days late.
A local index limits what one owner has to 10 GB.
"""

from __future__ import annotations

from typing import Any, Final

BY_PLACE: Final = "by_place"
BY_LEASE: Final = "by_lease"
TTL_ATTRIBUTE: Final = "expires_at"

_KEYS: Final = {"PK": "S", "SK": "S", "place": "S", "lease_bucket": "S", "lease_version": "N"}


def table_definition(name: str) -> dict[str, Any]:
    """Arguments of DynamoDB's CreateTable, on demand capacity."""
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": kind} for key, kind in _KEYS.items()],
        "KeySchema": _schema("PK", "SK"),
        "LocalSecondaryIndexes": [
            {
                "IndexName": BY_PLACE,
                "KeySchema": _schema("PK", "place"),
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["expires"]},
            }
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": BY_LEASE,
                "KeySchema": _schema("lease_bucket", "lease_version"),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    }


def cloudformation_template(name: str = "pmcp-tasks") -> dict[str, Any]:
    """A CloudFormation template (JSON) of the table, kept when the stack is deleted, and the policy to use it.

    Args:
        name: Default of the template's parameter `TableName`.
    """
    definition = table_definition(name) | {
        "TableName": {"Ref": "TableName"},
        "TimeToLiveSpecification": {"AttributeName": TTL_ATTRIBUTE, "Enabled": True},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }
    arn = {"Fn::GetAtt": ["Tasks", "Arn"]}
    actions = ["GetItem", "BatchGetItem", "PutItem", "UpdateItem", "DeleteItem", "Query"]
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Durable tasks of pmcp_lab",
        "Parameters": {"TableName": {"Type": "String", "Default": name}},
        "Resources": {
            "Tasks": {
                "Type": "AWS::DynamoDB::Table",
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": definition,
            },
            "Access": {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "Description": "Read and write tasks",
                    "PolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Action": [f"dynamodb:{action}" for action in actions],
                                "Resource": [arn, {"Fn::Sub": "${Tasks.Arn}/index/*"}],
                            }
                        ],
                    },
                },
            },
        },
        "Outputs": {
            "Url": {"Value": {"Fn::Sub": "dynamodb://${Tasks}?region=${AWS::Region}"}},
            "Policy": {"Value": {"Ref": "Access"}},
        },
    }


def _schema(partition: str, order: str) -> list[dict[str, str]]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": order, "KeyType": "RANGE"}]
