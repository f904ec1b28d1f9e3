"""Tasks in DynamoDB, on a table that a CloudFormation template makes.

pmcp-lab deploy template            # the same template as a file, for `aws cloudformation deploy`
python dynamodb_table.py            # with your AWS account: makes a stack, uses it, deletes it
python dynamodb_table.py http://…   # on something that imitates AWS, such as `moto_server`
"""

import asyncio
import json
import sys
import uuid

from aiobotocore.session import get_session
from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.server import TaskContext, Tasks
from pmcp_lab.tasks.backends.dynamodb import cloudformation_template

REGION = "eu-central-1"


async def deploy(table: str, endpoint: str | None) -> None:
    async with get_session().create_client("cloudformation", region_name=REGION, endpoint_url=endpoint) as client:
        template = json.dumps(cloudformation_template(table))
        await client.create_stack(StackName=table, TemplateBody=template, Capabilities=["CAPABILITY_IAM"])
        await client.get_waiter("stack_create_complete").wait(StackName=table)


async def remove(table: str, endpoint: str | None) -> None:
    """The stack; then the table, which the template keeps when its stack is gone."""
    for service, call in (
        ("cloudformation", lambda client: client.delete_stack(StackName=table)),
        ("dynamodb", lambda client: client.delete_table(TableName=table)),
    ):
        async with get_session().create_client(service, region_name=REGION, endpoint_url=endpoint) as client:
            await call(client)


def serve(table: str, endpoint: str | None) -> MCPServer:
    at = f"&endpoint={endpoint}" if endpoint else ""
    tasks = Tasks(f"dynamodb://{table}?region={REGION}{at}")

    @tasks.tool(poll_interval="100ms", on_lost="retry")
    async def add_up(numbers: list[int], task: TaskContext) -> int:
        """Add numbers up, and save how far that is."""
        done, total = task.checkpoint or (0, 0)
        for number in numbers[done:]:
            done, total = done + 1, total + number
            await task.save([done, total], message=f"{done} of {len(numbers)}")
        return total

    return MCPServer("sums", extensions=[tasks], middleware=[tasks], lifespan=tasks.lifespan, log_level="ERROR")


def main(endpoint: str | None = None) -> int:
    table = f"tasks-{uuid.uuid4().hex[:8]}"
    asyncio.run(deploy(table, endpoint))
    try:
        sums = lab.connect(serve(table, endpoint), name="sums")
        run = sums.task("add_up", numbers=[1, 2, 3, 4])
        total = run.result(timeout=60).value
        print(f"{total}, {run.message}, in table {table}")
        sums.close()
    finally:
        asyncio.run(remove(table, endpoint))
    return total


if __name__ == "__main__":
    main(*sys.argv[1:])
