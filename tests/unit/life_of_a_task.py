"""Runs one task with its card and prints, as JSON, how often each file of the kernel side is entered from another.

A process of its own, so that nothing else runs on the background thread.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from mcp.server.mcpserver import MCPServer

import pmcp_lab as lab
from pmcp_lab.client import runtime
from pmcp_lab.notebook import TaskCard, task_views
from pmcp_lab.server import TaskContext, Tasks

PACKAGE = Path(lab.__file__).parent
ROOMS = ("client", "host", "notebook")

tasks = Tasks("memory://")
entered: Counter[str] = Counter()


@tasks.tool()
async def work(task: TaskContext) -> str:
    for i in range(3):
        await task.update(message=f"step {i}", progress=i / 3, variables={"i": i})
        await asyncio.sleep(0.05)
    return "done"


def enter(frame: FrameType, event: str, _: Any) -> None:
    if event != "call" or frame.f_code.co_name in ("<genexpr>", "<listcomp>", "<dictcomp>"):
        return
    path = Path(frame.f_code.co_filename)
    if path.is_relative_to(PACKAGE) and path.relative_to(PACKAGE).parts[0] in ROOMS:
        before = frame.f_back
        entered[path.relative_to(PACKAGE).as_posix()] += before is None or before.f_code.co_filename != str(path)


async def watch(how: Any) -> None:
    sys.setprofile(how)


if __name__ == "__main__":
    task_views.PAUSE = 60.0  # one state and one delta, however slow the machine is
    server = lab.connect(MCPServer("s", extensions=[tasks], middleware=[tasks], log_level="ERROR"), name="s")
    assert "work" in server.tools
    runtime().run(watch(enter))
    sys.setprofile(enter)
    run = server.task("work")
    card = TaskCard(run)
    result = run.result(30)
    sys.setprofile(None)
    runtime().run(watch(None))
    assert result.text == "done"
    assert run.moments[-1].status == "completed"
    print(json.dumps(entered))
