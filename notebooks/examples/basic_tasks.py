"""A task from both sides: a server that trains, and a client that watches, answers and takes the result.

python basic_tasks.py
"""

import asyncio
import time

from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

import pmcp_lab as lab
from pmcp_lab.server import TaskContext, Tasks

tasks = Tasks("memory://")  # sqlite:///tasks.db, redis://…, dynamodb://… outlive the process


class Publish(BaseModel):
    publish: bool


@tasks.tool(support="required", poll_interval="100ms")
async def train(epochs: int, task: TaskContext) -> dict[str, int | bool]:
    """Train a model, then ask whether it may be published."""
    for epoch in range(1, epochs + 1):
        await asyncio.sleep(0.05)
        await task.update(message=f"epoch {epoch}", progress=epoch / epochs, variables={"epoch": epoch})
    answer = await task.elicit("Publish the model?", Publish)
    return {"epochs": epochs, "published": bool(answer.content and answer.content.publish)}


server = MCPServer("trainer", extensions=[tasks], middleware=[tasks], log_level="ERROR")


def main() -> dict[str, int | bool]:
    trainer = lab.connect(server, name="trainer")
    run = trainer.task("train", epochs=5)
    while not run.questions:
        time.sleep(0.05)
    print(run.status, run.variables["epoch"], run.questions[0].message)
    run.answer({"publish": True})
    result = run.result(timeout=30).value
    print(result)
    trainer.close()
    return result


if __name__ == "__main__":
    main()
