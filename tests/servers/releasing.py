"""Releases versions by a workflow, and is to be killed: `releasing.py FOLDER`, where it keeps its tasks, a log of what
its tools did, and its process id.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from mcp.server.mcpserver import MCPServer

from pmcp_lab.server import Tasks
from pmcp_lab.workflow import SequentialWorkflow, Workflows, from_step, prompt_arg, template

FOLDER = Path(sys.argv[1])
SECONDS = 4.0
"""How long a build takes: time to be killed in."""

release = (
    SequentialWorkflow("release", "Build a version and publish it")
    .argument("version", "What to release")
    .step("build", "build", {"version": prompt_arg("version")}, bind="artifact", retryable=True)
    .step("stage", "put", {"file": from_step("artifact", "file")}, guidance="Ask where to put it.")
    .step("approve", execution="manual", question="Publish {version}?", answer={"ok": "boolean"}, proceed_if="ok")
    .step("publish", "publish", {"file": from_step("artifact", "file")}, guarded=True, bind="place")
    .step("tell", "say", {"text": template("{version} is out")})
)

tasks = Tasks(f"sqlite:///{FOLDER}/tasks.db", lease=1.0, attempts=100)
server = MCPServer("releasing", extensions=[tasks], middleware=[tasks], lifespan=tasks.lifespan, log_level="ERROR")


def did(what: str) -> None:
    with (FOLDER / "log").open("a") as log:
        log.write(f"{what}\n")


@server.tool()
async def build(version: str) -> dict[str, str]:
    did("build")
    await asyncio.sleep(SECONDS)
    return {"file": f"{version}.whl"}


@server.tool()
def put(file: str, bucket: str) -> str:
    did("put")
    return f"{bucket}/{file}"


@server.tool()
def publish(file: str) -> str:
    did("publish")
    return f"{file} for everybody"


@server.tool()
def say(text: str) -> str:
    did("say")
    return text


Workflows([release], tasks).attach(server)

if __name__ == "__main__":
    (FOLDER / "pid").write_text(str(os.getpid()))
    server.run()
