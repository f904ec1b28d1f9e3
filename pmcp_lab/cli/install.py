"""`pmcp-lab install`: a server in the file of another MCP client."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pmcp_lab.cli.client_files import SECTIONS, Client, file_of, with_entry
from pmcp_lab.cli.connecting import Target
from pmcp_lab.errors import LabError

EXAMPLES = """
[bold]Examples[/bold]

pmcp-lab install demo --client claude                         Claude Desktop
pmcp-lab install "python -m my_app" --client vscode           .vscode/mcp.json of this folder
pmcp-lab install https://apps.example.com/mcp --client cursor --name apps
pmcp-lab install my-app --client mcp.json --yes               for scripts

[bold]Exit status[/bold]

0  written, or there already
1  it can't be done, or was not agreed to; nothing was written
"""


def add_to(app: typer.Typer) -> None:
    app.command("install", epilog=EXAMPLES)(run)


def run(
    target: Target,
    *,
    client: Annotated[Client, typer.Option(help="Who is told of it; mcp.json is a project's file.")],
    name: Annotated[str | None, typer.Option(help="What it is called there.", show_default="its own name")] = None,
    file: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Another file than the client's own.", show_default=False)
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Print the entry, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
) -> None:
    """Add a server to the file of another MCP client: shows the change, asks, and keeps what was there beside it.

    No other entry changes. Tokens and headers are not written: the client asks for them, or takes them from where it
    looks.
    """
    called, entry = entry_of(target, client)
    name = name or called
    section = SECTIONS.get(client, "mcpServers")
    if show:
        print(json.dumps({section: {name: entry}}, indent=2, ensure_ascii=False))
        return
    change = with_entry(file or file_of(client), section, name, entry)
    if not change.diff:
        print(f"{change.file} has {name!r} already")
        return
    print(change.diff)
    if not yes:
        if not sys.stdin.isatty():
            raise LabError(f"nothing was written to {change.file}: nobody is here to agree; --yes writes it")
        if not typer.confirm("Write it?"):
            raise LabError(f"nothing was written to {change.file}")
    backup = change.write()
    print(f"wrote {change.file}" + (f"; what was there is in {backup}" if backup is not None else ""))


def entry_of(target: str, client: Client) -> tuple[str, dict[str, Any]]:
    """What a server is called, and its entry in a client's file.

    Raises:
        LabError: It is nothing that another program can start or reach, or not from this client.
    """
    from pmcp_lab.cli.connecting import server_object
    from pmcp_lab.client import BUNDLED, Command, Url, configured, read_target

    if target not in BUNDLED and target not in configured() and server_object(target) is not None:
        module = target.partition(":")[0].partition(".")[0]
        raise LabError(f"{target} lives in Python alone: name the command that serves it, such as 'python -m {module}'")
    name, found = read_target(target)
    if isinstance(found, Url):
        if client is Client.CLAUDE:
            raise LabError("Claude Desktop's file has commands alone: add a URL in its settings, under Connectors")
        if found.shown not in (None, found.url):
            raise LabError(f"{target} takes variables of this machine's file; copy its entry by hand")
        return name, {"type": "http", "url": found.url}
    if not isinstance(found, Command):
        raise LabError(f"{target} is nothing that another program can start")
    if found.shown not in (None, found.argv):
        raise LabError(f"{target} takes variables of this machine's file; copy its entry by hand")
    program, *rest = found.argv
    # A client that is started from a desktop has another PATH, and another folder.
    entry: dict[str, Any] = {"command": shutil.which(program) or program, "args": [_whole(each) for each in rest]}
    if client is Client.VSCODE:
        entry = {"type": "stdio", **entry}
    if found.env:
        entry["env"] = dict(found.env)
    if found.cwd is not None:
        entry["cwd"] = str(Path(found.cwd).resolve())
    return name, entry


def _whole(word: str) -> str:
    """The whole path of a file that is named from here."""
    return str(Path(word).resolve()) if "/" in word and "://" not in word and Path(word).is_file() else word
