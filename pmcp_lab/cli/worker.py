"""`pmcp-lab worker`: runs the tasks of a server in this process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pmcp_lab.cli.connecting import duration, load

if TYPE_CHECKING:
    from pmcp_lab.execution.docket import DocketExecutor
    from pmcp_lab.server import Tasks

EXAMPLES = """
[bold]Examples[/bold]

pmcp-lab worker lab:server                  tasks of `server` in lab.py
pmcp-lab worker lab.jobs:build --grace 60   a function that makes the server
"""


def add_to(app: typer.Typer) -> None:
    app.command("worker", epilog=EXAMPLES)(run)


def run(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:OBJECT",
            help="An MCPServer, a Tasks, or a function without arguments that returns one; "
            "MODULE is looked for in the current directory first.",
        ),
    ],
    *,
    concurrency: Annotated[int, typer.Option(min=1, metavar="N", help="Tasks that run at the same time.")] = 10,
    name: Annotated[
        str | None, typer.Option(help="Unique among the workers.", show_default="host name and process id")
    ] = None,
    grace: Annotated[
        float,
        typer.Option(
            parser=duration,
            metavar="DURATION",
            help="How long running tasks may go on after a signal: seconds, or 90s, 2m.",
        ),
    ] = 10.0,
) -> None:
    """Run tasks of a server whose Tasks have executor='docket', in this process.

    Start as many as you like, on any machine that reaches the same Redis and store and has the same code. Ends on
    SIGTERM or Ctrl-C: takes no more tasks, lets those that run finish, and hands back what is not done after --grace.
    A second signal ends it at once; its tasks are then missed when their leases lapse.

    Exit status: 0 ended by a signal, 1 can't work or left a task behind, 2 wrong command line.
    """
    import asyncio
    import logging

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    tasks, executor = _workable(target)
    asyncio.run(_work(tasks, executor, concurrency, name, grace))


def _leave_threads(patience: float = 3.0) -> None:
    """Python waits for threads at its end; a tool that sits in one would keep a worker for as long as it likes."""
    import os
    import threading

    def leave() -> None:
        print("pmcp-lab: a tool that runs in a thread did not stop; leaving without it", file=sys.stderr, flush=True)
        os._exit(1)

    timer = threading.Timer(patience, leave)
    timer.daemon = True
    timer.start()


def _workable(target: str) -> tuple[Tasks, DocketExecutor]:
    """The Tasks a worker was pointed at, and their executor.

    Raises:
        LabError: There is nothing to work for.
    """
    from pmcp_lab.errors import LabError, MissingExtra
    from pmcp_lab.server import Tasks

    try:
        from pmcp_lab.execution.docket import DocketExecutor
    except ModuleNotFoundError as error:
        if error.name not in ("docket", "redis"):
            raise
        raise MissingExtra("pmcp-lab worker", "docket") from None
    found = load(target)
    if not isinstance(found, Tasks):
        # An MCPServer shows its middleware, but not its extensions.
        among = getattr(found, "middleware", None)
        if not isinstance(among, list):
            raise LabError(f"{target} is a {type(found).__name__}, not an MCPServer or a Tasks")
        found = next((part for part in among if isinstance(part, Tasks)), None)
        if found is None:
            raise LabError(f"the server {target} has no tasks: MCPServer(..., extensions=[tasks], middleware=[tasks])")
    if not isinstance(found.executor, DocketExecutor):
        raise LabError(
            f"{target} runs its tasks in the server's own process, so there is nothing for a worker to do; "
            "give its Tasks executor='docket'"
        )
    return found, found.executor


async def _work(tasks: Tasks, executor: DocketExecutor, concurrency: int, name: str | None, grace: float) -> None:
    """Work until there is a signal."""
    import asyncio
    import signal

    loop = asyncio.get_running_loop()
    signalled = asyncio.Event()

    def leave(*_: object) -> None:
        # The next one is not for us: it ends the process.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        loop.call_soon_threadsafe(signalled.set)

    await executor.connect()
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    tasks.start()
    work = asyncio.create_task(executor.work(concurrency=concurrency, name=name))
    told = asyncio.create_task(signalled.wait())
    print(f"working on {executor.name} at {executor.place}, {concurrency} at a time", flush=True)
    await asyncio.wait([work, told], return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if work.done():
        work.result()
    await tasks.close(grace)
    _leave_threads()
    await work
