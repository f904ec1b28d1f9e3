"""`pmcp-lab deploy template`: a stack that can be made, and two functions that do what they should."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from aiobotocore.session import get_session
from cfnlint import api

from pmcp_lab.cli import main
from tests.unit.modern_http import ENVELOPE
from tests.unit.storage_servers import moto_endpoint

REGION = "eu-central-1"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    main(["deploy", "template", "--output", str(tmp_path / "infra"), "--table", "jobs", "--name", "reports"])
    return tmp_path / "infra"


def test_the_template_has_no_faults(written: Path) -> None:
    text = (written / "template.yaml").read_text()
    assert [str(match) for match in api.lint(text, regions=[REGION])] == []
    template = yaml.safe_load(text)
    assert template["Parameters"]["TableName"]["Default"] == "jobs"
    assert {"Tasks", "Access", "Queue", "Web", "Work", "Api"} <= template["Resources"].keys()


def test_nothing_is_written_over(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (written / "handlers.py").write_text("mine")
    (written / "template.yaml").unlink()
    with pytest.raises(SystemExit) as ended:
        main(["deploy", "template", "--output", str(written)])
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"pmcp-lab: {written}/handlers.py exists already; --force replaces it\n"
    assert not (written / "template.yaml").exists()
    main(["deploy", "template", "--output", str(written), "--force"])
    assert (written / "handlers.py").read_text() != "mine"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--table", "x"], "'x' is no name of a DynamoDB table"),
        (["--name", "Big Stack"], "'Big Stack' is no name of a stack"),
    ],
)
def test_names(arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["deploy", "template", "--output", str(tmp_path / "infra"), *arguments])
    assert ended.value.code == 1
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_task_goes_through_both_functions(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = moto_endpoint()
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("STORE_URL", f"dynamodb://two-functions?region={REGION}&endpoint={endpoint}")
    monkeypatch.setenv("QUEUE_URL", asyncio.run(_resources()))
    handlers = _module(written / "handlers.py")

    def ask(method: str, named: str, who: str | None, **params: Any) -> Any:
        answer = handlers.web(_event(method, named, who, params), None)
        assert answer["statusCode"] == 200, answer
        return json.loads(answer["body"])

    made = ask("tools/call", "report", "ada", name="report", arguments={"year": 2026})["result"]
    assert (made["resultType"], made["status"]) == ("task", "working")
    task_id = made["taskId"]
    message = asyncio.run(_delivered())
    assert handlers.work({"Records": [message]}, None) == {"batchItemFailures": []}
    assert handlers.work({"Records": [message]}, None) == {"batchItemFailures": []}, "delivered twice"
    done = ask("tasks/get", task_id, "ada", taskId=task_id)["result"]
    assert done["status"] == "completed"
    assert done["result"]["structuredContent"] == {"result": "the report of 2026"}
    refused = handlers.web(_event("tasks/get", task_id, "bob", {"taskId": task_id}), None)
    assert "error" in json.loads(refused["body"]), "another's task is none"
    refused = handlers.web(_event("tasks/get", task_id, None, {"taskId": task_id}), None)
    assert "authenticate first" in refused["body"]


async def _resources() -> str:
    from pmcp_lab.tasks.backends.dynamodb import create_table

    await create_table(f"dynamodb://two-functions?region={REGION}&endpoint={moto_endpoint()}")
    async with get_session().create_client("sqs") as queue:
        return str((await queue.create_queue(QueueName="two-functions"))["QueueUrl"])


async def _delivered() -> dict[str, Any]:
    """As Lambda hands it to a function."""
    async with get_session().create_client("sqs") as queue:
        got = await queue.receive_message(QueueUrl=os.environ["QUEUE_URL"], WaitTimeSeconds=5)
    (message,) = got["Messages"]
    return {"messageId": message["MessageId"], "body": message["Body"]}


def _event(method: str, named: str, who: str | None, params: dict[str, Any]) -> dict[str, Any]:
    """A request as an HTTP API sends it, payload format 2.0."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": ENVELOPE}}
    headers = {
        "host": "abc.execute-api.eu-central-1.amazonaws.com",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": method,
        "mcp-name": named,
        "authorization": "Bearer a.b.c",
    }
    claims = {"sub": who, "iss": "https://issuer.example/", "client_id": "notebook"}
    context: dict[str, Any] = {"http": {"method": "POST", "path": "/mcp"}}
    if who is not None:
        context["authorizer"] = {"jwt": {"claims": claims}}
    return {
        "rawPath": "/mcp",
        "rawQueryString": "",
        "headers": headers,
        "requestContext": context,
        "body": json.dumps(body),
    }


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("handlers", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
