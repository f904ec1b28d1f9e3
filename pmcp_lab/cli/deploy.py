"""`pmcp-lab deploy`: what it takes to run a server elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """
[bold]Examples[/bold]

pmcp-lab deploy template                         into ./deploy
pmcp-lab deploy template -o infra --table jobs   for a table of another name
"""

group = typer.Typer(name="deploy", help="Run a server elsewhere.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(group)


# Without it, a group of one command would be that command.
@group.callback()
def _group() -> None:
    """Run a server elsewhere."""


@group.command("template", epilog=EXAMPLES)
def template(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", file_okay=False, help="Where to write.")] = Path("deploy"),
    table: Annotated[str, typer.Option(help="The DynamoDB table of the tasks.")] = "pmcp-tasks",
    name: Annotated[str, typer.Option(help="Of the stack and the server.")] = "pmcp-tasks",
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead of text.")] = False,
) -> None:
    """Write a CloudFormation template of a server with tasks in two Lambda functions, and the functions.

    One answers MCP requests behind API Gateway, the other does the work that it left in a queue. The table is described
    as `create_table` makes it.
    """
    from pmcp_lab.apps.deploy import check_table_name, serverless
    from pmcp_lab.apps.writing import write_files
    from pmcp_lab.tasks.backends.dynamodb_table import cloudformation_template

    check_table_name(table)
    written = write_files(output, serverless(cloudformation_template(table), name=name), force=force)
    if as_json:
        print(json.dumps({"name": name, "table": table, "files": [str(file) for file in written]}, indent=2))
    else:
        for file in written:
            print(file)
