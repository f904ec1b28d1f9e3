"""Any number of tasks on one connection, moved at will: the handles are real, only nobody works on them."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pmcp_lab as lab
from pmcp_lab.client import Call, Task, call_of, client_of, runtime
from pmcp_lab.protocol import TaskState, TaskStatus

EPOCHS = 200


def make(server: lab.Server, count: int) -> list[Task]:
    """`count` working tasks, each of which the server is said to have named."""
    tasks = [
        Task(Call(client_of(server), ("train", "publish", "flaky")[n % 3], {"epochs": EPOCHS})) for n in range(count)
    ]
    for task in tasks:
        observe(task, 0)
    return tasks


def observe(task: Task, epoch: int, message: str | None = None) -> None:
    """Let a task hear from its server: another epoch is done. On the thread on which servers are heard."""
    moment = datetime.now(UTC)
    call = call_of(task)
    call.observe(
        TaskState(
            task_id=f"00000000-0000-4000-8000-{call.number:012d}",
            status=TaskStatus.WORKING,
            created_at=moment,
            updated_at=moment,
            message=message or f"epoch {epoch} of {EPOCHS}: loss {2.3 / (epoch + 1 + call.number % 7):.3f}",
            ttl=3_600_000,
            progress=epoch % EPOCHS / EPOCHS,
            variables={
                "epoch": epoch,
                "loss": round(2.3 / (epoch + 1 + call.number % 7), 4),
                "accuracy": round(1 - 0.9 / (epoch + 1 + call.number % 7), 4),
            },
        )
    )


def tick(task: Task, count: int, pause: float) -> None:
    """Change one task that often, `pause` seconds apart, in the background; its message says when: `t=<epoch ms>`."""

    async def ticking() -> None:
        for n in range(count):
            await asyncio.sleep(pause)
            observe(task, n % EPOCHS, f"t={time.time() * 1000:.1f}")

    runtime().start(ticking())
