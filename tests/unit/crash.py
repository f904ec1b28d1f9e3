"""Processes that write to one store until they are killed, and the account of what they were told is done.

`python -m tests.unit.crash URL SEED` is one such process: it writes a line once a write is acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pmcp_lab.errors import InvalidTransition
from pmcp_lab.protocol import TaskStatus
from pmcp_lab.tasks import Limits, Owner, TaskRecord, TaskStore, open_store

OWNER = ("client", "crash")
LIMITS = Limits(tasks_per_owner=None)
ROOT = Path(__file__).parents[2]
AT_ONCE = 2
"""Processes per round."""


@dataclass
class Account:
    """What was acknowledged, over all rounds."""

    variables: dict[str, dict[str, int]] = field(default_factory=dict)
    ends: dict[str, list[str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    fresh: set[str] = field(default_factory=set)
    """Tasks that were written to since the last check."""

    def enter(self, line: str) -> None:
        what, task_id, *rest = json.loads(line)
        self.counts[what] += 1
        self.fresh.add(task_id)
        if what == "created":
            self.variables[task_id] = {}
        elif what == "variable":
            self.variables.setdefault(task_id, {})[rest[0]] = rest[1]
        else:
            self.ends.setdefault(task_id, []).append(rest[0])

    async def check(self, store: TaskStore, tasks: Iterable[str]) -> None:
        for task_id in tasks:
            record = await store.get(OWNER, task_id)
            assert self.variables.get(task_id, {}).items() <= record.variables.items(), "an acknowledged write is lost"
            ends = self.ends.get(task_id, [])
            assert len(ends) <= 1, f"task {task_id} was completed {len(ends)} times"
            assert not ends or record.result == ends[0]
        self.fresh.clear()


async def everything(store: TaskStore, owner: Owner = OWNER) -> list[TaskRecord]:
    page = await store.list(owner, limit=1_000)
    records = page.records
    while page.next_cursor is not None:
        page = await store.list(owner, cursor=page.next_cursor, limit=1_000)
        records += page.records
    return records


def crash(url: str, rounds: int, seed: int = 1) -> Account:
    """Kill `AT_ONCE` writers at random moments, `rounds` times; after each round everything must be there."""
    chance = random.Random(seed)
    account = Account()
    for number in range(rounds):
        writers = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.unit.crash", url, f"{number}-{n}"],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(AT_ONCE)
        ]
        firsts = []
        for writer in writers:
            assert writer.stdout is not None
            firsts.append(writer.stdout.readline())
        for writer, first in zip(writers, firsts, strict=True):
            time.sleep(chance.choice([0.0, 0.003, 0.03, 0.1]) * chance.random())
            writer.send_signal(signal.SIGKILL)
            rest, _ = writer.communicate()
            # The last line may be cut off: it was never heard.
            for line in (first + rest).splitlines(keepends=True):
                if line.endswith("\n"):
                    account.enter(line)
        assert account.fresh, "no writer was told that anything is done"
        asyncio.run(check(url, account, account.fresh))
    asyncio.run(check(url, account, account.variables, listed=True))
    return account


async def check(url: str, account: Account, tasks: Iterable[str], *, listed: bool = False) -> None:
    store = open_store(url, LIMITS)
    try:
        await account.check(store, list(tasks))
        if listed:
            assert set(account.variables) <= {record.task_id for record in await everything(store)}
    finally:
        await store.close()


# --- the process that is killed ---


def acknowledged(*what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


async def complete(store: TaskStore, task_id: str, value: str) -> None:
    try:
        await store.complete(OWNER, task_id, value)
    except InvalidTransition:
        return
    acknowledged("completed", task_id, value)


async def work(store: TaskStore, name: str) -> None:
    for n in range(1_000_000):
        task = await store.create(OWNER)
        acknowledged("created", task.task_id)
        for key in ("a", "b"):
            await store.update(OWNER, task.task_id, variables={key: n})
            acknowledged("variable", task.task_id, key, n)
        # Some are left over for who comes next.
        if n % 3:
            await asyncio.gather(*(complete(store, task.task_id, f"{name}/{n}/{rival}") for rival in range(2)))


async def finish_what_is_left(store: TaskStore, name: str) -> None:
    """As far as a page goes; the other process does the same."""
    for record in (await store.list(OWNER, limit=200)).records:
        if record.status is TaskStatus.WORKING:
            await complete(store, record.task_id, f"{name}/left")


async def write(url: str, name: str) -> None:
    store = open_store(url, LIMITS)
    await asyncio.gather(finish_what_is_left(store, name), *(work(store, f"{name}/{n}") for n in range(4)))


if __name__ == "__main__":
    asyncio.run(write(*sys.argv[1:]))
