"""A process that leads a workflow and is killed at one of its boundaries."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any, Literal

from pmcp_lab.server import Tasks
from pmcp_lab.workflow import SequentialWorkflow
from tests.unit.flow import Flow

STEPS = 4

Where = Literal["before", "after", "recorded"]
"""Before its step does anything, after it did, or once that is recorded."""


def boundaries() -> SequentialWorkflow:
    """Steps that alternately may and may not run twice."""
    workflow = SequentialWorkflow("cut", "Be cut")
    for number in range(STEPS):
        workflow = workflow.step(f"s{number}", "mark", {"step": number}, retryable=number % 2 == 0, bind=f"b{number}")
    return workflow


def killed(folder: Path, step: int, where: Where) -> int | None:
    """How the process ended."""
    # Forked from a process that has imported everything: starting a Python takes longer than all that it does.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_run, args=(folder, step, where))
    process.start()
    process.join(50)
    return process.exitcode


def _run(folder: Path, step: int, where: Where) -> None:
    folder.mkdir()
    asyncio.run(_lead(folder, step, where))


async def _lead(folder: Path, at: int, where: Where) -> None:
    def mark(step: int) -> int:
        if (step, where) == (at, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        with (folder / "log").open("a") as file:
            file.write(f"{step}\n")
        if (step, where) == (at, "after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return 10 * step

    tasks = Tasks(f"sqlite:///{folder}/tasks.db", lease=0.3)
    if where == "recorded":
        replace = tasks.store.backend.replace

        async def replace_and_die(record: Any, **more: Any) -> None:
            await replace(record, **more)
            if f"_workflow.result.s{at}" in record.variables:
                os.kill(os.getpid(), signal.SIGKILL)

        tasks.store.backend.replace = replace_and_die  # type: ignore[method-assign]
    async with Flow(boundaries(), mark, tasks=tasks).visitor() as visitor:
        await visitor.get()
