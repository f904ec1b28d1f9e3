"""A process that runs a program and is killed at one of its writes, or in the middle of a call."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any, Final

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from pmcp_lab.execution import AsyncioExecutor
from pmcp_lab.server import CodeMode, Tasks
from pmcp_lab.tasks import LOCAL, Job, Lease, TaskRecord, TaskStore, open_store
from pmcp_lab.tasks.record import checkpoint_of

LEASE: Final = 0.3

PROGRAM: Final = """
import asyncio
total = 0
print("begins")
for n in range(3):
    total += await look(n=n)
    total += await put(n=n)
    done = await order(n=n)
    total += done["n"]
pair = await asyncio.gather(order(n=10), look(n=11), order(n=12))
try:
    await refuse(n=20)
except RuntimeError as error:
    print(error)
print("ends")
[total, [one if type(one) is int else one["n"] for one in pair]]
"""

RESULT: Final = [9, [10, 11, 12]]
PRINTED: Final = "begins\nError executing tool refuse: 20\nends\n"
CALLS: Final = 13
ONCE: Final = ("order 0", "order 1", "order 2", "order 10", "order 12")
"""What may not run twice."""


class Till:
    """A server with that program's tools, on a file; each call that takes effect is a line of a log.

    Args:
        die: Called before and after each call's effect, with that name and its line of the log.
    """

    def __init__(self, folder: Path, die: Any = None, **options: Any) -> None:
        self.log = folder / "log"
        self.tasks = tasks = Tasks(url(folder), executor=AsyncioExecutor(grace=0.05), lease=LEASE, **options)
        self.server: MCPServer[Any] = MCPServer("till", extensions=[tasks], middleware=[tasks], log_level="CRITICAL")

        def note(what: str) -> None:
            if die is not None:
                die("before", what)
            with self.log.open("a") as file:
                file.write(f"{what}\n")
            if die is not None:
                die("after", what)

        @self.server.tool(annotations=ToolAnnotations(read_only_hint=True))
        def look(n: int) -> int:
            note(f"look {n}")
            return n

        @self.server.tool(annotations=ToolAnnotations(idempotent_hint=True))
        def put(n: int) -> int:
            note(f"put {n}")
            return n

        @self.server.tool()
        def order(n: int) -> dict[str, int]:
            note(f"order {n}")
            return {"n": n}

        @self.server.tool()
        def refuse(n: int) -> None:
            note(f"refuse {n}")
            raise ToolError(f"{n}")

        CodeMode(tasks, ["look", "put", "order", "refuse"], approve="never").attach(self.server)

    def ran(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/tasks.db"


async def handed_in(store: TaskStore, source: str = PROGRAM, **context: Any) -> TaskRecord:
    """A program that nobody runs yet."""
    job = Job(tool="run_code", arguments={"code": source}, context={"asks": ["elicitation"], **context})
    return await store.create(LOCAL, job=job, lease=Lease(run="dead#1", seconds=LEASE, version=1, phase="queued"))


def killed(folder: Path, at: int, *, write: bool) -> int | None:
    """How a process ended that goes on with the program in this folder, and is killed at its `at`th moment.

    Args:
        write: Moments are its writes of the program; otherwise they are around the effect of each call.
    """
    # Forked from a process that has imported everything: starting a Python takes longer than all that it does.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "pydantic_monty"])
    process = context.Process(target=_run, args=(folder, at, write))
    process.start()
    process.join(50)
    return process.exitcode


def _run(folder: Path, at: int, write: bool) -> None:
    asyncio.run(_work(folder, at, write))


async def _work(folder: Path, at: int, write: bool) -> None:
    left = at

    def moment(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    till = Till(folder, None if write else moment)
    store = till.tasks.store
    if write:
        replace = store.backend.replace
        seen: list[Any] = [checkpoint_of((await store.list(LOCAL)).records[0])]

        async def replace_and_die(record: TaskRecord, **more: Any) -> None:
            await replace(record, **more)
            if (found := checkpoint_of(record)) != seen[-1]:
                seen.append(found)
                moment()

        store.backend.replace = replace_and_die  # type: ignore[method-assign]
    till.tasks.start()
    record = (await store.list(LOCAL)).records[0]
    async with store.watch(record.owner, record.task_id) as feed:
        async for current in feed:
            if not current.live or current.open_questions:
                break
    await till.tasks.close(0)


async def laid_out(folder: Path, source: str = PROGRAM) -> None:
    """The program, in a folder of its own."""
    os.makedirs(folder)  # noqa: PTH103 - at once
    store = open_store(url(folder))
    await handed_in(store, source)
    await store.close()
