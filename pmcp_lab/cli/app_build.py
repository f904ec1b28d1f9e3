"""`pmcp-lab app build`: what it takes to publish an app."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pmcp_lab.cli.app import Json, group, print_json
from pmcp_lab.cli.connecting import Generation, Mode, Patience, Target, Token
from pmcp_lab.cli.ending import FAULTS, stop
from pmcp_lab.errors import AppError

if TYPE_CHECKING:
    from pmcp_lab.apps.recording import Recording
    from pmcp_lab.client import Server

BUILD_EXAMPLES = """
[bold]Examples[/bold]

pmcp-lab app build https://apps.example.com/mcp   a server that runs there
pmcp-lab app build my-app --url https://…/mcp     one that will run there
pmcp-lab app build my-app --package pypi:my-app --name io.github.me/my-app

[bold]Exit status[/bold]

0  written
1  it can't be done; nothing was written
3  the server has faults, see pmcp-lab app check; nothing was written
"""


def add_to(_app: typer.Typer) -> None:
    group.command("build", epilog=BUILD_EXAMPLES)(build)


def build(
    target: Target,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", file_okay=False, help="Where to write.")] = Path("dist"),
    url: Annotated[
        str | None,
        typer.Option(help="Where everybody will reach it: https.", show_default="the target, when it is a URL"),
    ] = None,
    package: Annotated[
        str | None, typer.Option(help="Where it is installed from, such as pypi:my-app.", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Its name in the MCP registry.", show_default="from the URL's domain")
    ] = None,
    logo: Annotated[str | None, typer.Option(help="An https address.", show_default="the server's icon")] = None,
    contact: Annotated[str, typer.Option(help="An e-mail address.", show_default=False)] = "",
    legal: Annotated[str, typer.Option(help="An address of terms of use.", show_default=False)] = "",
    allow_http: Annotated[
        bool, typer.Option("--allow-http", help="Take plain http and addresses of this machine, to try it out.")
    ] = False,
    recording: Annotated[
        Path | None,
        typer.Option(
            "--recording",
            exists=True,
            dir_okay=False,
            help="What `pmcp-lab record` wrote: the landing page answers with its calls.",
            show_default="mock-data/<server>.json, else tools that only read are called",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there already.")] = False,
    token: Token = None,
    mode: Mode = Generation.AUTO,
    timeout: Patience = 60.0,
    as_json: Json = False,
) -> None:
    """Write what it takes to publish an app: server.json of the MCP registry, ai-plugin.json, a landing page.

    All are made from the live server, whose apps must be without errors (`pmcp-lab app check`). The manifests are
    compared with their schemas, the recorded calls with those of the tools. The page is one file, which needs nobody.
    """
    from pmcp_lab.apps.check import check as findings_of
    from pmcp_lab.apps.landing import landing_page
    from pmcp_lab.apps.manifest import Publication, manifests
    from pmcp_lab.apps.writing import write_files
    from pmcp_lab.cli.connecting import look_at_apps, opened
    from pmcp_lab.cli.discovery import authorization

    where = url or (target if target.startswith(("http://", "https://")) else None)
    with opened(target, mode=mode.value, token=token, timeout=timeout) as server:
        served = look_at_apps(server)
        errors = [finding for finding in findings_of(served) if finding.level == "error"]
        if errors:
            more = f" There are {len(errors) - 1} more:" if len(errors) > 1 else " See"
            first = errors[0]
            stop(f"{first.place}: {first.what}; {first.fix}.{more} pmcp-lab app check {target}", status=FAULTS)
        calls = _recording(server, recording)
    auth = authorization(target, token) if target.startswith(("http://", "https://")) else {"type": "none"}
    publication = Publication(
        url=where, package=package, name=name, logo=logo, contact=contact, legal=legal, auth=auth, allow_http=allow_http
    )
    made = manifests(served, publication)
    texts = {file: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for file, content in made.items()}
    texts["landing.html"] = landing_page(calls)
    written = write_files(output, texts, force=force)
    if as_json:
        print_json({"server": served.name, "files": [str(file) for file in written], "manifests": made})
    else:
        for file in written:
            print(file)


def _recording(server: Server, chosen: Path | None) -> Recording:
    """The calls that a landing page answers with, of the server as it is now.

    Raises:
        AppError: The recorded calls do not fit its tools.
    """
    from pmcp_lab.apps import Recording
    from pmcp_lab.cli.connecting import call_each
    from pmcp_lab.client import record

    usual = Path("mock-data") / f"{server.name}.json"
    file = chosen or (usual if usual.is_file() else None)
    given = None if file is None else Recording.load(file)
    with record(server=server) as recorder:
        if given is None:
            call_each(server, {})
        live = recorder.recording(server)
    if given is None:
        return live
    live.calls = given.calls
    try:
        live.check()
    except AppError as error:
        raise AppError(f"{file} does not fit the server: {error}") from None
    return live
