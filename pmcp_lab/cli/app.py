"""`pmcp-lab app`: from nothing to a published app."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pmcp_lab.cli.connecting import Generation, Mode, Patience, Target, Token
from pmcp_lab.cli.ending import FAULTS, terminated_as_interrupted
from pmcp_lab.errors import AppError, LabError

if TYPE_CHECKING:
    from pmcp_lab.apps.finding import Finding
    from pmcp_lab.apps.scaffold import Project

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead of text.")]

group = typer.Typer(name="app", help="Write, check and publish MCP Apps.", no_args_is_help=False)


def add_to(app: typer.Typer) -> None:
    app.add_typer(group)


NEW_EXAMPLES = """
[bold]Examples[/bold]

pmcp-lab app new my-app              a greeting: the smallest whole app
pmcp-lab app new my-board -t chess   from the chess app of the demo server
pmcp-lab app new my-app --force      over the files of one that is there
"""


class TemplateName(StrEnum):
    """The templates, for the help and for completion."""

    hello = auto()
    chess = auto()
    map = auto()
    dataviz = auto()
    workflow = auto()


@group.command("new", epilog=NEW_EXAMPLES)
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the project, such as my-app.", show_default=False)],
    *,
    template: Annotated[
        TemplateName,
        typer.Option("--template", "-t", metavar="TEMPLATE", help=f"What to begin with: {', '.join(TemplateName)}."),
    ] = TemplateName.hello,
    path: Annotated[Path, typer.Option(file_okay=False, help="Where to make the project's folder.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is there, over its files.")] = False,
    as_json: Json = False,
) -> None:
    """Make a project: a server with an app, its widget, tests, mock data and a notebook.

    The new server is started and called once, so that its mock data are what it really answers.
    """
    from pmcp_lab.apps.origin import installed_from
    from pmcp_lab.apps.scaffold import project
    from pmcp_lab.apps.writing import write_files

    made = project(name, template)
    folder = path / name
    if os.path.lexists(folder) and not force:
        raise AppError(f"{folder} exists already; take another name, or --force to write over its files")
    with tempfile.TemporaryDirectory(prefix="pmcp-lab-") as scratch:
        write_files(Path(scratch) / name, made.contents)
        mock = _answers(Path(scratch) / name, made)
    written = write_files(folder, made.contents | {f"mock-data/{name}.json": mock}, force=force)
    if as_json:
        print_json(
            {
                "name": name,
                "package": made.package,
                "template": template.value,
                "folder": str(folder),
                "files": [str(file) for file in written],
            }
        )
        return
    print(f"{folder}: {len(written)} files; .mcp.json starts it with {sys.executable}\n")
    if (origin := (installed_from() or {}).get("url", "")).startswith("file:"):
        print(f"It requires pmcp_lab from {origin}: for another machine, name there what it installs.\n")
    print(f"  cd {shlex.quote(str(folder))}\n  pip install -e '.[dev]'\n  pytest\n  pmcp-lab app check {name}")


def _answers(folder: Path, made: Project) -> str:
    """A recording of what a new project's server answers to its examples."""
    from pmcp_lab.client import connect, record

    # Where the package is found here it must be found there, installed or not.
    path = {"PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    command = [sys.executable, "-m", made.package]
    with connect(command, name=made.name, cwd=folder, env=path) as server, record(server=server) as recorder:
        for tool, each in made.examples.items():
            for arguments in each:
                server.call(tool, arguments)
        recording = recorder.recording()
    recording.check()
    return json.dumps(recording.to_dict(), ensure_ascii=False, indent=1) + "\n"


CHECK_EXAMPLES = """
[bold]Examples[/bold]

pmcp-lab app check http://127.0.0.1:8000/mcp      a server that runs
pmcp-lab app check my_app.server:build --strict   one of this project
pmcp-lab app check my-app --call --json           an entry of .mcp.json
pmcp-lab app check my-skills --read-skills        each file of its skills, too
pmcp-lab app check my_app.server:build --no-open  without a browser

[bold]Exit status[/bold]

0  nothing wrong
1  it can't be looked at
3  errors; with --strict warnings, too
"""


@group.command("check", epilog=CHECK_EXAMPLES)
def check(
    target: Target,
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    call: Annotated[
        bool, typer.Option("--call", help="Call tools too, and compare results with their outputSchema.")
    ] = False,
    examples: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="JSON for --call: arguments by tool, or a list of them. Without it only tools that read and need "
            "no arguments are called.",
            show_default=False,
        ),
    ] = None,
    show: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open",
            help="Open each app once in a Chromium that nobody sees, with the arguments and result of a call, and tell "
            "what goes wrong in it. As root, Chromium has no sandbox of its own.",
            show_default="where there is a Chromium",
        ),
    ] = None,
    browser: Annotated[
        str | None,
        typer.Option(
            envvar="PMCP_LAB_CHROMIUM",
            help="For --open: a program that takes Chromium's options.",
            show_default="what is installed",
        ),
    ] = None,
    read_skills: Annotated[
        bool,
        typer.Option(
            "--read-skills", help="Read the files of skills too, and compare them with size, digest and entry."
        ),
    ] = False,
    token: Token = None,
    mode: Mode = Generation.AUTO,
    timeout: Patience = 60.0,
    as_json: Json = False,
) -> None:
    """Check what a server shows of its apps and skills against the specifications.

    Tools and resources must name each other, MIME types and metadata must be those of the standard, and the declared
    domains those that the HTML really asks for. Entries of skills must list each file, with its size and digest.

    Where there is a Chromium, each app is opened in it, with the arguments and the result of a call: one that --call
    made, one of mock-data/<server>.json, or one that is made up from the schemas. It has all that it declares, and what
    it asks of the server by itself is asked. Its errors, dialogs, refused requests and blocked loads are told.
    """
    from pmcp_lab.apps.check import check as findings_of
    from pmcp_lab.apps.finding import Finding
    from pmcp_lab.cli.connecting import call_each, look_at_all, open_apps, opened
    from pmcp_lab.preview import find_browser

    if examples is not None and not call:
        raise typer.BadParameter("--examples are for --call")
    given = read_examples(examples)
    opening = bool(browser or find_browser()) if show is None else show
    with opened(target, mode=mode.value, token=token, timeout=timeout) as server:
        served = look_at_all(server, skill_files=read_skills)
        made, left = call_each(server, given) if call else ([], [])
        name = server.name
        served = replace(served, calls=tuple(made))
        if opening:
            with terminated_as_interrupted():
                served = replace(served, opened=tuple(open_apps(server, served, browser)))
    found = findings_of(served)
    if not opening and show is None and served.pages:
        said = "no Chromium was found, so no app was opened"
        found.append(
            Finding("note", "not-opened", "server", said, "install one, name it by --browser, or say --no-open")
        )
    found += [
        Finding("note", "not-called", f"tool {tool}", "was not called", "give it an example with --examples")
        for tool in left
    ]
    skills = (
        [str(each.get("uri")) for each in served.skills.entries if isinstance(each, Mapping)] if served.skills else []
    )
    counts = {level: sum(each.level == level for each in found) for level in ("error", "warning", "note")}
    failed = bool(counts["error"] or (strict and counts["warning"]))
    if as_json:
        print_json(
            {
                "server": name,
                "ok": not failed,
                "errors": counts["error"],
                "warnings": counts["warning"],
                "notes": counts["note"],
                "tools": len(served.tools),
                "apps": sorted(uri for uri, page in served.pages.items() if page.content is not None),
                "called": [each.tool for each in made],
                "opened": [each.uri for each in served.opened],
                "skills": skills,
                "findings": [each.as_dict() for each in found],
            }
        )
    else:
        _print_findings(found)
        apps = sum(page.content is not None for page in served.pages.values())
        tools = len(served.ui_tools)
        summary = f"{name}: {_count(apps, 'app')}, {_count(tools, 'tool')} with one"
        summary += f", {_count(len(skills), 'skill')}" if served.skills else ""
        summary += f", {_count(len(made), 'call')}" if call else ""
        summary += f", {len(served.opened)} opened" if opening else ""
        print(f"{summary}: " + ", ".join(_count(count, level) for level, count in counts.items()))
    if failed:
        raise typer.Exit(FAULTS)


def read_examples(file: Path | None) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Arguments by tool, from a JSON file.

    Raises:
        LabError: It is none.
    """
    if file is None:
        return {}
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LabError(f"{file} is no JSON: {error}") from None
    if not isinstance(raw, dict):
        raise LabError(f'{file} must be an object of arguments by tool: {{"tool": {{…}}}}')
    given: dict[str, Sequence[Mapping[str, Any]]] = {
        name: value if isinstance(value, list) else [value] for name, value in raw.items()
    }
    for name, values in given.items():
        if not all(isinstance(value, dict) for value in values):
            raise LabError(f"{file}: the arguments of {name!r} must be an object, or a list of objects")
    return given


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _print_findings(found: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not found:
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    table = Table(show_lines=False, box=None, pad_edge=False, padding=(0, 2, 1, 0), header_style="bold")
    for heading, least in (("level", 7), ("code", 12), ("where", 18)):
        table.add_column(heading, min_width=least, overflow="fold", max_width=32)
    table.add_column("what, and → what to do", ratio=1, overflow="fold")
    colours = {"error": "bold red", "warning": "yellow", "note": "dim"}
    for finding in found:
        said = Text(f"{finding.what}\n→ {finding.fix}")
        table.add_row(Text(finding.level, colours[finding.level]), Text(finding.code), Text(finding.place), said)
    console.print(table)
