"""`pmcp-lab`: the command line. One file per group of commands; what they do is in the rooms below.

Heavy imports happen inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from pmcp_lab._version import __version__
from pmcp_lab.cli import app as authoring
from pmcp_lab.cli import app_build, calling, demo, deploy, install, preview, record, worker
from pmcp_lab.cli.ending import INTERRUPTED, WRONG_COMMAND_LINE, one_line, stop
from pmcp_lab.errors import LabError

__all__ = ["main"]

STATUS = """
[bold]Exit status[/bold]

0  done
1  the command can't do its work; one line on stderr says why
2  wrong command line
3  a server was looked at, and has faults
4  a tool was called, and said that it failed
130  Ctrl-C
"""

app = typer.Typer(
    name="pmcp-lab",
    help="A Jupyter toolkit that makes a notebook a first-class MCP host.",
    epilog=STATUS,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
authoring.add_to(app)
app_build.add_to(app)
calling.add_to(app)
install.add_to(app)
preview.add_to(app)
record.add_to(app)
demo.add_to(app)
worker.add_to(app)
deploy.add_to(app)


def _unwrap(commands: typer.Typer) -> None:
    """Let the help of all commands be wrapped by the terminal: typer keeps the lines of all but a first paragraph."""
    for command in commands.registered_commands:
        paragraphs = inspect.getdoc(command.callback or _unwrap) or ""
        command.help = "\n\n".join(" ".join(each.split()) for each in paragraphs.split("\n\n"))
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            _unwrap(group.typer_instance)


_unwrap(app)

# Typer does not export it: the base of all that is wrong with a command line.
_WrongCommandLine: Any = typer.BadParameter.__mro__[1]


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"pmcp-lab {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """A Jupyter toolkit that makes a notebook a first-class MCP host."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The `pmcp-lab` command.

    Args:
        arguments: Instead of the process's own.

    Raises:
        SystemExit: With 2 for a wrong command line, 1 when the command can't do its work, 3 for a server with faults,
            4 for a tool that failed, 130 after Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = app(given or ["--help"], prog_name="pmcp-lab", standalone_mode=False)
    except _WrongCommandLine as error:
        context = getattr(error, "ctx", None)
        if context is not None:
            print(context.get_usage().replace("Usage:", "usage:", 1), file=sys.stderr)
        stop(error.format_message(), status=WRONG_COMMAND_LINE)
    except LabError as error:
        stop(one_line(error))
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    if status is not None:
        raise SystemExit(status)
