"""`pmcp-lab record` and `pmcp-lab app landing`: real calls in a file, and a demo page made of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pmcp_lab.cli.app import group, read_examples
from pmcp_lab.cli.connecting import Generation, Mode, Patience, Target, Token, call_each, opened

Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there already.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead of text.")]

RECORD_EXAMPLES = """
[bold]Examples[/bold]

pmcp-lab record demo --out demo.json                          tools that only read and need no arguments
pmcp-lab record http://127.0.0.1:8000/mcp --calls calls.json --out server.json
pmcp-lab preview my_app.server:build --record server.json     what is called while one looks at the app

calls.json has arguments by tool, or a list of them: [dim]{"search": [{"query": "bern"}, {"query": "oslo"}]}[/dim]
"""

LANDING_EXAMPLES = """
[bold]Examples[/bold]

pmcp-lab app landing demo.json                        writes dist/landing.html
pmcp-lab app landing mock-data/my-app.json -o site/index.html --title "My app"
"""


def add_to(app: typer.Typer) -> None:
    app.command("record", epilog=RECORD_EXAMPLES)(record)
    group.command("landing", epilog=LANDING_EXAMPLES)(landing)


def record(
    target: Target,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", dir_okay=False, help="Where to write.", show_default=False)],
    calls: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="JSON: arguments by tool, or a list of them. Without it, tools that only read and need no arguments.",
            show_default=False,
        ),
    ] = None,
    force: Force = False,
    token: Token = None,
    mode: Mode = Generation.AUTO,
    timeout: Patience = 60.0,
    as_json: Json = False,
) -> None:
    """Call tools of a live server and keep what they answer, with the server's tools and widgets.

    The file serves as mock data: for `pmcp-lab app landing`, and for `lab.replay` in notebooks and tests. What is
    secret is left out.
    """
    from pmcp_lab.client import record as start
    from pmcp_lab.errors import AppError

    if out.exists() and not force:
        raise AppError(f"{out} exists already; --force replaces it")
    given = read_examples(calls)
    with opened(target, mode=mode.value, token=token, timeout=timeout) as server, start(server=server) as recorder:
        _, left = call_each(server, given)
        recorder.stop()
        if not recorder.calls:
            raise AppError(f"no tool of {server.name!r} only reads and needs no arguments; say what to call: --calls")
        written = recorder.save(out)
    made, kept = [call.tool for call in recorder.calls], [name for name in left if name not in given]
    if as_json:
        print(json.dumps({"file": str(written), "called": made, "not_called": kept}, indent=2))
    else:
        more = f"; not called: {', '.join(kept)}" if kept else ""
        print(f"{written}: {len(made)} calls of {len(set(made))} tools{more}")


def landing(
    recording: Annotated[
        Path,
        typer.Argument(
            metavar="RECORDING", exists=True, dir_okay=False, help="What `pmcp-lab record` wrote.", show_default=False
        ),
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", dir_okay=False, help="Where to write.")] = Path(
        "dist/landing.html"
    ),
    title: Annotated[str | None, typer.Option(help="Of the page.", show_default="the server's")] = None,
    description: Annotated[str | None, typer.Option(help="Below the title.", show_default="the server's")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a demo page of a server's apps: one file that opens from a disk and fetches nothing.

    The apps run in the real host and are answered as the server was recorded: by their arguments, with its errors, and
    as fast as it was. The calls must fit the tools' schemas.
    """
    from pmcp_lab.apps import Recording
    from pmcp_lab.apps.landing import landing_page
    from pmcp_lab.apps.writing import write_files

    known = Recording.load(recording)
    known.check()
    page = landing_page(known, title=title, description=description)
    (written,) = write_files(output.parent, {output.name: page}, force=force)
    if as_json:
        widgets = [item["uri"] for item in known.resources]
        print(json.dumps({"file": str(written), "widgets": widgets, "calls": len(known.calls)}, indent=2))
    else:
        print(written)
