"""The files of a server without a server: a CloudFormation template and the two functions that it runs.

The table is described where it is known (`pmcp_lab.tasks.backends`) and given here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from pmcp_lab._version import __version__
from pmcp_lab.apps.placeholders import fill_placeholders
from pmcp_lab.errors import AppError

WORK_TIMEOUT = 900
"""Seconds that a Lambda function may take at most."""
ANSWER_TIMEOUT = 29
"""Seconds after which API Gateway gives up."""
_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")

Resource = dict[str, Any]


def serverless(table: Mapping[str, Any], *, name: str = "pmcp-tasks") -> dict[str, str]:
    """Everything that is to be written, by file name.

    Args:
        table: The table's template, with the resources `Tasks` (the table) and `Access` (the policy to use it).
        name: Of the stack and of the server.

    Raises:
        AppError: It is no name of a stack.
    """
    import yaml

    if not _NAME.fullmatch(name):
        raise AppError(f"{name!r} is no name of a stack: small letters, digits and '-', at most 40, a letter first")
    values = {"name": name, "version": __version__}
    folder = files("pmcp_lab.apps").joinpath("templates", "deploy")
    made = {
        entry.name.removesuffix(".in"): fill_placeholders(
            entry.read_text(encoding="utf-8"), values, template=f"deploy/{entry.name}"
        )
        for entry in folder.iterdir()
    }
    # CloudFormation takes no aliases, which YAML makes of an object that stands in two places.
    plain = json.loads(json.dumps(template(table)))
    return {"template.yaml": yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120), **made}


def check_table_name(name: str) -> None:
    """Refuse what can't be the name of a table.

    Raises:
        AppError: DynamoDB takes no such name.
    """
    if not _TABLE.fullmatch(name):
        raise AppError(f"{name!r} is no name of a DynamoDB table: 3 to 255 letters, digits, '_', '-' and '.'")


def template(table: Mapping[str, Any]) -> dict[str, Any]:
    """The CloudFormation template: the table's own, with a queue, two functions and an HTTP API around it."""
    return {
        "AWSTemplateFormatVersion": table["AWSTemplateFormatVersion"],
        "Description": "An MCP server with durable tasks in two Lambda functions",
        "Parameters": {**table["Parameters"], **_parameters()},
        "Resources": {**table["Resources"], **_queue(), **_functions(), **_api()},
        "Outputs": {
            **{name: value for name, value in table["Outputs"].items() if name != "Policy"},
            "Endpoint": {"Description": "For MCP clients", "Value": {"Fn::Sub": "${Api.ApiEndpoint}/mcp"}},
        },
    }


def _parameters() -> dict[str, Any]:
    texts = {
        "CodeBucket": "S3 bucket of the functions' code",
        "CodeKey": "Key of the zip in it",
        "Issuer": "https address of the identity provider whose tokens callers bring",
        "Audience": "Audience that the tokens must be for",
    }
    return {name: {"Type": "String", "Description": text} for name, text in texts.items()}


def _queue() -> dict[str, Resource]:
    return {
        "Lost": {
            "Type": "AWS::SQS::Queue",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {"MessageRetentionPeriod": 1_209_600, "SqsManagedSseEnabled": True},
        },
        "Queue": {
            "Type": "AWS::SQS::Queue",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {
                # Lambda asks for six times the function's own time.
                "VisibilityTimeout": 6 * WORK_TIMEOUT,
                "SqsManagedSseEnabled": True,
                "RedrivePolicy": {"deadLetterTargetArn": _arn("Lost"), "maxReceiveCount": 5},
            },
        },
        "Deliveries": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": _arn("Queue"),
                "FunctionName": {"Ref": "Work"},
                # One task for each invocation: it may need all of its time.
                "BatchSize": 1,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
            },
        },
    }


def _functions() -> dict[str, Resource]:
    send = _allow(["sqs:SendMessage"], _arn("Queue"))
    take = _allow(
        ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"],
        _arn("Queue"),
    )
    return {
        "WebRole": _role(send),
        # A task may start others.
        "WorkRole": _role(take, send),
        "Web": _function("web", ANSWER_TIMEOUT),
        "Work": _function("work", WORK_TIMEOUT),
    }


def _role(*statements: Resource) -> Resource:
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "ManagedPolicyArns": [
                {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"},
                {"Ref": "Access"},
            ],
            "Policies": [
                {
                    "PolicyName": "queue",
                    "PolicyDocument": {"Version": "2012-10-17", "Statement": list(statements)},
                }
            ],
        },
    }


def _function(handler: str, timeout: int) -> Resource:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Architectures": ["x86_64"],
            "Handler": f"handlers.{handler}",
            "Role": _arn(f"{handler.title()}Role"),
            "Timeout": timeout,
            "MemorySize": 512,
            "Code": {"S3Bucket": {"Ref": "CodeBucket"}, "S3Key": {"Ref": "CodeKey"}},
            "Environment": {
                "Variables": {
                    "STORE_URL": {"Fn::Sub": "dynamodb://${Tasks}?region=${AWS::Region}"},
                    "QUEUE_URL": {"Ref": "Queue"},
                }
            },
        },
    }


def _api() -> dict[str, Resource]:
    api = {"Ref": "Api"}
    return {
        "Api": {
            "Type": "AWS::ApiGatewayV2::Api",
            "Properties": {"Name": {"Ref": "AWS::StackName"}, "ProtocolType": "HTTP"},
        },
        "Callers": {
            "Type": "AWS::ApiGatewayV2::Authorizer",
            "Properties": {
                "ApiId": api,
                "Name": "callers",
                "AuthorizerType": "JWT",
                "IdentitySource": ["$request.header.Authorization"],
                "JwtConfiguration": {"Issuer": {"Ref": "Issuer"}, "Audience": [{"Ref": "Audience"}]},
            },
        },
        "ToWeb": {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {
                "ApiId": api,
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": _arn("Web"),
                "PayloadFormatVersion": "2.0",
                "TimeoutInMillis": ANSWER_TIMEOUT * 1000,
            },
        },
        "Mcp": {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {
                "ApiId": api,
                "RouteKey": "ANY /mcp",
                "Target": {"Fn::Sub": "integrations/${ToWeb}"},
                "AuthorizationType": "JWT",
                "AuthorizerId": {"Ref": "Callers"},
            },
        },
        "Stage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "Properties": {"ApiId": api, "StageName": "$default", "AutoDeploy": True},
        },
        "WebFromApi": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": {"Ref": "Web"},
                "Principal": "apigateway.amazonaws.com",
                "SourceArn": {
                    "Fn::Sub": "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/*/mcp"
                },
            },
        },
    }


def _allow(actions: list[str], resource: Resource) -> Resource:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def _arn(name: str) -> Resource:
    return {"Fn::GetAtt": [name, "Arn"]}
